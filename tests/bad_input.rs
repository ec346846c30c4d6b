//! Whatever is wrong with an input, an output, a disk or an argument: a clear error that names the thing and says what to do,
//! and never an output that looks whole.

use crate::programs;
use crate::support::{
    Ran, count, driver, failed, naive_count, nothing_published, read_output, run, shown, text, word_count,
};
use kinglet::Submit;
use kinglet_jobs::WordCount;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A directory with `in/a`, and in which every user can write.
fn place() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    fs::create_dir(dir.path().join("in")).unwrap();
    fs::write(dir.path().join("in/a"), "one two one\n").unwrap();
    dir
}

/// Runs the command, which must fail with an error that says all this, and publish nothing in `out`.
#[track_caller]
fn refused(dir: &TempDir, args: &[&str], says: &[&str]) {
    failed(&run(&mut word_count(dir.path(), args)), says);
    assert!(!dir.path().join("out").exists(), "an empty output is left");
}

#[test]
fn nothing_to_read() {
    let dir = place();
    fs::create_dir_all(dir.path().join("empty/deep")).unwrap();
    refused(&dir, &["nowhere", "--output", "out"], &["there is no nowhere"]);
    refused(&dir, &["in/a", "in/b", "--output", "out"], &["there is no in/b"]);
    refused(&dir, &["in/a/b", "--output", "out"], &["in/a/b"]);
    refused(&dir, &["empty", "--output", "out"], &["nothing is at empty"]);
    refused(&dir, &["in/*.txt", "--output", "out"], &["nothing is at in/*.txt"]);
    refused(&dir, &["nowhere/*.txt", "--output", "out"], &["nowhere/"]);
    refused(&dir, &["in/[a", "--output", "out"], &["in/[a"]);
    refused(&dir, &["", "--output", "out"], &[]);
}

#[test]
fn a_pipe_or_a_device_is_no_input() {
    let dir = place();
    assert!(Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    refused(&dir, &["pipe", "--output", "out"], &["pipe is neither a file nor a directory"]);
    refused(&dir, &["/dev/null", "--output", "out"], &["/dev/null is neither a file nor a directory"]);
    // Within a directory it is no object: it does not keep the job waiting.
    fs::rename(dir.path().join("pipe"), dir.path().join("in/pipe")).unwrap();
    count(dir.path(), &["in", "--output", "out"]);
    assert_eq!(read_output(&dir.path().join("out")).counts, naive_count([&b"one two one"[..]]));
}

/// The command as a user whom permissions bind: root is made nobody, with a copy of the program where nobody can reach it.
fn unprivileged(dir: &TempDir, args: &[&str]) -> Option<Ran> {
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !root {
        return Some(run(&mut word_count(dir.path(), args)));
    }
    if Command::new("setpriv").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("skipped: root without setpriv cannot become somebody else");
        return None;
    }
    let program = dir.path().join("kinglet");
    // By another process: a file that this one holds open for writing, another test's child might hold open too when it is
    // to be run.
    let copied = Command::new("cp").arg(programs::directory().join("kinglet")).arg(&program).status();
    assert!(copied.unwrap().success());
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(program);
    Some(run(command.current_dir(dir.path()).args(["run", "word-count"]).args(args)))
}

#[test]
fn permissions_are_named() {
    let dir = place();
    let secret = dir.path().join("in/secret");
    fs::write(&secret, "x").unwrap();
    let chmod = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    chmod(&secret, 0);
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).unwrap();
    chmod(&closed, 0o555);
    let cases: [(&[&str], &[&str]); 4] = [
        (&["in/secret", "--output", "out"], &["reading in/secret", "ermission denied"]),
        (&["in", "--output", "out"], &["in/secret", "ermission denied"]),
        (&["in/a", "--output", "closed"], &["closed", "ermission denied"]),
        (&["in/a", "--output", "closed/new"], &["closed/new", "ermission denied"]),
    ];
    for (args, says) in cases {
        let Some(ran) = unprivileged(&dir, args) else { return };
        failed(&ran, says);
        assert!(ran.err.contains("hint: check the p") && !ran.err.contains("role"), "{}", ran.err);
        assert!(!dir.path().join("out").exists());
        nothing_published(&closed);
    }
    // The data directory, too.
    let Some(ran) = unprivileged(&dir, &["in/a", "--output", "out", "--data-dir", "closed/data"]) else { return };
    failed(&ran, &["closed/data", "ermission denied"]);
    chmod(&closed, 0o755);
}

