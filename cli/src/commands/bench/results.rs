//! The results: plain structs, which `--json` prints as they are, and a table for people.

use kinglet::measure::{FunctionInfo, Line, Services};
use kinglet::{Cost, Report, Requests, StackInfo};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of this layout.
const VERSION: u32 = 2;

/// Everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The version of this layout.
    pub(crate) version: u32,
    /// The version of this program.
    pub(crate) kinglet: String,
    /// Where it ran: `embedded`, or the stack's name.
    pub(crate) place: String,
    /// The stack's region.
    pub(crate) region: Option<String>,
    /// Cores of this machine, on which the functions of the embedded runtime run.
    pub(crate) cores: Option<usize>,
    /// The functions, as Lambda describes them.
    pub(crate) functions: Vec<FunctionInfo>,
    /// What was measured.
    pub(crate) cases: Vec<Case>,
    /// What was found of the services, beside the model of them. It is empty where they were not measured.
    pub(crate) services: Vec<Line>,
    /// All jobs, those that made the corpora too, and what was asked of the services.
    pub(crate) bill: Bill,
}

/// One benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    /// `write`, `read`, `word-count` or `empty-tasks`.
    pub(crate) name: String,
    /// Bytes that it moves, or tasks that it runs.
    pub(crate) size: u64,
    /// `B`, or `tasks`.
    pub(crate) unit: String,
    /// Each run, in order.
    pub(crate) runs: Vec<Run>,
    /// Which of them has the median wall time.
    pub(crate) median: usize,
}

/// One run of a benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// From the submission to the manifest, in milliseconds.
    pub(crate) wall_ms: u64,
    /// Bytes or tasks a second of that.
    pub(crate) per_second: f64,
    /// Bytes a second of the functions' time, in the stage that moves them: what one function does.
    pub(crate) per_function_second: Option<f64>,
    /// Attempts that began a new environment, and all others.
    pub(crate) cold: u64,
    pub(crate) warm: u64,
    /// How long the new environments took to start, on average, in milliseconds.
    pub(crate) init_ms: f64,
    /// Everything else.
    pub(crate) report: Report,
}

/// What it cost.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Bill {
    /// Jobs that ran.
    pub(crate) jobs: u64,
    /// Of functions.
    pub(crate) gb_seconds: f64,
    /// By service.
    pub(crate) requests: Requests,
    /// In US dollars.
    pub(crate) cost: Cost,
}

impl Results {
    pub(crate) fn new(stack: Option<StackInfo>, functions: Vec<FunctionInfo>) -> Self {
        let cores = std::thread::available_parallelism().ok().map(usize::from);
        let (place, region) = stack.map_or(("embedded".to_owned(), None), |stack| (stack.name, Some(stack.region)));
        Results {
            version: VERSION,
            kinglet: env!("CARGO_PKG_VERSION").to_owned(),
            cores: cores.filter(|_| region.is_none()),
            place,
            region,
            functions,
            cases: Vec::new(),
            services: Vec::new(),
            bill: Bill::default(),
        }
    }

    pub(crate) fn add(&mut self, case: Case) {
        case.runs.iter().for_each(|run| self.bill.add(&run.report));
        self.cases.push(case);
    }

    /// What was found of the services from outside.
    pub(crate) fn tried(&mut self, found: &Services) {
        self.services.extend(found.lines.iter().cloned());
        self.bill.requests += found.requests;
        self.bill.cost.lambda += found.cost.lambda;
        self.bill.cost.dynamodb += found.cost.dynamodb;
        self.bill.cost.s3 += found.cost.s3;
        self.bill.cost.total += found.cost.total;
    }

    /// Returns how many bytes a second one function read from S3, if that was measured.
    pub(crate) fn read_per_function_second(&self) -> Option<f64> {
        let read = self.cases.iter().find(|case| case.name == "read")?;
        read.runs.get(read.median)?.per_function_second
    }

    /// A job that had to be run and is not measured.
    pub(crate) fn set_up(&mut self, report: &Report) {
        self.bill.add(report);
    }
}

impl Bill {
    fn add(&mut self, report: &Report) {
        self.jobs += 1;
        self.gb_seconds += report.gb_seconds;
        self.requests += report.requests;
        self.cost.lambda += report.cost.lambda;
        self.cost.dynamodb += report.cost.dynamodb;
        self.cost.s3 += report.cost.s3;
        self.cost.total += report.cost.total;
    }
}

impl Case {
    /// One that moves bytes: `moved` says how many, and in how many milliseconds of the functions' time.
    pub(crate) fn moved(name: &str, size: u64, runs: Vec<Report>, moved: impl Fn(&Report) -> (u64, u64)) -> Self {
        let run = |report: Report| {
            let (bytes, function_ms) = moved(&report);
            Run::of(report, bytes, Some(bytes as f64 * 1e3 / function_ms.max(1) as f64))
        };
        Case::of(name, size, "B", runs.into_iter().map(run).collect())
    }

    /// One that runs tasks.
    pub(crate) fn tasks(name: &str, tasks: u64, runs: Vec<Report>) -> Self {
        Case::of(name, tasks, "tasks", runs.into_iter().map(|report| Run::of(report, tasks, None)).collect())
    }

