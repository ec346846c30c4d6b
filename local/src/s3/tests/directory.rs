use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::client::{Response, SECRET_KEY, Server};
use super::race;
use crate::s3::BucketKind;

fn server() -> (Server, PathBuf) {
    let server = Server::with(|dir| BucketKind::Directory { root: dir.join("made/by/writing") });
    let root = server.dir().join("made/by/writing");
    (server, root)
}

/// All files below `dir`, hidden ones too.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path) } else { vec![path] }
        })
        .collect()
}

#[test]
fn of_racing_conditional_puts_one_wins() {
    let (server, root) = server();
    assert!(server.list("list-type=2").elements("Key").is_empty(), "before the first write");
    for (round, bytes) in [10, 200_000].into_iter().enumerate() {
        let won = race(&server, &format!("race/{round}"), bytes);
        assert_eq!(fs::read(root.join(format!("race/{round}"))).unwrap(), vec![u8::try_from(won).unwrap(); bytes]);
    }
    assert_eq!(files(&root).len(), 2, "the losers left nothing");
}

#[test]
fn objects_are_files_and_go_with_their_directories() {
    let (server, root) = server();
    let put = server.put("x/y/z", &[("x-amz-meta-of", "me")], b"out");
    assert_eq!(fs::read(root.join("x/y/z")).unwrap(), b"out");
    let got = server.get("x/y/z", &[("if-match", put.etag())]);
    assert_eq!((got.body.as_slice(), got.header("x-amz-meta-of")), (b"out".as_slice(), Some("me")));
    assert_eq!(server.list("list-type=2").elements("ETag"), [put.etag()]);
    assert_eq!(server.request("DELETE", "x/y/z", "", &[], b"").status, 204);
    assert!(!root.join("x").exists());
}

#[test]
fn a_reader_outlives_the_object_it_reads() {
    let (server, root) = server();
    let body: Vec<u8> = (0..16 << 20).map(|idx: u32| idx.to_le_bytes()[1]).collect();
    for method in ["PUT", "DELETE"] {
        server.put("big", &[], &body);
        let reading = server.send(SECRET_KEY, "GET", "big", "", &[], b"");
        reading.peek(&mut [0]).unwrap();
        server.request(method, "big", "", &[], b"");
        assert!(Response::read(reading).body == body, "{method}");
    }
    assert!(files(&root).is_empty());
}

#[test]
fn a_key_that_can_be_no_file_is_refused() {
    let (server, root) = server();
    for key in ["../up", "a//b", "/abs", "dir/", "a/./b", ".kinglet-partial-1"] {
        assert_eq!(server.put(key, &[], &[0; 100_000]).code(), "InvalidArgument", "{key:?}");
    }
    server.put("file", &[], b"");
    server.put("dir/file", &[], b"");
    assert_eq!(server.put("file/under", &[], b"").code(), "InvalidRequest");
    assert_eq!(server.put("dir", &[], b"").code(), "InvalidRequest");
    assert_eq!(server.put("dir", &[("if-none-match", "*")], b"").code(), "InvalidRequest");
    assert_eq!(files(&root).len(), 2);
}

/// What an attacker who can name objects, or place links in the output, would try.
#[test]
fn nothing_is_written_or_removed_outside_of_the_directory() {
    let (server, root) = server();
    let outside = server.dir().join("outside");
    fs::create_dir_all(outside.join("deep")).unwrap();
    fs::write(outside.join("theirs"), "theirs").unwrap();
    server.put("dir/mine", &[], b"mine");
    std::os::unix::fs::symlink(&outside, root.join("out")).unwrap();
    std::os::unix::fs::symlink("../../../../outside/deep", root.join("dir/up")).unwrap();
    std::os::unix::fs::symlink(root.join("dir"), root.join("within")).unwrap();
    std::os::unix::fs::symlink(outside.join("theirs"), root.join("link")).unwrap();

    for key in ["out/new", "out/deep/new", "out/made/new", "out/theirs", "dir/up/new"] {
        for headers in [&[][..], &[("if-none-match", "*")]] {
            let status = server.put(key, headers, &[0; 100_000]).status;
            // Where a file is there already, the condition is looked at first.
            assert!(status == 403 || status == 412 && key == "out/theirs" && !headers.is_empty(), "{key:?}: {status}");
        }
        assert_eq!(server.request("DELETE", key, "", &[], b"").status, 403, "{key:?}");
    }
    let up = "../".repeat(8);
    for key in [&*format!("{up}etc/new"), "dir/../../up", "out/../../up", "dir/..", "..", "a\0b"] {
        assert_eq!(server.put(key, &[], b"").code(), "InvalidArgument", "{key:?}");
    }
    assert_eq!(files(&outside), [outside.join("theirs")]);

    // A link to what lies in the directory is followed, and one in the place of an object is replaced.
    assert_eq!(server.put("within/new", &[], b"new").status, 200);
    assert_eq!(fs::read(root.join("dir/new")).unwrap(), b"new");
    assert_eq!(server.put("link", &[], b"mine").status, 200);
    assert!(!root.join("link").is_symlink());
    std::os::unix::fs::symlink(outside.join("theirs"), root.join("again")).unwrap();
    assert_eq!(server.request("DELETE", "again", "", &[], b"").status, 204);
    assert!(!root.join("again").is_symlink());
    assert_eq!(fs::read(outside.join("theirs")).unwrap(), b"theirs");
}

#[test]
fn names_of_any_length_and_spelling_are_kept_apart_or_refused() {
    let (server, root) = server();
    let longest = "x".repeat(255);
    // None of these is the same file as another, however it is written.
    let keys = [
        &*longest, "a%2fb", "a/b", "a b", "a+b", "A", "\u{e4}", "a\u{308}", "a\nb", "\\", "...", "-rf", "~", "$HOME",
        "*",
    ];
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(server.put(key, &[], n.to_string().as_bytes()).status, 200, "{key:?}");
    }
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(server.get(key, &[]).body, n.to_string().as_bytes(), "{key:?}");
    }
    assert_eq!(files(&root).len(), keys.len());
    for key in [&*format!("{longest}x"), &"deep/".repeat(1_000), &format!("{}x", "d/".repeat(3_000))] {
        let refused = server.put(key, &[], b"");
        assert!((400..500).contains(&refused.status), "{} bytes: {}", key.len(), refused.status);
    }
    assert_eq!(files(&root).len(), keys.len());
}

#[test]
fn a_broken_upload_leaves_nothing() {
    let (server, root) = server();
    assert_eq!(server.put("sum", &[("x-amz-checksum-crc32", "AAAAAA==")], b"bytes").code(), "BadDigest");
    assert!(files(&root).is_empty());
    // The client goes away in the middle of the body that it announced.
    let mut stream = server.begin(SECRET_KEY, "PUT", "deep/half", "", &[], 4 << 20);
    stream.write_all(&[0; 2 << 20]).unwrap();
    wait_until(|| files(&root).len() == 1);
    assert_eq!(server.list("list-type=2").elements("Key"), [""; 0], "what is half written is no object");
    drop(stream);
    wait_until(|| !root.join("deep").exists());
}

fn wait_until(done: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "it never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}
