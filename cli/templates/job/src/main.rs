//! Counts the lines that begin with each word.

use kinglet::{Combiner, Driver, Emitter, Job, Lines, Registry, Sink, UserResult, Values};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;

/// Counts the lines that begin with each word. Its fields are its parameters: they travel to every function.
#[derive(Serialize, Deserialize)]
struct FirstWords {
    /// Words that are shorter do not count.
    least: usize,
}

impl Job for FirstWords {
    const NAME: &'static str = "first-words";
    type Input = Lines;
    type Key = String;
    type Value = u64;
    type Output = (String, u64);

    /// Called for each line, on all threads. An error fails the job, and names the line's place.
    fn map(&self, line: &str, out: &mut Emitter<'_, String, u64>) -> UserResult {
        match line.split_whitespace().next() {
            Some(word) if word.len() >= self.least => out.emit(word, 1),
            _ => Ok(()),
        }
    }

    /// Makes two values of a key one, before they travel.
    fn combiner(&self) -> Option<Combiner<u64>> {
        Some(Combiner::sum())
    }

    /// Called once for each key, in order.
    fn reduce(&self, word: String, counts: Values<'_, u64>, out: &mut Sink<'_, (String, u64)>) -> UserResult {
        out.push(&(word, counts.sum()))
    }
}

/// Has to come first: what stands before it runs in every function as well.
fn main() -> ExitCode {
    kinglet::main(Registry::new().job::<FirstWords>(), async || {
        let mut args: Vec<String> = std::env::args().skip(1).collect();
        let (driver, output) = match args.first().map(String::as_str) {
            Some("--stack") if args.len() >= 4 => {
                let driver = Driver::aws(args.remove(1)).await?;
                args.remove(0);
                (driver, args.pop().unwrap_or_default())
            }
            Some(first) if !first.starts_with('-') => (Driver::local().await?, "result".to_owned()),
            _ => {
                let name = env!("CARGO_PKG_NAME");
                eprintln!("usage: {name} INPUT...\n       {name} --stack STACK s3://INPUT... s3://OUTPUT");
                std::process::exit(2);
            }
        };
        let report = driver.run(&FirstWords { least: 1 }, args, output).await?;
        println!("{report}");
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_that_begin_with_each_word_are_counted() {
        let lines = b"one two\n\none\n  three one\n";
        // Checked as well: the result is the same wherever the input is cut, and with 1 or 4 partitions.
        let result = kinglet::check_job(&FirstWords { least: 1 }, lines, &[1, 4]).unwrap();
        assert_eq!(result, "one\t2\nthree\t1\n");
    }
}
