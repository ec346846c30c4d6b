//! `kinglet logs`.

use crate::command::Command;
use crate::desk::Desk;
use crate::options::Cloud;
use crate::stdout;
use crate::times::duration;
use clap::{Args, ValueEnum};
use kinglet::{LogFilter, LogLine, Result, Timestamp};
use std::collections::HashSet;
use std::time::Duration;

/// Show what the functions wrote of a job: from CloudWatch Logs on a stack, else from files
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kinglet logs last\n  kinglet --stack kinglet logs last --follow\n  \
    kinglet --stack kinglet logs f0a9 --task 17 --stage map --json")]
pub(crate) struct Logs {
    /// The job: its id, the start of one of the id's halves, or `last`
    #[arg(value_name = "JOB")]
    job: String,

    /// Only lines of this task
    #[arg(long, value_name = "N")]
    task: Option<u32>,

    /// Only lines of this stage
    #[arg(long, value_enum)]
    stage: Option<StageArg>,

    /// Only lines of the last so many days, hours, minutes or seconds, as 12h [default: since the job began]
    #[arg(long, value_name = "AGO", value_parser = duration)]
    since: Option<Duration>,

    /// Go on until the job ends
    #[arg(short, long)]
    follow: bool,

    /// Print one JSON object a line, as the functions wrote it
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StageArg {
    /// Map tasks
    Map,
    /// Merge tasks
    Merge,
    /// Reduce tasks
    Reduce,
}

impl From<StageArg> for kinglet::Stage {
    fn from(stage: StageArg) -> Self {
        match stage {
            StageArg::Map => kinglet::Stage::Map,
            StageArg::Merge => kinglet::Stage::Merge,
            StageArg::Reduce => kinglet::Stage::Reduce,
        }
    }
}

/// How often new lines are looked for. CloudWatch takes some seconds to have them.
const FOLLOW_EVERY: Duration = Duration::from_secs(2);

/// How far back each look goes: lines come late, and not in order.
const FOLLOW_BACK_MS: u64 = 30_000;

impl Command for Logs {
    async fn run(self, cloud: &Cloud) -> Result<()> {
        let desk = Desk::of(cloud).await?;
        let job = desk.find(&self.job).await?;
        let since = self.since.map(|ago| Timestamp(Timestamp::now().0.saturating_sub(ago.as_millis() as u64)));
        let mut filter = LogFilter::default();
        (filter.task, filter.stage, filter.since) = (self.task, self.stage.map(Into::into), since);
        let mut shown: HashSet<(String, Option<Timestamp>, String)> = HashSet::new();
        loop {
            // The phase is read before the lines: if the job had ended by then, its lines are all there are, except for
            // CloudWatch's delay.
            let over = !self.follow || desk.status(&job).await?.phase.is_final();
            for line in desk.logs(&job, &filter).await? {
                if !self.follow || shown.insert((line.function.clone(), line.at, line.text.clone())) {
                    print_line(&line, self.json)?;
                }
            }
            if over || stdout::is_closed() {
                return Ok(());
            }
            let newest = shown.iter().filter_map(|(_, at, _)| *at).max();
            filter.since = newest.map(|at| Timestamp(at.0.saturating_sub(FOLLOW_BACK_MS))).max(since);
            let pause = if matches!(desk, Desk::Stack(_)) { FOLLOW_EVERY } else { FOLLOW_EVERY / 10 };
            tokio::time::sleep(pause).await;
        }
    }
}

fn print_line(line: &LogLine, json: bool) -> Result<()> {
    match json {
        false => println!("{line}"),
        // Lines that are JSON go out as they were written.
        true if line.text.starts_with('{') => println!("{}", line.text),
        true => println!("{}", serde_json::json!({ "function": line.function, "message": line.text })),
    }
    Ok(())
}