    fn of(name: &str, size: u64, unit: &str, runs: Vec<Run>) -> Self {
        let mut order: Vec<_> = (0..runs.len()).collect();
        order.sort_by_key(|n| runs[*n].wall_ms);
        let median = order.get(order.len() / 2).copied().unwrap_or(0);
        Case { name: name.to_owned(), size, unit: unit.to_owned(), runs, median }
    }
}

impl Run {
    fn of(report: Report, amount: u64, per_function_second: Option<f64>) -> Self {
        let wall_ms = report.wall.total_ms;
        // The splitter is an attempt too.
        let attempts = 1 + report.map_tasks + report.merge_tasks + report.reduce_tasks;
        Run {
            wall_ms,
            per_second: amount as f64 * 1e3 / wall_ms.max(1) as f64,
            per_function_second,
            cold: report.cold_starts,
            warm: attempts.saturating_sub(report.cold_starts),
            init_ms: report.init_ms as f64 / report.cold_starts.max(1) as f64,
            report,
        }
    }
}

impl Results {
    fn write_cases(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["", "wall s", "of", "rate/s", "a function/s", "maps", "reduces", "cold", "init ms", "GB-s", "$"];
        let mut rows = vec![heads.map(str::to_owned)];
        for case in &self.cases {
            let Some(run) = case.runs.get(case.median) else { continue };
            let report = &run.report;
            let walls = case.runs.iter().map(|run| run.wall_ms);
            let (least, most) = (walls.clone().min().unwrap_or(0), walls.max().unwrap_or(0));
            let seconds = |ms: u64| format!("{:.2}", ms as f64 / 1e3);
            let amount = |per: f64| if case.unit == "B" { megabytes(per) } else { format!("{per:.0} tasks") };
            let size = if case.unit == "B" { bytes(case.size) } else { case.size.to_string() };
            rows.push([
                format!("{} {size}", case.name),
                seconds(run.wall_ms),
                format!("{}: {}–{}", case.runs.len(), seconds(least), seconds(most)),
                amount(run.per_second),
                run.per_function_second.map_or_else(|| "-".to_owned(), megabytes),
                report.map_tasks.to_string(),
                report.reduce_tasks.to_string(),
                run.cold.to_string(),
                format!("{:.0}", run.init_ms),
                format!("{:.2}", report.gb_seconds),
                format!("{:.6}", report.cost.total),
            ]);
        }
        let widths = widths(&rows);
        for row in &rows {
            let mut line = format!("{:<width$}", row[0], width = widths[0]);
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                line.push_str(&format!("  {cell:>width$}"));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Writes what was found of the services beside the model. What is not as the model says has a mark.
    fn write_services(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "the services, asked from this machine; beside it the model, whose times are from within the region"
        )?;
        writeln!(f, "(median and 99th percentile; each heading is a section of {})", kinglet_core::model::PAGE)?;
        let row = |Line { what, measured, model, .. }: &Line| {
            let mark = if model.agrees == Some(false) { "≠ " } else { "" };
            [format!("  {what}"), measured.to_string(), format!("{mark}{}", model.says)]
        };
        let rows: Vec<_> = self.services.iter().map(row).collect();
        let [what, measured, _] = widths(&rows);
        let mut section = "";
        for (line, row) in self.services.iter().zip(&rows) {
            if line.section != section {
                section = &line.section;
                writeln!(f, "{section}")?;
            }
            writeln!(f, "{:<what$}  {:<measured$}  {}", row[0], row[1], row[2])?;
        }
        Ok(())
    }
}

/// Returns how wide each column is.
fn widths<const N: usize>(rows: &[[String; N]]) -> [usize; N] {
    std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kinglet {} on {}", self.kinglet, self.place)?;
        match (self.cores, &self.region) {
            (Some(cores), _) => writeln!(f, ", {cores} cores")?,
            (None, Some(region)) => writeln!(f, " in {region}")?,
            (None, None) => writeln!(f)?,
        }
        for function in &self.functions {
            let FunctionInfo { name, memory_mb, architecture, .. } = function;
            writeln!(f, "  {name}: {memory_mb} MB, {architecture}")?;
        }
        if !self.cases.is_empty() {
            self.write_cases(f)?;
        }
        if !self.services.is_empty() {
            self.write_services(f)?;
        }
        let Bill { jobs, gb_seconds, requests, cost } = &self.bill;
        let (put, get, dynamodb, lambda) = (requests.s3_put, requests.s3_get, requests.dynamodb, requests.lambda);
        writeln!(
            f,
            "all {jobs} jobs: {gb_seconds:.1} GB-s; requests: S3 {put} put, {get} get; DynamoDB {dynamodb}; Lambda {lambda}"
        )?;
        let Cost { lambda, dynamodb, s3, total, .. } = cost;
        writeln!(f, "on AWS about ${total:.4} (Lambda ${lambda:.4}, DynamoDB ${dynamodb:.4}, S3 ${s3:.4})")
    }
}

/// A rate in MB.
fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

/// A number of bytes in the largest unit that leaves it whole.
pub(crate) fn bytes(n: u64) -> String {
    let units = [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    let unit = units.into_iter().find(|(_, size)| n >= *size && n.is_multiple_of(*size));
    unit.map_or_else(|| format!("{n}B"), |(unit, size)| format!("{}{unit}", n / size))
}
