//! What functions wrote to CloudWatch Logs.

use crate::errors::{Doing, code};
use crate::session::Session;
use kinglet_core::Result;
use kinglet_core::ids::Timestamp;

/// One event of a log group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// CloudWatch's id of it.
    pub id: String,
    /// When it was written.
    pub at: Timestamp,
    /// What was written, without the line's end.
    pub message: String,
}

impl Session {
    /// The next page of the events of a function's log group that contain a term, since a time. Pages may be empty though
    /// more follow; `None` comes back after the last. A function that has no log yet has no events.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when CloudWatch Logs cannot be reached or refuses.
    pub async fn log_page(
        &self,
        function: &str,
        term: &str,
        since: Timestamp,
        page: Option<String>,
    ) -> Result<(Vec<LogEvent>, Option<String>)> {
        let group = format!("/aws/lambda/{function}");
        let doing = Doing::now(format!("reading log group {group}"));
        // In quotes, a term may hold characters that are no letters.
        // https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
        let request = self.logs.filter_log_events().log_group_name(&group).filter_pattern(format!("\"{term}\""));
        let request = request.start_time(i64::try_from(since.0).unwrap_or(i64::MAX)).set_next_token(page);
        let got = match request.send().await {
            Ok(got) => got,
            Err(e) if code(&e).as_deref() == Some("ResourceNotFoundException") => return Ok((vec![], None)),
            Err(e) => return Err(doing.failed(&e)),
        };
        let events = got.events.unwrap_or_default().into_iter().map(|event| LogEvent {
            id: event.event_id.unwrap_or_default(),
            at: Timestamp(event.timestamp.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0)),
            message: event.message.unwrap_or_default().trim_end().to_owned(),
        });
        Ok((events.collect(), got.next_token))
    }
}
