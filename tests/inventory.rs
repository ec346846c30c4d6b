//! Jobs that read what an S3 Inventory report lists: the current objects, as they are listed, and none that has changed since.

use crate::inventories::{MANIFEST, SCHEMA, gzip, manifest, put, put_manifest, row};
use crate::programs;
use crate::rig::Rig;
use crate::support::{failed, read_output, run, shown};
use kinglet::{Code, Error, Submit};
use kinglet_aws::objects::{Put, Replace};
use kinglet_jobs::WordCount;
use kinglet_local::gate::{Rule, Strike};
use std::collections::BTreeMap;
use std::fs;

/// The objects of the bucket `photos`, each of which has its own name as its only word.
const KEYS: [&str; 5] = ["a", "day=1/b b", "day=2/c+c", "day=2/_hidden", "gone/"];

/// Objects that are there, and their ETags.
struct Photos {
    rig: Rig,
    etags: BTreeMap<&'static str, String>,
}

impl Photos {
    async fn new() -> Self {
        let rig = Rig::new().await;
        let objects = &rig.conductor.objects;
        objects.create_bucket("photos").await.unwrap();
        objects.create_bucket("inventories").await.unwrap();
        let mut etags = BTreeMap::new();
        for key in KEYS {
            let word = if key.ends_with('/') { String::new() } else { key.replace(' ', "_") };
            let Put::Written(etag) = objects.put("photos", key, word.into(), Replace::Yes).await.unwrap() else {
                panic!("{key} is not written")
            };
            etags.insert(key, etag);
        }
        Photos { rig, etags }
    }

    /// The row of an object as it is.
    fn row(&self, key: &str, encoded: &str) -> String {
        let size = if key.ends_with('/') { 0 } else { key.len() };
        row(encoded, "null", (true, false), size, &self.etags[key])
    }

    /// Rows of all that is there, and of what no longer is.
    fn rows(&self) -> [String; 2] {
        let here = [("a", "a"), ("day=1/b b", "day%3D1/b+b"), ("day=2/_hidden", "day%3D2/_hidden"), ("gone/", "gone/")];
        let here = here.map(|(key, encoded)| self.row(key, encoded)).concat();
        let before = row("a", "v0", (false, false), 9, "x") + &row("removed", "v1", (true, true), 0, "");
        [here, self.row("day=2/c+c", "day%3D2/c%2Bc") + &before]
    }

    async fn read(&self, submit: Submit) -> kinglet::Result<Vec<String>> {
        let submit = submit.with_overwrite();
        self.rig.driver.submit(&WordCount, submit).await?.wait().await?;
        let words = read_output(&self.rig.path("out")).counts.into_keys();
        Ok(words.map(|word| String::from_utf8(word).unwrap()).collect())
    }

    /// A word count of what an inventory lists.
    fn of(&self, inventory: &str) -> Submit {
        Submit::to(shown(&self.rig.path("out"))).with_inventory(inventory)
    }

