//! Injected faults: each does what it says, and is counted.

use super::*;

async fn rig(fault: Fault) -> Rig {
    let rig = Rig::start(vec![function("f")], |_| ()).await;
    rig.host.set_faults(FaultPlan { seed: 1, rules: vec![FaultRule::nth("f", 0, fault)] });
    rig
}

fn assert_fired(rig: &Rig) {
    assert_eq!(rig.host.fault_counts().iter().map(|count| count.fired).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn a_killed_worker_is_an_error_of_that_invocation_only() {
    let rig = rig(Fault::KillWorker { after: Duration::ZERO }).await;
    let killed = rig.invoke("f", json!({ "sleep": 600 })).await.function_error();
    assert!(killed["errorMessage"].as_str().unwrap().ends_with("signal: killed"), "{killed}");
    assert_eq!(rig.invoke("f", json!({})).await.json()["runs"], 1);
    assert_fired(&rig);
    rig.host.stop().await;
}

#[tokio::test]
async fn a_lost_reply_means_that_the_work_is_done_twice() {
    let rig = rig(Fault::LoseReply).await;
    rig.invoke_event("f", json!({ "mark": rig.path("mark") })).await;
    rig.quiet().await;
    assert_eq!(rig.lines("mark"), 2);
    assert!(rig.host.failures().is_empty());
    assert_fired(&rig);
    rig.host.stop().await;
}

#[tokio::test]
async fn a_frozen_worker_goes_on() {
    let pause = Duration::from_millis(300);
    let rig = rig(Fault::FreezeWorker { after: Duration::from_millis(1), pause }).await;
    assert_eq!(rig.invoke("f", json!({ "sleep": 0.05 })).await.json()["runs"], 1);
    assert!(rig.host.reports()[0].duration_ms > 50.0);
    assert_fired(&rig);
    rig.host.stop().await;
}

#[tokio::test]
async fn an_event_can_run_twice_under_one_id() {
    let rig = rig(Fault::RunTwice).await;
    rig.invoke_event("f", json!({ "mark": rig.path("mark") })).await;
    rig.quiet().await;
    assert_eq!(rig.lines("mark"), 2);
    let reports = rig.host.reports();
    assert_eq!(reports[0].request_id, reports[1].request_id);
    assert_fired(&rig);
    rig.host.stop().await;
}

#[tokio::test]
async fn a_call_can_be_refused_before_anything_runs() {
    let rig = rig(Fault::Throttle).await;
    let throttled = rig.invoke("f", json!({})).await;
    assert_eq!((throttled.status, throttled.json()["Reason"].as_str()), (429, Some("CallerRateLimitExceeded")));
    assert_fired(&rig);
    rig.host.set_faults(FaultPlan { seed: 1, rules: vec![FaultRule::randomly(1.0, 1, Fault::ErrorBefore)] });
    let failed = rig.invoke("f", json!({})).await;
    assert_eq!((failed.status, failed.header("x-amzn-errortype")), (500, "ServiceException"));
    assert_fired(&rig);
    assert!(rig.host.worker_pids().is_empty());
    assert_eq!(rig.invoke("f", json!({})).await.status, 200);
    rig.host.stop().await;
}

#[tokio::test]
async fn all_workers_of_one_function_can_be_killed_at_once() {
    let rig = Rig::start(vec![function("f"), function("g")], |_| ()).await;
    assert_eq!(rig.invoke("g", json!({})).await.status, 200);
    let killed = async {
        let started = rig.path("started");
        rig.invoke("f", json!({ "mark": started, "sleep": 600 })).await
    };
    let kill = async {
        eventually("f runs", || rig.lines("started") == 1).await;
        rig.host.kill_workers("f")
    };
    let (answer, count) = tokio::join!(killed, kill);
    let error = answer.function_error();
    assert!(error["errorMessage"].as_str().unwrap().ends_with("signal: killed"), "{error}");
    assert_eq!(count, 1);
    assert_eq!(rig.host.kill_workers("none"), 0);
    assert_eq!(rig.invoke("g", json!({})).await.json()["runs"], 2, "the other function's worker lives");
    assert_eq!(rig.host.kill_workers("g"), 1, "an idle one");
    // The next invocation may still be given the one that was killed, and fails with it; then a new one comes.
    let mut answers = vec![];
    while answers.last().is_none_or(|answer: &serde_json::Value| answer["runs"].is_null()) && answers.len() < 10 {
        answers.push(rig.invoke("g", json!({})).await.json());
    }
    assert_eq!(answers.last().unwrap()["runs"], 1, "{answers:?}");
    rig.host.stop().await;
}
