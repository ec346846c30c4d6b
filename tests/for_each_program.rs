//! A program whose functions are called for objects of S3 on the embedded runtime. `for_each.rs` runs it, a case at a time; it makes the
//! objects, and prints what the report says as JSON.

// Here all functions are parts of tests.
#![allow(clippy::unwrap_used)]

#[path = "embedded.rs"]
mod embedded;
#[path = "inventories.rs"]
#[allow(dead_code)]
mod inventories;

use inventories::{SCHEMA, gzip, md5, put, row};
use kinglet::{
    CompletionReport, Context, Driver, Error, ForEachObject, Local, Registry, S3Object, UserError, UserResult,
};
use kinglet_aws::objects::{Put, Replace};
use kinglet_aws::{Clock, Objects};
use kinglet_local::gate::{Rule, Strike};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Does what an object says.
fn obey(context: &Context, object: S3Object) -> UserResult<String> {
    let bytes = context.blocking_read(&object)?;
    let says = std::str::from_utf8(&bytes)?;
    match says {
        "fail" => Err(UserError::new("it says, \"fail\"\nand so on")),
        "never" => Err(UserError::permanent("no use")),
        "panic" => panic!("so be it"),
        "exit" => std::process::exit(3),
        "second time" => {
            let mark = format!("s3://photos/mark-of-{}", object.key.replace('/', "-"));
            if context.blocking_get(&mark).is_ok() {
                return Ok("at last".to_owned());
            }
            context.blocking_put(&mark, "once")?;
            Err(UserError::new("not yet"))
        }
        says => Ok(format!("{says} ({:?} bytes)", object.size)),
    }
}

/// Reads a part of an object.
async fn begins(context: Context, object: S3Object) -> UserResult<String> {
    let bytes = context.read_range(&object, 0, 3).await?;
    Ok(String::from_utf8(bytes.to_vec())?)
}

/// Looks at nothing.
fn length(object: S3Object) -> u64 {
    object.key.len() as u64
}

/// What a report's manifest says, with the lines of its parts, sorted; their MD5 is right.
async fn read(objects: &Objects, report: &CompletionReport) -> Value {
    let key = report.manifest.strip_prefix("s3://reports/").unwrap();
    let manifest: Value = serde_json::from_slice(&objects.get("reports", key, None).await.unwrap()).unwrap();
    let folder = key.strip_suffix("manifest.json").unwrap();
    let listed = objects.list("reports", folder).await.unwrap();
    let mut parts = BTreeMap::new();
    for part in manifest["Results"].as_array().unwrap() {
        let key = part["Key"].as_str().unwrap();
        let bytes = objects.get("reports", key, None).await.unwrap();
        assert_eq!((part["Bucket"].as_str(), part["MD5Checksum"].as_str()), (Some("reports"), Some(&md5(&bytes)[..])));
        let mut lines: Vec<String> = std::str::from_utf8(&bytes).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        parts.insert(part["TaskExecutionStatus"].as_str().unwrap().to_owned(), json!({ "key": key, "lines": lines }));
    }
    assert_eq!(listed.len(), parts.len() + 1, "{listed:?}");
    json!({ "report": report, "parts": parts, "schema": manifest["ReportSchema"], "format": manifest["Format"] })
}

async fn etag(objects: &Objects, key: &str, says: &str) -> String {
    match objects.put("photos", key, says.to_owned().into(), Replace::Yes).await.unwrap() {
        Put::Written(etag) => etag,
        Put::Refused => panic!("{key} is not written"),
    }
}

const SAYS: [(&str, &str); 9] = [
    ("in/a, b", "fine"),
    ("in/c", "fail"),
    ("in/d", "never"),
    ("in/e", "panic"),
    ("in/f", "exit"),
    ("in/g", "second time"),
    ("in/empty", ""),
    ("in/_hidden", "hidden"),
    ("other/h", "elsewhere"),
];

