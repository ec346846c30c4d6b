//! The command from outside: its help, its report, its progress, its exit codes, and how it ends when it is told to.

use crate::programs;
use crate::support::{count, naive_count, nothing_published, read_output, run, text, word_count};
use kinglet_core::env::UPDATE_GOLDEN;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Compares text with a file in `tests/golden/`, or writes it anew.
#[track_caller]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    if std::env::var_os(UPDATE_GOLDEN).is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }
    let want = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, want, "{} differs; if that is meant, run the tests with {UPDATE_GOLDEN}=1", path.display());
}

#[test]
fn version_and_help() {
    let version = run(programs::kinglet().arg("--version"));
    assert_eq!((version.code, version.out), (Some(0), format!("kinglet {}\n", env!("CARGO_PKG_VERSION"))));
    let helps: [(&str, &[&str]); 41] = [
        ("help-init.txt", &["init", "--help"]),
        ("help-completions.txt", &["completions", "--help"]),
        ("help-man.txt", &["man", "--help"]),
        ("help-explain.txt", &["explain", "--help"]),
        ("help-run-count.txt", &["run", "count", "--help"]),
        ("help-run-aggregate.txt", &["run", "aggregate", "--help"]),
        ("help-run-distinct.txt", &["run", "distinct", "--help"]),
        ("help-run-sort.txt", &["run", "sort", "--help"]),
        ("help-run-top.txt", &["run", "top", "--help"]),
        ("help-run-join.txt", &["run", "join", "--help"]),
        ("help-run-grep.txt", &["run", "grep", "--help"]),
        ("help-run-cat.txt", &["run", "cat", "--help"]),
        ("help-run-sample.txt", &["run", "sample", "--help"]),
        ("help-run-convert.txt", &["run", "convert", "--help"]),
        ("help-look.txt", &["look", "--help"]),
        ("help-head.txt", &["head", "--help"]),
        ("help-stored.txt", &["stored", "--help"]),
        ("help-stored-start.txt", &["stored", "start", "--help"]),
        ("help-stored-remove.txt", &["stored", "remove", "--help"]),
        ("help-jobs.txt", &["jobs", "--help"]),
        ("help-status.txt", &["status", "--help"]),
        ("help-attach.txt", &["attach", "--help"]),
        ("help-cancel.txt", &["cancel", "--help"]),
        ("help-logs.txt", &["logs", "--help"]),
        ("help-clean.txt", &["clean", "--help"]),
        ("help-doctor.txt", &["doctor", "--help"]),
        ("help.txt", &["--help"]),
        ("help-short.txt", &["-h"]),
        ("help-run.txt", &["run", "--help"]),
        ("help-run-hull.txt", &["run", "hull", "--help"]),
        ("help-run-word-count.txt", &["run", "word-count", "--help"]),
        ("help-run-primes.txt", &["run", "primes", "--help"]),
        ("help-plan.txt", &["plan", "--help"]),
        ("help-plan-hull.txt", &["plan", "hull", "--help"]),
        ("help-plan-word-count.txt", &["plan", "word-count", "--help"]),
        ("help-plan-primes.txt", &["plan", "primes", "--help"]),
        ("help-bench.txt", &["bench", "--help"]),
        ("help-tune.txt", &["tune", "--help"]),
        ("help-tune-word-count.txt", &["tune", "word-count", "--help"]),
        ("help-tune-primes.txt", &["tune", "primes", "--help"]),
        ("help-tune-hull.txt", &["tune", "hull", "--help"]),
    ];
    for (name, args) in helps {
        // Help is wrapped at the width of the terminal, and at 100 where there is none.
        let help = run(programs::kinglet().args(args).env_remove("COLUMNS").stdin(Stdio::null()));
        assert_eq!((help.code, &help.err[..]), (Some(0), ""));
        golden(name, &help.out);
    }
}

