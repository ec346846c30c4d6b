//! S3 Inventory reports: which objects a bucket has, as S3 writes it down once a day or a week.
//!
//! ```text
//! s3://DESTINATION/…/2026-11-06T01-00Z/manifest.json       JSON, drawn by its golden file
//!                                      manifest.checksum   MD5 of manifest.json, in hex
//! s3://DESTINATION/…/data/UUID.csv.gz                      one object a line, without a header; keys are URL-encoded
//!                         UUID.parquet                     one object a row; keys are as they are
//! ```
//!
//! `manifest.json` names the columns (`fileSchema`) and, of each file, its key, its size and its MD5. Columns are found by their names
//! there, as which of them there are is the user's choice; `Bucket` and `Key` always are.
//!
//! An inventory is of yesterday or older, and S3 makes it while objects come and go. So what it says of an object is nothing that may
//! be relied on. Its ETag is good for one thing: a read that demands it fails when the object has changed since.
//!
//! Sources, read 2026-11: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html>. That a space is `+` in a key of a CSV file
//! stands in neither; <https://github.com/cloud-custodian/cloud-custodian/issues/1997> has seen it.

use crate::format::{CsvRow, Datum};
use crate::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// In what the rows of an inventory are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InventoryFormat {
    /// CSV, compressed by gzip.
    Csv,
    /// Parquet.
    Parquet,
}

/// What `manifest.json` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The bucket whose objects are listed.
    pub source_bucket: String,
    /// The bucket in which the files lie.
    pub destination_bucket: String,
    /// What the files are written in.
    pub format: InventoryFormat,
    /// The files.
    pub files: Vec<InventoryFile>,
    columns: Vec<Column>,
}

/// A file with rows of an inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InventoryFile {
    /// Its key in the destination bucket.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// The MD5 of its bytes, in lower-case hexadecimal digits.
    pub md5: String,
}

/// What an inventory, or another list of objects, says of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InventoryRow {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its version, in a bucket that keeps versions.
    pub version_id: Option<String>,
    /// Whether it is the key's current version. Where nothing is said, it is.
    pub is_latest: bool,
    /// Whether it marks a removed object, and is none itself.
    pub is_delete_marker: bool,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// Its ETag, with the quotes that S3's interface has and the inventory has not.
    pub etag: Option<String>,
}

/// A column of an inventory that is read; all others are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Bucket,
    Key,
    VersionId,
    IsLatest,
    IsDeleteMarker,
    Size,
    ETag,
    Other,
}

impl Column {
    /// Knows the name of a column in a CSV inventory, `VersionId`, or in a Parquet one, `version_id`.
    fn named(name: &str) -> Self {
        match name.replace('_', "").to_ascii_lowercase().as_str() {
            "bucket" => Column::Bucket,
            "key" => Column::Key,
            "versionid" => Column::VersionId,
            "islatest" => Column::IsLatest,
            "isdeletemarker" => Column::IsDeleteMarker,
            "size" => Column::Size,
            "etag" => Column::ETag,
            _ => Column::Other,
        }
    }
}

/// The members of `manifest.json` that are read.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    source_bucket: String,
    destination_bucket: String,
    file_format: String,
    file_schema: String,
    files: Vec<ManifestFile>,
}

#[derive(Serialize, Deserialize)]
struct ManifestFile {
    key: String,
    size: u64,
    #[serde(rename = "MD5checksum")]
    md5: String,
}

impl Inventory {
    /// Reads `manifest.json`. Errors call it `shown`.
    ///
    /// # Errors
    /// Returns `inventory` when it is no manifest of an inventory, or of one in another format than CSV and Parquet.
    pub fn read(json: &[u8], shown: &str) -> Result<Self> {
        let manifest: Manifest =
            serde_json::from_slice(json).map_err(|e| wrong(shown, &format!("is no manifest of an inventory: {e}")))?;
        let format = match manifest.file_format.to_ascii_uppercase().as_str() {
            "CSV" => InventoryFormat::Csv,
            "PARQUET" => InventoryFormat::Parquet,
            other => {
                return Err(wrong(shown, &format!("is of files in {other}, which is not read"))
                    .with_hint("let S3 write the inventory as CSV or Parquet"));
            }
        };
        let columns: Vec<Column> = match format {
            InventoryFormat::Csv => manifest.file_schema.split(',').map(|name| Column::named(name.trim())).collect(),
            InventoryFormat::Parquet => parquet_names(&manifest.file_schema).map(Column::named).collect(),
        };
        for (column, name) in [(Column::Bucket, "Bucket"), (Column::Key, "Key")] {
            if !columns.contains(&column) {
                return Err(wrong(shown, &format!("has no column {name}: {:?}", manifest.file_schema)));
            }
        }
        let is_md5 = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let Some(file) = manifest.files.iter().find(|file| !is_md5(&file.md5) || file.key.is_empty()) {
            return Err(wrong(shown, &format!("has the MD5 {:?} of the file {:?}", file.md5, file.key)));
        }
        let destination = manifest.destination_bucket;
        // An ARN, arn:aws:s3:::NAME, whatever the partition.
        let destination_bucket = match destination.strip_prefix("arn:").and_then(|arn| arn.rsplit_once(":::")) {
            Some((_, name)) => name.to_owned(),
            None => destination,
        };
        let files = manifest.files.into_iter().map(|ManifestFile { key, size, md5 }| InventoryFile {
            key,
            size,
            md5: md5.to_ascii_lowercase(),
        });
        Ok(Inventory {
            source_bucket: manifest.source_bucket,
            destination_bucket,
            format,
            files: files.collect(),
            columns,
        })
    }

