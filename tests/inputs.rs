//! Which objects a job reads: hidden ones are left out and counted, lists name them, values in paths choose them, and none is read
//! twice without a word.

use crate::programs;
use crate::rig::Rig;
use crate::support::{Ran, count, failed, only_part, read_output, run, shown, word_count};
use kinglet::{Code, Error, Report, Submit};
use kinglet_aws::objects::Replace;
use kinglet_jobs::WordCount;
use kinglet_local::gate::{Rule, Strike};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A directory with these files below `in/`, each of which has its own name as its only word.
fn place(names: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        let path = dir.path().join("in").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    dir
}

/// The report of a count of these inputs, and the words that were counted, which are the names of the files that were read.
#[track_caller]
fn read(dir: &Path, args: &[&str]) -> (Report, Vec<String>) {
    let report = count(dir, &[args, &["--output", "out", "--overwrite"]].concat());
    let counts = read_output(&dir.join("out")).counts;
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    (report, counts.into_keys().map(|word| String::from_utf8(word).unwrap()).collect())
}

#[track_caller]
fn refused(dir: &Path, args: &[&str], says: &[&str]) -> Ran {
    let ran = run(&mut word_count(dir, &[args, &["--output", "refused"]].concat()));
    failed(&ran, says);
    ran
}

#[test]
fn what_is_hidden_is_left_out_and_counted() {
    let hidden = ["_SUCCESS", "_logs/a", ".git/config", "x/.b.crc", "x/_tmp/c"];
    let dir = place(&[&["a", "x/b", "_day=7/c"][..], &hidden].concat());
    for (args, want, skipped) in [
        (&["in"][..], &["_day=7/c", "a", "x/b"][..], 5),
        (&["in/**"], &["_day=7/c", "a", "x/b"], 5),
        (&["in/x"], &["x/b"], 2),
        // Who names it reads it.
        (&["in/_SUCCESS", "in/_logs", "in/x/.b.crc"], &["_SUCCESS", "_logs/a", "x/.b.crc"], 0),
        (&["in/x/.*"], &["x/.b.crc"], 0),
        (&["in/_logs/*"], &["_logs/a"], 0),
    ] {
        let (report, found) = read(dir.path(), args);
        assert_eq!(
            (found, report.skipped),
            (want.iter().map(|name| (*name).to_owned()).collect(), skipped),
            "{args:?}"
        );
        assert_eq!(report.objects, want.len() as u64);
    }
    let ran = run(&mut word_count(dir.path(), &["in", "--output", "said"]));
    assert!(ran.out.contains(" in 3 objects; 5 hidden were left out\n"), "{}", ran.out);
    assert_eq!(read(dir.path(), &["in/*/_tm*/*", "in/.gi*/*"]).1, [".git/config", "x/_tmp/c"]);
    let ran = refused(dir.path(), &["in/.gi*"], &["nothing is at in/.gi*"]);
    assert!(ran.err.contains("hint: check the path"), "{}", ran.err);
    fs::create_dir(dir.path().join("only")).unwrap();
    fs::write(dir.path().join("only/_a"), "a").unwrap();
    refused(dir.path(), &["only"], &["nothing is at only that is not hidden (1 left out)"]);
}

#[test]
fn what_two_inputs_name_is_refused() {
    let dir = place(&["a", "x/b", "x/c"]);
    let whole = dir.path().join("in/a").display().to_string();
    for (args, says) in [
        (&["in/a", "in/a"][..], "in/a is an input twice: in in/a and in in/a"),
        (&["in/a", "./in/a"], "./in/a is an input twice: in in/a and in ./in/a"),
        (&["in/a", &whole], "in/a is an input twice"),
        (&["in", "in/x/b"], "in/x/b is an input twice: in in and in in/x/b"),
        (&["in/x/*", "in/**/c"], "in/x/c is an input twice"),
    ] {
        refused(dir.path(), args, &[says]);
        let ran =
            run(programs::kinglet().current_dir(dir.path()).args(["plan", "word-count", "--output", "o"]).args(args));
        failed(&ran, &[says]);
    }
    // A link is another name of another object: nobody can say of S3's objects, either, that they are copies.
    assert_eq!(read(dir.path(), &["in/x", "in/a"]).1, ["a", "x/b", "x/c"]);
}

