//! Multipart uploads.
//!
//! Parts lie where the bucket receives its objects: in the store's own directory, or hidden next to the file that they will
//! become. A completed `Blobs` object consists of its parts, and nothing is copied. In a `Directory`, a single part is
//! renamed, and several are concatenated into one file.
//!
//! An upload ends once: it is completed or aborted, never both. A request that wants to end it takes its [`Turn`], of which
//! there is one. So after an acknowledged abort no object can come of the upload, and a completion that fails leaves the
//! upload to the next request.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use http::HeaderMap;
use s3s::dto::{Checksum, ChecksumAlgorithm, CompletedPart};
use s3s::{S3Result, s3_error};
use tokio::sync::OwnedMutexGuard;

use super::checksums::{brought, by_name, etag_of_parts};
use super::content::{Payload, Piece};
use super::info::Attributes;

/// The most parts of an upload. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>
const PARTS_MAX: i32 = 10_000;
/// The least bytes of every part but the last.
const PART_BYTES_MIN: u64 = 5 << 20;
/// The most open uploads: more than the files of an output may be. It bounds what forgotten uploads can take up.
const UPLOADS_MAX: usize = 250_000;

#[derive(Default)]
pub(super) struct Uploads {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_id: u64,
    by_id: HashMap<String, Upload>,
}

/// An upload that is neither completed nor aborted.
#[derive(Clone)]
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) begun: SystemTime,
    pub(super) attributes: Attributes,
    /// The checksum that each part brings.
    pub(super) checksum: Option<ChecksumAlgorithm>,
    pub(super) parts: BTreeMap<i32, Arc<Part>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The right to end an upload.
pub(super) struct Turn {
    id: String,
    /// The upload as it was when the turn was taken. A part added later comes too late.
    pub(super) upload: Upload,
    _guard: OwnedMutexGuard<()>,
}

pub(super) struct Part {
    pub(super) payload: Payload,
    pub(super) modified: SystemTime,
    pub(super) checksum: Checksum,
}

impl Uploads {
    pub(super) fn begin(
        &self,
        bucket: String,
        key: String,
        attributes: Attributes,
        checksum: Option<ChecksumAlgorithm>,
        begun: SystemTime,
    ) -> S3Result<String> {
        let mut state = self.lock();
        if state.by_id.len() >= UPLOADS_MAX {
            return Err(s3_error!(InvalidRequest, "{UPLOADS_MAX} multipart uploads are under way; abort some"));
        }
        state.last_id += 1;
        // Ids sort in the order in which uploads began, as listings need them.
        let id = format!("upload-{:016x}", state.last_id);
        let (parts, turn) = (BTreeMap::new(), Arc::default());
        let upload = Upload { bucket, key, begun, attributes, checksum, parts, turn };
        state.by_id.insert(id.clone(), upload);
        Ok(id)
    }

    /// Returns the upload as it is now.
    pub(super) fn get(&self, id: &str, bucket: &str, key: &str) -> S3Result<Upload> {
        self.lock().by_id.get(id).filter(|upload| upload.is(bucket, key)).cloned().ok_or_else(|| no_such_upload(id))
    }

    /// Adds a part, replacing an earlier one of the same number.
    pub(super) fn add(&self, id: &str, number: i32, part: Part) -> S3Result<()> {
        let replaced = {
            let mut state = self.lock();
            let upload = state.by_id.get_mut(id).ok_or_else(|| no_such_upload(id))?;
            upload.parts.insert(number, Arc::new(part))
        };
        drop(replaced);
        Ok(())
    }

    /// Waits until no other request is about to end the upload. The upload may have ended by then.
    pub(super) async fn turn(&self, id: &str, bucket: &str, key: &str) -> S3Result<Turn> {
        let turn = self.get(id, bucket, key)?.turn;
        let guard = turn.lock_owned().await;
        let upload = self.get(id, bucket, key)?;
        Ok(Turn { id: id.to_owned(), upload, _guard: guard })
    }

    /// Ends the upload, and returns it with all parts that have come until now.
    pub(super) fn end(&self, turn: Turn) -> Option<Upload> {
        self.lock().by_id.remove(&turn.id)
    }

    /// Ends all uploads and removes their parts.
    pub(super) fn abandon(&self) {
        let ended = std::mem::take(&mut self.lock().by_id);
        ended.values().for_each(Upload::remove_parts);
    }

