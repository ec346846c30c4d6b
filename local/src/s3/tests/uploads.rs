//! What a multipart upload promises in both kinds of buckets: it ends once, and an end that fails changes nothing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Barrier;

use super::client::{Response, SECRET_KEY, Server};
use super::directory::files;
use crate::s3::BucketKind;

const PART_BYTES_MIN: usize = 5 << 20;

pub(super) fn begin(server: &Server, key: &str) -> String {
    server.request("POST", key, "uploads=", &[], b"").elements("UploadId").pop().unwrap()
}

pub(super) fn part(server: &Server, key: &str, id: &str, number: usize, body: &[u8]) -> String {
    let put = server.request("PUT", key, &format!("partNumber={number}&uploadId={id}"), &[], body);
    format!("<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>", put.etag().replace('"', "&quot;"))
}

pub(super) fn complete(server: &Server, key: &str, id: &str, parts: &str, headers: &[(&str, &str)]) -> Response {
    let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
    server.request("POST", key, &format!("uploadId={id}"), headers, body.as_bytes())
}

fn abort(server: &Server, key: &str, id: &str) -> Response {
    server.request("DELETE", key, &format!("uploadId={id}"), &[], b"")
}

fn directory() -> Server {
    Server::with(|dir| BucketKind::Directory { root: dir.join("out") })
}