    /// Returns whether it says which ETag and which size each object had.
    pub fn pins(&self) -> bool {
        self.columns.contains(&Column::ETag) && self.columns.contains(&Column::Size)
    }

    /// Returns the object of a row of CSV.
    ///
    /// # Errors
    /// Returns what is wrong with the row.
    pub fn row(&self, row: &CsvRow<'_>) -> Result<InventoryRow, String> {
        if row.len() != self.columns.len() {
            return Err(format!("it has {} fields, and the inventory {} columns", row.len(), self.columns.len()));
        }
        let mut found = InventoryRow { is_latest: true, ..InventoryRow::default() };
        for (column, field) in self.columns.iter().zip(row.fields()) {
            let text = std::str::from_utf8(&field).map_err(|e| e.to_string())?;
            match column {
                // Only here is a key encoded.
                Column::Key => found.key = decode_key(text)?,
                column => found.set(*column, text)?,
            }
        }
        self.check(found)
    }

    /// Returns the names of the columns that are read of Parquet.
    pub fn parquet_columns(&self) -> impl Iterator<Item = &'static str> {
        let names = [
            (Column::Bucket, "bucket"),
            (Column::Key, "key"),
            (Column::VersionId, "version_id"),
            (Column::IsLatest, "is_latest"),
            (Column::IsDeleteMarker, "is_delete_marker"),
            (Column::Size, "size"),
            (Column::ETag, "e_tag"),
        ];
        names.into_iter().filter(|(column, _)| self.columns.contains(column)).map(|(_, name)| name)
    }

    /// Returns the object of a row of Parquet, by its values' names.
    ///
    /// # Errors
    /// Returns what is wrong with the row.
    pub fn parquet_row<'a>(&self, values: impl Iterator<Item = (&'a str, Datum<'a>)>) -> Result<InventoryRow, String> {
        let mut found = InventoryRow { is_latest: true, ..InventoryRow::default() };
        for (name, value) in values {
            let text = match value {
                Datum::Null => continue,
                Datum::Text(text) => text,
                Datum::Bool(is) => Cow::Borrowed(if is { "true" } else { "false" }),
                Datum::Int(number) => Cow::Owned(number.to_string()),
                other => return Err(format!("its {name} is {other:?}")),
            };
            found.set(Column::named(name), &text)?;
        }
        self.check(found)
    }

    /// Refuses a row without a key, or of another bucket.
    fn check(&self, row: InventoryRow) -> Result<InventoryRow, String> {
        if row.key.is_empty() {
            return Err("it has no key".to_owned());
        }
        if row.bucket != self.source_bucket {
            return Err(format!("it is of the bucket {}, and the inventory of {}", row.bucket, self.source_bucket));
        }
        Ok(row)
    }
}

impl InventoryRow {
    fn set(&mut self, column: Column, text: &str) -> Result<(), String> {
        let some = || (!text.is_empty()).then(|| text.to_owned());
        match column {
            Column::Bucket => text.clone_into(&mut self.bucket),
            Column::Key => text.clone_into(&mut self.key),
            Column::VersionId => self.version_id = some(),
            Column::IsLatest => self.is_latest = text.is_empty() || truth(text)?,
            Column::IsDeleteMarker => self.is_delete_marker = !text.is_empty() && truth(text)?,
            Column::Size if text.is_empty() => {}
            Column::Size => self.size = Some(text.parse().map_err(|_| format!("its size is {text:?}"))?),
            Column::ETag => self.etag = some().map(|etag| format!("\"{}\"", etag.trim_matches('"'))),
            Column::Other => {}
        }
        Ok(())
    }
}

