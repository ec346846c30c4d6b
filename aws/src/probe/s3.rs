//! Requests on objects and uploads.

use super::line::{Answers, DONE, Line, Watch, answer};
use super::{LARGE_BYTES, Probe, RACERS, SMALL_BYTES};
use crate::objects::{Replace, create_upload};
use crate::request::Request;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::complete_multipart_upload::{CompleteMultipartUploadError, CompleteMultipartUploadOutput};
use aws_sdk_s3::operation::put_object::{PutObjectError, PutObjectOutput};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;
use futures_util::future::join_all;
use kinglet_core::model::s3 as model;

const LATENCIES: &str = "Latencies of S3";
const CONDITIONS: &str = "Conditional requests";
const UPLOADS: &str = "Multipart uploads";
const CONSISTENCY: &str = "Consistency";

const UNMET: &str = "412 PreconditionFailed";
const CONFLICT: &str = "409 ConditionalRequestConflict";
const NO_UPLOAD: &str = "404 NoSuchUpload";
const NO_KEY: &str = "404 NoSuchKey";

/// An upload with its parts, which anyone may complete.
struct Open {
    key: String,
    id: String,
    parts: Vec<CompletedPart>,
}

type Put = Result<PutObjectOutput, SdkError<PutObjectError, HttpResponse>>;
type Complete = Result<CompleteMultipartUploadOutput, SdkError<CompleteMultipartUploadError, HttpResponse>>;

