//! The log files of an embedded runtime: one for each environment, named after its function and a number, with the lines of
//! every job that ran in it.
//!
//! An invocation's lines stand between `START RequestId: …` and the next such line. Some of them name the job; that holds
//! for all other lines of the invocation too: what a job's own code prints, and Lambda's `REPORT`.

use crate::logs::{LOG_LINES_MAX, LogFilter, LogLine, in_order};
use kinglet_core::ids::JobId;
use std::path::Path;

/// Returns the lines of a job that `filter` takes, in order. Files that cannot be read, or are removed meanwhile, give none.
pub(crate) fn lines(dir: &Path, job: &JobId, filter: &LogFilter) -> Vec<LogLine> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let Some(function) = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.rsplit_once('-'))
        else {
            continue;
        };
        let Ok(bytes) = std::fs::read(&path) else { continue };
        of_job(function.0, &String::from_utf8_lossy(&bytes), job, filter, &mut lines);
    }
    let mut lines = in_order(lines);
    lines.truncate(LOG_LINES_MAX);
    lines
}

fn of_job(function: &str, text: &str, job: &JobId, filter: &LogFilter, found: &mut Vec<LogLine>) {
    let mut invocation: Vec<LogLine> = Vec::new();
    let mut end = |invocation: &mut Vec<LogLine>| {
        let Some(ours) = invocation.iter().position(|line| line.member("job").is_some() && line.is_of(job)) else {
            return invocation.clear();
        };
        let named = invocation[ours].members.clone();
        // A line without a time was written after the line before it; lines before the first time count as of that time.
        let mut at = invocation.iter().find_map(|line| line.at);
        for mut line in invocation.drain(..) {
            at = line.at.or(at);
            line.at = at;
            if line.members.is_empty() {
                // Members are added so that the filter knows what the line is about; the text stays as it is.
                for name in ["stage", "task", "attempt"] {
                    line.members.extend(named.get(name).map(|value| (name.to_owned(), value.clone())));
                }
            }
            if filter.takes(&line) {
                found.push(line);
            }
        }
    };
    for line in text.lines() {
        if line.starts_with("START RequestId: ") {
            end(&mut invocation);
        }
        invocation.push(LogLine::parse(function, None, line));
    }
    end(&mut invocation);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_an_invocation_belong_to_its_job() {
        let dir = tempfile::tempdir().unwrap();
        let text = "INIT\n\
            START RequestId: 1 Version: $LATEST\n{\"timestamp\":\"2026-11-21T07:00:00.001Z\",\"message\":\"m\",\"job\":\"a-1\",\"task\":7}\n\
            printed\nEND RequestId: 1\nREPORT RequestId: 1\n\
            START RequestId: 2 Version: $LATEST\n{\"message\":\"m\",\"job\":\"a-2\"}\nREPORT RequestId: 2\n\
            START RequestId: 3 Version: $LATEST\nnothing is known of this\n";
        std::fs::write(dir.path().join("kinglet-mapper-12.log"), text).unwrap();
        let texts = |job: &str, task| {
            let filter = LogFilter { task, ..LogFilter::default() };
            let lines = lines(dir.path(), &job.parse().unwrap(), &filter);
            assert!(lines.iter().all(|line| line.function == "kinglet-mapper"));
            lines.into_iter().map(|line| line.text.chars().take(8).collect::<String>()).collect::<Vec<_>>()
        };
        assert_eq!(texts("a-1", None), ["START Re", "{\"timest", "printed", "END Requ", "REPORT R"]);
        assert_eq!(texts("a-1", Some(7)).len(), 5);
        assert_eq!(texts("a-1", Some(8)).len(), 0);
        assert_eq!(texts("a-2", None).len(), 3);
        assert_eq!(texts("a-3", None).len(), 0);
        assert_eq!(super::lines(&dir.path().join("gone"), &"a-1".parse().unwrap(), &LogFilter::default()), []);
    }
}
