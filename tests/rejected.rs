//! Records that are not valid, left out where a job may: each lies once in the quarantine, as Python reads it there, and all others are
//! in the result, whatever dies on the way; a job that leaves out too many fails by the first and publishes nothing.

use crate::programs;
use crate::rig::{MAPPER, REDUCER, Rig, end, refuse};
use crate::support::{conductor, driver, failed, job, nothing_published, only_part, run, shown};
use kinglet::{CsvDialect, JobHandle, Manifest, MaxRejected, Phase, RowFormat, Submit};
use kinglet_core::ids::{Partition, Piece};
use kinglet_core::wire::spec::Indexed;
use kinglet_jobs::{Cat, Primes, PrimesOf};
use kinglet_local::gate::{Rule, Strike};
use kinglet_local::lambda::{Fault, FaultPlan, FaultRule};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Runs a job that must succeed, checks that its output holds what the manifest lists, and returns that.
#[track_caller]
fn result(dir: &Path, args: &[&str]) -> Manifest {
    let ran = job(dir, args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.err);
    let manifest = listed(&dir.join("out"));
    let quarantine = manifest.quarantine.as_ref().map(|kept| format!("out/{}", kept.name));
    assert_eq!(ran.out.contains("left out "), quarantine.is_some(), "{}", ran.out);
    assert!(quarantine.is_none_or(|name| ran.out.contains(&name)), "{}", ran.out);
    manifest
}

/// The manifest of an output that holds what it lists, and nothing else.
#[track_caller]
fn listed(out: &Path) -> Manifest {
    let manifest: Manifest = serde_json::from_slice(&fs::read(out.join("_manifest.json")).unwrap()).unwrap();
    let entries = fs::read_dir(out).unwrap();
    let there: BTreeSet<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let listed = manifest.written().map(|entry| entry.name.clone()).chain(["_manifest.json".to_owned()]);
    assert_eq!(there, listed.collect());
    for entry in manifest.written() {
        let bytes = fs::read(out.join(&entry.name)).unwrap();
        assert_eq!((bytes.len() as u64, crc32fast::hash(&bytes)), (entry.bytes, entry.crc32), "{}", entry.name);
        assert!(entry.etag.is_some());
    }
    assert_eq!(manifest.rejected, manifest.quarantine.as_ref().map_or(0, |kept| kept.records));
    assert_eq!(manifest.rejected, manifest.splits.iter().map(|split| split.rejected).sum::<u64>());
    manifest
}

/// Reads the quarantine with Python's `json`, and checks that each line has the bytes that lie in the input at its offset, and that all
/// of them together with the result's rows are the input's lines. Prints how many there are, and whether a task began to unpack in the
/// middle of an object.
const CHECK: &str = r"
import base64, bz2, collections, glob, gzip, json, sys
opens = {'gz': gzip.open, 'bz2': bz2.open}
def read(name):
    with opens.get(name.rsplit('.', 1)[-1], open)(name, 'rb') as f:
        return f.read()
[command, *names] = sys.argv[1:]
objects = {name: read(name) for name in names}
manifest = json.load(open('out/_manifest.json'))
[kept] = glob.glob('out/_rejected-*.jsonl')
assert kept == 'out/' + manifest['quarantine']['name'], kept
left, order, raws = collections.Counter(), [], []
for line in open(kept, encoding='utf-8', newline='\n'):
    row = json.loads(line)
    assert set(row) - {'unpacked_from'} in [{'object', 'offset', 'reason', 'bytes', raw} for raw in ['raw', 'raw_base64']], row
    raw = row['raw'].encode() if 'raw' in row else base64.b64decode(row['raw_base64'], validate=True)
    assert len(raw) == row['bytes'], row
    if 'unpacked_from' in row:
        assert row['object'].endswith('.bz2') and row['unpacked_from'] > 0
    else:
        there = objects[row['object']][row['offset']:]
        assert there.startswith(raw) and there[len(raw):len(raw) + 1] in [b'\n', b'\r', b''], row
    order.append((row['object'], row.get('unpacked_from', 0), row['offset']))
    assert row['reason']
    raws.append(raw)
    left[raw] += 1
