//! A function called for each object: which objects it is called for, how often, and what the report says of each.
//! `for_each_program.rs` makes the objects and the calls; here it is run.

use crate::inventories::md5;
use crate::programs;
use crate::support::run;
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

/// Runs a case that must succeed: what it said, and the directory it ran in.
#[track_caller]
fn says(case: &str) -> (Value, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let ran = run(programs::of_example("for-each").arg(case).current_dir(dir.path()));
    assert_eq!(ran.code, Some(0), "{case}: {}", ran.err);
    (serde_json::from_str(&ran.out).unwrap(), dir)
}

/// How many objects succeeded and failed, and how many calls were made.
fn counts(said: &Value) -> [u64; 3] {
    ["succeeded", "failed", "calls"].map(|name| said["report"][name].as_u64().unwrap())
}

fn lines(said: &Value, part: &str) -> Vec<String> {
    serde_json::from_value(said["parts"][part]["lines"].clone()).unwrap_or_default()
}

#[test]
fn each_object_of_a_listing_is_in_the_report_once_and_those_that_fail_fail_alone() {
    let (said, _) = says("listing");
    assert_eq!(said["format"], "Report_CSV_20180820");
    assert_eq!(said["schema"], "Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage");
    assert_eq!(
        lines(&said, "succeeded"),
        [
            "photos,in/a%2C%20b,,succeeded,,200,fine (Some(4) bytes)",
            "photos,in/empty,,succeeded,,200, (Some(0) bytes)",
            "photos,in/g,,succeeded,,200,at last",
        ]
    );
    let failed = lines(&said, "failed");
    assert_eq!(failed[0], "photos,in/c,,failed,call-failed,200,\"it says, \"\"fail\"\" and so on\"");
    assert_eq!(failed[1], "photos,in/d,,failed,permanent-failure,200,no use");
    assert!(failed[2].starts_with("photos,in/e,,failed,panic,200,") && failed[2].contains("so be it"), "{failed:?}");
    assert!(failed[3].starts_with("photos,in/f,,failed,"), "{failed:?}");
    let [succeeded, failed, calls] = counts(&said);
    // Twice more for c and e, once more for g, and as often as the ledger's verdict on f allows.
    assert_eq!((succeeded, failed), (3, 4), "{said}");
    assert!((12..=14).contains(&calls), "{said}");
}

#[test]
fn a_function_that_fails_is_called_as_often_as_it_may_be() {
    let (said, _) = says("tries");
    assert_eq!((counts(&said[0]), counts(&said[1]), counts(&said[2])), ([0, 2, 2], [0, 1, 5], [1, 0, 1]), "{said}");
    // Those that succeeded are left out where nobody wants them; an empty part is none.
    assert_eq!((lines(&said[1], "failed").len(), &said[2]["parts"]), (1, &json!({})));
}

#[test]
fn a_manifest_names_objects_and_versions_and_the_failed_part_is_one() {
    let (said, _) = says("manifest");
    let [first, again, local] = &serde_json::from_value::<[Value; 3]>(said).unwrap();
    assert_eq!(
        lines(first, "succeeded"),
        ["photos,in/a%2C%20b,,succeeded,,200,fine (None bytes)", "photos,in/empty,null,succeeded,,200, (None bytes)",]
    );
    let failed = lines(first, "failed");
    for (line, begins, says) in [
        (&failed[0], "nowhere,x,,failed,bucket-missing,404,", "NoSuchBucket"),
        (&failed[1], "photos,gone,,failed,object-missing,404,", "NoSuchKey"),
        (&failed[2], "photos,in/a%2C%20b,v7,failed,object-missing,404,", "version v7: NoSuchVersion"),
    ] {
        assert!(line.starts_with(begins) && line.contains(says), "{line}");
    }
    // None of these is tried again.
    assert_eq!(counts(first), [2, 3, 5]);
    let failed = |said: &Value| -> Vec<String> {
        let lines = lines(said, "failed");
        lines.iter().map(|line| line.split(',').take(5).collect::<Vec<_>>().join(",")).collect()
    };
    assert_eq!((counts(again), failed(again)), ([0, 3, 3], failed(first)));
    assert_eq!(lines(local, "succeeded"), ["photos,other/h,,succeeded,,200,els"]);
}

