//! The programs of `docs/coming-from/`: they compile, the jobs give what theirs gives, and the pages have them as they stand here.

use kinglet::check_job;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

mod pywren {
    use kinglet::{Driver, Registry};

    fn square(n: u64) -> u64 {
        n * n
    }

    fn sum(squares: Vec<u64>) -> u64 {
        squares.iter().sum()
    }

    pub(super) fn main() -> std::process::ExitCode {
        kinglet::main(Registry::new().function(square).function(sum), async || {
            let driver = Driver::aws("kinglet").await?;
            println!("{}", driver.map_reduce(square, 0..1_000, sum).await?.await?);
            Ok(())
        })
    }
}

mod lithops {
    use kinglet::{Combiner, Driver, Emitter, Job, Lines, Registry, Sink, UserResult, Values};

    #[derive(serde::Serialize, serde::Deserialize)]
    pub(super) struct WordTotal;

    impl Job for WordTotal {
        const NAME: &'static str = "word-total";
        type Input = Lines;
        type Key = ();
        type Value = u64;
        type Output = u64;

        fn map(&self, line: &str, out: &mut Emitter<'_, (), u64>) -> UserResult {
            out.emit((), line.split_whitespace().count() as u64)
        }
        fn combiner(&self) -> Option<Combiner<u64>> {
            Some(Combiner::sum())
        }
        fn reduce(&self, _: (), counts: Values<'_, u64>, out: &mut Sink<'_, u64>) -> UserResult {
            out.push(&counts.sum())
        }
    }

    pub(super) fn main() -> std::process::ExitCode {
        kinglet::main(Registry::new().job::<WordTotal>(), async || {
            let driver = Driver::aws("kinglet").await?;
            driver.run(&WordTotal, ["s3://books/texts/"], "s3://results/words").await?;
            Ok(())
        })
    }
}

mod corral {
    use kinglet::{Combiner, Driver, Emitter, Job, Lines, Registry, Sink, UserResult, Values};

    #[derive(serde::Serialize, serde::Deserialize)]
    pub(super) struct Traffic;

    impl Job for Traffic {
        const NAME: &'static str = "traffic";
        type Input = Lines;
        type Key = String;
        type Value = u64;
        type Output = (String, u64);

        fn map(&self, line: &str, out: &mut Emitter<'_, String, u64>) -> UserResult {
            match line.split_once(' ') {
                Some((page, bytes)) => out.emit(page, bytes.parse()?),
                None => Ok(()),
            }
        }
        fn combiner(&self) -> Option<Combiner<u64>> {
            Some(Combiner::sum())
        }
        fn reduce(&self, page: String, bytes: Values<'_, u64>, out: &mut Sink<'_, (String, u64)>) -> UserResult {
            out.push(&(page, bytes.sum()))
        }
    }

    pub(super) fn main() -> std::process::ExitCode {
        kinglet::main(Registry::new().job::<Traffic>(), async || {
            let driver = Driver::aws("kinglet").await?;
            println!("{}", driver.run(&Traffic, ["s3://logs/2026/"], "s3://results/traffic").await?);
            Ok(())
        })
    }
}

mod mrjob {
    use kinglet::{Combiner, Csv, CsvDialect, Driver, Emitter, Job, Registry, Sink, UserResult, Values};

    #[derive(serde::Serialize, serde::Deserialize)]
    pub(super) struct Warmest;

    impl Job for Warmest {
        const NAME: &'static str = "warmest";
        type Input = Csv<(String, u16, f64)>;
        type Key = u16;
        type Value = f64;
        type Output = (u16, f64);

        fn input(&self) -> Self::Input {
            Csv::new(CsvDialect::new().without_head())
        }
        fn map(&self, (_, year, degrees): (String, u16, f64), out: &mut Emitter<'_, u16, f64>) -> UserResult {
            out.emit(year, degrees)
        }
        fn combiner(&self) -> Option<Combiner<f64>> {
            Some(Combiner::new(|warmest, degrees| *warmest = warmest.max(degrees)))
        }
        fn reduce(&self, year: u16, degrees: Values<'_, f64>, out: &mut Sink<'_, (u16, f64)>) -> UserResult {
            out.push(&(year, degrees.fold(f64::NEG_INFINITY, f64::max)))
        }
    }

    pub(super) fn main() -> std::process::ExitCode {
        kinglet::main(Registry::new().job::<Warmest>(), async || {
            println!("{}", Driver::local().await?.run(&Warmest, ["weather.csv"], "warmest").await?);
            Ok(())
        })
    }
}

mod spark {
    use kinglet::{Combiner, Driver, Emitter, Job, Lines, Registry, Sink, UserResult, Values};

    #[derive(serde::Serialize, serde::Deserialize)]
    pub(super) struct FirstLetters;

