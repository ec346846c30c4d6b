//! S3 Inventory reports, and manifests of objects. Input: a `manifest.json`, or lines of CSV, or anything.

use crate::Seed;
use kinglet_core::inventory::{Inventory, InventoryRow, decode_key, encode_key, manifest_row};
use kinglet_core::{CsvDialect, CsvFields, Extent, Format, Side};

/// What the lines are read by: a column of each kind.
const MANIFEST: &str = r#"{"sourceBucket":"photos","destinationBucket":"arn:aws:s3:::inventories","version":"2016-11-30",
"creationTimestamp":"1793926800000","fileFormat":"CSV","fileSchema":"Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, ETag",
"files":[{"key":"photos/daily/data/0.csv.gz","size":77,"MD5checksum":"f11166069f1990abeb9c97ace9cdfabc"}]}"#;

const ROWS: &str = "\"photos\",\"a+b%2Bc/%C3%A9\",\"v1\",\"true\",\"false\",\"7\",\"abc-2\"\n\"photos\",\"x\",\"\",\"false\",\"true\",\"\",\"\"\n";

pub(crate) fn run(bytes: &[u8]) {
    if let Ok(inventory) = Inventory::read(bytes, "it") {
        assert!(inventory.files.iter().all(|file| file.md5.len() == 32 && !file.key.is_empty()));
        let _ = (inventory.pins(), inventory.parquet_columns().count());
    }
    let inventory = Inventory::read(MANIFEST.as_bytes(), "it").expect("a manifest");
    let format = CsvFields::new(CsvDialect::new().without_head());
    let extent = Extent { bytes, offset: 0, head: b"", object: "it", side: Side::Left };
    // A line that is none ends the reading, as an error.
    let _ = format.for_each(extent, |_, row| {
        if let Ok(row) = inventory.row(&row) {
            assert_eq!(row.bucket, "photos");
            used(&row);
        }
        if let Ok(row) = manifest_row(&row) {
            used(&row);
        }
        Ok(())
    });
}

fn used(row: &InventoryRow) {
    assert!(!row.bucket.is_empty() && !row.key.is_empty());
    let text = encode_key(&row.key);
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'"' | b'+')), "{text:?}");
    assert_eq!(decode_key(&text).as_deref(), Ok(&*row.key));
    assert!(row.etag.as_ref().is_none_or(|etag| etag.len() >= 2 && etag.starts_with('"') && etag.ends_with('"')));
}

pub(crate) fn seeds() -> Vec<Seed> {
    let parquet = MANIFEST.replace("CSV", "Parquet").replace(
        "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, ETag",
        "message s3.inventory { required binary bucket (UTF8); required binary key (UTF8); optional binary e_tag (UTF8);}",
    );
    vec![
        Seed::new("csv", MANIFEST),
        Seed::new("parquet", parquet),
        Seed::new("rows", ROWS),
        Seed::new("manifest", "photos,a%20b,v1\nphotos,c,\n"),
        Seed::new("report", "photos,a%20b,,failed,call-failed,200,\"no, \"\"never\"\"\"\n"),
    ]
}