assert order == sorted(set(order)) and len(order) == manifest['rejected']
written = [row for name in glob.glob('out/part-*') for row in open(name, 'rb').read().split(b'\n')[:-1]]
lines = collections.Counter()
for name, text in objects.items():
    rows = text.replace(b'\r\n', b'\n').split(b'\n')
    lines.update(row for row in rows[1 if '.csv' in name else 0:] if row)
if command == 'count':
    # The places are in the order of the file, from wherever their offsets are counted.
    assert raws == [row for row in rows if row in left] and [int(row) for row in written] == [len(rows) - len(raws)]
else:
    left.update(written)
    assert left == lines, (left - lines, lines - left)
print(len(order), any(at > 0 for _, at, _ in order))
";

/// Makes files of which every 50th line is not valid: CSV, JSON lines, and these packed.
const MAKE: &str = r"
import bz2, gzip, json
rows = [b'%d,text %d' % (n, n * n) for n in range(20000)]
bad = [b'', b'7', b'1,2,3', b'x,\xff,', b'1,a\rb', b'9,5\x22 pipe']
for n in range(50, 20000, 50):
    rows[n] = bad[n // 50 % 6] or b'only one'
open('a.csv', 'wb').write(b'id,text\r\n' + b'\r\n'.join(rows) + b'\r\n')
lines = [json.dumps({'id': n, 'text': 'x' * (n % 30)}).encode() for n in range(20000)]
bad = [b'{', b'not json', b'\xff\xfe', b'{\x22id\x22: NaN}', b'[1] [2]']
for n in range(50, 20000, 50):
    lines[n] = bad[n // 50 % 5] + b' ' * (n // 250)
text = b'\n'.join(lines)
open('a.jsonl', 'wb').write(text)
open('b.jsonl.gz', 'wb').write(gzip.compress(text[:300000]))
open('c.jsonl.bz2', 'wb').write(bz2.compress(text, 1))
";

fn python(dir: &Path, script: &str, args: &[&str]) -> Option<String> {
    let output = match Command::new("python3").current_dir(dir).args(["-c", script]).args(args).output() {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: no python3 ({error})");
            return None;
        }
    };
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn what_is_left_out_comes_back_byte_for_byte_and_all_else_is_in_the_result() {
    let dir = tempfile::tempdir().unwrap();
    if python(dir.path(), MAKE, &[]).is_none() {
        return;
    }
    let csv = &["a.csv", "--no-quoted-newlines"][..];
    for (command, input, split_bytes, count) in [
        ("cat", csv, "30000", 399),
        ("cat", csv, "5000000", 399),
        ("cat", &["a.jsonl"], "50000", 399),
        ("cat", &["a.jsonl", "b.jsonl.gz"], "70000", 553),
        // By several tasks, each of which unpacks a part.
        ("count", &["c.jsonl.bz2"], "3000", 399),
    ] {
        let how = ["--max-rejected", "1000", "--split-bytes", split_bytes, "--partitions", "1"];
        let manifest = result(dir.path(), &[&[command], input, &how].concat());
        assert_eq!((manifest.rejected, manifest.parts.len()), (count, 1), "{input:?}");
        assert!(manifest.records == manifest.records_out || command == "count");
        assert!(manifest.splits.len() > 1 || split_bytes == "5000000", "{input:?}");
        let objects = input.iter().copied().filter(|name| !name.starts_with('-'));
        let said = python(dir.path(), CHECK, &[command].into_iter().chain(objects).collect::<Vec<_>>()).unwrap();
        let is_unpacked_in_parts = if command == "count" { "True" } else { "False" };
        assert_eq!(said.trim_end(), format!("{count} {is_unpacked_in_parts}"));
    }
    // The same in batches, where a job sees no record before all are known to be valid; and without types.
    let how = ["--max-rejected", "400", "--split-bytes", "30000", "--partitions", "1"];
    for command in
        [&["count", "a.jsonl"][..], &["convert", "a.jsonl", "--output-format", "csv", "--columns", "id,text"]]
    {
        assert_eq!(result(dir.path(), &[command, &how].concat()).rejected, 399);
    }
    result(dir.path(), &[&["count", "a.jsonl"][..], &how].concat());
    assert_eq!(only_part(&dir.path().join("out")), b"19601\n");
}

#[test]
fn a_job_that_leaves_out_too_many_fails_by_the_first_and_publishes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let line = |n: usize| if n % 100 == 99 { "{\n".to_owned() } else { format!("[{n}]\n") };
    let text: String = (0..2_000).map(line).collect();
    fs::write(dir.path().join("a.jsonl"), &text).unwrap();
    let first = text.find('{').unwrap();
    let place = format!("a.jsonl at byte {first}: the line is not the JSON that is expected");
    let run = |args: &[&str]| job(dir.path(), &[&["cat", "a.jsonl", "--partitions", "2"][..], args].concat());
    let fails = |args: &[&str], says: &[&str]| {
        failed(&run(args), &[says, &[&place[..]]].concat());
        nothing_published(&dir.path().join("out"));
    };
    let in_tasks = ["--split-bytes", "3000"];
    // By default none is left out; one task alone has too many; all of them together have.
    failed(&run(&["--split-bytes", "100000"]), &[&format!("at byte {first}"), "not the JSON"]);
    nothing_published(&dir.path().join("out"));
    fails(&["--max-rejected", "19"], &["mapping ", "more records are not valid than the 19 that may be left out"]);
    let all = "20 of 2000 records are not valid, and";
    fails(&[&["--max-rejected", "19"][..], &in_tasks].concat(), &[&format!("{all} 19 may be left out")]);
    fails(&["--max-rejected", "0.99%"], &[&format!("{all} 0.99% may be left out")]);
    fails(&[&["--max-rejected", "0%"][..], &in_tasks].concat(), &[&format!("{all} 0% may be left out")]);
    for enough in [["--max-rejected", "20"], ["--max-rejected", "1%"]] {
        assert_eq!(result(dir.path(), &[&["cat", "a.jsonl"], &enough[..], &in_tasks].concat()).rejected, 20);
    }
    // What lies there stays where the next job fails, and is replaced with its quarantine where it does not.
    let before = listed(&dir.path().join("out"));
    assert_eq!(run(&["--max-rejected", "1"]).code, Some(1));
    assert_eq!(listed(&dir.path().join("out")), before);
    let manifest = result(dir.path(), &["cat", "a.jsonl", "--format", "lines", "--max-rejected", "1"]);
    assert_eq!((manifest.rejected, manifest.quarantine, manifest.records), (0, None, 2_000));
    // What is hidden is no input.
    assert_eq!(result(dir.path(), &["cat", "a.jsonl", "--max-rejected", "20"]).rejected, 20);
    fs::rename(dir.path().join("out"), dir.path().join("in")).unwrap();
    assert_eq!(result(dir.path(), &["count", "in", "--format", "lines"]).records, 1_980);
}

#[test]
fn what_is_no_record_that_is_wrong_fails_the_job_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("head.csv", "id,te\"xt\n1,a\n".to_owned()),
        ("stray.csv", "id,text\n1,a\n2,5\" pipe\n3,b\n4,6\" pipe\n".to_owned()),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    // A gzip that is cut short.
    fs::write(dir.path().join("cut.jsonl.gz"), &b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x4c"[..]).unwrap();
    for (name, says) in [
        ("head.csv", "reading the head of head.csv"),
        ("stray.csv", "mapping stray.csv at byte 12"),
        ("cut.jsonl.gz", "cut.jsonl.gz"),
    ] {
        let ran = job(dir.path(), &["count", name, "--max-rejected", "100%", "--split-bytes", "900000"]);
        failed(&ran, &[says]);
        nothing_published(&dir.path().join("out"));
        assert!(!ran.err.contains("may be left out"), "{}", ran.err);
    }
    let split = ["--no-quoted-newlines", "--max-rejected", "2"];
    assert_eq!(result(dir.path(), &[&["cat", "stray.csv"], &split[..]].concat()).rejected, 2);
}

#[test]
fn points_that_are_none_are_left_out_of_a_hull() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "x,y\n0,0\nNaN,1\n4,0\n4\n4,4\n\n0,4\nnorth,west\n2,2\n";
    fs::write(dir.path().join("a.csv"), rows).unwrap();
    fs::write(dir.path().join("b.csv"), "x,y\n0,0\n4,0\n4,4\n0,4\n2,2\n").unwrap();
    assert_eq!(result(dir.path(), &["hull", "b.csv"]).quarantine, None);
    let want = only_part(&dir.path().join("out"));
    let manifest = result(dir.path(), &["hull", "a.csv", "--max-rejected", "3"]);
    assert_eq!((manifest.rejected, only_part(&dir.path().join("out"))), (3, want));
    let kept = fs::read_to_string(dir.path().join("out").join(manifest.quarantine.unwrap().name)).unwrap();
    let raw: Vec<_> = kept.lines().map(|line| line.rsplit_once("\"raw\":").unwrap().1).collect();
    assert_eq!(raw, ["\"NaN,1\"}", "\"4\"}", "\"north,west\"}"]);
}