#[test]
fn an_output_that_holds_parts_is_refused_unless_it_may_be_overwritten() {
    let dir = place();
    count(dir.path(), &["in", "--output", "out", "--partitions", "5"]);
    let first = fs::read(dir.path().join("out/_manifest.json")).unwrap();
    fs::write(dir.path().join("out/notes.txt"), "mine").unwrap();
    let again = run(&mut word_count(dir.path(), &["in", "--output", "out", "--partitions", "2"]));
    failed(&again, &["the output out is taken", "out/_manifest.json"]);
    assert!(again.err.contains("--overwrite"), "{}", again.err);
    assert_eq!(fs::read(dir.path().join("out/_manifest.json")).unwrap(), first);

    // Parts of which no manifest tells, and other files of such names, are in the way of a result that is read by part-*.
    fs::write(dir.path().join("out/part-notes.txt"), "mine").unwrap();
    fs::rename(dir.path().join("out/_manifest.json"), dir.path().join("manifest")).unwrap();
    let again = run(&mut word_count(dir.path(), &["in", "--output", "out", "--partitions", "2"]));
    failed(&again, &["the output out is taken", "out/part-00000"]);
    fs::rename(dir.path().join("manifest"), dir.path().join("out/_manifest.json")).unwrap();

    count(dir.path(), &["in", "--output", "out", "--partitions", "2", "--overwrite"]);
    // Only what the manifest had listed was removed.
    for mine in ["out/notes.txt", "out/part-notes.txt"].map(|name| dir.path().join(name)) {
        assert_eq!(fs::read(&mine).unwrap(), b"mine");
        fs::remove_file(&mine).unwrap();
    }
    let out = read_output(&dir.path().join("out"));
    assert_eq!((out.parts.len(), out.counts), (2, naive_count([&b"one two one"[..]])));
}

#[test]
fn a_job_that_fails_leaves_the_result_that_it_was_to_replace_as_it_was() {
    let dir = place();
    fs::create_dir(dir.path().join("nothing")).unwrap();
    count(dir.path(), &["in", "--output", "out"]);
    fs::write(dir.path().join("out/part-notes.txt"), "mine").unwrap();
    let all = || -> BTreeMap<_, _> {
        let entries = fs::read_dir(dir.path().join("out")).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    };
    let before = all();
    for (input, more, says) in [
        ("in", &["--partitions", "0"][..], "partition"),
        ("in", &["--split-bytes", "0"], "split"),
        ("nothing", &[], "nothing is at nothing"),
        ("in/*.none", &[], "nothing is at in/*.none"),
    ] {
        let args = [&[input, "--output", "out", "--overwrite"], more].concat();
        failed(&run(&mut word_count(dir.path(), &args)), &[says]);
        assert!(all() == before, "{args:?}");
    }
}

#[test]
fn input_and_output_must_lie_apart() {
    let dir = place();
    fs::create_dir(dir.path().join("in/deep")).unwrap();
    let lie = "lie in each other";
    refused(&dir, &["in", "--output", "in/out"], &["in/out", lie]);
    refused(&dir, &["in", "--output", "in"], &["in", lie]);
    refused(&dir, &["in", "--output", "in/deep/../new/out"], &[lie]);
    refused(&dir, &["in/a", "--output", "in"], &["in/a", lie]);
    refused(&dir, &["in/deep", "in/a", "--output", "."], &[lie]);
    refused(&dir, &["in/*", "--output", "in/deep"], &["in/*", lie]);
    std::os::unix::fs::symlink("in", dir.path().join("link")).unwrap();
    refused(&dir, &["in", "--output", "link/out"], &["link/out", lie]);
    assert!(!dir.path().join("in/out").exists() && fs::read_dir(dir.path().join("in/deep")).unwrap().count() == 0);
    // Beside each other is apart, whatever the names start with.
    count(dir.path(), &["in", "--output", "in-out"]);
}

