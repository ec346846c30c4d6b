//! Compressed input: every codec gives the words of the plain file, wherever its object is cut and its pieces stop; and what is
//! not whole, not known or not what it says is refused by its name and place.
//!
//! The files in `tests/compressed/` all unpack to `words.txt` there. The codecs' own tools wrote them, each in two streams; the
//! blocks of BGZF and of Snappy are put together by the formats' descriptions.

use crate::support::{count, driver, failed, naive_count, nothing_published, read_output, reconciles, run, word_count};
use kinglet::{Code, Codec, Submit};
use kinglet_jobs::WordCount;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compressed")
}

/// The compressed files, and what they unpack to.
fn packed() -> (Vec<PathBuf>, Vec<u8>) {
    let mut all: Vec<_> = fs::read_dir(files()).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all.retain(|path| path.extension().unwrap() != "txt");
    (all, fs::read(files().join("words.txt")).unwrap())
}

/// The names and sizes of the files in a directory, as the manifest has them.
fn named(dir: &Path, shown: &str) -> Vec<(String, u64)> {
    let entry = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        (format!("{shown}/{}", entry.file_name().to_str().unwrap()), entry.metadata().unwrap().len())
    };
    fs::read_dir(dir).unwrap().map(entry).collect()
}

#[test]
fn a_directory_with_every_codec_is_counted_as_the_plain_files_would_be() {
    let (packed, plain) = packed();
    assert_eq!(packed.len(), 7);
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("in")).unwrap();
    // One file plain, and one without an ending, which its first bytes tell.
    fs::copy(files().join("words.txt"), dir.path().join("in/words.txt")).unwrap();
    fs::copy(&packed[0], dir.path().join("in/unnamed")).unwrap();
    for path in &packed {
        fs::copy(path, dir.path().join("in").join(path.file_name().unwrap())).unwrap();
    }
    let input = named(&dir.path().join("in"), "in");
    for split_bytes in ["100", "1000", "3000", "1000000"] {
        count(dir.path(), &["in", "--output", "out", "--overwrite", "--split-bytes", split_bytes]);
        let out = read_output(&dir.path().join("out"));
        assert_eq!(out.counts, naive_count(vec![&plain[..]; 9]), "splits of {split_bytes} bytes");
        reconciles(&out, &input);
    }
}

/// Text whose compressed form has many blocks, made by Python; `None` where there is no Python.
fn large(dir: &TempDir, script: &str) -> Option<Vec<u8>> {
    let make = "import random\n\
        r = random.Random(1)\n\
        text = b''.join(b'%x %d%s' % (r.getrandbits(40), r.getrandbits(9), r.choice([b' ', b'\\n'])) for _ in range(150000))\n\
        open('plain', 'wb').write(text)\n";
    let made = Command::new("python3").current_dir(dir.path()).args(["-c", &format!("{make}{script}")]).status();
    match made {
        Ok(status) => assert!(status.success()),
        Err(error) => {
            println!("skipped: no python3 ({error})");
            return None;
        }
    }
    Some(fs::read(dir.path().join("plain")).unwrap())
}

#[test]
fn a_bzip2_file_of_many_blocks_is_read_in_splits() {
    let dir = tempfile::tempdir().unwrap();
    let script = "import bz2, os\n\
        os.mkdir('in')\n\
        open('in/one.bz2', 'wb').write(bz2.compress(text, 1))\n\
        open('in/many.bz2', 'wb').write(b''.join(bz2.compress(text[n:n + 70001], 9) for n in range(0, len(text), 70001)))\n";
    let Some(plain) = large(&dir, script) else { return };
    count(dir.path(), &["in", "--output", "out", "--split-bytes", "120000"]);
    let out = read_output(&dir.path().join("out"));
    assert_eq!(out.counts, naive_count([&plain[..], &plain]));
    reconciles(&out, &named(&dir.path().join("in"), "in"));
    let of_one = out.manifest.splits.iter().filter(|split| split.ranges.iter().any(|(name, ..)| name == "in/one.bz2"));
    assert!(of_one.count() > 5);
}