    /// Lists all uploads to `bucket` under `prefix`, by key and then by id.
    pub(super) fn list(&self, bucket: &str, prefix: &str) -> Vec<(String, String, SystemTime)> {
        let mut listed: Vec<_> = self
            .lock()
            .by_id
            .iter()
            .filter(|(_, upload)| upload.bucket == bucket && upload.key.starts_with(prefix))
            .map(|(id, upload)| (upload.key.clone(), id.clone(), upload.begun))
            .collect();
        listed.sort_unstable();
        listed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn check_number(number: i32) -> S3Result<()> {
    if (1..=PARTS_MAX).contains(&number) {
        return Ok(());
    }
    Err(s3_error!(InvalidArgument, "a part's number is from 1 to {PARTS_MAX}, not {number}"))
}

impl Upload {
    /// Refuses a part that brings another checksum than the upload names, as S3 does. An upload that names none takes any.
    pub(super) fn check_checksum(&self, headers: &HeaderMap) -> S3Result<()> {
        let named = self.checksum.as_ref().map(|named| named.as_str().to_lowercase());
        let (Some(named), Some(brought)) = (named, brought(headers)) else { return Ok(()) };
        if named == brought {
            return Ok(());
        }
        Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {named}, actual checksum Type: {brought}"
        ))
    }

    fn is(&self, bucket: &str, key: &str) -> bool {
        self.bucket == bucket && self.key == key
    }

    /// Returns whether parts of it are files.
    pub(super) fn has_files(&self) -> bool {
        let mut pieces = self.parts.values().flat_map(|part| &part.payload.pieces);
        pieces.any(|piece| matches!(piece, Piece::File(_)))
    }

    /// Removes the files of the parts, which may wait for the disk.
    pub(super) fn remove_parts(&self) {
        for piece in self.parts.values().flat_map(|part| &part.payload.pieces) {
            if let Piece::File(file) = piece {
                file.remove();
            }
        }
    }

    /// Assembles the object from the parts that the client lists.
    pub(super) fn assemble(&self, listed: &[CompletedPart]) -> S3Result<Payload> {
        if listed.is_empty() {
            return Err(s3_error!(MalformedXML, "completing an upload takes at least one part"));
        }
        let (mut parts, mut last_number) = (Vec::with_capacity(listed.len()), 0);
        for wanted in listed {
            let number = wanted.part_number.unwrap_or(0);
            if number <= last_number {
                return Err(s3_error!(InvalidPartOrder, "part {number} is listed after part {last_number}"));
            }
            last_number = number;
            let part = self.parts.get(&number).filter(|part| part.is(wanted)).ok_or_else(|| {
                s3_error!(InvalidPart, "part {number} was not uploaded, or has another ETag or checksum")
            })?;
            parts.push((number, part));
        }
        for (number, part) in &parts[..parts.len() - 1] {
            let bytes = part.payload.bytes();
            if bytes < PART_BYTES_MIN {
                return Err(s3_error!(
                    EntityTooSmall,
                    "part {number} has {bytes} bytes; all but the last need {PART_BYTES_MIN}"
                ));
            }
        }
        let etags = parts.iter().map(|(_, part)| part.payload.etag.as_str());
        Ok(Payload {
            etag: etag_of_parts(etags),
            pieces: parts.iter().flat_map(|(_, part)| part.payload.pieces.iter().cloned()).collect(),
        })
    }
}

impl Part {
    /// Returns whether the part has the ETag and the checksums that the completion names.
    fn is(&self, wanted: &CompletedPart) -> bool {
        if wanted.e_tag.as_ref().is_some_and(|etag| etag.value() != self.payload.etag) {
            return false;
        }
        let wanted = Checksum {
            checksum_crc32: wanted.checksum_crc32.clone(),
            checksum_crc32c: wanted.checksum_crc32c.clone(),
            checksum_crc64nvme: wanted.checksum_crc64nvme.clone(),
            checksum_sha1: wanted.checksum_sha1.clone(),
            checksum_sha256: wanted.checksum_sha256.clone(),
            ..Checksum::default()
        };
        by_name(&wanted).into_iter().zip(by_name(&self.checksum)).all(|pair| match pair {
            (Some(wanted), Some(found)) => wanted == found,
            _ => true,
        })
    }
}

fn no_such_upload(id: &str) -> s3s::S3Error {
    s3_error!(NoSuchUpload, "the upload {id:?} does not exist; it may have been aborted or completed")
}
