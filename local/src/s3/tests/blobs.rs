use super::client::{Response, SECRET_KEY, Server, percent};
use super::race;
use super::uploads::{begin, complete, part};
use crate::s3::BucketKind;

fn server() -> Server {
    Server::with(|_| BucketKind::Blobs)
}

/// Keys that a file system would refuse, fold or confuse.
const ODD_KEYS: [&str; 14] = [
    "a",
    "a/b",
    "a//b",
    "a.txt",
    "..",
    "../x",
    "./y",
    "//lead",
    "/",
    "trail/",
    "ünï €",
    "b+c%2F&=?#;",
    "<x>&\"'",
    "a\\b",
];

#[test]
fn of_racing_conditional_puts_one_wins() {
    let server = server();
    for (round, bytes) in [10, 100, 200_000].into_iter().enumerate() {
        race(&server, &format!("race/{round}"), bytes);
    }
}

#[test]
fn ranges_are_those_of_the_bytes() {
    let server = server();
    // In memory, in a file, and in a file of several chunks.
    for size in [100_usize, 70_000, 600_000] {
        let body: Vec<u8> = (0..size).map(|idx| u8::try_from(idx % 251).unwrap()).collect();
        server.put("o", &[], &body);
        let half = size / 2;
        for (range, from, to) in [
            ("bytes=0-0".to_owned(), 0, 1),
            (format!("bytes={half}-"), half, size),
            ("bytes=-1".to_owned(), size - 1, size),
            (format!("bytes=-{}", size + 5), 0, size),
            (format!("bytes=3-{}", size * 2), 3, size),
            (format!("bytes=7-{half}"), 7, half + 1),
        ] {
            let got = server.get("o", &[("range", &range)]);
            assert_eq!((got.status, got.body == body[from..to]), (206, true), "{range} of {size}");
            assert_eq!(got.header("content-range").unwrap(), format!("bytes {from}-{}/{size}", to - 1));
        }
        let past = server.get("o", &[("range", &format!("bytes={size}-"))]);
        assert_eq!((past.status, past.code().as_str()), (416, "InvalidRange"));
    }
    server.put("empty", &[], b"");
    assert_eq!(server.get("empty", &[]).status, 200);
    assert_eq!(server.get("empty", &[("range", "bytes=-5")]).status, 416);
}

#[test]
fn conditions_follow_the_etag() {
    let server = server();
    let first = server.put("k", &[], b"one");
    assert_eq!(server.put("k", &[("if-match", "\"other\"")], b"x").status, 412);
    assert_eq!(server.put("missing", &[("if-match", "\"other\"")], b"x").code(), "NoSuchKey");
    let second = server.put("k", &[("if-match", first.etag())], b"two");
    assert_eq!(second.status, 200);
    assert_eq!(server.get("k", &[("if-match", first.etag())]).code(), "PreconditionFailed");
    assert_eq!(server.get("k", &[("if-none-match", second.etag())]).status, 304);
    assert_eq!(server.request("DELETE", "k", "", &[("if-match", first.etag())], b"").status, 412);
    assert_eq!(server.get("k", &[]).body, b"two");
}

#[test]
fn any_key_is_kept_and_pages_in_byte_order() {
    let server = server();
    for key in ODD_KEYS {
        let put = server.put(key, &[("x-amz-meta-of", "odd"), ("content-type", "text/odd")], key.as_bytes());
        assert_eq!(put.status, 200, "{key:?}");
    }
    for key in ODD_KEYS {
        let got = server.get(key, &[]);
        assert_eq!((got.body.as_slice(), got.header("x-amz-meta-of")), (key.as_bytes(), Some("odd")), "{key:?}");
        assert_eq!(got.header("content-type"), Some("text/odd"));
    }
    let mut sorted = ODD_KEYS;
    sorted.sort_unstable_by_key(|key| key.as_bytes());
    let (mut listed, mut token) = (Vec::new(), String::new());
    loop {
        let page = server.list(&format!("{token}encoding-type=url&list-type=2&max-keys=3"));
        listed.extend(page.elements("Key"));
        let Some(next) = page.elements("NextContinuationToken").pop() else {
            break;
        };
        token = format!("continuation-token={}&", percent(&next));
    }
    let encoded: Vec<String> = sorted.iter().map(|key| percent(key)).collect();
    assert_eq!(listed, encoded);
    assert_eq!(server.get(&"k".repeat(1_025), &[]).code(), "KeyTooLongError");
}

#[test]
fn only_the_right_signature_is_answered() {
    let server = server();
    let wrong = Response::read(server.send("not the key", "GET", "k", "", &[], b""));
    assert_eq!((wrong.status, wrong.code().as_str()), (403, "SignatureDoesNotMatch"));
    let right = Response::read(server.send(SECRET_KEY, "GET", "k", "", &[], b""));
    assert_eq!(right.code(), "NoSuchKey");
}

#[test]
fn a_wrong_checksum_stores_nothing() {
    let server = server();
    for claim in [("x-amz-checksum-crc32", "AAAAAA=="), ("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")] {
        assert_eq!(server.put("k", &[claim], &[7; 100_000]).code(), "BadDigest", "{claim:?}");
    }
    assert_eq!(server.get("k", &[]).code(), "NoSuchKey");
}

#[test]
fn parts_make_up_one_object() {
    let server = server();
    let bodies = [vec![1; 5 << 20], vec![2; (5 << 20) + 3], vec![3; 1_000]];
    let id = begin(&server, "m");
    let parts: Vec<String> =
        bodies.iter().enumerate().map(|(idx, body)| part(&server, "m", &id, idx + 1, body)).collect();
    let reversed = [parts[1].as_str(), &parts[0]].concat();
    assert_eq!(complete(&server, "m", &id, &reversed, &[]).code(), "InvalidPartOrder");
    let small = part(&server, "m", &id, 4, b"small");
    assert_eq!(complete(&server, "m", &id, &[parts.concat(), small].concat(), &[]).code(), "EntityTooSmall");
    assert_eq!(complete(&server, "m", &id, &parts.concat(), &[("if-none-match", "*")]).status, 200);

    let whole = bodies.concat();
    assert!(server.get("m", &[]).body == whole);
    let seam = server.get("m", &[("range", "bytes=5242870-10485770")]);
    assert!(seam.body == whole[5_242_870..=10_485_770], "a range across parts");

    // The upload is over, and another does not replace the object unasked.
    assert_eq!(complete(&server, "m", &id, &parts.concat(), &[]).code(), "NoSuchUpload");
    let id = begin(&server, "m");
    let only = part(&server, "m", &id, 1, b"x");
    assert_eq!(complete(&server, "m", &id, &only, &[("if-none-match", "*")]).status, 412);
}