fn truth(text: &str) -> Result<bool, String> {
    match text {
        "true" | "TRUE" | "True" => Ok(true),
        "false" | "FALSE" | "False" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

fn wrong(shown: &str, why: &str) -> Error {
    Error::new(Code::Inventory, format!("the inventory {shown} {why}"))
        .with_hint("name the manifest.json that S3 Inventory has written")
}

/// Returns the object that a line of a manifest names, as S3 Batch Operations reads it: `bucket,key` or `bucket,key,version`, the key
/// URL-encoded. A line of a completion report, which has seven fields, names its object likewise.
///
/// # Errors
/// Returns what is wrong with the line.
pub fn manifest_row(row: &CsvRow<'_>) -> Result<InventoryRow, String> {
    if !matches!(row.len(), 2 | 3 | REPORT_FIELDS) {
        return Err(format!("it has {} fields, and not a bucket, a key and perhaps a version", row.len()));
    }
    let text = |at| row.get(at).map_or(Ok(String::new()), |field| String::from_utf8(field.into_owned()));
    let text = |at| text(at).map_err(|e| e.to_string());
    let (bucket, key, version) = (text(0)?, decode_key(&text(1)?)?, text(2)?);
    if bucket.is_empty() || key.is_empty() {
        return Err("it has no bucket or no key".to_owned());
    }
    let version_id = (!version.is_empty()).then_some(version);
    Ok(InventoryRow { bucket, key, version_id, is_latest: true, ..InventoryRow::default() })
}

/// How many fields a row of a completion report has.
const REPORT_FIELDS: usize = 7;

/// Returns the names of a schema as Parquet writes it: `message s3.inventory { required binary bucket (UTF8); … }`.
fn parquet_names(schema: &str) -> impl Iterator<Item = &str> {
    let fields = schema.split_once('{').map_or("", |(_, fields)| fields);
    fields.split(';').filter_map(|field| field.split_whitespace().nth(2))
}

/// Decodes a key as S3 writes it into CSV, and takes it from there: `%` and two digits for a byte, `+` for a space.
///
/// # Errors
/// Returns what is wrong with it.
pub fn decode_key(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.bytes();
    while let Some(byte) = left.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(left.next()), digit(left.next())) else {
                    return Err(format!("the key {text:?} is not URL-encoded: a % stands without its two digits"));
                };
                (high * 16 + low) as u8
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| format!("the key {text:?} has bytes that are no UTF-8"))
}