#[test]
fn a_list_names_objects_one_by_one() {
    let dir = place(&["a", "[1]*", "x/b", "x/_c", "x/d"]);
    let list = |text: &str| fs::write(dir.path().join("list"), text).unwrap();
    list("in/x/b\n\nin/a\r\nin/x/_c\nin/[1]*\n");
    assert_eq!(read(dir.path(), &["--input-list", "list"]).1, ["[1]*", "a", "x/_c", "x/b"]);
    assert_eq!(read(dir.path(), &["in/x/d", "--input-list", "list"]).1, ["[1]*", "a", "x/_c", "x/b", "x/d"]);
    refused(dir.path(), &["in/x", "--input-list", "list"], &["x/b is an input twice"]);
    refused(dir.path(), &["--input-list", "missing"], &["missing"]);
    for (text, says) in
        [("", "names nothing"), ("in/a\nin/x\n", "no file (2)"), ("in/a\nin/a\n", "in/a is an input twice")]
    {
        list(text);
        refused(dir.path(), &["--input-list", "list"], &[says]);
    }
    let ran = run(&mut word_count(dir.path(), &["--output", "out"]));
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[test]
fn values_in_paths_choose_what_is_read() {
    let names = [
        "year=2025/month=12/a",
        "year=2026/month=01/b",
        "year=2026/month=10/c",
        "year=2026/month=__HIVE_DEFAULT_PARTITION__/d",
        "year=2026/city=S%C3%A3o%20P/e",
        "plain/f",
        "g",
    ];
    let dir = place(&names);
    for (args, want) in [
        (&["in", "--where-path", "year=2026", "--where-path", "month=1"][..], &["b"][..]),
        (&["in", "--where-path", "month>=10"], &["a", "c"]),
        (&["in", "--where-path", "month=1,12"], &["a", "b"]),
        (&["in", "--where-path", "month="], &["d"]),
        (&["in", "--where-path", "city=São P"], &["e"]),
        (&["in/year=2026", "--where-path", "year=2026", "--where-path", "month<10"], &["b"]),
        (&["in/**/[bc]", "--where-path", "year=2026"], &["b", "c"]),
        (&["in/year=2026/month=01/b", "in/g", "--where-path", "year!=1"], &[]),
    ] {
        if want.is_empty() {
            refused(dir.path(), args, &["nothing is at in/g with year!=1"]);
            continue;
        }
        let found = read(dir.path(), args).1;
        let last: Vec<&str> = found.iter().map(|name| name.rsplit('/').next().unwrap()).collect();
        assert_eq!(last, want, "{args:?}");
    }
    refused(dir.path(), &["in", "--where-path", "yaer=2026"], &["nothing is at in with yaer=2026"]);
    let ran = run(&mut word_count(dir.path(), &["in", "--output", "out", "--where-path", "year"]));
    assert!(ran.code == Some(2) && ran.err.contains("compares no part of a path"), "{ran:?}");
}

#[test]
fn values_in_paths_are_columns_of_rows() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("in/year=2026/city=S%C3%A3o");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("a.csv"), "name,city\nAnn,x\nBob,y\n").unwrap();
    let ran = run(programs::kinglet().current_dir(dir.path()).args(["look", "--json"]).arg(folder.join("a.csv")));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let look: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(look["rows"][0], serde_json::json!({ "name": "Ann", "city": "São", "year": 2026 }));
    // Rows as they are written have what is written alone.
    let args = ["run", "cat", "in", "--format", "csv", "--output", "out"];
    assert_eq!(run(programs::kinglet().current_dir(dir.path()).args(args)).code, Some(0));
    assert_eq!(String::from_utf8(only_part(&dir.path().join("out"))).unwrap(), "Ann,x\nBob,y\n");
}