#[test]
fn an_inventory_pins_its_objects_and_those_that_have_changed_or_gone_are_told() {
    let (said, _) = says("inventory");
    assert_eq!(
        lines(&said, "succeeded"),
        [
            "photos,in/a%2C%20b,null,succeeded,,200,fine (Some(1) bytes)",
            "photos,in/empty,null,succeeded,,200, (Some(1) bytes)",
        ]
    );
    let failed = lines(&said, "failed");
    for (line, begins) in [
        (&failed[0], "photos,gone,null,failed,object-missing,404,"),
        (&failed[1], "photos,in/empty,v0,failed,object-missing,404,"),
        (&failed[2], "photos,other/h,null,failed,object-changed,412,"),
    ] {
        assert!(line.starts_with(begins), "{line}");
    }
    assert_eq!(counts(&said), [2, 3, 5]);
}

#[test]
fn files_of_this_machine_are_objects_too_and_a_directory_takes_the_report() {
    let (report, dir) = says("local");
    assert_eq!((&report["succeeded"], &report["failed"]), (&json!(1), &json!(1)));
    let manifest = report["manifest"].as_str().unwrap();
    let root = dir.path().canonicalize().unwrap();
    assert!(manifest.starts_with(root.join("reports/job-").to_str().unwrap()), "{manifest}");
    let said: Value = serde_json::from_slice(&fs::read(manifest).unwrap()).unwrap();
    for (part, line) in
        [(0, "x/a,,succeeded,,200,fine (Some(4) bytes)\n"), (1, "b,,failed,permanent-failure,200,no use\n")]
    {
        let part = &said["Results"][part];
        let path = root.join("reports").join(part["Key"].as_str().unwrap());
        assert_eq!(part["Bucket"], root.join("reports").to_str().unwrap());
        let bytes = fs::read(path).unwrap();
        assert_eq!(part["MD5Checksum"], md5(&bytes));
        assert_eq!(String::from_utf8(bytes).unwrap(), format!("{},{line}", root.join("files").display()));
    }
}

#[test]
fn what_names_no_objects_is_refused_before_any_call_and_leaves_no_report() {
    let (said, _) = says("refused");
    let errors: Vec<(String, String, bool)> = serde_json::from_value(said["errors"].clone()).unwrap();
    let want = [
        ("input-missing", "nothing is at s3://photos/nothing/"),
        ("input-missing", "no objects are named"),
        ("input-missing", "manifest.json names no object"),
        ("input-missing", "m.csv names no object"),
        ("input-list", "reading s3://inventories/m.csv at byte 0: it has 1 fields"),
        ("input-list", "it has 4 fields"),
        ("input-list", "is not URL-encoded"),
        ("object-missing", "there is no manifest s3://inventories/gone.csv"),
        ("input-missing", "there is no gone.csv"),
        ("inventory", "1.csv.gz"),
    ];
    assert_eq!(errors.len(), want.len(), "{errors:?}");
    for ((code, message, hint), (want, says)) in errors.iter().zip(want) {
        assert!(code == want && message.contains(says) && *hint, "{code}: {message}, and not {want}: {says}");
    }
    assert_eq!((&said["calls"], &said["left"]), (&json!(0), &json!(0)), "{said}");
}

#[test]
fn a_report_whose_manifest_cannot_be_written_leaves_nothing() {
    let (said, _) = says("not whole");
    assert!(said["struck"].as_u64() > Some(0), "{said}");
    assert_eq!((&said["listed"], &said["uploads"]), (&json!([]), &json!(0)), "{said}");
    assert_eq!(said["code"], "unreachable");
}

#[test]
fn many_objects_share_invocations_and_requests() {
    let (said, _) = says("many");
    assert_eq!((counts(&said), &said["lines"]), ([10_000, 0, 10_000], &json!(10_000)), "{said}");
    let requests = &said["report"]["requests"];
    let sum: u64 = ["s3_put", "s3_get", "dynamodb", "lambda"].map(|name| requests[name].as_u64().unwrap()).iter().sum();
    assert!(sum < 10_000, "{said}");
}