/// Encodes a key as [`decode_key`] reads it. A space becomes `%20`, which every decoder takes for one.
pub fn encode_key(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => text.push(byte.into()),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{CsvDialect, CsvFields, Extent, Format};
    use crate::side::Side;

    /// As AWS's page has it, with a file of each kind.
    fn manifest(format: &str, schema: &str) -> String {
        format!(
            r#"{{"sourceBucket":"photos","destinationBucket":"arn:aws:s3:::reports","version":"2016-11-30",
            "creationTimestamp":"1514944800000","fileFormat":"{format}","fileSchema":"{schema}","files":[{{
            "key":"Inventory/photos/2016-11-06T21-32Z/files/939c6d46.csv.gz","size":2147483647,
            "MD5checksum":"F11166069F1990ABEB9C97ACE9CDFABC"}}]}}"#
        )
    }

    const PARQUET: &str = "message s3.inventory { required binary bucket (UTF8); required binary key (UTF8); \
        optional binary version_id (UTF8); optional boolean is_latest; optional boolean is_delete_marker; \
        optional int64 size; optional int64 last_modified_date (TIMESTAMP_MILLIS); optional binary e_tag (UTF8);}";

    fn rows(inventory: &Inventory, text: &str) -> Vec<Result<InventoryRow, String>> {
        let format = CsvFields::new(CsvDialect::new().without_head());
        let extent = Extent { bytes: text.as_bytes(), offset: 0, head: b"", object: "o", side: Side::Left };
        let mut found = Vec::new();
        format
            .for_each(extent, |_, row| {
                found.push(inventory.row(&row));
                Ok(())
            })
            .unwrap();
        found
    }

    #[test]
    fn a_manifest_names_columns_and_files() {
        let schema = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass";
        let inventory = Inventory::read(manifest("CSV", schema).as_bytes(), "m").unwrap();
        assert_eq!((&inventory.source_bucket[..], &inventory.destination_bucket[..]), ("photos", "reports"));
        assert_eq!((inventory.format, inventory.pins()), (InventoryFormat::Csv, true));
        assert_eq!(inventory.files[0].md5, "f11166069f1990abeb9c97ace9cdfabc");
        let text = concat!(
            "\"photos\",\"a+b%2Bc/%C3%A9%2C%22x%22\",\"v1\",\"true\",\"false\",\"7\",\"2026-11-06T00:00:00.000Z\",\"abc-2\",\"STANDARD\"\n",
            "\"photos\",\"gone\",\"v2\",\"true\",\"true\",\"\",\"\",\"\",\"\"\n",
        );
        let found: Vec<_> = rows(&inventory, text).into_iter().map(Result::unwrap).collect();
        let first = InventoryRow {
            bucket: "photos".into(),
            key: "a b+c/é,\"x\"".into(),
            version_id: Some("v1".into()),
            is_latest: true,
            is_delete_marker: false,
            size: Some(7),
            etag: Some("\"abc-2\"".into()),
        };
        assert_eq!(found[0], first);
        assert!(found[1].is_delete_marker && found[1].size.is_none() && found[1].etag.is_none());
    }

    #[test]
    fn a_row_of_parquet_is_read_by_the_names_of_its_columns() {
        let inventory = Inventory::read(manifest("Parquet", PARQUET).as_bytes(), "m").unwrap();
        assert_eq!(inventory.parquet_columns().count(), 7);
        let text = |text: &'static str| Datum::Text(text.into());
        let values = [
            ("bucket", text("photos")),
            ("key", text("a+b%20c")),
            ("version_id", Datum::Null),
            ("is_latest", Datum::Bool(false)),
            ("size", Datum::Int(3)),
            ("e_tag", text("abc")),
        ];
        let row = inventory.parquet_row(values.into_iter()).unwrap();
        // Keys are as they are in Parquet.
        assert_eq!((&row.key[..], row.is_latest, row.size), ("a+b%20c", false, Some(3)));
        assert_eq!((row.version_id, row.etag.as_deref()), (None, Some("\"abc\"")));
    }

    #[test]
    fn what_is_no_inventory_is_refused() {
        let refused = |json: &str| Inventory::read(json.as_bytes(), "s3://b/manifest.json").unwrap_err();
        for (json, says) in [
            ("[]".to_owned(), "is no manifest of an inventory"),
            (manifest("ORC", "struct<bucket:string,key:string>"), "is of files in ORC"),
            (manifest("CSV", "Key, Size"), "has no column Bucket"),
            (manifest("Parquet", "message s3.inventory { required binary bucket (UTF8); }"), "has no column Key"),
            (manifest("CSV", "Bucket, Key").replace("F111", "G111"), "has the MD5 \"G11166069"),
        ] {
            let error = refused(&json);
            assert!(error.is(Code::Inventory) && error.to_string().contains(says), "{error}");
            assert!(error.hint().is_some());
        }
        let inventory = Inventory::read(manifest("CSV", "Bucket, Key, Size").as_bytes(), "m").unwrap();
        assert!(!inventory.pins());
        for (row, says) in [
            ("photos,a\n", "2 fields, and the inventory 3 columns"),
            ("others,a,1\n", "of the bucket others, and the inventory of photos"),
            ("photos,,1\n", "no key"),
            ("photos,a%4,1\n", "not URL-encoded"),
            ("photos,%FF,1\n", "no UTF-8"),
            ("photos,a,-1\n", "its size is \"-1\""),
        ] {
            let error = rows(&inventory, row).remove(0).unwrap_err();
            assert!(error.contains(says), "{row}: {error}");
        }
    }

    #[test]
    fn a_line_of_a_manifest_names_an_object() {
        let format = CsvFields::new(CsvDialect::new().without_head());
        let read = |text: &str| {
            let extent = Extent { bytes: text.as_bytes(), offset: 0, head: b"", object: "o", side: Side::Left };
            let mut found = Err(String::new());
            format
                .for_each(extent, |_, row| {
                    found = manifest_row(&row);
                    Ok(())
                })
                .unwrap();
            found
        };
        let names = |text: &str| read(text).map(|row| (row.bucket, row.key, row.version_id)).unwrap();
        assert_eq!(names("b,x/y%2Cz\n"), ("b".into(), "x/y,z".into(), None));
        assert_eq!(names("\"b\",\"x+y\",\n"), ("b".into(), "x y".into(), None));
        assert_eq!(names("b,x,v3\n"), ("b".into(), "x".into(), Some("v3".into())));
        assert_eq!(names("b,x,v3,failed,call-failed,200,\"no, \"\"never\"\"\"\n").2, Some("v3".into()));
        for (text, says) in [
            ("b\n", "1 fields"),
            ("b,x,v,w\n", "4 fields"),
            (",x\n", "no bucket"),
            ("b,\n", "no key"),
            ("b,%\n", "URL"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_key_comes_back(key in ".{0,40}") {
            let text = encode_key(&key);
            proptest::prop_assert!(text.is_ascii() && !text.contains([',', '"', '\n', ' ', '+']));
            proptest::prop_assert_eq!(decode_key(&text), Ok(key));
        }
    }
}