/// One server with each kind of bucket that takes uploads.
fn servers() -> [(&'static str, Server); 2] {
    [("blobs", Server::with(|_| BucketKind::Blobs)), ("directory", directory())]
}

/// What lies in the directory that a server serves, hidden files too. Empty for blobs.
fn left(server: &Server) -> Vec<std::path::PathBuf> {
    files(&server.dir().join("out"))
}

#[test]
fn an_upload_is_completed_once_or_aborted_once_and_never_both() {
    for (kind, server) in servers() {
        for round in 0..30 {
            let key = format!("dir-{round}/k");
            let id = begin(&server, &key);
            let mut parts = part(&server, &key, &id, 1, &vec![1; PART_BYTES_MIN]);
            if round % 2 == 0 {
                // Two parts take a directory a while to concatenate.
                parts.push_str(&part(&server, &key, &id, 2, &vec![2; PART_BYTES_MIN]));
            }
            let start = Barrier::new(4);
            let replies: Vec<Response> = std::thread::scope(|scope| {
                let ends: Vec<_> = (0..4)
                    .map(|idx| {
                        let (server, key, id, parts, start) = (&server, &key, &id, &parts, &start);
                        scope.spawn(move || {
                            start.wait();
                            if idx < 2 { complete(server, key, id, parts, &[]) } else { abort(server, key, id) }
                        })
                    })
                    .collect();
                ends.into_iter().map(|end| end.join().unwrap()).collect()
            });
            let won: Vec<usize> = (0..4).filter(|&idx| replies[idx].status / 100 == 2).collect();
            let [winner] = won[..] else { panic!("{kind}: {won:?} of four ended one upload") };
            let lost = replies.iter().enumerate().filter(|(idx, _)| *idx != winner);
            assert!(lost.clone().all(|(_, reply)| reply.code() == "NoSuchUpload"), "{kind}, round {round}");
            let stands = server.get(&key, &[]).status == 200;
            assert_eq!(
                stands,
                winner < 2,
                "{kind}, round {round}: an object after an abort, or none after a completion"
            );
            if winner < 2 {
                assert_eq!(server.request("DELETE", &key, "", &[], b"").status, 204);
            }
            assert!(left(&server).is_empty(), "{kind}, round {round}: {:?}", left(&server));
        }
    }
}

#[test]
fn a_client_that_hangs_up_while_it_completes_opens_no_gap_for_an_abort() {
    for (kind, server) in servers() {
        for round in 0..20 {
            let id = begin(&server, "k");
            let parts: String =
                (1..4).map(|number| part(&server, "k", &id, number, &vec![7; PART_BYTES_MIN])).collect();
            let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
            let gone = server.send(SECRET_KEY, "POST", "k", &format!("uploadId={id}"), &[], body.as_bytes());
            std::thread::sleep(std::time::Duration::from_micros(300 * round));
            drop(gone);
            let stands = match abort(&server, "k", &id).status {
                204 => false,
                _ => {
                    assert_eq!(abort(&server, "k", &id).code(), "NoSuchUpload");
                    true
                }
            };
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert_eq!(server.get("k", &[]).status == 200, stands, "{kind}, round {round}");
            server.request("DELETE", "k", "", &[], b"");
        }
    }
}

#[test]
fn a_completion_that_fails_leaves_the_upload_as_it_was() {
    for (kind, server) in servers() {
        for bodies in [vec![vec![1; 1_000]], vec![vec![1; PART_BYTES_MIN], vec![2; 5]]] {
            let id = begin(&server, "dir/k");
            let parts: Vec<String> =
                bodies.iter().enumerate().map(|(idx, body)| part(&server, "dir/k", &id, idx + 1, body)).collect();
            let parts = parts.concat();
            let in_the_way = server.put("dir/k", &[], b"first");
            let before = left(&server).len();
            let fails = |headers: &[(&str, &str)], listed: &str, code: &str| {
                assert_eq!(complete(&server, "dir/k", &id, listed, headers).code(), code, "{kind}");
            };
            fails(&[("if-none-match", "*")], &parts, "PreconditionFailed");
            fails(&[("if-match", "\"other\"")], &parts, "PreconditionFailed");
            fails(&[], "", "MalformedXML");
            let unknown = "<Part><PartNumber>9</PartNumber><ETag>&quot;0&quot;</ETag></Part>";
            fails(&[], &[&parts, unknown].concat(), "InvalidPart");
            assert_eq!(left(&server).len(), before, "{kind}: what was concatenated in vain is gone");
            assert_eq!(server.get("dir/k", &[]).body, b"first", "{kind}");
            let listed = server.request("GET", "dir/k", &format!("uploadId={id}"), &[], b"");
            assert_eq!(listed.elements("PartNumber").len(), bodies.len(), "{kind}");

            let done = complete(&server, "dir/k", &id, &parts, &[("if-match", in_the_way.etag())]);
            assert_eq!(done.status, 200, "{kind}: {}", done.text());
            let got = server.get("dir/k", &[]);
            assert!(got.body == bodies.concat(), "{kind}");
            assert_eq!(done.elements("ETag"), [got.etag()], "{kind}");
            assert_eq!(abort(&server, "dir/k", &id).code(), "NoSuchUpload", "{kind}");
            server.request("DELETE", "dir/k", "", &[], b"");
            assert!(left(&server).is_empty(), "{kind}");
        }
    }
}

#[test]
fn one_part_becomes_a_file_without_a_copy_and_is_hidden_until_then() {
    let server = directory();
    let id = begin(&server, "dir/k");
    let parts = part(&server, "dir/k", &id, 1, &[1; 200_000]);
    let hidden = left(&server);
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    assert_eq!(hidden.len(), 1);
    assert_eq!(hidden[0].parent().unwrap(), server.dir().join("out/dir"), "beside what it is to become");
    let of_the_part = inode(&hidden[0]);
    assert_eq!(server.list("list-type=2").elements("Key"), [""; 0]);
    assert_eq!(complete(&server, "dir/k", &id, &parts, &[("if-none-match", "*")]).status, 200);
    assert_eq!(left(&server), [server.dir().join("out/dir/k")]);
    assert_eq!(inode(&server.dir().join("out/dir/k")), of_the_part);
}

#[test]
fn an_aborted_upload_leaves_neither_files_nor_directories() {
    for (kind, server) in servers() {
        let id = begin(&server, "made/for/it");
        for number in 1..4 {
            part(&server, "made/for/it", &id, number, &[0; 100_000]);
        }
        let in_vain = part(&server, "made/for/it", &id, 3, b"in place of the last");
        assert_eq!(left(&server).len(), if kind == "directory" { 3 } else { 0 });
        assert_eq!(abort(&server, "made/for/it", "upload-no").code(), "NoSuchUpload");
        assert_eq!(abort(&server, "other/key", &id).code(), "NoSuchUpload");
        assert_eq!(abort(&server, "made/for/it", &id).status, 204);
        assert!(!server.dir().join("out/made").exists(), "{kind}: {:?}", left(&server));
        assert_eq!(complete(&server, "made/for/it", &id, &in_vain, &[]).code(), "NoSuchUpload");
        let query = format!("uploadId={id}");
        assert_eq!(server.request("GET", "made/for/it", &query, &[], b"").code(), "NoSuchUpload");
        let late = server.request("PUT", "made/for/it", &format!("partNumber=1&{query}"), &[], &[0; 100_000]);
        assert_eq!(late.code(), "NoSuchUpload");
        assert!(left(&server).is_empty(), "{kind}");
    }
}

#[test]
fn uploads_that_were_never_ended_go_with_the_store() {
    for aborted in [true, false] {
        let server = directory();
        let id = begin(&server, "dir/k");
        part(&server, "dir/k", &id, 1, &vec![0; PART_BYTES_MIN]);
        assert_eq!(left(&server).len(), 1);
        if aborted {
            server.store().abort_uploads();
            assert!(left(&server).is_empty());
        }
        let root = server.keep_dir();
        assert!(files(root.path()).is_empty());
    }
}

#[test]
fn an_empty_part_makes_an_empty_object() {
    for (kind, server) in servers() {
        let id = begin(&server, "empty");
        let parts = part(&server, "empty", &id, 1, b"");
        let listed = server.request("GET", "empty", &format!("uploadId={id}"), &[], b"");
        assert_eq!(listed.elements("Size"), ["0"], "{kind}");
        let done = complete(&server, "empty", &id, &parts, &[("if-none-match", "*")]);
        assert_eq!(done.status, 200, "{kind}: {}", done.text());
        let got = server.get("empty", &[]);
        assert_eq!((got.status, got.body.len()), (200, 0), "{kind}");

        let id = begin(&server, "full");
        let parts = [part(&server, "full", &id, 1, &vec![1; PART_BYTES_MIN]), part(&server, "full", &id, 2, b"")];
        assert_eq!(complete(&server, "full", &id, &parts.concat(), &[]).status, 200, "{kind}: an empty last part");
        assert_eq!(server.get("full", &[]).body.len(), PART_BYTES_MIN, "{kind}");
    }
}

#[test]
fn uploads_are_listed_by_prefix_until_they_end() {
    for (kind, server) in servers() {
        let ids = ["a/1", "a/2", "b/1"].map(|key| begin(&server, key));
        let parts = part(&server, "a/1", &ids[0], 1, b"one");
        let listed = |prefix: &str| server.list(&format!("prefix={prefix}&uploads=")).elements("UploadId");
        assert_eq!(listed("a%2F"), ids[..2], "{kind}");
        assert_eq!(listed(""), ids, "{kind}");
        assert_eq!(complete(&server, "a/1", &ids[0], &parts, &[]).status, 200);
        assert_eq!(abort(&server, "b/1", &ids[2]).status, 204);
        assert_eq!(listed(""), ids[1..2], "{kind}");
        assert_eq!(server.list("list-type=2").elements("Key"), ["a/1"], "{kind}");
    }
}

#[test]
fn a_part_brings_the_checksum_that_its_upload_names() {
    for (kind, server) in servers() {
        let begin = |headers: &[(&str, &str)]| {
            server.request("POST", "k", "uploads=", headers, b"").elements("UploadId").pop().unwrap()
        };
        let (unnamed, named) = (begin(&[]), begin(&[("x-amz-checksum-algorithm", "CRC32")]));
        let put = |id: &str, headers: &[(&str, &str)]| {
            let reply = server.request("PUT", "k", &format!("partNumber=1&uploadId={id}"), headers, b"abc");
            (reply.status, reply.elements("Code").pop())
        };
        let (crc32, sha1) =
            (("x-amz-checksum-crc32", "NSRBwg=="), ("x-amz-checksum-sha1", "qZk+NkcGgWq6PiVxeFDCbJzQ2J0="));
        assert_eq!(put(&named, &[crc32]), (200, None), "{kind}");
        assert_eq!(put(&unnamed, &[]), (200, None), "{kind}");
        assert_eq!(put(&unnamed, &[crc32]), (200, None), "{kind}");
        assert_eq!(put(&named, &[sha1]), (400, Some("InvalidRequest".to_owned())), "{kind}");
    }
}
