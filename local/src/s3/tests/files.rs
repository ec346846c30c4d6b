use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use super::client::{Response, SECRET_KEY, Server};
use crate::s3::BucketKind;

fn server() -> Server {
    Server::with(|dir| {
        let root = dir.join("in");
        fs::create_dir_all(root.join("a/deep")).unwrap();
        for name in ["a.txt", "a/b", "a/deep/c", "a0", "ü €"] {
            fs::write(root.join(name), name).unwrap();
        }
        BucketKind::Files { root, only: None }
    })
}

#[test]
fn files_are_listed_as_keys_and_read_in_place() {
    let server = server();
    let root = server.dir().join("in");
    symlink("a.txt", root.join("link")).unwrap();
    symlink("..", root.join("a/loop")).unwrap();
    symlink("self", root.join("self")).unwrap();
    symlink("a", root.join("a-again")).unwrap();
    let listed = server.list("list-type=2").elements("Key");
    assert_eq!(listed, ["a.txt", "a/b", "a/deep/c", "a0", "link", "ü €"]);
    assert_eq!(server.list("list-type=2&prefix=a%2Fd").elements("Key"), ["a/deep/c"]);
    assert_eq!(server.get("a/b", &[]).body, b"a/b");
    assert_eq!(server.get("link", &[]).body, b"a.txt");
    for key in ["../in/a.txt", "a", "a/../a.txt", "/a.txt", "a.txt/", "self", "nul\0"] {
        assert_eq!(server.get(key, &[]).code(), "NoSuchKey", "{key:?}");
    }
}

#[test]
fn input_files_are_never_written() {
    let server = server();
    for (method, query) in [("PUT", ""), ("DELETE", ""), ("POST", "uploads=")] {
        let refused = server.request(method, "a.txt", query, &[], &[0; 200_000]);
        assert_eq!((refused.status, refused.code().as_str()), (403, "AccessDenied"), "{method}");
    }
    assert_eq!(fs::read(server.dir().join("in/a.txt")).unwrap(), b"a.txt");
}

#[test]
fn one_file_alone_can_be_served() {
    let server = Server::with(|dir| {
        fs::write(dir.join("one"), "1").unwrap();
        fs::write(dir.join("two"), "2").unwrap();
        BucketKind::Files { root: dir.to_owned(), only: Some("one".to_owned()) }
    });
    assert_eq!(server.list("list-type=2").elements("Key"), ["one"]);
    assert_eq!(server.get("one", &[]).body, b"1");
    assert_eq!(server.get("two", &[]).code(), "NoSuchKey");
}

#[test]
fn later_pages_come_from_the_same_walk() {
    let server = server();
    let first = server.list("list-type=2&max-keys=2");
    assert_eq!(first.elements("Key"), ["a.txt", "a/b"]);
    fs::write(server.dir().join("in/a1"), "came between the pages").unwrap();
    let token = first.elements("NextContinuationToken").pop().unwrap();
    let rest = server.list(&format!("continuation-token={token}&list-type=2"));
    assert_eq!(rest.elements("Key"), ["a/deep/c", "a0", "ü €"]);
}

#[test]
fn a_changed_file_has_another_etag() {
    let server = server();
    let before = server.get("a.txt", &[]);
    assert_eq!(server.get("a.txt", &[("if-match", before.etag())]).status, 200);
    fs::write(server.dir().join("in/a.txt"), "other, longer bytes").unwrap();
    assert_eq!(server.get("a.txt", &[("if-match", before.etag())]).code(), "PreconditionFailed");
}

#[test]
fn a_file_that_changes_while_it_is_read_breaks_the_body() {
    // More than the sockets' buffers can hold, and no blocks on disk.
    const BYTES: u64 = 64 << 20;
    let server = server();
    let path = server.dir().join("in/big");
    for change in ["overwritten", "cut off", "appended to"] {
        File::create(&path).unwrap().set_len(BYTES).unwrap();
        // Times are stamped with the kernel's tick; within one, a change of equal length cannot be seen.
        std::thread::sleep(Duration::from_millis(20));
        let mut stream = server.send(SECRET_KEY, "GET", "big", "", &[], b"");
        let mut some = [0; 1_000];
        stream.read_exact(&mut some).unwrap();
        let mut file = File::options().write(true).append(change == "appended to").open(&path).unwrap();
        match change {
            "cut off" => file.set_len(BYTES / 2).unwrap(),
            _ => file.write_all(b"other bytes").unwrap(),
        }
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!((rest.len() as u64) < BYTES - 1_000, "the body of a file {change} must not look complete");
    }
    let fresh = Response::read(server.send(SECRET_KEY, "HEAD", "big", "", &[], b""));
    assert_eq!(fresh.header("content-length").unwrap(), (BYTES + 11).to_string());
}

#[test]
fn a_name_that_is_no_text_fails_the_listing_by_name() {
    let server = server();
    File::create(server.dir().join("in").join(OsStr::from_bytes(b"bad\xff"))).unwrap();
    let failed = server.list("list-type=2");
    assert_eq!((failed.status, failed.code().as_str()), (400, "InvalidFileName"));
    assert!(failed.text().contains("in/bad\u{fffd}"), "{}", failed.text());
}
