//! Parts in every format: written in bounded memory, and whole or not at all.

use super::passes::Opening;
use super::reduce::{ReduceOptions, Runs, run};
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
    let counts = run(&Squares { to }, &options, Box::new(OnePair), &mut |block| {
        blocks.push(block);
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
