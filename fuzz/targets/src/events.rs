//! What functions are invoked with: events, and the records of events that failed. Input: JSON, or anything.

use crate::{Seed, golden};
use kinglet_core::ids::JobId;
use kinglet_core::wire::event::{Event, FailureRecord};
use kinglet_core::wire::log::Subject;
use kinglet_core::wire::trace;

pub(crate) fn run(bytes: &[u8]) {
    if let Ok(event) = serde_json::from_slice::<Event>(bytes) {
        used(&event);
    }
    if let Ok(record) = serde_json::from_slice::<FailureRecord>(bytes)
        && let Ok(event) = serde_json::from_value::<Event>(record.request_payload)
    {
        used(&event);
    }
    let text = String::from_utf8_lossy(bytes);
    if let Ok(job) = text.parse::<JobId>() {
        let _ = (trace::root_of(&job), job.created_at());
    }
    let job = "19aa5440eb0-f0a9c3d5e7ab".parse().expect("an id");
    let header = trace::header(&job, Some(&text));
    assert!(header.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{header:?} cannot be a header");
    assert_eq!(trace::root(&header), Some(&*trace::root_of(&job)));
}

fn used(event: &Event) {
    let text = serde_json::to_vec(event).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<Event>(&text).expect("what was written can be read"), *event);
    let _ = Subject::of(event).members();
    if let Some(job) = event.job() {
        assert!(job.as_str().parse::<JobId>().is_ok(), "{job} is no id");
    }
    if let Event::Map(map) = event {
        assert!(map.plan.from <= map.plan.to);
    }
}

pub(crate) fn seeds() -> Vec<Seed> {
    let lines = golden!("events.jsonl").split(|byte| *byte == b'\n');
    let mut seeds: Vec<_> = (0..).zip(lines).map(|(n, line)| Seed::new(format!("event-{n}"), line)).collect();
    let failed = r#"{"version":"1.0","timestamp":"2026-11-21T07:14:52.208Z","requestContext":{"requestId":"8f50","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:kinglet-mapper:$LATEST","condition":"RetriesExhausted","approximateInvokeCount":1},"requestPayload":{"reduce":{"job":"0193-ab","task":3,"number":1}},"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"responsePayload":{"errorMessage":"RequestId: 8f50 Error: Runtime exited with error: signal: killed","errorType":"Runtime.ExitError"}}"#;
    seeds.push(Seed::new("failure", failed));
    seeds.push(Seed::new("header", "Root=1-6920116c-019aa5440eb0f0a9c3d5e7ab;Parent=53995c3f42cd8ad8;Sampled=1"));
    seeds
}