#[test]
fn a_code_is_explained_and_one_that_is_none_has_a_proposal() {
    let explained = run(programs::kinglet().args(["explain", "output-taken"]));
    assert_eq!((explained.code, &explained.err[..]), (Some(0), ""));
    assert!(explained.out.starts_with("output-taken: ") && explained.out.contains("way out"), "{}", explained.out);
    let json = run(programs::kinglet().args(["explain", "out-of-memory", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["again"], "Relieved");
    let all = run(programs::kinglet().arg("explain"));
    assert_eq!(all.out.lines().count(), kinglet_core::Code::ALL.len());
    let misspelt = run(programs::kinglet().args(["explain", "output-token"]));
    assert_eq!(misspelt.code, Some(1));
    assert!(misspelt.err.contains("did you mean output-taken"), "{}", misspelt.err);
}

#[test]
fn a_directory_that_cannot_become_a_project_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("full")).unwrap();
    fs::write(dir.path().join("full/mine"), "").unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&["Examples"], "a program cannot be called \"Examples\""),
        (&["full"], "full is not empty"),
        (&["file"], "making file: "),
        (&["file/below"], "making file/below: "),
        (&["1st"], "a program cannot be called \"1st\""),
        (&["serde"], "a program cannot be called \"serde\""),
        (&["fine", "--library", "full"], "full has no Cargo.toml"),
    ];
    for (args, says) in cases {
        let ran = run(programs::kinglet().arg("init").args(args).current_dir(dir.path()));
        assert_eq!((ran.code, &ran.out[..]), (Some(1), ""), "{args:?}");
        assert!(ran.err.contains(says), "{says} is not in {}", ran.err);
    }
    let mut left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort_unstable();
    assert_eq!(left, ["file", "full"]);
}

#[test]
fn bash_completes_commands_jobs_and_options() {
    let dir = tempfile::tempdir().unwrap();
    let installed = run(programs::kinglet()
        .args(["completions", "--install"])
        .env("SHELL", "/bin/bash")
        .env("XDG_DATA_HOME", dir.path()));
    assert_eq!((installed.code, &installed.err[..]), (Some(0), ""));
    let script = dir.path().join("bash-completion/completions/kinglet");
    assert_eq!(installed.out.trim(), script.to_str().unwrap());
    let cases = [
        ("kinglet expl", "explain"),
        ("kinglet run word-c", "word-count"),
        ("kinglet run sort --overw", "--overwrite"),
        ("kinglet completions fi", "fish"),
    ];
    for (typed, wanted) in cases {
        let words: Vec<&str> = typed.split(' ').collect();
        let ask = format!(
            "source '{}'; COMP_WORDS=({typed}); COMP_CWORD={}; _kinglet kinglet '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let ran = run(Command::new("bash").args(["--norc", "-c", &ask]));
        assert_eq!((ran.code, ran.out.trim(), &ran.err[..]), (Some(0), wanted, ""), "{typed}");
    }
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let printed = run(programs::kinglet().args(["completions", shell]));
        assert_eq!((printed.code, printed.out.contains("word-count")), (Some(0), true), "{shell}");
    }
}

#[test]
fn a_shell_that_cannot_be_told_and_one_without_a_place_are_refused() {
    let cases: [(&[&str], &str); 3] = [
        (&["completions"], "name it: `kinglet completions bash|"),
        (&["completions", "powershell", "--install"], "let your profile read what"),
        (&["completions", "zsh", "--install"], "neither $XDG_DATA_HOME nor $HOME names a directory"),
    ];
    for (args, says) in cases {
        let mut asking = programs::kinglet();
        asking.args(args).env_remove("SHELL").env_remove("HOME").env("XDG_DATA_HOME", "not/absolute");
        let ran = run(&mut asking);
        assert_eq!((ran.code, &ran.out[..]), (Some(1), ""), "{args:?}");
        assert!(ran.err.contains(says), "{}", ran.err);
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    let ran = run(programs::kinglet().args(["man", "--dir"]).arg(dir.path().join("man1")));
    assert_eq!((ran.code, &ran.err[..]), (Some(0), ""));
    for name in ["kinglet", "kinglet-run", "kinglet-run-sort", "kinglet-tune-hull", "kinglet-explain"] {
        let page = fs::read_to_string(dir.path().join(format!("man1/{name}.1"))).unwrap();
        assert!(page.contains("\n.SH NAME\n") && page.contains("\n.SH SYNOPSIS\n"), "{name}: {page}");
    }
    let sort = fs::read_to_string(dir.path().join("man1/kinglet-run-sort.1")).unwrap();
    assert!(sort.contains(".TH kinglet-run-sort") || sort.contains(".TH kinglet\\-run\\-sort"), "{sort}");
    assert!(sort.contains("stack"), "options of all commands: {sort}");
    assert!(sort.contains("\\-\\-unique") || sort.contains("\\-unique"), "{sort}");
    let pages = fs::read_dir(dir.path().join("man1")).unwrap().count();
    assert_eq!(ran.out, format!("{pages} pages in {}\n", dir.path().join("man1").display()));
    // A directory that cannot be made.
    fs::write(dir.path().join("file"), "").unwrap();
    let ran = run(programs::kinglet().args(["man", "--dir"]).arg(dir.path().join("file/man1")));
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("writing ") && ran.err.contains("file/man1/kinglet"), "{}", ran.err);
    let printed = run(programs::kinglet().arg("man"));
    assert_eq!((printed.code, printed.out.contains(".SH SYNOPSIS")), (Some(0), true));
}

