//! Counts primes with Kinglet's kernel and with primesieve, run for run, and prints both times and their ratio.
//!
//! `cargo run --release -p kinglet-bench --bin primes -- --primesieve primesieve` (Debian: `apt-get install primesieve`).
//! Each row is the median of the runs, which alternate between the two. Ours is timed around the call, threads and all;
//! primesieve's time is what it prints itself, so that starting the process does not count. The counts must agree.

use clap::Parser;
use kinglet_jobs::kernels::primes;
use std::error::Error;
use std::process::Command;
use std::time::Instant;

#[derive(Parser)]
struct Args {
    /// The program to compare with; `none` measures ours alone
    #[arg(long, default_value = "primesieve")]
    primesieve: String,
    /// Runs of each
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Numbers of threads
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    threads: Vec<usize>,
    /// Only the ranges whose names hold this
    #[arg(long, default_value = "")]
    only: String,
    /// Compare this many random ranges too, anywhere in `u64` up to 2^56, by count
    #[arg(long, default_value_t = 0)]
    random: u64,
    /// Seed of the random ranges
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const TEN_9: u64 = 1_000_000_000;

const RANGES: [(&str, u64, u64); 6] = [
    ("to 10^6", 0, 1_000_000),
    ("to 10^9", 0, TEN_9),
    ("to 10^10", 0, 10 * TEN_9),
    ("10^12 + 10^10", 1_000 * TEN_9, 1_010 * TEN_9),
    ("10^18 + 10^10", TEN_9 * TEN_9, TEN_9 * TEN_9 + 10 * TEN_9),
    ("2^64 - 10^10", u64::MAX - 10 * TEN_9 + 1, u64::MAX),
];

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    println!("| range | threads | primes | kinglet (s) | primesieve (s) | ratio | speed-up |");
    println!("|---|---|---|---|---|---|---|");
    for (name, from, to) in RANGES.into_iter().filter(|(name, ..)| name.contains(&args.only)) {
        let mut alone = None;
        for &threads in &args.threads {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
            let (mut ours, mut theirs, mut counted) = (Vec::new(), Vec::new(), 0);
            for _ in 0..args.runs {
                let began = Instant::now();
                counted = pool.install(|| primes::count(from, to))?;
                ours.push(began.elapsed().as_secs_f64());
                if args.primesieve != "none" {
                    let (seconds, count) = primesieve(&args.primesieve, from, to, threads)?;
                    assert_eq!(count, counted, "{name}");
                    theirs.push(seconds);
                }
            }
            let (ours, theirs) = (median(&mut ours), median(&mut theirs));
            let speed_up = *alone.get_or_insert(ours) / ours;
            // It prints its time in milliseconds.
            let ratio = if theirs >= 0.01 { format!("{:.2}", ours / theirs) } else { "–".to_owned() };
            println!("| {name} | {threads} | {counted} | {ours:.4} | {theirs:.4} | {ratio} | {speed_up:.2} |");
        }
    }
    random(&args)
}

fn random(args: &Args) -> Result<(), Box<dyn Error>> {
    use rand::{RngExt, SeedableRng};
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(args.seed);
    for _ in 0..args.random {
        let from = random.random::<u64>() >> random.random_range(8..60_u32);
        let to = from + random.random_range(0..300_000_000_u64);
        let (_, count) = primesieve(&args.primesieve, from, to, 2)?;
        assert_eq!(primes::count(from, to)?, count, "{from} to {to}");
    }
    if args.random > 0 {
        println!("\n{} random ranges agree (seed {}).", args.random, args.seed);
    }
    Ok(())
}

fn primesieve(program: &str, from: u64, to: u64, threads: usize) -> Result<(f64, u64), Box<dyn Error>> {
    let numbers = [from.to_string(), to.to_string(), format!("-t{threads}")];
    let out = Command::new(program).args(numbers).args(["--count", "--time", "--quiet", "--no-status"]).output()?;
    let text = String::from_utf8(out.stdout)?;
    let mut lines = text.lines();
    let seconds = lines.next().and_then(|line| line.strip_prefix("Seconds: ")).ok_or("primesieve printed no time")?;
    let count = lines.next().ok_or("primesieve printed no count")?;
    Ok((seconds.parse()?, count.parse()?))
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
