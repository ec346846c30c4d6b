//! Word count is right, whatever the input is and however it is cut, stored and run, and its manifest accounts for it.

use crate::programs;
use crate::support::{Counts, count, driver, naive_count, read_output, reconciles, shown, sources, text};
use kinglet::{Compression, Submit};
use kinglet_jobs::WordCount;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// What `awk` counts, where there is one.
fn awk_count(file: &Path) -> Option<Counts> {
    Command::new("awk").arg("BEGIN { }").stdin(Stdio::null()).status().ok()?;
    // `tr` turns all white space into line ends, so that awk has nothing to decide.
    let script =
        r#"tr ' \t\f\r' '\n\n\n\n' < "$1" | awk 'length($0) { n[$0]++ } END { for (w in n) print w "\t" n[w] }'"#;
    let counted = Command::new("sh").args(["-c", script, "sh"]).arg(file).env("LC_ALL", "C").output().unwrap();
    assert!(counted.status.success());
    let lines = counted.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let pair = |line: &[u8]| {
        let tab = line.iter().rposition(|byte| *byte == b'\t').unwrap();
        (line[..tab].to_vec(), std::str::from_utf8(&line[tab + 1..]).unwrap().parse().unwrap())
    };
    Some(lines.map(pair).collect())
}

/// Input that is hard on a reader of text.
fn odd() -> Vec<u8> {
    let mut odd = b"  leading\r\nCRLF line\r\nform\x0cfeed vertical\x0btab NUL\0inside \0 \0\0\n".to_vec();
    odd.extend_from_slice(
        b"\xff\xfe not UTF-8 \xc3( \x80\x80 caf\xc3\xa9 caf\xc3 \xe2\x80\xa8line\xc2\xa0sep\n\n\n\t\t\t\n",
    );
    odd.extend(vec![b'x'; 100_000]);
    odd.push(b'\n');
    odd.extend(vec![b'y'; 5_000]);
    odd.extend_from_slice(b" the the the\r\r\rend");
    odd
}

#[test]
fn equals_awk_and_a_naive_count_in_one_file_and_in_many() {
    let dir = tempfile::tempdir().unwrap();
    let sources = sources();
    let whole: Vec<u8> = sources.iter().flat_map(|(_, bytes)| [&bytes[..], b"\n"].concat()).collect();
    fs::write(dir.path().join("one.txt"), &whole).unwrap();
    let want = naive_count([&whole[..]]);

    let report = count(dir.path(), &["one.txt", "--output", "one", "--split-bytes", "50000", "--partitions", "4"]);
    let one = read_output(&dir.path().join("one"));
    assert!(one.counts == want);
    if let Some(awk) = awk_count(&dir.path().join("one.txt")) {
        assert!(one.counts == awk);
    }
    reconciles(&one, &[("one.txt".to_owned(), whole.len() as u64)]);
    assert_eq!((one.parts.len(), report.parts), (4, 4));
    assert!(report.map_tasks >= 10 && one.manifest.splits.len() as u64 == report.map_tasks, "{report}");

    let mut input = Vec::new();
    for (path, bytes) in &sources {
        let to = dir.path().join("many").join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, bytes).unwrap();
        input.push((format!("many/{}", path.display()), bytes.len() as u64));
    }
    count(dir.path(), &["many", "--output", "from-many", "--split-bytes", "300000"]);
    let many = read_output(&dir.path().join("from-many"));
    assert!(many.counts == want);
    reconciles(&many, &input);

    // The same files by patterns and by name, each once.
    let (lib, rest): (Vec<_>, Vec<_>) = sources.iter().partition(|(path, _)| path.ends_with("lib.rs"));
    count(dir.path(), &["many/**/lib.rs", "--output", "from-pattern"]);
    let want = naive_count(lib.iter().map(|(_, bytes)| &bytes[..]));
    assert!(read_output(&dir.path().join("from-pattern")).counts == want);
    assert!(!rest.is_empty());
}

#[test]
fn bytes_that_are_no_text_are_counted_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let odd = odd();
    fs::write(dir.path().join("odd"), &odd).unwrap();
    let want = naive_count([&odd[..]]);
    assert!(want.contains_key(&b"NUL\0inside"[..]) && want.contains_key(&b"vertical\x0btab"[..]));
    // The word of 100,000 bytes is longer than a hundred of the small splits, and than one of the others.
    for split_bytes in ["1000", "30000", "1000000"] {
        count(dir.path(), &["odd", "--output", "out", "--overwrite", "--split-bytes", split_bytes]);
        let out = read_output(&dir.path().join("out"));
        assert!(out.counts == want, "splits of {split_bytes} bytes");
        reconciles(&out, &[("odd".to_owned(), odd.len() as u64)]);
    }
}

