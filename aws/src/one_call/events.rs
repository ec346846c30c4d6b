//! CloudWatch Logs' `FilterLogEvents`.

use super::{Call, json};
use serde::{Deserialize, Serialize};

/// Reads events of a log group.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>
pub(crate) const FILTER_LOG_EVENTS: Call<Page> = Call {
    service: "CloudWatch Logs",
    host: "logs",
    operation: "FilterLogEvents",
    headers: &[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "Logs_20140328.FilterLogEvents")],
    reply: |body| Ok(serde_json::from_slice(body)?),
    refusal: json::refusal,
};

/// What is asked for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Filter<'a> {
    pub(crate) log_group_name: &'a str,
    pub(crate) filter_pattern: String,
    pub(crate) start_time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

/// A page of events, as CloudWatch gives it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page {
    #[serde(default)]
    pub(crate) events: Vec<Event>,
    pub(crate) next_token: Option<String>,
}

/// An event; what CloudWatch leaves out is `None`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    pub(crate) event_id: Option<String>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) message: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_asked_for_and_read_as_cloudwatch_has_them() {
        let asked = Filter {
            log_group_name: "/aws/lambda/m",
            filter_pattern: "\"j-1\"".to_owned(),
            start_time: 5,
            next_token: None,
        };
        assert_eq!(
            serde_json::to_string(&asked).unwrap(),
            r#"{"logGroupName":"/aws/lambda/m","filterPattern":"\"j-1\"","startTime":5}"#
        );
        let body =
            br#"{"events":[{"eventId":"e","timestamp":7,"message":"m\n","ingestionTime":8,"logStreamName":"s"},{}],
            "nextToken":"t","searchedLogStreams":[]}"#;
        let Page { events, next_token } = (FILTER_LOG_EVENTS.reply)(body).unwrap();
        assert_eq!(next_token.as_deref(), Some("t"));
        let [first, second] = <[Event; 2]>::try_from(events).unwrap();
        assert_eq!(
            (first.event_id.as_deref(), first.timestamp, first.message.as_deref()),
            (Some("e"), Some(7), Some("m\n"))
        );
        assert_eq!((second.event_id, second.timestamp), (None, None));
        let Page { events, next_token } = (FILTER_LOG_EVENTS.reply)(b"{}").unwrap();
        assert!(events.is_empty() && next_token.is_none());
        assert!((FILTER_LOG_EVENTS.reply)(b"").is_err());
    }
}
