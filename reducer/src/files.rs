//! The files that a piece of a reduce task sends: one, its part; or, in folders, many, one behind the other. Each is an upload that is
//! left open.
//!
//! A small file takes two requests, one after the other, and folders may have thousands. So these are sent while the next files are
//! written, some at once; a larger file waits for them, so that memory is bounded by what one upload holds
//! ([`SMALL_FILES_AT_ONCE`]).

use kinglet_aws::beside::Inbox;
use kinglet_aws::objects::Objects;
use kinglet_aws::upload::Upload;
use kinglet_core::budget::{SMALL_FILE_BYTES, SMALL_FILES_AT_ONCE, UPLOAD_PART_BYTES};
use kinglet_core::limits::OBJECT_KEY_BYTES_MAX;
use kinglet_core::wire::files::LeftFile;
use kinglet_core::{Code, Error, Result};
use tokio::task::JoinSet;

/// What an engine hands to whoever sends it.
pub(crate) enum Sending {
    /// A file of this name within the output begins.
    Begin(String),
    /// Bytes of the file.
    Bytes(Vec<u8>),
    /// It is whole.
    End(Sent),
}

/// What was written into a file.
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) crc32: u32,
}

/// Where files go.
pub(crate) struct Place<'a> {
    pub(crate) objects: &'a Objects,
    pub(crate) bucket: &'a str,
    /// What stands before their names.
    pub(crate) prefix: &'a str,
}

/// The files of a piece, under way.
pub(crate) struct Files<'a> {
    place: Place<'a>,
    open: Option<Open>,
    /// The small files that are being ended, each with its number.
    ending: JoinSet<Result<(usize, LeftFile)>>,
    begun: usize,
    left: Vec<(usize, LeftFile)>,
}

struct Open {
    name: String,
    upload: Upload,
    bytes: usize,
}

impl<'a> Files<'a> {
    pub(crate) fn new(place: Place<'a>) -> Self {
        Files { place, open: None, ending: JoinSet::new(), begun: 0, left: Vec::new() }
    }

    /// Sends what comes until there is no more.
    ///
    /// # Errors
    /// Returns S3's error; `output-value` when a key would be longer than S3 takes. The files are to be aborted then.
    pub(crate) async fn send_all(&mut self, mut inbox: Inbox<Sending>) -> Result<()> {
        while let Some(sending) = inbox.recv().await {
            match sending {
                Sending::Begin(name) => self.begin(name)?,
                Sending::Bytes(bytes) => self.push(bytes).await?,
                Sending::End(sent) => self.end(sent).await?,
            }
        }
        while !self.ending.is_empty() {
            self.receive().await?;
        }
        self.left.sort_unstable_by_key(|(number, _)| *number);
        Ok(())
    }

    /// Returns the files, in the order in which they were begun. They are this caller's to record or to abort.
    pub(crate) fn take(&mut self) -> Vec<LeftFile> {
        std::mem::take(&mut self.left).into_iter().map(|(_, file)| file).collect()
    }

    /// Aborts all files. Uploads that the list of a job's open uploads shows are found by its end.
    pub(crate) async fn abort(&mut self) {
        if let Some(mut open) = self.open.take() {
            open.upload.abort().await;
        }
        // An upload that is given up between two requests would be known to nobody here.
        while let Some(ended) = self.ending.join_next().await {
            if let Ok(Ok(file)) = ended {
                self.left.push(file);
            }
        }
        let files = self.take();
        self.place.abort(files).await;
    }

    fn begin(&mut self, name: String) -> Result<()> {
        let key = format!("{}{name}", self.place.prefix);
        if key.len() > OBJECT_KEY_BYTES_MAX {
            let message =
                format!("a file's key would have {} bytes, where S3 takes {OBJECT_KEY_BYTES_MAX}: {name}", key.len());
            return Err(Error::new(Code::OutputValue, message)
                .with_hint("partition by fewer columns, or by some with shorter values"));
        }
        let upload = Upload::new(self.place.objects, self.place.bucket, &key);
        self.open = Some(Open { name, upload, bytes: 0 });
        self.begun += 1;
        Ok(())
    }

    async fn push(&mut self, bytes: Vec<u8>) -> Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.bytes += bytes.len();
        if open.bytes >= UPLOAD_PART_BYTES {
            // It is about to hold several parts.
            while !self.ending.is_empty() {
                receive(&mut self.ending, &mut self.left).await?;
            }
        }
        open.upload.push(bytes.into()).await
    }

    async fn end(&mut self, Sent { bytes, records, crc32 }: Sent) -> Result<()> {
        let Some(Open { name, upload, bytes: size }) = self.open.take() else { return Ok(()) };
        let number = self.begun - 1;
        let ended = async move {
            let upload = upload.leave_open().await?;
            Ok((number, LeftFile { name, upload, bytes, records, crc32 }))
        };
        if size > SMALL_FILE_BYTES {
            let file = ended.await?;
            self.left.push(file);
            return Ok(());
        }
        while self.ending.len() >= SMALL_FILES_AT_ONCE {
            self.receive().await?;
        }
        self.ending.spawn(ended);
        Ok(())
    }

    async fn receive(&mut self) -> Result<()> {
        receive(&mut self.ending, &mut self.left).await
    }
}

async fn receive(ending: &mut JoinSet<Result<(usize, LeftFile)>>, left: &mut Vec<(usize, LeftFile)>) -> Result<()> {
    if let Some(ended) = ending.join_next().await {
        left.push(ended.map_err(|e| Error::new(Code::Upload, format!("sending a file: {e}")))??);
    }
    Ok(())
}

impl Place<'_> {
    /// Aborts the uploads of files. What S3 keeps of them all the same goes with the job's end, or by the bucket's rules.
    pub(crate) async fn abort(&self, files: Vec<LeftFile>) {
        let uploads = files.into_iter().map(|file| (format!("{}{}", self.prefix, file.name), file.upload.id));
        self.objects.give_up_uploads(self.bucket, uploads.collect()).await;
    }
}