impl Probe<'_> {
    pub(super) async fn s3_times(&self) -> Vec<Line> {
        let (small, large) = (Bytes::from(vec![b'k'; SMALL_BYTES]), Bytes::from(vec![b'k'; LARGE_BYTES]));
        let [mut put, mut get, mut head, mut list, mut delete] = [(); 5].map(|()| Watch::default());
        let [mut put_large, mut get_large, mut create, mut complete] = [(); 4].map(|()| Watch::default());
        let bucket = self.bucket();
        // The first request opens the connection.
        let _ = self.s3.head_object().bucket(bucket).key(self.key("nothing")).reply().await;
        for n in 0..self.samples.small {
            let key = self.key(&format!("small/{n:05}"));
            put.time(self.put(&key, small.clone(), &Replace::Yes)).await;
            get.time(self.get(&key)).await;
            head.time(self.s3.head_object().bucket(bucket).key(&key).reply()).await;
            list.time(self.s3.list_objects_v2().bucket(bucket).prefix(self.key("small/")).reply()).await;
        }
        for n in 0..self.samples.small {
            let key = self.key(&format!("small/{n:05}"));
            delete.time(self.s3.delete_object().bucket(bucket).key(key).reply()).await;
        }
        for _ in 0..self.samples.large {
            let key = self.key("large");
            put_large.time(self.put(&key, large.clone(), &Replace::Yes)).await;
            get_large.time(self.get(&key)).await;
            let key = self.key("upload");
            let request = create_upload(&self.s3, bucket, &key);
            let Some(begun) = create.time(request.reply()).await else { continue };
            if let Some(open) = self.send_parts(key, begun.upload_id.unwrap_or_default(), 1).await {
                complete.time(self.complete(&open, &Replace::Yes)).await;
            }
        }
        let moving = LARGE_BYTES as u64;
        let (put_8, get_8) = (
            model::PUT.moving(moving, model::STREAM_BYTES_PER_S),
            model::GET.moving(moving, model::STREAM_BYTES_PER_S),
        );
        [
            ("s3-put-1kib", "PUT of 1 KiB", put, model::PUT),
            ("s3-get-1kib", "GET of 1 KiB", get, model::GET),
            ("s3-head", "HEAD", head, model::HEAD),
            ("s3-list", "LIST of one page", list, model::LIST),
            ("s3-delete", "DELETE", delete, model::DELETE),
            ("s3-put-8mib", "PUT of 8 MiB", put_large, put_8),
            ("s3-get-8mib", "GET of 8 MiB", get_large, get_8),
            ("s3-create-upload", "CreateMultipartUpload", create, model::CREATE_UPLOAD),
            ("s3-complete-upload", "CompleteMultipartUpload of one part", complete, model::COMPLETE_UPLOAD),
        ]
        .into_iter()
        .map(|(name, what, watch, model)| Line::took(name, what, LATENCIES, watch.measured(), model))
        .collect()
    }

    pub(super) async fn s3_answers(&self) -> Vec<Line> {
        let mut lines = self.conditions().await;
        lines.extend([self.race_to_create().await, self.race_to_replace().await, self.consistency().await]);
        lines.extend(self.completed_again().await);
        lines.extend(self.unusual_uploads().await);
        lines
    }

    async fn conditions(&self) -> Vec<Line> {
        let (bucket, key, gone) = (self.bucket(), self.key("condition"), self.key("gone"));
        let body = || Bytes::from_static(b"as it is");
        let etag = self.put(&key, body(), &Replace::Yes).await.ok().and_then(|put| put.e_tag).unwrap_or_default();
        let _ = self.put(&key, Bytes::from_static(b"as it was made later"), &Replace::Yes).await;
        let stale = Replace::Only(etag.clone());
        let new = answer(&self.put(&key, body(), &Replace::No).await);
        let replaced = answer(&self.put(&key, body(), &stale).await);
        let missing = answer(&self.put(&gone, body(), &stale).await);
        let read = answer(&self.s3.get_object().bucket(bucket).key(&key).if_match(&etag).reply().await);
        let deleted = answer(&self.s3.delete_object().bucket(bucket).key(&key).if_match(&etag).reply().await);
        let line = |name, what, answer: String, says: &str, allowed: &[&str]| {
            let agrees = allowed.contains(&answer.as_str());
            Answers::from(answer).line(name, what, CONDITIONS, says, agrees)
        };
        vec![
            line("s3-put-new-taken", "PUT with If-None-Match: * where an object is", new, UNMET, &[UNMET]),
            line("s3-put-stale", "PUT with If-Match of an older version", replaced, UNMET, &[UNMET]),
            line("s3-put-missing", "PUT with If-Match where nothing is", missing, NO_KEY, &[NO_KEY]),
            line("s3-get-stale", "GET with If-Match of an older version", read, UNMET, &[UNMET]),
            line("s3-delete-stale", "DELETE with If-Match of an older version", deleted, UNMET, &[UNMET]),
        ]
    }

    async fn race_to_create(&self) -> Line {
        let mut answers = Answers::default();
        for race in 0..self.samples.races {
            self.race(&self.key(&format!("race/{race}")), &Replace::No, &mut answers).await;
        }
        self.raced(answers, "s3-race-new", "races of 16 PUT with If-None-Match: *")
    }

    async fn race_to_replace(&self) -> Line {
        let mut answers = Answers::default();
        for race in 0..self.samples.races {
            let key = self.key(&format!("race/{race}"));
            let there = self.s3.head_object().bucket(self.bucket()).key(&key).reply().await;
            let etag = there.ok().and_then(|there| there.e_tag).unwrap_or_default();
            self.race(&key, &Replace::Only(etag), &mut answers).await;
        }
        self.raced(answers, "s3-race-replace", "races of 16 PUT with If-Match of one version")
    }

    async fn race(&self, key: &str, replace: &Replace, answers: &mut Answers) {
        let puts = (0..RACERS).map(|n| self.put(key, Bytes::from(format!("{replace:?} by {n}")), replace));
        join_all(puts).await.iter().for_each(|put| answers.add(answer(put)));
    }

    fn raced(&self, answers: Answers, name: &str, what: &str) -> Line {
        const SAYS: &str = "one done in each race; the others 412 or 409";
        let agrees = answers.count(DONE) == self.samples.races && answers.are(&[DONE, UNMET, CONFLICT]);
        answers.line(name, what, CONDITIONS, SAYS, agrees)
    }

    /// Whether whoever asks right after a write, an overwrite or a deletion sees it, by GET and by LIST.
    async fn consistency(&self) -> Line {
        const SEEN: &str = "seen";
        let mut answers = Answers::default();
        let key = self.key("consistency");
        for round in 0..self.samples.races {
            for text in [format!("first {round}"), format!("second {round}")] {
                let _ = self.put(&key, Bytes::from(text.clone()), &Replace::Yes).await;
                let read = self.get(&key).await.ok();
                let seen = read.is_some_and(|read| read == text.as_bytes()) && self.is_listed(&key).await == Some(true);
                answers.add(if seen { SEEN } else { "a write was not seen" }.to_owned());
            }
            let _ = self.s3.delete_object().bucket(self.bucket()).key(&key).reply().await;
            let gone = self.get(&key).await.is_err() && self.is_listed(&key).await == Some(false);
            answers.add(if gone { SEEN } else { "a deletion was not seen" }.to_owned());
        }
        let agrees = answers.are(&[SEEN]);
        answers.line("s3-consistency", "GET and LIST right after a change", CONSISTENCY, SEEN, agrees)
    }

    async fn is_listed(&self, key: &str) -> Option<bool> {
        let listed = self.s3.list_objects_v2().bucket(self.bucket()).prefix(key).reply().await.ok()?;
        Some(listed.contents().iter().any(|object| object.key() == Some(key)))
    }

    /// Completes an upload once, and again when its object is as it was, when it is replaced, and when it is gone.
    async fn completed_again(&self) -> Vec<Line> {
        let says_again = format!("{DONE}, or {NO_UPLOAD}");
        let key = self.key("twice");
        let Some(open) = self.upload(key.clone(), 1).await else { return vec![] };
        let first = answer(&self.complete(&open, &Replace::Yes).await);
        let again = answer(&self.complete(&open, &Replace::Yes).await);
        let newer = Bytes::from_static(b"newer");
        let _ = self.put(&key, newer.clone(), &Replace::Yes).await;
        let replaced = answer(&self.complete(&open, &Replace::Yes).await);
        let stays = self.get(&key).await.is_ok_and(|read| read == newer);
        let _ = self.s3.delete_object().bucket(self.bucket()).key(&key).reply().await;
        let deleted = answer(&self.complete(&open, &Replace::Yes).await);
        let stays_gone = self.get(&key).await.is_err();
        let aborted = self.abort(&open).await;
        let known = |answer: &str| [DONE, NO_UPLOAD].contains(&answer);
        let and =
            |answer: &str, holds: bool, good: &str, bad: &str| format!("{answer}; {}", if holds { good } else { bad });
        let line = |name, what, answer: String, says: &str, agrees| {
            Answers::from(answer).line(name, what, UPLOADS, says, agrees)
        };
        let (stayed, back) = ("the newer object stays", "THE OLD OBJECT IS BACK");
        let (away, came) = ("no object comes back", "THE OBJECT IS BACK");
        vec![
            line("s3-complete-once", "completing an upload", first.clone(), DONE, first == DONE),
            line("s3-complete-again", "completing it again", again.clone(), &says_again, known(&again)),
            line(
                "s3-complete-replaced",
                "completing it again after a newer PUT",
                and(&replaced, stays, stayed, back),
                &format!("{says_again}; {stayed}"),
                known(&replaced) && stays,
            ),
            line(
                "s3-complete-deleted",
                "completing it again after a deletion",
                and(&deleted, stays_gone, away, came),
                &format!("{says_again}; {away}"),
                known(&deleted) && stays_gone,
            ),
            line("s3-abort-completed", "aborting a completed upload", aborted.clone(), &says_again, known(&aborted)),
        ]
    }

    async fn unusual_uploads(&self) -> Vec<Line> {
        let line = |name, what, answer: String, says: &str, agrees| {
            Answers::from(answer).line(name, what, UPLOADS, says, agrees)
        };
        let mut lines = Vec::new();
        let key = self.key("taken");
        let _ = self.put(&key, Bytes::from_static(b"taken"), &Replace::Yes).await;
        if let Some(open) = self.upload(key, 1).await {
            let refused = answer(&self.complete(&open, &Replace::No).await);
            let still = answer(&self.complete(&open, &Replace::Yes).await);
            let what = "completing with If-None-Match: *, then without";
            let agrees = refused == UNMET && still == DONE;
            lines.push(line(
                "s3-complete-taken",
                what,
                format!("{refused}, {still}"),
                &format!("{UNMET}, {DONE}"),
                agrees,
            ));
        }
        if let Some(open) = self.upload(self.key("aborted"), 1).await {
            let _ = self.abort(&open).await;
            let late = answer(&self.complete(&open, &Replace::Yes).await);
            let agrees = late == NO_UPLOAD;
            lines.push(line("s3-complete-aborted", "completing an aborted upload", late, NO_UPLOAD, agrees));
        }
        if let Some(open) = self.upload(self.key("tiny-parts"), 2).await {
            const SMALL: &str = "400 EntityTooSmall";
            let tiny = answer(&self.complete(&open, &Replace::Yes).await);
            let _ = self.abort(&open).await;
            let agrees = tiny == SMALL;
            lines.push(line("s3-tiny-parts", "completing with a first part of 1 KiB", tiny, SMALL, agrees));
        }
        lines
    }

    async fn put(&self, key: &str, body: Bytes, replace: &Replace) -> Put {
        let (none_match, only_match) = replace.headers();
        let put = self.s3.put_object().bucket(self.bucket()).key(key).body(ByteStream::from(body));
        let put = put.set_if_none_match(none_match).set_if_match(only_match);
        put.customize().disable_payload_signing().reply().await
    }

    /// Reads an object to its last byte.
    async fn get(
        &self,
        key: &str,
    ) -> Result<Bytes, SdkError<aws_sdk_s3::operation::get_object::GetObjectError, HttpResponse>> {
        let got = self.s3.get_object().bucket(self.bucket()).key(key).reply().await?;
        got.body.collect().await.map(|body| body.into_bytes()).map_err(SdkError::construction_failure)
    }

    /// Begins an upload and sends parts of 1 KiB, of which S3 takes one.
    async fn upload(&self, key: String, parts: i32) -> Option<Open> {
        let begun = create_upload(&self.s3, self.bucket(), &key).reply().await.ok()?;
        self.send_parts(key, begun.upload_id?, parts).await
    }

    async fn send_parts(&self, key: String, id: String, count: i32) -> Option<Open> {
        let mut parts = Vec::new();
        for number in 1..=count {
            let body = ByteStream::from(vec![b'k'; SMALL_BYTES]);
            let part = self.s3.upload_part().bucket(self.bucket()).key(&key).upload_id(&id).part_number(number);
            let sent = part.body(body).customize().disable_payload_signing().reply().await.ok()?;
            parts.push(CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag).build());
        }
        Some(Open { key, id, parts })
    }

    async fn complete(&self, open: &Open, replace: &Replace) -> Complete {
        let (none_match, only_match) = replace.headers();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(open.parts.clone())).build();
        let request = self.s3.complete_multipart_upload().bucket(self.bucket()).key(&open.key).upload_id(&open.id);
        let request = request.multipart_upload(parts).set_if_none_match(none_match).set_if_match(only_match);
        request.reply().await
    }

    async fn abort(&self, open: &Open) -> String {
        let request = self.s3.abort_multipart_upload().bucket(self.bucket()).key(&open.key).upload_id(&open.id);
        answer(&request.reply().await)
    }
}