/// Map tasks that have no time stop after each chunk, and the next piece unpacks again from the last place where it can.
#[tokio::test]
async fn pieces_of_what_cannot_be_split_go_on_where_the_last_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let script = "import gzip, lzma, os\n\
        os.mkdir('in')\n\
        open('in/one.gz', 'wb').write(gzip.compress(text))\n\
        open('in/two.gz', 'wb').write(gzip.compress(text[:900000]) + gzip.compress(text[900000:]))\n\
        open('in/one.xz', 'wb').write(lzma.compress(text, preset=0))\n";
    let Some(plain) = large(&dir, script) else { return };
    let driver = driver(|local| local).await;
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    // Smaller splits than the objects are, so that each object is a split of its own.
    let submit =
        Submit::new([path("in")], path("out")).with_split_bytes(100_000).with_map_time(Duration::from_millis(1));
    driver.submit(&WordCount, submit).await.unwrap().wait().await.unwrap();
    driver.close().await;
    let out = read_output(&dir.path().join("out"));
    assert_eq!(out.counts, naive_count([&plain[..], &plain, &plain]));
    reconciles(&out, &named(&dir.path().join("in"), &path("in")));
    for name in ["one.gz", "two.gz", "one.xz"] {
        let pieces = out.manifest.splits.iter().filter(|split| split.ranges.iter().any(|(at, ..)| at.ends_with(name)));
        assert!(pieces.count() > 3, "{name} was read in one go");
    }
}

#[test]
fn what_is_not_whole_not_known_or_not_what_it_says_is_refused() {
    let (packed, plain) = packed();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    let refused = |args: &[&str], code: &str, says: &[&str]| {
        let ran = run(&mut word_count(dir.path(), &[args, &["--output", "out"]].concat()));
        failed(&ran, says);
        // What is said is the meaning of the code, which the command does not print.
        assert!(Code::of(code).is_some(), "{code}");
        nothing_published(&dir.path().join("out"));
    };
    let gz = fs::read(packed.iter().find(|path| path.ends_with("gzip.txt.gz")).unwrap()).unwrap();
    let bz2 = fs::read(packed.iter().find(|path| path.ends_with("bzip2.txt.bz2")).unwrap()).unwrap();
    write("cut.gz", &gz[..gz.len() - 9]);
    refused(&["cut.gz"], "compressed-corrupt", &["cut.gz (gzip)", "the object ends within a gzip member"]);
    write("tail.gz", &[&gz[..], b"and more"].concat());
    refused(&["tail.gz"], "compressed-corrupt", &["tail.gz (gzip)", &format!("at byte {}", gz.len())]);
    let mut damaged = bz2.clone();
    damaged[200] ^= 0xff;
    write("damaged.bz2", &damaged);
    refused(&["damaged.bz2"], "compressed-corrupt", &["damaged.bz2 (bzip2) at byte 4", "damaged"]);
    refused(&["damaged.bz2", "--split-bytes", "150"], "compressed-corrupt", &["damaged.bz2 (bzip2) at byte "]);
    write("text.gz", &plain);
    refused(&["text.gz"], "codec-contradiction", &["text.gz", "gzip", "not compressed"]);
    refused(&["text.gz", "--split-bytes", "500"], "codec-contradiction", &["text.gz", "gzip", "not compressed"]);
    write("other.gz", &bz2);
    refused(&["other.gz"], "codec-contradiction", &["other.gz", "gzip", "bzip2"]);
    write("archive.zip", b"whatever");
    refused(&["archive.zip"], "codec-unknown", &["archive.zip", "a zip archive"]);
    write("archive", b"PK\x03\x04 and so on");
    refused(&["archive"], "codec-unknown", &["archive", "a zip archive"]);
    write("text.lzo", b"whatever");
    refused(&["text.lzo"], "codec-unknown", &["text.lzo", "lzop"]);

    // Who says what it is, is believed.
    count(dir.path(), &["text.gz", "--output", "plain", "--input-compression", "none"]);
    assert_eq!(read_output(&dir.path().join("plain")).counts, naive_count([&plain[..]]));
    count(dir.path(), &["other.gz", "--output", "packed", "--input-compression", "bzip2", "--split-bytes", "300"]);
    assert_eq!(read_output(&dir.path().join("packed")).counts, naive_count([&plain[..]]));
    refused(&["text.gz", "--input-compression", "xz"], "compressed-corrupt", &["text.gz (xz) at byte 0"]);
}

/// An object that is cut in its middle says where the record lies that fails.
#[tokio::test]
async fn what_becomes_too_long_is_refused_unless_it_may() {
    let dir = tempfile::tempdir().unwrap();
    let script = "import bz2\nopen('bomb.bz2', 'wb').write(bz2.compress(b'\\n' * (260 << 20)))\n";
    if large(&dir, script).is_none() {
        return;
    }
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let driver = driver(|local| local).await;
    let error = driver.run(&WordCount, [path("bomb.bz2")], path("out")).await.unwrap_err();
    assert!(error.is(Code::Expansion) && error.to_string().contains("bomb.bz2 (bzip2)"), "{error}");
    let submit = Submit::new([path("bomb.bz2")], path("out")).with_expansion_max(u32::MAX);
    let submit = submit.with_input_compression(Codec::Bzip2);
    driver.submit(&WordCount, submit).await.unwrap().wait().await.unwrap();
    driver.close().await;
    assert_eq!(read_output(&dir.path().join("out")).manifest.records, 0);
}