/// Lists, patterns and conditions on objects of S3; folders that a condition leaves out are not listed.
#[tokio::test(flavor = "multi_thread")]
async fn objects_of_s3_are_chosen_as_files_are() {
    let rig = Rig::new().await;
    let objects = &rig.conductor.objects;
    objects.create_bucket("logs").await.unwrap();
    let keys = ["y/year=2025/a", "y/year=2026/month=1/b", "y/year=2026/month=2/c", "y/year=2026/_d", "z/e", "z/_f"];
    for key in keys {
        objects.put("logs", key, key.into(), Replace::Yes).await.unwrap();
    }
    let list = "s3://logs/y/year=2026/_d\ns3://logs/z/_f\n";
    objects.put("logs", "list", list.into(), Replace::Yes).await.unwrap();
    let read = async |submit: fn(Submit) -> Submit, inputs: &[&str]| {
        let submit = submit(Submit::new(inputs.iter().copied(), shown(&rig.path("out"))).with_overwrite());
        let report = rig.driver.submit(&WordCount, submit).await?.wait().await?;
        let words = read_output(&rig.path("out")).counts.into_keys();
        kinglet::Result::Ok((report.skipped, words.map(|word| String::from_utf8(word).unwrap()).collect::<Vec<_>>()))
    };
    let (skipped, found) = read(|submit| submit, &["s3://logs/y/", "s3://logs/z/*"]).await.unwrap();
    assert_eq!(found, ["y/year=2025/a", "y/year=2026/month=1/b", "y/year=2026/month=2/c", "z/e"]);
    assert_eq!(skipped, 2);
    let (_, found) = read(|submit| submit.with_input_list("s3://logs/list"), &[]).await.unwrap();
    assert_eq!(found, ["y/year=2026/_d", "z/_f"]);

    let gates = rig.driver.runtime().unwrap().gates().unwrap();
    gates.set_rules(vec![
        Rule::s3("ListObjectsV2").containing("prefix=y/year=2025").does(Strike::LoseRequest),
        Rule::s3("ListObjectsV2").containing("prefix=y/year=2026/month=1").does(Strike::LoseRequest),
        Rule::s3("ListObjectsV2").containing("prefix=y/year=2026/month=2").times(0).does(Strike::LoseRequest),
    ]);
    let chosen =
        |submit: Submit| submit.with_conditions(["year=2026", "month>1"].map(|condition| condition.parse().unwrap()));
    let (skipped, found) = read(chosen, &["s3://logs/y/"]).await.unwrap();
    assert_eq!((skipped, &found[..]), (0, &["y/year=2026/month=2/c".to_owned()][..]));
    let seen: Vec<u64> = gates.counts().iter().map(|(seen, _)| *seen).collect();
    assert_eq!(seen, [0, 0, 1]);

    let list = "s3://logs/z/e\ns3://logs/z/gone\n";
    objects.put("logs", "list", list.into(), Replace::Yes).await.unwrap();
    let error: Error = read(|submit| submit.with_input_list("s3://logs/list"), &[]).await.unwrap_err();
    assert!(error.is(Code::InputMissing) && error.to_string().contains("nothing is at s3://logs/z/gone"), "{error}");
    let error: Error = read(|submit| submit.with_input_list("s3://logs/gone"), &[]).await.unwrap_err();
    assert!(error.is(Code::ObjectMissing) && error.to_string().contains("s3://logs/gone"), "{error}");
    let error: Error = read(|submit| submit, &["s3://logs/z/*", "s3://logs/z/e"]).await.unwrap_err();
    assert!(error.is(Code::InputTwice) && error.to_string().contains("s3://logs/z/e"), "{error}");
    rig.driver.close().await;
}