/// CSV of which every seventh row has a field too many.
fn rows(count: usize) -> String {
    let row = |n: usize| if n % 7 == 3 { format!("{n},x,y\n") } else { format!("{n},x\n") };
    format!("id,text\n{}", (0..count).map(row).collect::<String>())
}

fn cat() -> Cat {
    Cat { format: RowFormat::Csv(CsvDialect::new().without_quoted_newlines()) }
}

/// What an output holds, by what names begin with.
fn holds(out: &Path) -> Vec<(String, Vec<u8>)> {
    let manifest = listed(out);
    let name = |name: &str| name.rsplit_once('-').and_then(|(name, _)| name.rsplit_once('-')).unwrap().0.to_owned();
    manifest.written().map(|entry| (name(&entry.name), fs::read(out.join(&entry.name)).unwrap())).collect()
}

/// Reducers that hand on after each key make many parts, and one object of what was left out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_out_is_one_object_however_many_pieces_reducers_take() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), rows(70)).unwrap();
    let driver = driver(|local| local).await;
    let run = async |output: &str, submit: fn(Submit) -> Submit| {
        let (input, output) = (shown(&dir.path().join("a.csv")), dir.path().join(output));
        let to = Submit::new([input], shown(&output)).with_partitions(2).with_max_rejected(MaxRejected::Count(10));
        let handle = driver.submit(&cat(), submit(to)).await.unwrap();
        let report = end(&handle).await.unwrap();
        let parts: Vec<_> = [handle.part(0).await.unwrap(), handle.part(1).await.unwrap()].into();
        (report, parts, holds(&output))
    };
    let (_, want, whole) = run("whole", |submit| submit).await;
    let (report, parts, pieces) = run("pieces", |submit| submit.with_reduce_time(Duration::from_millis(1))).await;
    assert_eq!(parts, want);
    assert_eq!((pieces[0].0.as_str(), &pieces[0]), ("_rejected", &whole[0]));
    assert!(report.parts > 2 && report.parts as usize == pieces.len() - 1, "{report}");
    assert_eq!((report.rejected, report.records_out), (10, 60));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_dies_each_record_is_left_out_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), rows(5_000)).unwrap();
    let driver = driver(|local| local).await;
    let run = async |output: &str, submit: &dyn Fn(Submit) -> Submit| {
        let (input, output) = (shown(&dir.path().join("a.csv")), dir.path().join(output));
        let to = Submit::new([input], shown(&output)).with_split_bytes(4_000).with_partitions(2);
        let handle = driver.submit(&cat(), submit(to.with_max_rejected(MaxRejected::Count(714)))).await.unwrap();
        (end(&handle).await.unwrap(), holds(&output))
    };
    let (report, want) = run("calm", &|submit| submit).await;
    let names: Vec<_> = want.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["_rejected", "part-00000", "part-00001"]);
    assert_eq!((report.records_in, report.rejected, report.parts, report.retries), (4_286, 714, 2, 0));
    assert_eq!(report.records_out, 4_286);
    assert!(report.quarantine.unwrap().contains("/_rejected-"));
    // The partitions of the report are those of the parts.
    let hottest = report.hottest.unwrap();
    let lines = |part: &(String, Vec<u8>)| part.1.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert_eq!(hottest.pairs, want[1..].iter().map(lines).max().unwrap());
    assert_eq!(hottest.pairs, lines(&want[1 + hottest.partition as usize]));

    let kill = Fault::KillWorker { after: Duration::ZERO };
    let rules = vec![
        FaultRule::nth(MAPPER, 1, kill),
        FaultRule::nth(MAPPER, 3, Fault::RunTwice),
        FaultRule::nth(MAPPER, 5, Fault::LoseReply),
        FaultRule::nth(REDUCER, 0, kill),
        FaultRule::nth(REDUCER, 1, Fault::RunTwice),
        FaultRule::nth(REDUCER, 2, Fault::LoseReply),
    ];
    let host = driver.runtime().unwrap().host();
    host.set_faults(FaultPlan { seed: 1, rules });
    let (report, hurt) = run("hurt", &|submit| submit).await;
    assert!(host.fault_counts().iter().all(|count| count.fired == 1), "{:?}", host.fault_counts());
    host.set_faults(FaultPlan::default());
    assert!(
        (report.retries, report.rejected) == (2, 714)
            && hurt.iter().map(|part| &part.1).eq(want.iter().map(|part| &part.1))
    );

    // In pieces; and where reducers read an index of runs in S3, which has no sums.
    let in_pieces = |submit: Submit| submit.with_map_time(Duration::from_millis(1));
    let (report, pieces) = run("pieces", &in_pieces).await;
    assert!(report.map_tasks > 7, "{report}");
    let indexed = |submit: Submit| submit.with_inline_bytes(0).with_indexed(Indexed::Always);
    let (_, by_index) = run("index", &indexed).await;
    for other in [pieces, by_index] {
        assert!(other.iter().map(|part| &part.1).eq(want.iter().map(|part| &part.1)));
    }
    driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_out_of_items_or_what_is_no_share() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.csv"), rows(5)).unwrap();
    let (input, output) = (shown(&dir.path().join("a.csv")), shown(&dir.path().join("out")));
    let driver = driver(|local| local).await;
    let code = |submitted: kinglet::Result<JobHandle>| submitted.err().map(|error| error.code().to_owned());
    let leaving = |max| Submit::new([&*input], &*output).with_max_rejected(max);
    let refused = Some("max-rejected".to_owned());
    for percent in [f64::NAN, -1.0, 100.5] {
        assert_eq!(code(driver.submit(&cat(), leaving(MaxRejected::Percent(percent))).await), refused);
    }
    let items = Submit::to(&*output).with_max_rejected(MaxRejected::Count(1));
    let primes = Primes { from: 0, to: 100, of: PrimesOf::Count, parts: 1, repeat: 1 };
    assert_eq!(code(driver.submit_items(&primes, [(0, 100)], items).await), refused);
    driver.close().await;
}