#[test]
fn an_output_that_is_a_file_is_refused() {
    let dir = place();
    fs::write(dir.path().join("file"), "mine").unwrap();
    refused(&dir, &["in", "--output", "file"], &["file is not a directory"]);
    refused(&dir, &["in", "--output", "file/below"], &["file/below"]);
    refused(&dir, &["in", "--output", ""], &["output"]);
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"mine");
}

#[test]
fn arguments_out_of_range_and_places_that_are_not_there() {
    let dir = place();
    let out = ["--output", "out"];
    let with = |args: &[&'static str]| [&["in"], &out[..], args].concat();
    refused(&dir, &with(&["--split-bytes", "0"]), &["a split of 0 bytes"]);
    refused(&dir, &with(&["--partitions", "0"]), &["at least one partition"]);
    refused(&dir, &with(&["--partitions", "4000000000"]), &["4000000000 partitions; the most is"]);
    refused(
        &dir,
        &with(&["--functions", "nowhere"]),
        &["the splitter function is not built", "nowhere/kinglet-splitter"],
    );
    refused(&dir, &with(&["--data-dir", "in/a"]), &["in/a"]);
    refused(&dir, &["s3://", "--output", "out"], &["s3:// names no bucket"]);
    refused(&dir, &["s3:///key", "--output", "out"], &["s3:///key names no bucket"]);
    refused(&dir, &["in", "--output", "s3://"], &["s3:// names no bucket"]);
    for input in ["s3://no-such-bucket/key", "s3://no-such-bucket", "s3://no-such-bucket/a*"] {
        refused(&dir, &[input, "--output", "out"], &[input, "NoSuchBucket"]);
    }
    refused(&dir, &["in", "--output", "s3://no-such-bucket/out"], &["s3://no-such-bucket/out", "NoSuchBucket"]);
}

/// A file system of this size, or nothing where it cannot be mounted.
struct Small {
    path: PathBuf,
}

impl Small {
    fn mount(dir: &TempDir, bytes: u64) -> Option<Self> {
        let path = dir.path().join("small");
        fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(&path).stderr(Stdio::null());
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Small { path });
        }
        println!("skipped: a small file system can be mounted by root only");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// Words that stand once each, so that what is written is as long as what is read.
fn distinct(words: u64) -> Vec<u8> {
    let word = |n: u64| format!("{:x}-{n}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (0..words).flat_map(|n| word(n).into_bytes()).collect()
}

#[test]
fn no_space_for_the_output() {
    let dir = place();
    let Some(small) = Small::mount(&dir, 1 << 20) else { return };
    fs::write(dir.path().join("in.txt"), distinct(100_000)).unwrap();
    let ran = run(&mut word_count(dir.path(), &["in.txt", "--output", "small/out", "--partitions", "4"]));
    failed(&ran, &["small/out", "No space left on device"]);
    assert!(ran.err.contains("hint: free some disk space"), "{}", ran.err);
    nothing_published(&small.path.join("out"));
}

#[test]
fn no_space_for_what_is_under_way() {
    let dir = place();
    let Some(small) = Small::mount(&dir, 1 << 20) else { return };
    fs::write(dir.path().join("in.txt"), distinct(100_000)).unwrap();
    refused(&dir, &["in.txt", "--output", "out", "--data-dir", "small"], &["small/", "No space left on device"]);
    assert_eq!(fs::read_dir(&small.path).unwrap().count(), 0, "the data directory is empty again");
}

#[test]
fn no_space_to_spill() {
    let dir = place();
    let Some(small) = Small::mount(&dir, 4 << 20) else { return };
    fs::write(dir.path().join("in.txt"), distinct(1_400_000)).unwrap();
    let args =
        ["in.txt", "--output", "out", "--data-dir", "small", "--memory-mb", "128", "--split-bytes", "1000000000"];
    let ran = run(&mut word_count(dir.path(), &args));
    failed(&ran, &["spill", "small/", "No space left on device"]);
    assert!(!dir.path().join("out").exists(), "an empty output is left");
    assert_eq!(fs::read_dir(&small.path).unwrap().count(), 0, "the data directory is empty again");
}

#[test]
fn no_file_may_be_so_long() {
    // What anyone can do to have a full disk: no file may hold more than 500 KB.
    let dir = place();
    fs::write(dir.path().join("in.txt"), distinct(100_000)).unwrap();
    let script = r#"trap '' XFSZ; ulimit -f 1000; exec "$@""#;
    let mut command = Command::new("sh");
    command.current_dir(dir.path()).args(["-c", script, "sh"]).arg(programs::directory().join("kinglet"));
    let ran = run(command.args(["run", "word-count", "in.txt", "--output", "out"]));
    failed(&ran, &["File too large"]);
    assert!(!dir.path().join("out").exists(), "an empty output is left");
}

/// Runs a job of hundreds of map tasks, one at a time, and does something to its input after the first of them.
async fn disturbed(disturb: impl FnOnce(&Path)) -> (kinglet::Error, PathBuf, TempDir) {
    let dir = place();
    let input = dir.path().join("in/large");
    fs::write(&input, text(7, 1_000_000)).unwrap();
    let output = dir.path().join("out");
    let driver = driver(|local| local.with_concurrency(1)).await;
    let submit = Submit::new([shown(&dir.path().join("in"))], shown(&output)).with_split_bytes(2_000);
    let handle = driver.submit(&WordCount, submit).await.unwrap();
    let mut disturb = Some(disturb);
    loop {
        let progress = handle.progress().await.unwrap();
        if progress.maps.done >= 1 {
            disturb.take().unwrap()(&input);
            let left = handle.progress().await.unwrap();
            assert!(left.maps.done < left.maps.all, "the input was read before it was changed: {left:?}");
            break;
        }
        tokio::task::yield_now().await;
    }
    let error = handle.wait().await.unwrap_err();
    drop(handle);
    driver.close().await;
    nothing_published(&output);
    (error, input, dir)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_input_that_changes_while_the_job_runs_fails_it_by_name() {
    let append = |path: &Path| OpenOptions::new().append(true).open(path).unwrap().write_all(b"x").unwrap();
    let rewrite = |path: &Path| fs::write(path, text(8, 1_000_000)).unwrap();
    let replace = |path: &Path| {
        let other = path.with_extension("other");
        fs::write(&other, text(7, 1_000_000)).unwrap();
        fs::rename(other, path).unwrap();
    };
    let shorten = |path: &Path| File::options().write(true).open(path).unwrap().set_len(10).unwrap();
    let remove = |path: &Path| fs::remove_file(path).unwrap();
    type Change = (&'static str, fn(&Path));
    let changes: [Change; 5] =
        [("append", append), ("rewrite", rewrite), ("replace", replace), ("shorten", shorten), ("remove", remove)];
    for (what, change) in changes {
        let (error, input, _dir) = disturbed(change).await;
        assert_eq!(error.code(), "object-changed", "{what}: {error}");
        assert!(error.to_string().contains(&shown(&input)) && error.hint().is_some(), "{what}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_cancelled_says_so_and_leaves_nothing() {
    let dir = place();
    fs::write(dir.path().join("in/large"), text(7, 1_000_000)).unwrap();
    let output = dir.path().join("out");
    let driver = driver(|local| local.with_concurrency(1)).await;
    let submit = Submit::new([shown(&dir.path().join("in"))], shown(&output)).with_split_bytes(2_000);
    let handle = driver.submit(&WordCount, submit).await.unwrap();
    while handle.progress().await.unwrap().maps.done < 1 {
        tokio::task::yield_now().await;
    }
    handle.cancel().await.unwrap();
    let error = handle.wait().await.unwrap_err();
    assert_eq!(error.code(), "cancelled", "{error}");
    assert!(error.to_string().contains(handle.id().as_str()), "{error}");
    drop(handle);
    driver.close().await;
    nothing_published(&output);
}