async fn run(case: &str, driver: &Driver) -> kinglet::Result<Value> {
    let conductor = embedded::conductor(driver, Clock::default(), 60_000).unwrap();
    let objects = &conductor.objects;
    for bucket in ["photos", "reports", "inventories"] {
        objects.create_bucket(bucket).await?;
    }
    let mut etags = BTreeMap::new();
    for (key, says) in SAYS {
        etags.insert(key, etag(objects, key, says).await);
    }
    let reports = "s3://reports/all";
    let put_manifest = async |text: &str| {
        objects
            .put("inventories", "m.csv", text.to_owned().into(), Replace::Yes)
            .await
            .map(|_| "s3://inventories/m.csv")
    };
    match case {
        "listing" => {
            let report = driver.for_each_object(obey, ForEachObject::of(["s3://photos/in/"], reports)).await?;
            Ok(read(objects, &report).await)
        }
        "tries" => {
            let once = ForEachObject::of(["s3://photos/in/c", "s3://photos/in/g"], reports).with_tries(1);
            let one = driver.for_each_object(obey, once).await?;
            let more = ForEachObject::of(["s3://photos/in/c"], reports).with_tries(5).with_failed_only();
            let five = driver.for_each_object(obey, more).await?;
            let good = ForEachObject::of(["s3://photos/in/a*"], reports).with_failed_only();
            let none = driver.for_each_object(obey, good).await?;
            Ok(json!([read(objects, &one).await, read(objects, &five).await, read(objects, &none).await]))
        }
        "manifest" => {
            let lines = "photos,in/a%2C+b,\nphotos,in/empty,null\nphotos,in/a%2C%20b,v7\nphotos,gone,\nnowhere,x,\n";
            let of = ForEachObject::in_manifest(put_manifest(lines).await?, reports);
            let first = read(objects, &driver.for_each_object(obey, of).await?).await;
            // The failed part is a manifest itself.
            let failed = format!("s3://reports/{}", first["parts"]["failed"]["key"].as_str().unwrap_or_default());
            let again = driver.for_each_object(obey, ForEachObject::in_manifest(failed, reports)).await?;
            std::fs::write("local.csv", "photos,other/h\n").unwrap();
            let local = driver.for_each_object(begins, ForEachObject::in_manifest("local.csv", reports)).await?;
            Ok(json!([first, read(objects, &again).await, read(objects, &local).await]))
        }
        "inventory" => {
            let mut rows: Vec<String> = ["in/a, b", "in/empty"]
                .map(|key| row(&key.replace(", ", "%2C+"), "null", (true, false), 1, &etags[key]))
                .to_vec();
            // It has changed; it is gone; an older version; a delete marker.
            rows.push(row("other/h", "null", (true, false), 9, "0123"));
            rows.push(row("gone", "null", (true, false), 9, "0123"));
            rows.push(row("in/empty", "v0", (false, false), 9, "0123"));
            rows.push(row("removed", "v1", (true, true), 0, ""));
            let inventory = put(objects, "CSV", SCHEMA, &[gzip(rows.concat().as_bytes())]).await;
            let report = driver.for_each_object(obey, ForEachObject::in_inventory(inventory, reports)).await?;
            Ok(read(objects, &report).await)
        }
        "local" => {
            std::fs::create_dir_all("files/x").unwrap();
            std::fs::write("files/x/a", "fine").unwrap();
            std::fs::write("files/b", "never").unwrap();
            let report = driver.for_each_object(obey, ForEachObject::of(["files"], "reports")).await?;
            Ok(json!(report))
        }
        "refused" => {
            let empty = put(objects, "CSV", SCHEMA, &[gzip(b"")]).await;
            let mut errors: Vec<Error> = Vec::new();
            let mut refused =
                async |of: ForEachObject| errors.push(driver.for_each_object(length, of).await.unwrap_err());
            refused(ForEachObject::of(["s3://photos/nothing/"], reports)).await;
            refused(ForEachObject::of([""; 0], reports)).await;
            refused(ForEachObject::in_inventory(empty, reports)).await;
            for lines in ["", "photos\n", "photos,a,b,c\n", "photos,%zz\n"] {
                refused(ForEachObject::in_manifest(put_manifest(lines).await?, reports)).await;
            }
            refused(ForEachObject::in_manifest("s3://inventories/gone.csv", reports)).await;
            refused(ForEachObject::in_manifest("gone.csv", reports)).await;
            // A file that is not what the inventory says, behind one that is: no function is called.
            let files = [row("in/c", "", (true, false), 4, &etags["in/c"]), row("in/d", "", (true, false), 5, "x")];
            let inventory = put(objects, "CSV", SCHEMA, &files.map(|row| gzip(row.as_bytes()))).await;
            objects.put("inventories", "photos/daily/data/1.csv.gz", gzip(b"x").into(), Replace::Yes).await?;
            refused(ForEachObject::in_inventory(inventory, reports)).await;
            let calls = driver.runtime().unwrap().host().reports().len();
            let left = objects.list("reports", "").await?.len() + objects.uploads("reports", "").await?.len();
            let said: Vec<_> = errors.iter().map(|e| (e.code(), e.to_string(), e.hint().is_some())).collect();
            Ok(json!({ "errors": said, "calls": calls, "left": left }))
        }
        "not whole" => {
            // The manifest cannot be written: nothing of the report stays.
            let gates = driver.runtime().unwrap().gates().unwrap();
            gates.set_rules(vec![
                Rule::s3("PutObject").containing("manifest.json").times(100).does(Strike::LoseRequest),
            ]);
            let failed = driver.for_each_object(obey, ForEachObject::of(["s3://photos/in/"], reports)).await;
            let struck = gates.counts().iter().map(|(_, struck)| *struck).sum::<u64>();
            gates.set_rules(vec![]);
            let listed: Vec<_> = objects.list("reports", "").await?.into_iter().map(|object| object.key).collect();
            let uploads = objects.uploads("reports", "").await?.len();
            Ok(json!({ "code": failed.unwrap_err().code(), "struck": struck, "listed": listed, "uploads": uploads }))
        }
        "many" => {
            let count: usize = std::env::args().nth(2).and_then(|count| count.parse().ok()).unwrap_or(10_000);
            let lines: String =
                (0..count).map(|n| format!("photos,logs/2026/11/23/host-17/{n:08}.json.gz\n")).collect();
            let of = ForEachObject::in_manifest(put_manifest(&lines).await?, reports);
            drop(lines);
            let began = std::time::Instant::now();
            let report = driver.for_each_object(length, of).await?;
            let took = began.elapsed().as_secs_f64();
            // Before the report is read, which takes more than the calls did.
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let peak = status.lines().find(|line| line.starts_with("VmHWM")).map(str::to_owned);
            let read = read(objects, &report).await;
            let lines = read["parts"]["succeeded"]["lines"].as_array().map(Vec::len);
            Ok(json!({ "report": report, "lines": lines, "seconds": took, "peak": peak }))
        }
        other => Err(Error::new(kinglet::Code::ProgramFailed, format!("there is no case {other}"))),
    }
}

async fn program() -> kinglet::Result<()> {
    let case = std::env::args().nth(1).unwrap_or_default();
    let local = Local::new().with_concurrency(2);
    let local = if case == "not whole" { local.with_gates() } else { local };
    let driver = local.start().await?;
    let said = run(&case, &driver).await;
    driver.close().await;
    println!("{}", said?);
    Ok(())
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::new().function(obey).function(begins).function(length), program)
}
