//! `kinglet-sim`: a region of AWS in one thread, in virtual time, under a seed.
//!
//! The functions, the driver, the SDK and the ledger are the real ones; a request passes from the SDK's connector to the
//! engine that answers it without a socket between. Time is Tokio's, paused: it moves when nobody has anything to do. All
//! chance comes from the seed, so the same seed gives the same trace.
//!
//! ```text
//! workload ──▶ driver ─┐                                            ┌─▶ s3s, our buckets
//!                      ├─▶ SDK ─▶ machine (faults, latency) ─▶ region ─▶ dynoxide
//! Lambda ─▶ handlers ──┘                                            └─▶ Lambda: queues, environments, destinations
//!      ▲───────────────────────────────────────────────────────────────────┘
//! ```
//!
//! In reading order: `main` runs seeds; `run` is one; `workloads` has what drivers do and `world` what they do it with;
//! `region`, `machine`, `services` and `lambda` are the simulation, `model` its numbers, `faults` what goes wrong; `check`
//! says what must hold afterwards; `shrink` finds the fewest faults that break it.
//!
//! **Absent on purpose:** what needs true processes (memory, full disks, signals) is tested on the embedded runtime.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod chance;
mod check;
mod faults;
mod lambda;
mod machine;
mod model;
mod region;
mod run;
mod scenarios;
mod services;
mod shrink;
mod trace;
mod workloads;
mod world;

use clap::Parser;
use run::{Ran, Run};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use workloads::Workload;

/// Simulates jobs in a region of AWS, under seeds, with faults at every step.
#[derive(Parser)]
struct Options {
    /// The seeds, the last one included.
    #[arg(long, default_value = "1..100", value_parser = seeds)]
    seeds: std::ops::RangeInclusive<u64>,
    /// The workloads, separated by commas; all by default.
    #[arg(long, value_delimiter = ',')]
    jobs: Vec<String>,
    /// The most faults in a run.
    #[arg(long, default_value_t = 12)]
    faults: u32,
    /// Lets faults strike only steps whose name has this in it, as `DELETE output/result/_owner.json`, and often; else half of
    /// the seeds have such steps of their own. `--trace` shows the names.
    #[arg(long)]
    focus: Option<String>,
    /// Prints the trace of each run.
    #[arg(long)]
    trace: bool,
    /// Runs each seed twice, and compares the traces.
    #[arg(long)]
    twice: bool,
    /// Finds the fewest faults with which a failing run still fails.
    #[arg(long)]
    shrink: bool,
    /// Ends with the first run that fails.
    #[arg(long)]
    first: bool,
    /// How many threads run seeds.
    #[arg(long)]
    threads: Option<usize>,
    /// Runs these scenarios instead, separated by commas; `all` for all of them.
    #[arg(long, value_delimiter = ',')]
    scenario: Vec<String>,
    /// How many map tasks the scenarios have, instead of their own number.
    #[arg(long)]
    tasks: Option<u64>,
    /// Lists the workloads and the scenarios.
    #[arg(long)]
    list: bool,
}

fn seeds(text: &str) -> Result<std::ops::RangeInclusive<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|e| format!("{text:?}: {e}"));
    match text.split_once("..") {
        Some((first, last)) => Ok(number(first)?..=number(last.trim_start_matches('='))?),
        None => Ok(number(text)?..=number(text)?),
    }
}

/// What came of all runs of a workload.
#[derive(Default)]
struct Total {
    runs: u64,
    failed: u64,
    faults: BTreeMap<String, u64>,
    requests: u64,
    simulated: Duration,
    took: Duration,
    real: Duration,
    ends: BTreeMap<&'static str, u64>,
}