    impl Job for FirstLetters {
        const NAME: &'static str = "first-letters";
        type Input = Lines;
        type Key = char;
        type Value = u64;
        type Output = (char, u64);

        fn map(&self, line: &str, out: &mut Emitter<'_, char, u64>) -> UserResult {
            line.split_whitespace().filter_map(|word| word.chars().next()).try_for_each(|first| out.emit(first, 1))
        }
        fn combiner(&self) -> Option<Combiner<u64>> {
            Some(Combiner::sum())
        }
        fn reduce(&self, first: char, counts: Values<'_, u64>, out: &mut Sink<'_, (char, u64)>) -> UserResult {
            out.push(&(first, counts.sum()))
        }
    }

    pub(super) fn main() -> std::process::ExitCode {
        kinglet::main(Registry::new().job::<FirstLetters>(), async || {
            let driver = Driver::aws("kinglet").await?;
            println!("{}", driver.run(&FirstLetters, ["s3://books/texts/"], "s3://results/letters").await?);
            Ok(())
        })
    }
}

mod hadoop {
    use kinglet::{Combiner, Driver, Emitter, Job, Lines, Registry, Sink, UserResult, Values};

    #[derive(serde::Serialize, serde::Deserialize)]
    pub(super) struct Hits;

    impl Job for Hits {
        const NAME: &'static str = "hits";
        type Input = Lines;
        type Key = String;
        type Value = u64;
        type Output = (String, u64);

        fn map(&self, line: &str, out: &mut Emitter<'_, String, u64>) -> UserResult {
            out.emit(line.split(' ').next().unwrap_or_default(), 1)
        }
        fn combiner(&self) -> Option<Combiner<u64>> {
            Some(Combiner::sum())
        }
        fn reduce(&self, page: String, hits: Values<'_, u64>, out: &mut Sink<'_, (String, u64)>) -> UserResult {
            out.push(&(page, hits.sum()))
        }
    }

    pub(super) fn main() -> std::process::ExitCode {
        kinglet::main(Registry::new().job::<Hits>(), async || {
            let driver = Driver::aws("kinglet").await?;
            println!("{}", driver.run(&Hits, ["s3://logs/2026/"], "s3://results/hits").await?);
            Ok(())
        })
    }
}

/// A page's program.
type Program = fn() -> ExitCode;

/// Each page's program, which is compiled here and started nowhere: it runs on AWS, or as a program of its own.
const PROGRAMS: [(&str, Program); 6] = [
    ("corral", corral::main),
    ("hadoop", hadoop::main),
    ("lithops", lithops::main),
    ("mrjob", mrjob::main),
    ("pywren", pywren::main),
    ("spark", spark::main),
];

#[test]
fn the_programs_of_the_pages_are_these() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/coming-from");
    let mut there: Vec<String> = fs::read_dir(&pages)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    there.sort_unstable();
    assert_eq!(there, PROGRAMS.map(|(name, _)| name));
    for (name, _) in PROGRAMS {
        let page = fs::read_to_string(pages.join(name).with_extension("md")).unwrap();
        let rust = page.split("\n```rust\n").nth(1).unwrap_or_else(|| panic!("{name} has no program of ours"));
        let shown = rust.split("\n```\n").next().unwrap();
        let source = include_str!("coming_from.rs").split(&format!("\nmod {name} {{\n")).nth(1).unwrap();
        let own: Vec<&str> = source.lines().take_while(|line| *line != "}").collect();
        let own: Vec<&str> = own.iter().map(|line| line.strip_prefix("    ").unwrap_or(line)).collect();
        assert_eq!(shown, own.join("\n").replace("pub(super) ", ""), "of {name}");
    }
}

#[test]
fn the_jobs_of_the_pages_give_what_theirs_gives() {
    let words = b"a b c\nd e\n\nbe a\n";
    assert_eq!(check_job(&lithops::WordTotal, words, &[1]).unwrap(), "7\n");
    assert_eq!(check_job(&spark::FirstLetters, words, &[1, 3]).unwrap(), "a\t2\nb\t2\nc\t1\nd\t1\ne\t1\n");
    let log = b"/ 120\n/faq 300\n/ 30\n";
    assert_eq!(check_job(&corral::Traffic, log, &[1, 2]).unwrap(), "/\t150\n/faq\t300\n");
    assert_eq!(check_job(&hadoop::Hits, log, &[1, 2]).unwrap(), "/\t2\n/faq\t1\n");
    let weather = b"Oslo,2024,-3.5\nRome,2024,31\nOslo,2025,22.5\n";
    assert_eq!(check_job(&mrjob::Warmest, weather, &[1, 2]).unwrap(), "2024\t31\n2025\t22.5\n");
}
