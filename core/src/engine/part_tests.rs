//! Parts in every format: written in bounded memory, and whole or not at all.

use super::passes::Opening;
use super::reduce::{FileOp, ReduceOptions, Runs, run};
use crate::error::Result;
use crate::output::OutputFormat;
use crate::wire::run::{AnyRun, Compression, RunReader, RunWriter};
use crate::{Emitter, Job, Lines, SerdeRow, Sink, UserResult, Values};
use serde::{Deserialize, Serialize};
use std::io::Cursor;

#[derive(Serialize)]
struct Square {
    n: u64,
    square: f64,
}

impl SerdeRow for Square {}

/// Writes many records of one key, and does not look at errors.
#[derive(Serialize, Deserialize)]
struct Squares {
    to: u64,
}

impl Job for Squares {
    const NAME: &'static str = "squares";
    type Input = Lines;
    type Key = u64;
    type Value = u64;
    type Output = Square;

    fn map(&self, _: &str, _: &mut Emitter<'_, u64, u64>) -> UserResult {
        Ok(())
    }

    fn reduce(&self, _: u64, _: Values<'_, u64>, out: &mut Sink<'_, Square>) -> UserResult {
        for n in 0..self.to {
            let square = if n == 70_000 { f64::NAN } else { (n * n) as f64 };
            let _ = out.push(&Square { n, square });
        }
        Ok(())
    }
}

struct OnePair;

impl Runs for OnePair {
    fn count(&self) -> usize {
        1
    }

    fn open(&mut self, _: &[Opening]) -> Result<Vec<AnyRun>> {
        let mut run = RunWriter::new(Compression::None);
        run.push_encoded(&mut vec![0; 8], &crate::codec::encode(&0u64)?)?;
        Ok(vec![RunReader::open(Cursor::new(run.finish().0), "a run")?.boxed()])
    }
}

/// Reduces, and returns the blocks of the part.
fn blocks(to: u64, format: OutputFormat) -> Result<Vec<Vec<u8>>> {
    let options = ReduceOptions { fan_in_max: 2, format, output_bytes: 1_000, ..ReduceOptions::default() };
    let mut blocks = vec![];
    let counts = run(&Squares { to }, &options, Box::new(OnePair), &mut |op| {
        if let FileOp::Bytes(block) = op {
            blocks.push(block);
        }
        Ok(())
    })?
    .counts;
    assert_eq!(counts.records_out, to);
    assert_eq!(counts.bytes_out as usize, blocks.iter().map(Vec::len).sum::<usize>());
    Ok(blocks)
}

#[test]
fn a_key_of_any_number_of_records_takes_one_block_of_memory() {
    let written = blocks(50_000, OutputFormat::csv()).unwrap();
    assert!(written.len() > 500 && written.iter().all(|block| block.len() < 1_100));
    let text = String::from_utf8(written.concat()).unwrap();
    assert!(text.starts_with("n,square\n0,0.0\n1,1.0\n2,4.0\n"), "{}", &text[..40]);
    assert_eq!((text.matches("square").count(), text.lines().count()), (1, 50_001));
}

#[test]
fn a_record_that_was_not_written_fails_the_task_whoever_looked_at_the_error() {
    assert!(blocks(80_000, OutputFormat::csv()).unwrap().concat().windows(4).any(|bytes| bytes == b",NaN"));
    let error = blocks(80_000, OutputFormat::json_lines()).unwrap_err();
    assert_eq!(error.code(), "output-value");
    assert!(error.to_string().contains("squares"), "{error}");
}

/// Writes rows of many folders, in the order that it is told.
#[derive(Serialize, Deserialize)]
struct Foldered {
    years: Vec<u32>,
}

#[derive(Serialize)]
struct OfYear {
    n: usize,
    year: u32,
}

impl SerdeRow for OfYear {}

impl Job for Foldered {
    const NAME: &'static str = "foldered";
    type Input = Lines;
    type Key = u64;
    type Value = u64;
    type Output = OfYear;

    fn map(&self, _: &str, _: &mut Emitter<'_, u64, u64>) -> UserResult {
        Ok(())
    }

    fn reduce(&self, _: u64, _: Values<'_, u64>, out: &mut Sink<'_, OfYear>) -> UserResult {
        self.years.iter().enumerate().try_for_each(|(n, year)| out.push(&OfYear { n, year: *year }))
    }
}

fn ops(years: &[u32], format: OutputFormat) -> Result<Vec<FileOp>> {
    let options = ReduceOptions { format, output_bytes: 100, ..ReduceOptions::default() };
    let mut ops = vec![];
    let counts = run(&Foldered { years: years.to_vec() }, &options, Box::new(OnePair), &mut |op| {
        ops.push(op);
        Ok(())
    })?
    .counts;
    let bytes = ops.iter().cloned().map(|op| op.into_bytes().len() as u64).sum::<u64>();
    assert_eq!((counts.records_out, counts.bytes_out), (years.len() as u64, bytes));
    Ok(ops)
}

#[test]
fn a_file_begins_where_the_folder_changes_and_a_folder_that_comes_again_has_another() {
    let format = OutputFormat::csv().with_partition_by(["year"]);
    let begin = |year: u32, before| FileOp::Begin { folder: format!("year={year}/"), before };
    let bytes = |text: &str| FileOp::Bytes(text.as_bytes().to_vec());
    let end = |records| FileOp::End { records };
    let want = [
        [begin(1, 0), bytes("n\n0\n1\n"), end(2)],
        [begin(2, 0), bytes("n\n2\n"), end(1)],
        [begin(1, 1), bytes("n\n3\n"), end(1)],
    ];
    assert_eq!(ops(&[1, 1, 2, 1], format.clone()).unwrap(), want.concat());
    // Without a record there is no file; without folders, there is one.
    assert_eq!(ops(&[], format.clone()).unwrap(), []);
    let one = [FileOp::Begin { folder: String::new(), before: 0 }, bytes(""), end(0)];
    assert_eq!(ops(&[], OutputFormat::csv()).unwrap(), one);
    // Blocks of one file come one behind the other.
    let many = ops(&[7; 200], format).unwrap();
    assert!(many.len() > 6 && many[1..many.len() - 1].iter().all(|op| matches!(op, FileOp::Bytes(_))), "{many:?}");
}

#[test]
fn a_task_begins_no_more_files_than_it_may() {
    let format = OutputFormat::json_lines().with_partition_by(["year"]).with_files_max(3);
    assert!(ops(&[1, 2, 2, 3, 3], format.clone()).is_ok());
    let error = ops(&[1, 2, 2, 3, 4], format).unwrap_err();
    assert!(error.is(crate::Code::OutputFiles), "{error}");
    let says = error.to_string();
    assert!(says.contains("partitioned by year") && says.contains("3 files") && says.contains("year=4/"), "{says}");
    assert!(error.hint().unwrap().contains("--max-files"));
}
