//! `Event` invocations, retries and failure records; concurrency.

use super::*;

#[tokio::test]
async fn an_event_that_keeps_failing_is_tried_three_times_and_recorded() {
    let rig = Rig::start(vec![function("f")], |_| ()).await;
    let mark = rig.path("mark");
    rig.invoke_event("f", json!({ "mark": mark, "good_from": 99 })).await;
    rig.quiet().await;

    assert_eq!(rig.lines("mark"), 3);
    let reports = rig.host.reports();
    assert_eq!(reports.iter().map(|report| report.attempt).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(reports.iter().all(|report| report.request_id == reports[0].request_id));
    let file = std::fs::read_to_string(rig.path("host/failures.jsonl")).unwrap();
    let record: Value = serde_json::from_str(&file).unwrap();
    assert_eq!(record, serde_json::to_value(&rig.host.failures()[0]).unwrap());
    let context = json!({
        "requestId": &*reports[0].request_id,
        "functionArn": "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    });
    assert_eq!(record["requestContext"], context);
    assert_eq!(record["requestPayload"]["good_from"], 99);
    assert_eq!(record["responsePayload"]["errorType"], "ValueError");
    rig.host.stop().await;
}

#[tokio::test]
async fn an_event_that_recovers_leaves_no_record() {
    let rig = Rig::start(vec![function("f")], |_| ()).await;
    let mut reports = rig.host.subscribe();
    rig.invoke_event("f", json!({ "mark": rig.path("mark"), "good_from": 2 })).await;
    rig.quiet().await;
    assert_eq!(rig.lines("mark"), 2);
    assert!(rig.host.failures().is_empty());
    assert!(reports.recv().await.unwrap().error.is_some());
    assert!(reports.recv().await.unwrap().error.is_none());
    rig.host.stop().await;
}

#[tokio::test]
async fn callers_over_the_limit_get_429_and_events_wait() {
    let mut reserved = function("reserved");
    reserved.concurrency_max = Some(1);
    let rig = Rig::start(vec![reserved, function("other")], |options| options.concurrency_max = 2).await;
    let gate = rig.path("gate");
    let (first, second) = (rig.path("first"), rig.path("second"));

    let busy = rig.invoke("reserved", json!({ "mark": first, "until": gate }));
    let rest = async {
        eventually("the first runs", || rig.lines("first") == 1).await;
        let over = rig.invoke("reserved", json!({})).await;
        assert_eq!((over.status, over.header("x-amzn-errortype")), (429, "TooManyRequestsException"));
        assert_eq!(over.json()["Reason"], "ReservedFunctionConcurrentInvocationLimitExceeded");

        for _ in 0..5 {
            rig.invoke_event("reserved", json!({ "mark": rig.path("queued") })).await;
        }
        rig.invoke_event("other", json!({ "mark": second, "until": gate })).await;
        eventually("the other runs beside it", || rig.lines("second") == 1).await;
        let over = rig.invoke("other", json!({})).await;
        assert_eq!(over.json()["Reason"], "ConcurrentInvocationLimitExceeded");
        assert_eq!((rig.lines("queued"), rig.host.pending()), (0, 7));
        std::fs::write(&gate, "").unwrap();
    };
    let (busy, ()) = tokio::join!(busy, rest);
    assert_eq!(busy.status, 200);
    rig.quiet().await;
    assert_eq!(rig.lines("queued"), 5);
    assert_eq!(rig.host.reports().iter().filter(|report| report.cold).count(), 2, "one environment for each function");
    rig.host.stop().await;
}

#[tokio::test]
async fn idle_environments_do_not_pile_up() {
    let names = ["a", "b", "c", "d"];
    let rig = Rig::start(names.map(function).into(), |options| options.concurrency_max = 1).await;
    for name in names {
        assert_eq!(rig.invoke(name, json!({})).await.status, 200);
    }
    eventually("two are left", || rig.host.worker_pids().len() == 2).await;
    assert_eq!(rig.invoke("d", json!({})).await.json()["runs"], 2, "the last used is still warm");
    rig.host.stop().await;
}
