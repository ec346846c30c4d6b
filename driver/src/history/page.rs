//! A job's history as a page: one HTML file that draws itself and asks no network for anything.
//!
//! The page stands in `page.html`, and the job goes into it as JSON:
//!
//! ```text
//! {"status": …           the job's status, as `kinglet status --json` prints it
//!  "errors": [[code, message, hint or null], …]
//!  "attempts": [[stage, task, piece, number, outcome, error, started_ms, ran_ms, init_ms, memory_mb,
//!                bytes_in, records_in, bytes_out, records_out, spills, s3_put, s3_get, dynamodb], …]}
//!
//! stage     0 no task  1 split  2 map  3 reduce
//! outcome   0 committed  1 failed  2 overtaken  3 running
//! error     which of the errors; -1 for none
//! ```

use super::History;
use crate::{Attempt, Error, Outcome, Stage};
use serde_json::{Value, json};

const PAGE: &str = include_str!("page.html");

/// Where the data goes.
const DATA: &str = "KINGLET_DATA";

impl History {
    /// Makes one HTML file of the history, for a browser. It asks no network for anything: when each attempt ran and what became of
    /// it, how many functions ran at once, what each stage took, how even the partitions were, errors, requests, and the bill beside
    /// what was predicted.
    pub fn to_html(&self) -> String {
        let mut errors = Vec::new();
        let attempts: Vec<Value> = self.attempts.iter().map(|attempt| row(attempt, &mut errors)).collect();
        let shown = |error: &&Error| json!([error.code(), error.to_string(), error.hint()]);
        let errors: Vec<Value> = errors.iter().map(shown).collect();
        let data = json!({ "status": self.status, "errors": errors, "attempts": attempts }).to_string();
        // An end tag in a text of the job's would end the script.
        PAGE.replace(DATA, &data.replace('<', "\\u003c"))
    }
}

fn row<'a>(attempt: &'a Attempt, errors: &mut Vec<&'a Error>) -> Value {
    let stage = match attempt.stage {
        None => 0,
        Some(Stage::Split) => 1,
        Some(Stage::Map) => 2,
        Some(Stage::Reduce) => 3,
        Some(Stage::Merge) => 4,
    };
    let (outcome, error) = match &attempt.outcome {
        Outcome::Committed => (0, -1),
        Outcome::Failed(error) => {
            // Thousands of tasks may fail for one reason.
            let known = errors.iter().position(|known| *known == error);
            let at = known.unwrap_or_else(|| {
                errors.push(error);
                errors.len() - 1
            });
            (1, at as i64)
        }
        Outcome::Overtaken => (2, -1),
        Outcome::Running => (3, -1),
    };
    let Attempt { task, piece, number, started_at, ran_ms, init_ms, memory_mb, .. } = attempt;
    let Attempt { bytes_in, records_in, bytes_out, records_out, spills, requests, .. } = attempt;
    let (put, get, dynamodb) = (requests.s3_put, requests.s3_get, requests.dynamodb);
    json!([
        stage,
        task,
        piece,
        number,
        outcome,
        error,
        started_at,
        ran_ms,
        init_ms,
        memory_mb,
        bytes_in,
        records_in,
        bytes_out,
        records_out,
        spills,
        put,
        get,
        dynamodb
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, JobStatus, Phase, Progress, Requests, Tally, Timestamp};

    fn attempt(outcome: Outcome) -> Attempt {
        Attempt {
            stage: Some(Stage::Map),
            task: 3,
            piece: 1,
            number: 2,
            outcome,
            started_at: Timestamp(1_000),
            ran_ms: 20,
            init_ms: 0,
            memory_mb: 1_769,
            bytes_in: 5,
            records_in: 4,
            bytes_out: 3,
            records_out: 2,
            spills: 1,
            requests: Requests::default(),
        }
    }

    #[test]
    fn nothing_of_the_jobs_ends_the_script_and_an_error_is_there_once() {
        let error = Error::new(Code::MapFailed, "</script><b>\u{2028}").with_hint("mend it");
        let (phase, tally) = (Phase::Failed, Tally { done: 0, all: 1 });
        let status = JobStatus {
            job: "19aa5440eb0-f0a9c3d5e7ab".parse().unwrap(),
            name: "</script>".into(),
            phase,
            inputs: vec!["<img src=x>".into()],
            output: "out".into(),
            times: Default::default(),
            progress: Progress { phase, maps: tally, merges: tally, reduces: tally, bytes: tally },
            error: Some(error.clone()),
            report: None,
        };
        let attempts =
            vec![attempt(Outcome::Failed(error.clone())), attempt(Outcome::Failed(error)), attempt(Outcome::Running)];
        let page = History { status, attempts }.to_html();
        let start = PAGE.find(DATA).unwrap();
        let behind = &PAGE[start + DATA.len()..];
        let data = page[start..].strip_suffix(behind).unwrap();
        assert!(!data.contains('<'));
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["status"]["name"], "</script>");
        assert_eq!(data["errors"].as_array().unwrap().len(), 1);
        assert_eq!(data["errors"][0][0], "map-failed");
        let of = |n: usize| data["attempts"][n].to_string();
        assert_eq!(of(0), "[2,3,1,2,1,0,1000,20,0,1769,5,4,3,2,1,0,0,0]");
        assert_eq!(of(2), "[2,3,1,2,3,-1,1000,20,0,1769,5,4,3,2,1,0,0,0]");
    }

    #[test]
    fn the_page_asks_no_network_for_anything() {
        for asks in ["http:", "https:", "src=", "@import", "url(", "fetch(", "XMLHttpRequest"] {
            let allowed = PAGE.replace("http://www.w3.org", "");
            assert!(!allowed.contains(asks), "{asks}");
        }
        assert_eq!(PAGE.matches(DATA).count(), 1);
    }
}
