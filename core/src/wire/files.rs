//! The files that a piece of a reduce task has left to be published, where its output lies in folders: a task may begin thousands,
//! and the item of its group in the ledger has no room for them. They are stored in a frame, version 1, as an object of its own
//! (`jobs/<job>/files/<task>.<piece>/<attempt>`), which is there before the commit that counts them.
//!
//! Where an output has no folders, a piece leaves one file, whose name follows from its number; its record says the rest.

use super::frame::{Framed, Kind};
use super::record::{ETAGS_MAX, OpenUpload, countable};
use super::spec::is_part_name;
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileList {
    /// The files, in the order in which they were begun.
    pub files: Vec<LeftFile>,
}

/// A file whose bytes are with S3, and which nobody sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftFile {
    /// Its name within the output, with its folders.
    pub name: String,
    /// The upload that will become the file.
    pub upload: OpenUpload,
    /// Its bytes.
    pub bytes: u64,
    /// Its records.
    pub records: u64,
    /// The CRC-32 of its bytes.
    pub crc32: u32,
}

impl Framed for FileList {
    const KIND: Kind = Kind::FileList;
    const VERSION: u8 = 1;

    fn check(&self) -> std::result::Result<(), &'static str> {
        for LeftFile { name, upload, bytes, records, .. } in &self.files {
            countable(&[*bytes, *records])?;
            if !is_part_name(name) {
                return Err("a file that is no part of an output");
            }
            if upload.etags.len() > ETAGS_MAX {
                return Err("an upload with more ETags than a record holds");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame;

    fn list() -> FileList {
        let file = |name: &str| LeftFile {
            name: name.to_owned(),
            upload: OpenUpload { id: "u".into(), etags: vec!["\"e\"".into()] },
            bytes: 1,
            records: 2,
            crc32: 3,
        };
        let job = "19aa5440eb0-f0a9c3d5e7ab";
        let names = [
            format!("year=2026/month=__HIVE_DEFAULT_PARTITION__/part-00003-{job}.parquet"),
            format!("year=2026/month=a%2Fb/part-00003.00001-{job}_00001.parquet"),
        ];
        FileList { files: names.iter().map(|name| file(name)).collect() }
    }

    #[test]
    fn golden_and_back() {
        let bytes = frame::write(&list()).unwrap();
        crate::wire::golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/files-v1.bin"), &bytes);
        assert_eq!(frame::read::<FileList>(&bytes, "it").unwrap(), list());
    }

    #[test]
    fn what_no_piece_can_have_left_is_not_read() {
        let refused = |change: fn(&mut LeftFile)| {
            let mut wrong = list();
            change(&mut wrong.files[1]);
            let error = frame::read::<FileList>(&frame::write(&wrong).unwrap(), "it").unwrap_err();
            assert_eq!(error.code(), "frame-corrupt", "{wrong:?}");
        };
        refused(|file| file.name = file.name.replace("year=2026", ".."));
        refused(|file| file.name = format!("/{}", file.name));
        refused(|file| file.name = "year=2026/notes.txt".into());
        refused(|file| file.name = "_manifest.json".into());
        refused(|file| file.bytes = u64::MAX);
        refused(|file| file.upload.etags = vec![String::new(); ETAGS_MAX + 1]);
    }
}
