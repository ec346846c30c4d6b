//! Reading what functions wrote to CloudWatch Logs.

use crate::errors::{Doing, code};
use crate::one_call::events::Filter;
use crate::session::Session;
use kinglet_core::ids::Timestamp;
use kinglet_core::{Code, Error, Result};

/// An event of a log group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// CloudWatch's id of the event.
    pub id: String,
    /// When it was written.
    pub at: Timestamp,
    /// The text, without the line's end.
    pub message: String,
}

impl Session {
    /// Reads the next page of those events of a function's log group since a time that contain a term. A page may be empty
    /// though more follow; the token is `None` after the last page. A function without a log has no events.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when CloudWatch cannot be reached or refuses.
    pub async fn log_page(
        &self,
        function: &str,
        term: &str,
        since: Timestamp,
        page: Option<String>,
    ) -> Result<(Vec<LogEvent>, Option<String>)> {
        let group = format!("/aws/lambda/{function}");
        let doing = Doing::now(format!("reading log group {group}"));
        // A quoted term may hold characters other than letters and digits.
        // https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
        let filter = Filter {
            log_group_name: &group,
            filter_pattern: format!("\"{term}\""),
            start_time: since.0,
            next_token: page,
        };
        let asked = serde_json::to_string(&filter)
            .map_err(|e| Error::new(Code::Event, format!("encoding a request for {group}: {e}")))?;
        let got = match self.filter_log_events.reply(asked).await {
            Ok(got) => got,
            Err(e) if code(&e).as_deref() == Some("ResourceNotFoundException") => return Ok((vec![], None)),
            Err(e) => return Err(doing.failed(&e)),
        };
        let events = got.events.into_iter().map(|event| LogEvent {
            id: event.event_id.unwrap_or_default(),
            at: Timestamp(event.timestamp.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0)),
            message: event.message.unwrap_or_default().trim_end().to_owned(),
        });
        Ok((events.collect(), got.next_token))
    }
}
