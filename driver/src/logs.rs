//! What the functions logged about a job: from CloudWatch Logs on AWS, from files on this machine.

use kinglet_core::ids::{JobId, Stage, Timestamp};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A line of a function's log. Kinglet's own lines are JSON objects, whose members `docs/reference/logs.md` lists.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogLine {
    /// When it was written, if that is known.
    pub at: Option<Timestamp>,
    /// The function that wrote it.
    pub function: String,
    /// The line as it was written.
    pub text: String,
    /// Its members, if it is a JSON object.
    pub members: Map<String, Value>,
}

/// Which lines of a job's log to read: by default all.
///
/// ```
/// use kinglet::{LogFilter, Stage};
///
/// let of_first_mapper = LogFilter::default().with_stage(Stage::Map).with_task(0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogFilter {
    /// Only lines of this task, of whichever stage.
    pub task: Option<u32>,
    /// Only lines of this stage.
    pub stage: Option<Stage>,
    /// Only lines written since this time.
    pub since: Option<Timestamp>,
}

/// The most lines that are read of one job's log. A large job writes more; a task, a stage or a time narrows them down.
pub const LOG_LINES_MAX: usize = 100_000;

impl LogLine {
    /// Parses a line that `function` wrote. `at` is the time that the log keeps for the line; without it the time is read
    /// from the line itself.
    pub(crate) fn parse(function: &str, at: Option<Timestamp>, text: &str) -> Self {
        let members = match serde_json::from_str(text) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
        let said = || {
            let said = OffsetDateTime::parse(members.get("timestamp")?.as_str()?, &Rfc3339).ok()?;
            Some(Timestamp(u64::try_from(said.unix_timestamp_nanos() / 1_000_000).ok()?))
        };
        LogLine { at: at.or_else(said), function: function.to_owned(), text: text.to_owned(), members }
    }

    /// Returns the text of a member.
    pub fn member(&self, name: &str) -> Option<&str> {
        self.members.get(name)?.as_str()
    }

    /// Returns whether the line is of this job, as far as the line says which job it is of.
    pub(crate) fn is_of(&self, job: &JobId) -> bool {
        match self.member("job") {
            Some(of) => of == job.as_str(),
            None => self.text.contains(job.as_str()),
        }
    }
}

impl LogFilter {
    /// Takes only lines of this task, of whichever stage.
    #[must_use]
    pub fn with_task(self, task: u32) -> Self {
        LogFilter { task: Some(task), ..self }
    }

    /// Takes only lines of this stage.
    #[must_use]
    pub fn with_stage(self, stage: Stage) -> Self {
        LogFilter { stage: Some(stage), ..self }
    }

    /// Takes only lines written since this time.
    #[must_use]
    pub fn with_since(self, since: Timestamp) -> Self {
        LogFilter { since: Some(since), ..self }
    }

    pub(crate) fn takes(&self, line: &LogLine) -> bool {
        let number = |name: &str| line.members.get(name).and_then(Value::as_u64);
        self.task.is_none_or(|task| number("task") == Some(u64::from(task)))
            && self.stage.is_none_or(|stage| line.member("stage") == Some(stage.to_string().as_str()))
            && self.since.is_none_or(|since| line.at.is_none_or(|at| at >= since))
    }
}

impl std::fmt::Display for LogLine {
    /// Writes the line for people: time, function, task, and what happened.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(at) =
            self.at.and_then(|at| OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000).ok())
        {
            let (hour, minute, second, ms) = (at.hour(), at.minute(), at.second(), at.millisecond());
            write!(f, "{hour:02}:{minute:02}:{second:02}.{ms:03} ")?;
        }
        write!(f, "{}", self.function)?;
        let Some(message) = self.member("message") else { return write!(f, " {}", self.text) };
        if let (Some(stage), Some(task)) = (self.member("stage"), self.members.get("task")) {
            write!(f, " {stage} {task}")?;
            match self.members.get("attempt").and_then(Value::as_u64) {
                Some(0) | None => {}
                Some(attempt) => write!(f, " (try {})", attempt + 1)?,
            }
        }
        write!(f, " {} {message}", self.member("level").unwrap_or("INFO"))?;
        for (name, value) in &self.members {
            match value {
                _ if SHOWN.contains(&name.as_str()) => {}
                Value::Object(_) | Value::Array(_) | Value::Null => {}
                Value::String(text) => write!(f, " {name}={text:?}")?,
                value => write!(f, " {name}={value}")?,
            }
        }
        Ok(())
    }
}

/// Members that are shown elsewhere in a line for people, or that they know already.
const SHOWN: [&str; 14] = [
    "timestamp",
    "level",
    "message",
    "target",
    "requestId",
    "traceId",
    "job",
    "stage",
    "task",
    "piece",
    "attempt",
    "function",
    "Function",
    "JobName",
];

/// Sorts lines by time. A line without a time stays behind the line it came after.
pub(crate) fn in_order(lines: Vec<LogLine>) -> Vec<LogLine> {
    let mut last: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut keyed: Vec<_> = lines
        .into_iter()
        .map(|line| {
            let last = last.entry(line.function.clone()).or_default();
            *last = line.at.unwrap_or(*last);
            (*last, line)
        })
        .collect();
    keyed.sort_by_key(|(at, _)| *at);
    keyed.into_iter().map(|(_, line)| line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: &str = r#"{"timestamp":"2026-11-21T07:14:52.208Z","level":"INFO","message":"task started","requestId":"8f",
        "job":"19aa-f0","stage":"map","task":3,"piece":0,"attempt":1,"function":"kinglet-mapper","memoryMb":1769,"cold":true}"#;

    #[test]
    fn a_line_of_ours_is_read_and_shown() {
        let line = LogLine::parse("kinglet-mapper", None, STARTED);
        assert_eq!(line.at, Some(Timestamp(1_795_245_292_208)));
        let shown = "07:14:52.208 kinglet-mapper map 3 (try 2) INFO task started cold=true memoryMb=1769";
        assert_eq!(line.to_string(), shown);
        assert!(line.is_of(&"19aa-f0".parse().unwrap()) && !line.is_of(&"19aa-f".parse().unwrap()));
        let filter = |task, stage, since: Option<u64>| LogFilter { task, stage, since: since.map(Timestamp) };
        assert!(filter(Some(3), Some(Stage::Map), Some(1_795_245_292_208)).takes(&line));
        assert!(!filter(Some(2), None, None).takes(&line));
        assert!(!filter(None, Some(Stage::Reduce), None).takes(&line));
        assert!(!filter(None, None, Some(1_795_245_292_209)).takes(&line));
    }

    #[test]
    fn a_line_of_anyone_else_is_shown_as_it_is() {
        let line = LogLine::parse("f", Some(Timestamp(1)), "thread 'main' panicked in job 19aa-f0");
        assert_eq!(line.to_string(), "00:00:00.001 f thread 'main' panicked in job 19aa-f0");
        assert!(line.is_of(&"19aa-f0".parse().unwrap()));
    }

    #[test]
    fn lines_are_ordered_by_time_and_followers_stay_behind() {
        let line = |function, at: Option<u64>, text| LogLine::parse(function, at.map(Timestamp), text);
        let lines =
            vec![line("a", Some(5), "a5"), line("a", None, "a5+"), line("b", Some(3), "b3"), line("b", Some(9), "b9")];
        let texts: Vec<_> = in_order(lines).into_iter().map(|line| line.text).collect();
        assert_eq!(texts, ["b3", "a5", "a5+", "b9"]);
    }
}
