//! What a function logs about a task: one line when it starts and one when it ends. Each is one JSON object, so that CloudWatch
//! Logs Insights, a subscription filter and `kinglet logs` find the lines of a job by `job`. Version 1.
//!
//! ```json
//! {"timestamp":"2026-11-21T07:14:52.208Z","level":"INFO","message":"task started","requestId":"8f50…","traceId":"1-6920…",
//!  "job":"19aa…","stage":"map","task":3,"piece":0,"attempt":0,"function":"kinglet-mapper","memoryMb":1769,"cold":true}
//! {"timestamp":"2026-11-21T07:14:53.001Z","level":"INFO","message":"task ended", …as above…, "outcome":"committed",
//!  "JobName":"word-count","Function":"kinglet-mapper","Records":21034,…,
//!  "_aws":{"Timestamp":1763709293001,"CloudWatchMetrics":[{"Namespace":"Kinglet","Dimensions":[["Function","JobName"]],
//!          "Metrics":[{"Name":"Records","Unit":"Count"},…]}]}}
//! ```
//!
//! All other lines of an invocation have `timestamp`, `level`, `message`, `target` and the same fields from `requestId` to
//! `attempt`; the lines of errors also have `code`, `error` and `hint`.
//!
//! The line at the end is in CloudWatch's *embedded metric format*: `_aws` tells CloudWatch which members are metrics, and
//! which are their dimensions. The dimensions are the function and the job's name, of which there are few; the job's id and the
//! task are no dimensions.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>,
//! 2026-11.
//!
//! | metric | unit | what |
//! |---|---|---|
//! | `Records` | Count | splitter: objects listed; mapper: records read; reducer: records written |
//! | `Bytes` | Bytes | of these |
//! | `Spills` | Count | how often a mapper's memory was full |
//! | `Duration` | Milliseconds | from the event to the answer |
//! | `MemoryPeak` | Megabytes | the most memory that the environment has used so far |
//! | `ColdStart` | Count | 1 for an environment's first invocation, else 0 |
//! | `Failed` | Count | 1 for an attempt that failed, else 0; for one that died of memory or time the splitter writes it |

use crate::ids::{JobId, Piece, Stage, TaskIdx};
use crate::wire::emf::NAME_CHARS_MAX;
use crate::wire::event::Event;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The namespace of the metrics.
pub const NAMESPACE: &str = "Kinglet";

/// What is known about an invocation before it runs: the members that all its lines have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// Lambda's id of the invocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// X-Ray's id of the trace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// `split`, `map` or `reduce`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage: Option<&'static str>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskIdx>,
    /// Which piece of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub piece: Option<Piece>,
    /// Which try, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u16>,
}

impl Subject {
    /// Returns what an event is about.
    pub fn of(event: &Event) -> Self {
        match event {
            Event::Split(event) => {
                Subject { job: Some(event.job.clone()), stage: Some(stage(Stage::Split)), ..Subject::default() }
            }
            Event::Map(event) => Subject {
                job: Some(event.job.clone()),
                stage: Some(stage(Stage::Map)),
                task: Some(event.task),
                piece: Some(event.piece),
                attempt: Some(event.number),
                ..Subject::default()
            },
            Event::Merge(event) => Subject {
                job: Some(event.job.clone()),
                stage: Some(stage(Stage::Merge)),
                task: Some(event.task),
                piece: Some(event.piece),
                attempt: Some(event.number),
                ..Subject::default()
            },
            Event::Reduce(event) => Subject {
                job: Some(event.job.clone()),
                stage: Some(stage(Stage::Reduce)),
                task: Some(event.task),
                piece: Some(event.piece),
                attempt: Some(event.number),
                ..Subject::default()
            },
            Event::Start(_) | Event::Changed(_) | Event::Sweep(_) | Event::Tell(_) | Event::Ping(_) => {
                Subject::default()
            }
        }
    }

    /// Returns the members, in the order of the fields.
    pub fn members(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        }
    }
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Split => "split",
        Stage::Map => "map",
        Stage::Merge => "merge",
        Stage::Reduce => "reduce",
    }
}

/// What a task did before it ended; the table in the module's header says what each number means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Did {
    /// The metric `Records`.
    pub records: u64,
    /// The metric `Bytes`.
    pub bytes: u64,
    /// The metric `Spills`.
    pub spills: u64,
}

