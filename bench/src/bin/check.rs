//! The judge: says whether two programs gave the same answer, whatever order they wrote it in.
//!
//! Reads files of lines `word<TAB>count` and prints, as one JSON object, the number of lines, the sum of the counts, a
//! digest that does not depend on the lines' order (the sum of their XXH3-128 hashes), the number of bytes, and whether
//! every file is sorted by word with no word twice. Empty files count as sorted.

use std::env;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

fn main() -> Result<(), Box<dyn Error>> {
    let mut answer = Answer { sorted: true, ..Answer::default() };
    let paths: Vec<_> = env::args_os().skip(1).collect();
    if paths.is_empty() {
        return Err("usage: check FILE…".into());
    }
    for path in &paths {
        answer.add_file(Path::new(path))?;
    }
    let Answer { lines, total, digest, bytes, sorted } = answer;
    println!(r#"{{"lines":{lines},"total":{total},"digest":"{digest:032x}","bytes":{bytes},"sorted":{sorted}}}"#);
    Ok(())
}

#[derive(Default)]
struct Answer {
    lines: u64,
    total: u64,
    digest: u128,
    bytes: u64,
    sorted: bool,
}

impl Answer {
    fn add_file(&mut self, path: &Path) -> Result<(), Box<dyn Error>> {
        let shown = path.display();
        let mut file =
            BufReader::with_capacity(1 << 20, File::open(path).map_err(|e| format!("opening {shown}: {e}"))?);
        let (mut line, mut word_before): (Vec<u8>, Option<Vec<u8>>) = (Vec::new(), None);
        for line_number in 1_u64.. {
            line.clear();
            let read = file.read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            let malformed = || format!("{shown} line {line_number}: not a word, a tab and a count");
            let tab = line.iter().rposition(|&byte| byte == b'\t').ok_or_else(malformed)?;
            let count: u64 = str::from_utf8(&line[tab + 1..])?.parse().map_err(|_| malformed())?;
            self.lines += 1;
            self.total += count;
            self.bytes += read as u64;
            self.digest = self.digest.wrapping_add(xxh3_128(&line));
            if let Some(before) = &mut word_before {
                self.sorted &= before.as_slice() < &line[..tab];
                before.clear();
                before.extend_from_slice(&line[..tab]);
            } else {
                word_before = Some(line[..tab].to_vec());
            }
        }
        Ok(())
    }
}