#[test]
fn a_reader_that_goes_is_no_error_and_a_full_device_is_one() {
    for (to, code, says) in [(" | head -1 >&2", Some(0), "input"), (" >/dev/full", Some(1), "No space left")] {
        // All codes are more than a pipe holds.
        let script = format!("set -o pipefail; \"$0\" explain --json{to}");
        let ran = run(Command::new("bash").args(["-c", &script]).arg(programs::kinglet().get_program()));
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(!ran.err.contains("panicked"), "{ran:?}");
        assert!(says == "input" || ran.err.contains(says), "{ran:?}");
    }
}

#[test]
fn what_cannot_be_understood_is_refused_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&[], "Usage"),
        (&["walk"], "'walk'"),
        (&["run", "word-cuont", "x", "--output", "y"], "'word-count'"),
        (&["run", "word-count", "x"], "--output"),
        (&["run", "word-count", "--output", "y"], "<INPUT>"),
        (&["run", "word-count", "x", "--output", "y", "--timeout", "901"], "901 is not in 1..=900"),
        (&["run", "word-count", "x", "--output", "y", "--memory-mb", "127"], "127 is not in 128..=10240"),
    ];
    for (args, says) in cases {
        let ran = run(programs::kinglet().current_dir(dir.path()).args(args));
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        assert!(ran.err.contains(says), "{says} is not in: {}", ran.err);
        assert_eq!(ran.out, "");
    }
}

#[test]
fn json_has_every_field_and_its_sums_agree() {
    let dir = tempfile::tempdir().unwrap();
    let input = text(4, 50_000);
    fs::write(dir.path().join("in.txt"), &input).unwrap();
    fs::write(dir.path().join("more.txt"), "").unwrap();
    let args = ["in.txt", "more.txt", "--output", "out", "--split-bytes", "10000", "--partitions", "2", "--json"];
    let ran = run(&mut word_count(dir.path(), &args));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let fields: BTreeSet<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let want = "job name phase output wall objects skipped bytes_in records_in rejected pairs_emitted pairs_shuffled shuffle_bytes \
                runs_inline_object_empty quarantine spills records_out bytes_out parts map_tasks merge_tasks merged_bytes pairs_reduced reduce_tasks retries cold_starts init_ms map_ms merge_ms reduce_ms requests gb_seconds \
                cost predicted removed_bytes hottest";
    assert_eq!(fields, want.split_whitespace().collect());

    let report: kinglet::Report = serde_json::from_value(json.clone()).unwrap();
    let counts = naive_count([&input[..]]);
    let words: u64 = counts.values().sum();
    assert_eq!(
        (report.name.as_str(), report.output.as_str(), report.phase),
        ("word-count", "out", kinglet::Phase::Succeeded)
    );
    assert_eq!((report.objects, report.bytes_in, report.records_in), (2, 50_000, words));
    assert_eq!((report.rejected, report.pairs_emitted), (0, words));
    assert!(report.pairs_shuffled < words && report.pairs_shuffled >= counts.len() as u64);
    assert_eq!((report.map_tasks, report.reduce_tasks, report.parts), (5, 2, 2));
    let hottest = report.hottest.unwrap();
    assert!(hottest.pairs * 2 >= report.pairs_shuffled && hottest.partition < 2 && hottest.pieces == 1, "{hottest:?}");
    let kinglet::RunPlaces { inline, object, empty, .. } = report.runs;
    assert_eq!(inline + object + empty, 5);
    let out = read_output(&dir.path().join("out"));
    assert!(out.counts == counts);
    assert_eq!((report.records_out, report.bytes_out), (out.manifest.records_out, out.manifest.bytes_out));
    assert_eq!((report.pairs_shuffled, report.job.to_string()), (out.manifest.pairs, out.manifest.job));
    let wall = report.wall;
    assert_eq!(wall.split_ms + wall.map_ms + wall.reduce_ms, wall.total_ms);
    let cost = report.cost;
    assert!((cost.lambda + cost.dynamodb + cost.s3 - cost.total).abs() < 1e-12 && cost.total > 0.0);
    // The splitter, five mappers and two reducers; a part and a run object, the spec, the plan and the manifest at least.
    assert_eq!(report.requests.lambda, 8 + report.retries);
    assert!(report.requests.s3_put >= 5 && report.requests.s3_get >= 5 && report.requests.dynamodb > 0);
    assert!(report.gb_seconds > 0.0 && json["requests"]["lambda"].is_u64());
}

