//! S3 Inventory reports as S3 writes them, for tests that read them.

use kinglet_aws::Objects;
use kinglet_aws::objects::Replace;
use md5::{Digest, Md5};
use serde_json::{Value, json};

/// The columns of an inventory of all versions.
pub(crate) const SCHEMA: &str =
    "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass";

/// Where the manifest lies.
pub(crate) const MANIFEST: &str = "photos/daily/2026-11-06T01-00Z/manifest.json";

pub(crate) fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes as gzip, stored: <https://www.rfc-editor.org/rfc/rfc1951#section-3.2.4>.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let blocks: Vec<&[u8]> = if bytes.is_empty() { vec![&[]] } else { bytes.chunks(0xffff).collect() };
    for (n, block) in blocks.iter().enumerate() {
        let length = block.len() as u16;
        out.push(u8::from(n + 1 == blocks.len()));
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend(crc32fast::hash(bytes).to_le_bytes());
    out.extend((bytes.len() as u32).to_le_bytes());
    out
}

/// A row of CSV in [`SCHEMA`], as S3 quotes it; `key` is URL-encoded.
pub(crate) fn row(key: &str, version: &str, is: (bool, bool), size: usize, etag: &str) -> String {
    let (latest, removed) = is;
    let etag = etag.trim_matches('"');
    format!(
        "\"photos\",\"{key}\",\"{version}\",\"{latest}\",\"{removed}\",\"{size}\",\"2026-11-05T10:00:00.000Z\",\"{etag}\",\"STANDARD\"\n"
    )
}

/// A manifest of files of the bucket `inventories`.
pub(crate) fn manifest(format: &str, schema: &str, files: &[(String, Vec<u8>)]) -> Value {
    let files = files.iter().map(|(key, bytes)| json!({ "key": key, "size": bytes.len(), "MD5checksum": md5(bytes) }));
    json!({
        "sourceBucket": "photos",
        "destinationBucket": "arn:aws:s3:::inventories",
        "version": "2016-11-30",
        "creationTimestamp": "1793926800000",
        "fileFormat": format,
        "fileSchema": schema,
        "files": files.collect::<Vec<_>>(),
    })
}

/// Writes files, their manifest and its checksum, and returns what the inventory is called.
pub(crate) async fn put(objects: &Objects, format: &str, schema: &str, files: &[Vec<u8>]) -> String {
    let ending = if format == "CSV" { "csv.gz" } else { "parquet" };
    let files: Vec<(String, Vec<u8>)> = (0..)
        .zip(files)
        .map(|(n, bytes): (u32, _)| (format!("photos/daily/data/{n}.{ending}"), bytes.clone()))
        .collect();
    for (key, bytes) in &files {
        objects.put("inventories", key, bytes.clone().into(), Replace::Yes).await.unwrap();
    }
    put_manifest(objects, &manifest(format, schema, &files)).await
}

/// Writes a manifest and its checksum.
pub(crate) async fn put_manifest(objects: &Objects, manifest: &Value) -> String {
    let bytes = manifest.to_string().into_bytes();
    let beside = MANIFEST.replace(".json", ".checksum");
    objects.put("inventories", &beside, md5(&bytes).into(), Replace::Yes).await.unwrap();
    objects.put("inventories", MANIFEST, bytes.into(), Replace::Yes).await.unwrap();
    format!("s3://inventories/{MANIFEST}")
}