/// How a task ended. A field is `None` if it is not known, as of a function that died; then it becomes no metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended<'a> {
    /// The outcome in one word: `committed`, `lost` (another attempt was first), `skipped` (another execution was doing it or
    /// had done it, or nobody wanted it any more), `failed` or `died`.
    pub outcome: &'a str,
    /// The code of the error, if it failed.
    pub code: Option<&'a str>,
    /// The function's name.
    pub function: &'a str,
    /// The job's name.
    pub job_name: &'a str,
    /// What it did.
    pub did: Option<Did>,
    /// The time from the event to the answer, in milliseconds.
    pub duration_ms: Option<f64>,
    /// The function's memory, in MB.
    pub memory_mb: Option<u32>,
    /// The peak of the memory in use, in MB.
    pub memory_peak_mb: Option<u64>,
    /// Whether it was the environment's first invocation.
    pub cold: Option<bool>,
}

/// Returns the members that follow `message` in the line of a start.
pub fn started(subject: &Subject, function: &str, memory_mb: u32, cold: bool) -> Map<String, Value> {
    let mut line = subject.members();
    line.extend(members(json!({ "function": function, "memoryMb": memory_mb, "cold": cold })));
    line
}

/// Returns the members that follow `message` in the line of an end, with or without those that make metrics of them.
pub fn ended(subject: &Subject, ended: &Ended<'_>, now_ms: u64, with_metrics: bool) -> Map<String, Value> {
    let count = |n: u64| json!(n);
    let failed = matches!(ended.outcome, "failed" | "died");
    let metrics = [
        ("Records", "Count", ended.did.map(|did| count(did.records))),
        ("Bytes", "Bytes", ended.did.map(|did| count(did.bytes))),
        ("Spills", "Count", ended.did.map(|did| count(did.spills))),
        ("Duration", "Milliseconds", ended.duration_ms.map(|ms| json!((ms * 100.0).round() / 100.0))),
        ("MemoryPeak", "Megabytes", ended.memory_peak_mb.map(count)),
        ("ColdStart", "Count", ended.cold.map(|cold| count(cold.into()))),
        ("Failed", "Count", Some(count(failed.into()))),
    ];
    let metrics: Vec<_> = metrics.into_iter().filter_map(|(name, unit, value)| Some((name, unit, value?))).collect();
    let mut line = subject.members();
    let dimension = |value: &str| value.chars().take(NAME_CHARS_MAX).collect::<String>();
    line.extend(members(json!({
        "outcome": ended.outcome,
        "JobName": dimension(ended.job_name),
        "Function": dimension(ended.function),
    })));
    line.extend(ended.code.map(|code| ("code".to_owned(), code.into())));
    line.extend(ended.memory_mb.map(|mb| ("memoryMb".to_owned(), mb.into())));
    line.extend(metrics.iter().map(|(name, _, value)| ((*name).to_owned(), value.clone())));
    if with_metrics {
        let definitions: Vec<_> = metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
        let directive =
            json!({ "Namespace": NAMESPACE, "Dimensions": [["Function", "JobName"]], "Metrics": definitions });
        line.insert("_aws".to_owned(), json!({ "Timestamp": now_ms, "CloudWatchMetrics": [directive] }));
    }
    line
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Returns one line of a log: `timestamp`, `level` and `message` first, then the other members in alphabetical order.
pub fn line(timestamp: &str, level: &str, message: &str, members: &Map<String, Value>) -> String {
    let quoted = |text: &str| Value::from(text).to_string();
    let mut line = format!("{{\"timestamp\":{},\"level\":{}", quoted(timestamp), quoted(level));
    line.push_str(&format!(",\"message\":{}", quoted(message)));
    for (name, value) in members {
        if !matches!(name.as_str(), "timestamp" | "level" | "message") {
            line.push_str(&format!(",{}:{value}", quoted(name)));
        }
    }
    line.push('}');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::emf::check;
    use crate::wire::event::{MapEvent, PingEvent, ReduceEvent, SplitEvent, SweepEvent};

    fn subject() -> Subject {
        let map = MapEvent {
            job: "19aa5440eb0-f0a9c3d5e7ab".parse().unwrap(),
            task: TaskIdx(3),
            piece: Piece(1),
            number: 2,
            plan: (0, 1).into(),
            start: None,
            bytes_max: None,
            larger: false,
            calls_max: None,
            program: None,
        };
        let known = Subject::of(&Event::Map(map));
        let trace_id = Some("1-6920116c-019aa5440eb0f0a9c3d5e7ab".to_owned());
        Subject { request_id: Some("8f507cfc-xmpl-4697-b07a-ac58fc914c95".to_owned()), trace_id, ..known }
    }

    fn whole(outcome: &str) -> Ended<'_> {
        Ended {
            outcome,
            code: (outcome == "failed").then_some("map-failed"),
            function: "kinglet-mapper",
            job_name: "word-count",
            did: (outcome == "committed").then_some(Did { records: 21_034, bytes: 140_000, spills: 1 }),
            duration_ms: Some(793.456),
            memory_mb: Some(1_769),
            memory_peak_mb: Some(88),
            cold: Some(true),
        }
    }

    fn died() -> Ended<'static> {
        let code = Some("out-of-memory");
        let ended =
            Ended { code, did: None, duration_ms: None, memory_mb: None, memory_peak_mb: None, ..whole("died") };
        Ended { cold: None, ..ended }
    }

    #[test]
    fn golden() {
        let (at, ms) = ("2026-11-21T07:14:52.208Z", 1_763_709_292_208);
        let lines = [
            line(at, "INFO", "task started", &started(&subject(), "kinglet-mapper", 1_769, true)),
            line(at, "INFO", "task ended", &ended(&subject(), &whole("committed"), ms, true)),
            line(at, "INFO", "task ended", &ended(&subject(), &whole("failed"), ms, true)),
            line(at, "INFO", "task ended", &ended(&subject(), &died(), ms, true)),
            line(at, "INFO", "task ended", &ended(&subject(), &whole("committed"), ms, false)),
        ];
        let text = lines.join("\n") + "\n";
        crate::wire::golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/log-v1.jsonl"), text.as_bytes());
        for metrics in &lines[1..4] {
            check(metrics).unwrap();
        }
    }

    #[test]
    fn a_split_has_no_task_and_a_sweep_no_job() {
        let job: JobId = "0193-ab".parse().unwrap();
        let split = Subject::of(&Event::Split(SplitEvent { job, number: 0 })).members();
        assert_eq!(Value::from(split), json!({ "job": "0193-ab", "stage": "split" }));
    }

    #[test]
    fn a_reducers_lines_name_its_partition_and_its_try() {
        let job: JobId = "0193-ab".parse().unwrap();
        let reduce = Event::Reduce(ReduceEvent { number: 2, ..ReduceEvent::first(job, TaskIdx(3), None) });
        let want = json!({ "job": "0193-ab", "stage": "reduce", "task": 3, "piece": 0, "attempt": 2 });
        assert_eq!(Value::from(Subject::of(&reduce).members()), want);
        for event in [Event::Sweep(SweepEvent {}), Event::Ping(PingEvent {})] {
            assert_eq!(Value::from(Subject::of(&event).members()), json!({}));
        }
    }

    #[test]
    fn what_breaks_the_specification_is_found() {
        let good = line("t", "INFO", "m", &ended(&subject(), &whole("committed"), 1_763_709_292_208, true));
        check(&good).unwrap();
        for (from, to, says) in [
            ("\"_aws\"", "\"aws\"", "_aws is missing"),
            ("1763709292208", "1763709292", "milliseconds"),
            ("\"Unit\":\"Count\"", "\"Unit\":\"Records\"", "no unit"),
            ("\"Records\":21034", "\"Records\":\"21034\"", "no number"),
            ("\"Records\":21034,", "", "Records is missing"),
            ("\"JobName\":\"word-count\"", "\"JobName\":\"\"", "JobName is no text"),
            ("\"JobName\":\"word-count\"", "\"JobName\":7", "JobName is no text"),
            ("[[\"Function\",\"JobName\"]]", "[]", "no set"),
            ("\"Namespace\":\"Kinglet\"", "\"Namespace\":\"\"", "Namespace"),
        ] {
            let bad = good.replace(from, to);
            assert!(bad != good, "{from} is not in {good}");
            let said = check(&bad).unwrap_err();
            assert!(said.contains(says), "{to}: {said}");
        }
    }
}
