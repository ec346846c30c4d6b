//! EventBridge's `PutEvents`.

use super::{Call, json};
use aws_smithy_runtime_api::box_error::BoxError;
use serde::{Deserialize, Serialize};

/// Sends events to a bus. <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>
pub(crate) const PUT_EVENTS: Call<Vec<Taken>> = Call {
    service: "EventBridge",
    host: "events",
    operation: "PutEvents",
    headers: &[("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "AWSEvents.PutEvents")],
    reply: taken,
    refusal: json::refusal,
};

/// What is sent.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Put<'a> {
    pub(crate) entries: Vec<Entry<'a>>,
}

/// An event.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Entry<'a> {
    pub(crate) event_bus_name: &'a str,
    pub(crate) source: &'a str,
    pub(crate) detail_type: &'a str,
    /// JSON as text.
    pub(crate) detail: String,
    /// In seconds since 1970-01-01 UTC.
    pub(crate) time: u64,
}

/// What became of an event: an id, or an error.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Taken {
    pub(crate) event_id: Option<String>,
    pub(crate) error_code: Option<String>,
    pub(crate) error_message: Option<String>,
}

fn taken(body: &[u8]) -> Result<Vec<Taken>, BoxError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Said {
        #[serde(default)]
        entries: Vec<Taken>,
    }
    Ok(serde_json::from_slice::<Said>(body)?.entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_sent_and_answered_as_eventbridge_has_them() {
        let entry = Entry {
            event_bus_name: "jobs",
            source: "kinglet",
            detail_type: "Kinglet Job Ended",
            detail: "{}".to_owned(),
            time: 5,
        };
        assert_eq!(
            serde_json::to_string(&Put { entries: vec![entry] }).unwrap(),
            r#"{"Entries":[{"EventBusName":"jobs","Source":"kinglet","DetailType":"Kinglet Job Ended","Detail":"{}","Time":5}]}"#
        );
        let body = br#"{"FailedEntryCount":1,"Entries":[{"EventId":"e"},{"ErrorCode":"ThrottlingException","ErrorMessage":"slow"}]}"#;
        let [first, second] = <[Taken; 2]>::try_from((PUT_EVENTS.reply)(body).unwrap()).unwrap();
        assert_eq!((first.event_id.as_deref(), first.error_code), (Some("e"), None));
        let (code, message) = (second.error_code.as_deref(), second.error_message.as_deref());
        assert_eq!((second.event_id, code, message), (None, Some("ThrottlingException"), Some("slow")));
        assert!((PUT_EVENTS.reply)(b"").is_err());
    }
}