/// Submits a job that leaves out records to an output in a bucket.
async fn submit(rig: &Rig, overwrite: bool) -> JobHandle {
    fs::write(rig.path("a.csv"), rows(200)).unwrap();
    let to = Submit::new([shown(&rig.path("a.csv"))], "s3://results/out").with_partitions(2);
    let to = to.with_max_rejected(MaxRejected::Percent(20.0));
    rig.driver.submit(&cat(), if overwrite { to.with_overwrite() } else { to }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_not_published_takes_back_what_it_has_left_out() {
    let rig = Rig::new().await;
    rig.make_results();
    let rules = [
        Rule::s3("CompleteMultipartUpload").containing("part-00001").times(u64::MAX).does(refuse(403, "AccessDenied")),
        // How often the quarantine was published.
        Rule::s3("CompleteMultipartUpload").containing("_rejected-").times(0).does(Strike::LoseReply),
    ];
    rig.strike(rules);
    let handle = submit(&rig, false).await;
    let error = end(&handle).await.unwrap_err();
    assert_eq!(error.code(), "access-denied", "{error}");
    assert!(rig.gates().counts()[1].0 > 0, "it was published");
    nothing_published(&rig.path("results/out"));
    rig.leaves_nothing(handle.id()).await;
    rig.driver.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_jobs_on_one_output_each_has_its_own_quarantine() {
    let rig = Rig::new().await;
    rig.make_results();
    rig.strike([Rule::s3("UploadPart").containing("_rejected-").does(Strike::HoldBefore)]);
    let first = submit(&rig, false).await;
    let held = rig.held().await;
    let to = rig.submission_to("s3://results/out").with_overwrite();
    let error = rig.driver.submit(&kinglet_jobs::WordCount, to).await.err().unwrap();
    assert_eq!(error.code(), "output-taken");
    held.go_on();
    assert_eq!(end(&first).await.unwrap().rejected, 29);
    let of_first = listed(&rig.path("results/out")).quarantine.unwrap();
    assert!(of_first.name.contains(first.id().as_str()));
    let second = submit(&rig, true).await;
    assert_eq!(end(&second).await.unwrap().phase, Phase::Succeeded);
    // `listed` sees that nothing of the first is left.
    let of_second = listed(&rig.path("results/out")).quarantine.unwrap();
    assert!(of_second.name.contains(second.id().as_str()) && of_second.crc32 == of_first.crc32);
    let spec = conductor(&rig.driver).spec(second.id()).await.unwrap();
    assert!(spec.key_of(Partition(0), Piece(0), second.id()).ends_with(&of_second.name));
    rig.leaves_nothing(second.id()).await;
    rig.driver.close().await;
}

/// Rows of Parquet, of which some have numbers that the job's type cannot hold.
#[test]
fn rows_in_columns_that_are_not_of_the_type_are_left_out_with_their_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let id = |n: usize| if n % 100 == 7 { n as i64 + 1_000 } else { n as i64 % 200 };
    let rows: String = (0..3_000).map(|n| format!("{},t{}\n", id(n), n % 3)).collect();
    fs::write(dir.path().join("in.csv"), format!("id,text\n{rows}")).unwrap();
    let made = ["convert", "in.csv", "--output-format", "parquet", "--partitions", "1", "--row-group-bytes", "4000"];
    let file = result(dir.path(), &made).parts[0].name.clone();
    fs::rename(dir.path().join("out").join(file), dir.path().join("in.parquet")).unwrap();
    fs::remove_dir_all(dir.path().join("out")).unwrap();
    let narrow = |max: &[&str]| run(programs::of_example("items").arg("narrow").args(max).current_dir(dir.path()));
    // None may be left out, or too few.
    // Which of them is met first depends on who reads first.
    failed(&narrow(&[]), &["in.parquet at row ", "07`, expected u8"]);
    failed(&narrow(&["29"]), &["29 ", "may be left out", "in.parquet at row 7", "1007"]);
    nothing_published(&dir.path().join("out"));
    let ran = narrow(&["1%"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let manifest: Manifest = serde_json::from_slice(&fs::read(dir.path().join("out/_manifest.json")).unwrap()).unwrap();
    assert_eq!((manifest.records, manifest.rejected), (2_970, 30));
    let sum = |text: usize| (0..3_000).filter(|n| n % 3 == text && n % 100 != 7).map(id).sum::<i64>();
    assert_eq!(
        only_part(&dir.path().join("out")),
        format!("t0\t{}\nt1\t{}\nt2\t{}\n", sum(0), sum(1), sum(2)).as_bytes()
    );
    let kept = fs::read_to_string(dir.path().join("out").join(manifest.quarantine.unwrap().name)).unwrap();
    let kept: Vec<serde_json::Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let places: Vec<_> = kept.iter().map(|line| line["row"].as_u64().unwrap()).collect();
    assert_eq!(places, (0..30).map(|n| n * 100 + 7).collect::<Vec<_>>());
    assert_eq!(kept[1]["raw"], "{\"id\":1107,\"text\":\"t2\"}");
    assert!(kept[1]["reason"].as_str().unwrap().contains("1107") && kept[1].get("offset").is_none(), "{}", kept[1]);
}