#[test]
fn empty_files_and_a_last_line_without_an_end_count_too() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("in/deep/er")).unwrap();
    let files =
        [("in/a", "one two"), ("in/b-empty", ""), ("in/deep/c", "two\n"), ("in/deep/er/d", " \n"), ("in/e", "")];
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    count(dir.path(), &["in", "--output", "out", "--partitions", "2"]);
    let out = read_output(&dir.path().join("out"));
    assert_eq!(out.counts, naive_count(files.map(|(_, content)| content.as_bytes())));
    reconciles(&out, &files.map(|(name, content)| (name.to_owned(), content.len() as u64)));

    // Nothing but an empty file: parts without a record, and a manifest.
    let report = count(dir.path(), &["in/b-empty", "--output", "nothing", "--partitions", "3"]);
    let nothing = read_output(&dir.path().join("nothing"));
    assert_eq!((&nothing.parts, report.records_in, report.map_tasks), (&vec![vec![]; 3], 0, 0));
    reconciles(&nothing, &[("in/b-empty".to_owned(), 0)]);

    // Nothing but white space.
    count(dir.path(), &["in/deep/er/d", "--output", "blank"]);
    assert_eq!(read_output(&dir.path().join("blank")).counts, Counts::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_choice_of_splits_partitions_storage_or_compression_changes_a_count() {
    let dir = tempfile::tempdir().unwrap();
    let input = [odd(), text(1, 60_000)].concat();
    let path = dir.path().join("in.txt");
    fs::write(&path, &input).unwrap();
    let want = naive_count([&input[..]]);
    let driver = driver(|local| local).await;
    for partitions in [1, 3, 17] {
        let mut parts = None;
        for split_bytes in [4_000, 50_000, 1 << 30] {
            for (compression, inline) in [
                (Compression::Lz4, Some(0)),
                (Compression::None, Some(u64::MAX)),
                (Compression::Lz4, Some(u64::MAX)),
                (Compression::None, Some(0)),
                (Compression::Lz4, None),
            ] {
                let output = dir.path().join("out");
                let submit = Submit::new([shown(&path)], shown(&output)).with_overwrite().with_compression(compression);
                let submit = submit.with_partitions(partitions).with_split_bytes(split_bytes);
                let submit = inline.into_iter().fold(submit, Submit::with_inline_bytes);
                let way = format!("{submit:?}");
                let report = driver.submit(&WordCount, submit).await.unwrap().wait().await.unwrap();
                let out = read_output(&output);
                assert!(out.counts == want, "{way}");
                reconciles(&out, &[(shown(&path), input.len() as u64)]);
                assert_eq!(out.parts.len() as u32, partitions);
                assert_eq!(&out.parts, parts.get_or_insert_with(|| out.parts.clone()), "{way}");
                let kinglet::RunPlaces { inline: in_table, object: in_objects, empty, .. } = report.runs;
                assert_eq!(in_table + in_objects + empty, report.map_tasks);
                match inline {
                    Some(0) => assert_eq!(in_table, 0, "{way}"),
                    Some(_) => assert_eq!(in_objects, 0, "{way}"),
                    None => {}
                }
            }
        }
    }
    driver.close().await;
}

#[test]
fn the_built_functions_and_the_program_itself_give_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let input = [odd(), text(2, 200_000)].concat();
    fs::write(dir.path().join("in.txt"), &input).unwrap();
    let functions = shown(programs::directory());
    let mut all = Vec::new();
    for (out, more) in [("itself", None), ("built", Some(["--functions", &functions]))] {
        let mut args = vec!["in.txt", "--output", out, "--split-bytes", "30000", "--partitions", "3"];
        args.extend(more.iter().flatten());
        count(dir.path(), &args);
        all.push(read_output(&dir.path().join(out)).parts);
    }
    assert!(all[0] == all[1]);
    assert_eq!(all[0].concat().iter().filter(|byte| **byte == b'\n').count(), naive_count([&input[..]]).len());
}

#[test]
fn thousands_of_small_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut input = Vec::new();
    for n in 0..3_000_usize {
        let name = format!("in/{:02}/{}/file {n}.txt", n % 30, n % 7);
        fs::create_dir_all(dir.path().join(&name).parent().unwrap()).unwrap();
        // Every tenth is empty, and none ends a line: files must not run into one another.
        let content = if n % 10 == 0 { vec![] } else { text(n as u64, n % 300) };
        fs::write(dir.path().join(&name), &content).unwrap();
        input.push((name, content));
    }
    let report = count(dir.path(), &["in", "--output", "out"]);
    let out = read_output(&dir.path().join("out"));
    assert!(out.counts == naive_count(input.iter().map(|(_, content)| &content[..])));
    let sizes: Vec<_> = input.iter().map(|(name, content)| (name.clone(), content.len() as u64)).collect();
    reconciles(&out, &sizes);
    assert!(report.objects == 3_000 && report.map_tasks < 100, "{report}");
}

#[test]
fn a_mapper_whose_memory_is_full_spills_and_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let mut input = Vec::new();
    for n in 0..1_400_000_u64 {
        input.extend_from_slice(format!("{:x}-{}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15), n % 1_000).as_bytes());
    }
    fs::write(dir.path().join("in.txt"), &input).unwrap();
    let args = ["in.txt", "--output", "out", "--memory-mb", "128", "--split-bytes", "1000000000"];
    let report = count(dir.path(), &args);
    assert!(report.spills > 0, "{report}");
    assert_eq!(report.map_tasks, 1);
    let out = read_output(&dir.path().join("out"));
    assert!(out.counts == naive_count([&input[..]]));
    reconciles(&out, &[("in.txt".to_owned(), input.len() as u64)]);
}

#[test]
fn one_line_that_is_longer_than_all_blocks_and_one_word_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut line = b"word another third ".repeat(40_000_000 / 19);
    line.extend_from_slice(b"end");
    fs::write(dir.path().join("line"), &line).unwrap();
    count(dir.path(), &["line", "--output", "line-out", "--split-bytes", "9000000"]);
    let words = (40_000_000 / 19) as u64;
    let want = [("another", words), ("end", 1), ("third", words), ("word", words)];
    let out = read_output(&dir.path().join("line-out"));
    assert_eq!(out.counts, want.map(|(word, n)| (word.as_bytes().to_vec(), n)).into());
    reconciles(&out, &[("line".to_owned(), line.len() as u64)]);

    let word = vec![b'w'; 12_000_000];
    fs::write(dir.path().join("word"), &word).unwrap();
    count(dir.path(), &["word", "--output", "word-out", "--split-bytes", "5000000"]);
    let out = read_output(&dir.path().join("word-out"));
    assert!(out.counts == Counts::from([(word, 1)]));
    reconciles(&out, &[("word".to_owned(), 12_000_000)]);
}