    #[track_caller]
    fn refused(read: kinglet::Result<Vec<String>>, code: Code, says: &str) -> Error {
        let error = read.unwrap_err();
        assert!(error.is(code) && error.to_string().contains(says), "{error} ({})", error.code());
        assert!(error.hint().is_some(), "{error}");
        error
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_reads_what_an_inventory_lists_and_lists_nothing() {
    let photos = Photos::new().await;
    let objects = &photos.rig.conductor.objects;
    let files = photos.rows().map(|rows| gzip(rows.as_bytes()));
    let inventory = put(objects, "CSV", SCHEMA, &files).await;
    photos.rig.strike([
        Rule::s3("ListObjectsV2").containing("/photos").does(Strike::LoseRequest),
        Rule::s3("HeadObject").containing("/photos/day").does(Strike::LoseRequest),
    ]);
    assert_eq!(photos.read(photos.of(&inventory)).await.unwrap(), ["a", "day=1/b_b", "day=2/c+c"]);
    let chosen = photos.of(&inventory).with_conditions(["day=2".parse().unwrap()]);
    assert_eq!(photos.read(chosen).await.unwrap(), ["day=2/c+c"]);
    assert_eq!(photos.rig.struck(), [0, 0]);
    photos.rig.strike([]);

    // Beside other inputs, none of whose objects it may list.
    let other = Submit::new(["s3://photos/day=2/_hidden"], shown(&photos.rig.path("out")));
    let error = photos.read(other.clone().with_inventory(&inventory)).await;
    assert_eq!(error.unwrap(), ["a", "day=1/b_b", "day=2/_hidden", "day=2/c+c"]);
    let twice = Submit::new(["s3://photos/a"], shown(&photos.rig.path("out"))).with_inventory(&inventory);
    Photos::refused(photos.read(twice).await, Code::InputTwice, "s3://photos/a is an input twice");

    let plan = photos.rig.driver.plan(&WordCount, photos.of(&inventory)).await.unwrap().plan;
    assert_eq!((plan.objects, plan.bytes), (3, 19));
    photos.rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_in_parquet_is_read_as_one_in_csv() {
    let photos = Photos::new().await;
    let rows: Vec<String> = KEYS[..4]
        .iter()
        .map(|key| format!("photos,{key},,true,false,{},{}\n", key.len(), photos.etags[key].trim_matches('"')))
        .collect();
    let head = "bucket,key,version_id,is_latest,is_delete_marker,size,e_tag\n";
    let old = "photos,old,v0,false,false,3,x\nphotos,removed,v1,true,true,,\n";
    let csv = photos.rig.path("rows.csv");
    fs::write(&csv, format!("{head}{}{old}", rows.concat())).unwrap();
    let out = photos.rig.path("parquet");
    let args = ["run", "convert", &shown(&csv), "--output-format", "parquet", "--output", &shown(&out)];
    let ran = run(programs::kinglet().args(args));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let part = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|ending| ending == "parquet"));
    let schema = "message s3.inventory { required binary bucket (UTF8); required binary key (UTF8); \
        optional binary version_id (UTF8); optional boolean is_latest; optional boolean is_delete_marker; \
        optional int64 size; optional binary e_tag (UTF8);}";
    let objects = &photos.rig.conductor.objects;
    let inventory = put(objects, "Parquet", schema, &[fs::read(part.unwrap()).unwrap()]).await;
    assert_eq!(photos.read(photos.of(&inventory)).await.unwrap(), ["a", "day=1/b_b", "day=2/c+c"]);
    photos.rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_not_as_the_inventory_says_fails_the_job_by_name() {
    let photos = Photos::new().await;
    let objects = &photos.rig.conductor.objects;
    let inventory = put(objects, "CSV", SCHEMA, &[gzip(photos.rows()[0].as_bytes())]).await;
    objects.put("photos", "a", "b".into(), Replace::Yes).await.unwrap();
    let error = Photos::refused(photos.read(photos.of(&inventory)).await, Code::ObjectChanged, "s3://photos/a");
    assert!(error.to_string().contains("has changed since it was listed"), "{error}");
    objects.delete("photos", &["a".to_owned()]).await.unwrap();
    Photos::refused(photos.read(photos.of(&inventory)).await, Code::ObjectChanged, "s3://photos/a");
    assert!(!photos.rig.path("out/_manifest.json").exists());
    photos.rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_that_is_none_is_refused() {
    let photos = Photos::new().await;
    let objects = &photos.rig.conductor.objects;
    let read = async |inventory: &str| photos.read(photos.of(inventory)).await;
    let refused = Photos::refused;
    let good = gzip(photos.rows()[0].as_bytes());
    let inventory = put(objects, "CSV", SCHEMA, std::slice::from_ref(&good)).await;
    let data = "photos/daily/data/0.csv.gz";

    // A file that is not what its checksum says, or has another size, or is gone.
    let mut bad = good.clone();
    bad[30] ^= 1;
    objects.put("inventories", data, bad.into(), Replace::Yes).await.unwrap();
    refused(
        read(&inventory).await,
        Code::Inventory,
        "says that the MD5 of s3://inventories/photos/daily/data/0.csv.gz is",
    );
    objects.put("inventories", data, good[1..].to_vec().into(), Replace::Yes).await.unwrap();
    refused(read(&inventory).await, Code::Inventory, " bytes, and it has ");
    objects.delete("inventories", &[data.to_owned()]).await.unwrap();
    refused(read(&inventory).await, Code::Inventory, "has no file s3://inventories/photos/daily/data/0.csv.gz");

    // A manifest that is not what its checksum says, or lies where S3 has not written it.
    let inventory = put(objects, "CSV", SCHEMA, std::slice::from_ref(&good)).await;
    objects
        .put("inventories", &MANIFEST.replace(".json", ".checksum"), "0".repeat(32).into(), Replace::Yes)
        .await
        .unwrap();
    refused(read(&inventory).await, Code::Inventory, "manifest.checksum says 000");
    let copied = manifest("CSV", SCHEMA, &[(data.to_owned(), good.clone())]).to_string();
    objects.put("photos", "manifest.json", copied.into(), Replace::Yes).await.unwrap();
    let error =
        refused(read("s3://photos/manifest.json").await, Code::Inventory, "has its files in the bucket inventories");
    assert!(error.hint().unwrap().contains("s3://inventories/"), "{error}");

    // Rows of another bucket, rows that are none, and columns that lack.
    for (schema, rows, says) in [
        (SCHEMA, photos.rows()[0].replace("\"photos\"", "\"others\""), "at byte 0: it is of the bucket others"),
        (
            SCHEMA,
            photos.row("a", "a") + "\"photos\",\"b\"\n",
            "the row has 2 fields, and the first row of its object has 9",
        ),
        (SCHEMA, "\"photos\",\"b\"\n".to_owned(), "it has 2 fields, and the inventory 9 columns"),
        (SCHEMA, photos.row("a", "a%2"), "is not URL-encoded"),
        ("Bucket, Key, Size", "photos,a,1\n".to_owned(), "does not say the sizes and the ETags"),
        (SCHEMA, row("a", "", (true, false), 1, ""), "says no size or no ETag of a"),
    ] {
        let inventory = put(objects, "CSV", schema, &[gzip(rows.as_bytes())]).await;
        refused(read(&inventory).await, Code::Inventory, says);
    }
    // One that lists nothing, in no file and in an empty one.
    for files in [&[][..], &[gzip(b"")]] {
        let inventory = put(objects, "CSV", SCHEMA, files).await;
        refused(read(&inventory).await, Code::InputMissing, "the inventory lists no object");
    }
    let inventory = put_manifest(objects, &manifest("ORC", "struct<bucket:string,key:string>", &[])).await;
    refused(read(&inventory).await, Code::Inventory, "is of files in ORC");
    refused(read("s3://inventories/nothing/manifest.json").await, Code::ObjectMissing, "there is no inventory");
    refused(read("s3://inventories/").await, Code::Uri, "names no manifest");
    photos.rig.driver.close().await;
}

#[test]
fn the_command_takes_an_inventory_as_an_input() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = programs::kinglet();
    let args = ["run", "word-count", "--inventory", "manifest.json", "--output", "out"];
    failed(&run(command.current_dir(dir.path()).args(args)), &["\"manifest.json\" names no manifest of an inventory"]);
    let mut command = programs::kinglet();
    let args = ["head", "1", "--inventory", "s3://nowhere/manifest.json"];
    failed(&run(command.current_dir(dir.path()).args(args)), &["s3://nowhere/manifest.json"]);
}
