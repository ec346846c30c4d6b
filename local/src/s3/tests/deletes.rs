//! Deletions on a condition, in both kinds of buckets.

use super::client::{Response, Server};
use crate::s3::BucketKind;

/// Deletes the keys with these ETags, which are quoted already.
fn delete_many(server: &Server, objects: &[(&str, Option<&str>)]) -> Response {
    let mut body = String::from("<Delete>");
    for (key, etag) in objects {
        let etag = etag.map(|etag| format!("<ETag>{}</ETag>", etag.replace('"', "&quot;"))).unwrap_or_default();
        body.push_str(&format!("<Object><Key>{key}</Key>{etag}</Object>"));
    }
    body.push_str("</Delete>");
    server.request("POST", "", "delete=", &[], body.as_bytes())
}

fn servers() -> [(&'static str, Server); 2] {
    let directory = Server::with(|dir| BucketKind::Directory { root: dir.join("out") });
    [("blobs", Server::with(|_| BucketKind::Blobs)), ("directory", directory)]
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-deletes.html>
#[test]
fn many_are_deleted_each_by_its_own_etag() {
    for (kind, server) in servers() {
        let (right, wrong) = (server.put("right", &[], b"1"), server.put("wrong", &[], b"2"));
        server.put("any", &[], b"3");
        let reply = delete_many(
            &server,
            &[
                ("right", Some(right.etag())),
                ("wrong", Some(right.etag())),
                ("missing", Some(right.etag())),
                ("never", None),
                ("any", None),
            ],
        );
        assert_eq!(reply.status, 200, "{kind}: {}", reply.text());
        let deleted: String = reply.elements("Deleted").concat();
        assert_eq!(deleted, "<Key>right</Key><Key>never</Key><Key>any</Key>", "{kind}");
        let errors: Vec<(String, String)> = reply
            .elements("Error")
            .iter()
            .map(|error| {
                let text = |name: &str| {
                    let (_, rest) = error.split_once(&format!("<{name}>")).unwrap();
                    rest.split_once('<').unwrap().0.to_owned()
                };
                (text("Key"), text("Code"))
            })
            .collect();
        let expected = [("wrong", "PreconditionFailed"), ("missing", "NoSuchKey")];
        assert_eq!(errors, expected.map(|(key, code)| (key.to_owned(), code.to_owned())), "{kind}");
        assert_eq!(server.get("wrong", &[("if-match", wrong.etag())]).body, b"2", "{kind}: it stays");
        assert_eq!(server.list("list-type=2").elements("Key"), ["wrong"], "{kind}");
    }
}

#[test]
fn one_is_deleted_by_its_etag_alone() {
    for (kind, server) in servers() {
        let (old, new) = (server.put("k", &[], b"old").etag().to_owned(), server.put("k", &[], b"newer"));
        let delete = |key: &str, etag: &str| server.request("DELETE", key, "", &[("if-match", etag)], b"");
        let refused = delete("k", &old);
        assert_eq!((refused.status, refused.code().as_str()), (412, "PreconditionFailed"), "{kind}");
        assert_eq!(server.get("k", &[]).body, b"newer", "{kind}");
        let missing = delete("missing", &old);
        assert_eq!((missing.status, missing.code().as_str()), (404, "NoSuchKey"), "{kind}");
        assert_eq!(delete("k", new.etag()).status, 204, "{kind}");
        assert_eq!(server.get("k", &[]).status, 404, "{kind}");
    }
}