impl Total {
    fn add(&mut self, ran: &Ran) {
        self.runs += 1;
        self.failed += u64::from(!ran.violations.is_empty());
        for fault in &ran.struck {
            *self.faults.entry(format!("{:?}", fault.struck.kind)).or_default() += 1;
        }
        self.requests += ran.requests.values().sum::<u64>();
        self.simulated += ran.simulated;
        self.took += ran.took;
        self.real += ran.real;
        for phase in &ran.ends {
            *self.ends.entry(phase.as_str()).or_default() += 1;
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.list {
        workloads::ALL.iter().for_each(|workload| println!("{:<18} {}", workload.name, workload.about));
        scenarios::ALL.iter().for_each(|scenario| println!("{:<18} {}", scenario.name, scenario.about));
        return ExitCode::SUCCESS;
    }
    if let Ok(filter) = std::env::var("KINGLET_LOG") {
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
    }
    let unknown = options.jobs.iter().find(|name| workloads::ALL.iter().all(|workload| workload.name != **name));
    if let Some(unknown) = unknown {
        eprintln!("there is no workload {unknown:?}; --list lists them");
        return ExitCode::from(2);
    }
    if let Err(error) = workloads::register() {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    if !options.scenario.is_empty() {
        let named = |name: &str| options.scenario.iter().any(|wanted| wanted == name || wanted == "all");
        let mut good = true;
        for scenario in scenarios::ALL.iter().filter(|scenario| named(scenario.name)) {
            good &= scenario.go(*options.seeds.start(), options.tasks);
        }
        return if good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let chosen: Vec<&'static Workload> = workloads::ALL
        .iter()
        .filter(|workload| options.jobs.is_empty() || options.jobs.iter().any(|name| name == workload.name))
        .collect();
    let failed = run_all(&options, &chosen);
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs all seeds of the workloads, and prints what came of them. Returns how many runs have failed.
fn run_all(options: &Options, chosen: &[&'static Workload]) -> u64 {
    let began = Instant::now();
    let runs: Vec<(&'static Workload, u64)> =
        options.seeds.clone().flat_map(|seed| chosen.iter().map(move |workload| (*workload, seed))).collect();
    let (next, totals) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<&str, Total>::new()));
    let over = AtomicBool::new(false);
    let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((workload, seed)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let ran = one(options, workload, *seed);
                    over.fetch_or(options.first && !ran.violations.is_empty(), Ordering::Relaxed);
                    let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
                    totals.entry(workload.name).or_default().add(&ran);
                }
            });
        }
    });
    let totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    print(&totals, began.elapsed());
    totals.values().map(|total| total.failed).sum()
}

/// Runs one seed of a workload, and says what was wrong.
fn one(options: &Options, workload: &'static Workload, seed: u64) -> Ran {
    let mut run = Run::of(workload, seed, options.faults, options.focus.as_deref());
    run.keep_trace = options.trace || options.twice;
    let mut ran = run.judged();
    if options.trace {
        ran.trace.iter().for_each(|line| println!("{line}"));
    }
    if options.twice {
        let again = run.go();
        if again.hash != ran.hash {
            let at = ran.trace.iter().zip(&again.trace).position(|(one, two)| one != two).unwrap_or(0);
            let lines = [&ran.trace, &again.trace].map(|trace| trace.get(at).cloned().unwrap_or_default());
            ran.violations.push(format!("two runs differ at line {at}:\n    {}\n    {}", lines[0], lines[1]));
        }
    }
    if !ran.violations.is_empty() {
        let mut said = format!("seed {seed} of {}:\n", workload.name);
        ran.violations.iter().take(8).for_each(|violation| said.push_str(&format!("  {violation}\n")));
        ran.struck.iter().for_each(|fault| said.push_str(&format!("  after {}\n", fault.struck)));
        if options.shrink {
            let fewest = shrink::shrink(&run, &ran);
            said.push_str("  the fewest faults with which it still fails:\n");
            fewest.iter().for_each(|struck| said.push_str(&format!("    {struck}\n")));
        }
        eprint!("{said}");
    }
    ran
}

fn print(totals: &BTreeMap<&str, Total>, took: Duration) {
    let mut faults = BTreeMap::<&str, u64>::new();
    let (mut runs, mut requests, mut simulated) = (0, 0, Duration::ZERO);
    println!("{:<18} {:>6} {:>6} {:>7} {:>9} {:>9}  ends", "workload", "runs", "failed", "faults", "requests", "hours");
    for (name, total) in totals {
        let ends: Vec<String> = total.ends.iter().map(|(phase, count)| format!("{phase} {count}")).collect();
        println!(
            "{name:<18} {:>6} {:>6} {:>7} {:>9} {:>9.0}  {}",
            total.runs,
            total.failed,
            total.faults.values().sum::<u64>(),
            total.requests,
            total.took.as_secs_f64() / 3_600.0,
            ends.join(", ")
        );
        total.faults.iter().for_each(|(kind, count)| *faults.entry(kind).or_default() += count);
        (runs, requests, simulated) = (runs + total.runs, requests + total.requests, simulated + total.simulated);
    }
    let faults: Vec<String> = faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    println!("faults: {}", faults.join(", "));
    println!(
        "{runs} runs, {requests} requests, {:.0} simulated hours, in {:.1} s",
        simulated.as_secs_f64() / 3_600.0,
        took.as_secs_f64()
    );
}
