//! Processes that crash, hang, grow, and end with the host.

use super::*;

#[tokio::test]
async fn a_worker_that_exits_is_told_of_and_replaced() {
    let rig = Rig::start(vec![function("f")], |_| ()).await;
    let first = pid(&rig.invoke("f", json!({})).await, "pid");
    let crashed = rig.invoke("f", json!({ "exit": 3 })).await;
    let id = rig.host.reports()[1].request_id.clone();
    let message = format!("RequestId: {id} Error: Runtime exited with error: exit status 3");
    assert_eq!(crashed.function_error(), json!({ "errorType": "Runtime.ExitError", "errorMessage": message }));
    assert!(crashed.log().contains("Error Type: Runtime.ExitError"), "{}", crashed.log());
    let silent = rig.invoke("f", json!({ "exit": 0 })).await.function_error();
    assert!(silent["errorMessage"].as_str().unwrap().ends_with("Runtime exited without providing a reason"));
    let next = rig.invoke("f", json!({})).await;
    assert_ne!(pid(&next, "pid"), first);
    assert_eq!(next.json()["runs"], 1, "with a new /tmp");
    rig.host.stop().await;
}

/// The Runtime API cannot be asked by who finds its port, but does not know the path that the worker was told.
#[tokio::test]
async fn another_process_cannot_play_the_worker() {
    let rig = Rig::start(vec![function("f")], |_| ()).await;
    let first = rig.invoke("f", json!({})).await.json();
    let (address, secret) = first["api"].as_str().unwrap().strip_prefix("http://").unwrap().split_once('/').unwrap();
    assert_eq!(secret.len(), 32);
    let other = "0".repeat(32);
    for path in ["", &other, &secret[..31]].map(|secret| format!("/{secret}/2018-06-01/runtime").replace("//", "/")) {
        for call in [
            format!("GET {path}/invocation/next"),
            format!("POST {path}/init/error"),
            format!("POST {path}/invocation/1/response"),
        ] {
            assert_eq!(send(address.to_owned(), &call, &[], b"{}").await.status, 404, "{call}");
        }
    }
    assert_eq!(rig.invoke("f", json!({})).await.json()["runs"], 2, "the worker lives on");
    rig.host.stop().await;
}

#[tokio::test]
async fn a_worker_that_dies_while_idle_costs_no_invocation() {
    let rig = Rig::start(vec![function("f")], |_| ()).await;
    let first = pid(&rig.invoke("f", json!({})).await, "pid");
    process::signal_group(first, rustix::process::Signal::KILL);
    eventually("the host has noticed", || rig.host.worker_pids().is_empty()).await;
    assert_eq!(rig.invoke("f", json!({})).await.json()["runs"], 1);
    rig.host.stop().await;
}

#[tokio::test]
async fn a_worker_that_takes_too_long_is_killed() {
    let mut f = function("f");
    f.timeout = Duration::from_secs(1);
    let rig = Rig::start(vec![f], |_| ()).await;
    let late = rig.invoke("f", json!({ "sleep": 600, "print": "still here" })).await;
    let error = late.function_error();
    assert_eq!(error["errorType"], "Sandbox.Timedout");
    assert!(error["errorMessage"].as_str().unwrap().ends_with("Error: Task timed out after 1.00 seconds"), "{error}");
    let log = late.log();
    assert!(log.contains("still here\n") && log.contains(" Task timed out after 1.00 seconds\nEND"), "{log}");
    assert!(log.contains("Status: timeout"), "{log}");
    eventually("it is gone", || rig.host.worker_pids().is_empty()).await;
    rig.host.stop().await;
}

#[tokio::test]
async fn an_init_phase_can_fail_in_three_ways() {
    let broken = |how: &str| {
        let mut f = function(how);
        f.env = vec![("INIT".into(), how.into())];
        f
    };
    let rig = Rig::start(vec![broken("error"), broken("exit")], |_| ()).await;
    let short = |options: &mut HostOptions| options.init_timeout = Duration::from_secs(1);
    let hanging = Rig::start(vec![broken("hang")], short).await;
    let (error, exit, hang) =
        tokio::join!(rig.invoke("error", json!({})), rig.invoke("exit", json!({})), hanging.invoke("hang", json!({})));
    assert_eq!(error.function_error(), json!({ "errorType": "Init.Broken", "errorMessage": "no config" }));
    assert!(exit.function_error()["errorMessage"].as_str().unwrap().ends_with("exit status 7"));
    assert_eq!(hang.function_error()["errorType"], "Sandbox.Timedout");
    assert!(rig.host.reports().iter().all(|report| report.cold && report.duration_ms == 0.0));
    rig.host.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_worker_that_uses_too_much_memory_is_killed() {
    let rig = Rig::start(vec![function("f")], |options| options.enforce_memory = true).await;
    let small = rig.invoke("f", json!({})).await;
    assert_eq!(small.status, 200);
    let large = rig.invoke("f", json!({ "alloc_mb": 200 })).await.function_error();
    assert!(large["errorMessage"].as_str().unwrap().ends_with("Runtime exited with error: signal: killed"), "{large}");
    let reports = rig.host.reports();
    assert!((1..128).contains(&reports[0].max_memory_mb), "{}", reports[0].max_memory_mb);
    assert_eq!(reports[1].max_memory_mb, 128);
    rig.host.stop().await;
}

#[tokio::test]
async fn a_cpu_share_is_given_or_its_lack_told() {
    let rig = Rig::start(vec![function("f")], |options| options.cpu = CpuShare::ByMemory).await;
    assert_eq!(rig.invoke("f", json!({})).await.status, 200);
    let groups = || std::fs::read_to_string(format!("/proc/{}/cgroup", rig.host.worker_pids()[0])).unwrap_or_default();
    let is_grouped = groups().contains("/kinglet-");
    assert_eq!(is_grouped, rig.host.warnings().is_empty(), "{:?}", rig.host.warnings());
    rig.host.stop().await;
}

#[tokio::test]
async fn nothing_is_left_when_the_host_stops() {
    let rig = Rig::start(vec![function("f")], |_| ()).await;
    let idle = rig.invoke("f", json!({ "spawn": true })).await;
    let (idle, grandchild) = (pid(&idle, "pid"), pid(&idle, "child"));
    for _ in 0..2 {
        rig.invoke_event("f", json!({ "mark": rig.path("busy"), "sleep": 600 })).await;
    }
    eventually("two are busy", || rig.lines("busy") == 2).await;
    let pids: Vec<_> = rig.host.worker_pids().into_iter().chain([grandchild]).collect();
    assert!(pids.len() == 3 && pids.contains(&idle) && pids.iter().all(|pid| is_running(*pid)), "{pids:?}");
    rig.host.stop().await;
    eventually("all have ended", || !pids.iter().any(|pid| is_running(*pid))).await;
    assert!(!rig.dir.path().join("host/envs").exists());
}

#[tokio::test]
async fn nothing_is_left_when_the_host_is_dropped() {
    let rig = Rig::start(vec![function("f")], |_| ()).await;
    rig.invoke_event("f", json!({ "mark": rig.path("busy"), "sleep": 600 })).await;
    eventually("it is busy", || rig.lines("busy") == 1).await;
    let pid = rig.host.worker_pids()[0];
    drop(rig.host);
    eventually("it has ended", || !is_running(pid)).await;
}