#[test]
fn a_person_reads_progress_on_standard_error_and_the_report_on_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in.txt"), text(5, 20_000)).unwrap();
    let ran = run(&mut word_count(dir.path(), &["in.txt", "--output", "out", "--split-bytes", "5000"]));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for start in
        ["job        word-count ", "output     out in 1 parts", "read ", "written ", "tasks      4 map, 1 reduce, "]
    {
        assert!(ran.out.lines().any(|line| line.starts_with(start)), "{start} is not in: {}", ran.out);
    }
    // Plain lines, no control characters, no log; the last line says that it is done.
    let phases = ["splitting: ", "mapping: ", "reducing: ", "publishing: ", "succeeded: "];
    assert!(ran.err.lines().all(|line| phases.iter().any(|phase| line.starts_with(phase))), "{}", ran.err);
    assert!(!ran.err.contains(|c: char| c.is_control() && c != '\n'));
    let last = ran.err.lines().last().unwrap_or_default();
    assert!(last.starts_with("succeeded: maps 4/4, reduces 1/1, 19.53 KiB of 19.53 KiB"), "{last}");
}

#[test]
fn nothing_is_left_in_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("in.txt"), "a b a").unwrap();
    count(dir.path(), &["in.txt", "--output", "out", "--data-dir", "data/new"]);
    assert_eq!(fs::read_dir(dir.path().join("data/new")).unwrap().count(), 0);
}

/// A job in its middle: a thousand map tasks for one function at a time.
struct Running {
    dir: tempfile::TempDir,
    child: Child,
    /// The driver's descendants, idle workers among them.
    below: BTreeSet<u32>,
}

impl Running {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("in.txt"), text(6, 4_000_000)).unwrap();
        let args = ["in.txt", "--output", "out", "--split-bytes", "2000", "--concurrency", "1", "--data-dir", "data"];
        let mut child = word_count(dir.path(), &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = lines.find(|line| line.as_ref().unwrap().starts_with("mapping: "));
        assert!(line.is_some(), "the job never came to mapping");
        // What comes later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let below = descendants(child.id());
        assert!(below.len() >= 2, "a worker and the shell that watches over it: {below:?}");
        assert_eq!(fs::read_dir(dir.path().join("data")).unwrap().count(), 1);
        Running { dir, child, below }
    }

    /// Sends a signal, and waits until the command and everything that it started are gone.
    fn end(&mut self, signal: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("sh").args(["-c", "kill -s \"$1\" \"$2\"", "sh", signal, &pid]).status().unwrap().success()
        );
        let status = self.child.wait().unwrap();
        let mut out = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        assert_eq!(out, "", "there is no report of what did not end");
        let since = Instant::now();
        while self.below.iter().any(|pid| is_alive(*pid)) {
            let left: Vec<_> = self.below.iter().filter(|pid| is_alive(**pid)).collect();
            assert!(since.elapsed() < Duration::from_secs(20), "{left:?} still run after {signal}");
            std::thread::sleep(Duration::from_millis(20));
        }
        status
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where the test failed before its signal.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn descendants(pid: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut left = vec![pid];
    while let Some(pid) = left.pop() {
        for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten() {
            let children = fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default();
            left.extend(
                children.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()).filter(|pid| found.insert(*pid)),
            );
        }
    }
    found
}

/// Whether a process runs; one that nobody has asked for its exit code does not.
fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])))
}

#[test]
fn an_interrupt_ends_with_130_and_leaves_nothing() {
    for signal in ["INT", "TERM"] {
        let mut running = Running::new();
        let status = running.end(signal);
        assert_eq!(status.code(), Some(130), "{signal}");
        let data: Vec<_> = fs::read_dir(running.dir.path().join("data")).unwrap().collect();
        assert!(data.is_empty(), "{signal} left {data:?}");
        nothing_published(&running.dir.path().join("out"));
    }
}

#[test]
fn a_driver_that_is_killed_takes_its_workers_with_it() {
    let mut running = Running::new();
    assert_eq!(running.end("KILL").code(), None);
    // All that is left says that a job has the output, and is no result; the next job sees that it is dead.
    let out = running.dir.path().join("out");
    let names = |path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    assert_eq!(names(&out), ["_owner.json"]);
    fs::write(running.dir.path().join("small"), "a b a").unwrap();
    count(running.dir.path(), &["small", "--output", "out"]);
    assert_eq!(read_output(&out).counts, naive_count([&b"a b a"[..]]));
}
