//! Synchronous invocations, their limits and their errors.

use super::*;
use crate::lambda::limits::{EVENT_PAYLOAD_BYTES_MAX, SYNC_PAYLOAD_BYTES_MAX};

#[tokio::test]
async fn the_second_invocation_is_warm_and_finds_its_tmp() {
    let mut echo = function("echo");
    echo.env = vec![("AWS_ACCESS_KEY_ID".into(), "worker".into()), ("AWS_REGION".into(), "elsewhere".into())];
    let rig = Rig::start(vec![echo], |_| ()).await;
    let first = rig.invoke("echo", json!({ "n": 1, "print": "hello" })).await;
    let second = rig.invoke("echo", json!({ "n": 2 })).await;

    assert_eq!(first.json()["event"]["n"], 1);
    assert_eq!(first.json()["pid"], second.json()["pid"]);
    assert_eq!((first.json()["runs"].as_u64(), second.json()["runs"].as_u64()), (Some(1), Some(2)));
    let headers = &first.json()["headers"];
    assert_eq!(headers["lambda-runtime-invoked-function-arn"], "arn:aws:lambda:us-east-1:000000000000:function:echo");
    assert_eq!(headers["lambda-runtime-aws-request-id"], rig.host.reports()[0].request_id.to_string());
    assert!(headers["lambda-runtime-trace-id"].as_str().unwrap().starts_with("Root=1-"));

    let names = first.json()["names"].as_array().unwrap().clone();
    assert!(names.contains(&json!("AWS_ACCESS_KEY_ID")) && !names.contains(&json!("HOME")), "{names:?}");
    let log = first.log();
    assert!(log.starts_with("START RequestId: ") && log.contains("\nhello\nEND RequestId: "), "{log}");
    assert!(log.contains("\tInit Duration: ") && !second.log().contains("Init Duration"), "{log}");
    assert!(!second.log().contains("hello"), "the tail is that of one invocation");

    let reports = rig.host.reports();
    assert_eq!(reports.iter().map(|report| report.cold).collect::<Vec<_>>(), [true, false]);
    assert!(reports[0].billed_ms as f64 >= reports[0].duration_ms + reports[0].init_ms.unwrap());
    let text = std::fs::read_to_string(reports[0].log.as_deref().unwrap()).unwrap();
    assert!(text.contains(&reports[0].line()) && text.contains(&reports[1].line()), "{text}");
    rig.host.stop().await;
}

#[tokio::test]
async fn an_error_document_is_passed_on_and_the_worker_kept() {
    let rig = Rig::start(vec![function("f")], |_| ()).await;
    let failed = rig.invoke("f", json!({ "good_from": 1 })).await;
    assert_eq!(failed.function_error(), json!({ "errorType": "ValueError", "errorMessage": "not yet" }));
    assert_eq!(rig.host.reports()[0].error.as_ref().unwrap().error_type, "ValueError");
    assert!(!rig.invoke("f", json!({})).await.headers.contains_key("x-amz-function-error"));
    assert!(!rig.host.reports()[1].cold);
    rig.host.stop().await;
}

#[tokio::test]
async fn payloads_have_limits_in_both_directions() {
    let rig = Rig::start(vec![function("f")], |_| ()).await;
    let json_of = |bytes: usize| Value::String("x".repeat(bytes - 2));

    let large = rig.invoke("f", json_of(SYNC_PAYLOAD_BYTES_MAX + 1)).await;
    assert_eq!((large.status, large.header("x-amzn-errortype")), (413, "RequestTooLargeException"));
    let event = ["x-amz-invocation-type: Event"];
    let large = rig.invoke_with("f", &event, json_of(EVENT_PAYLOAD_BYTES_MAX + 1)).await;
    assert_eq!((large.status, large.header("x-amzn-errortype")), (413, "RequestTooLargeException"));

    let padding = SYNC_PAYLOAD_BYTES_MAX - json!({ "pad": "", "answer_bytes": 10 }).to_string().len();
    let fits = rig.invoke("f", json!({ "pad": "x".repeat(padding), "answer_bytes": 10 })).await;
    assert_eq!(fits.json(), "xxxxxxxx");
    let fits = rig.invoke("f", json!({ "answer_bytes": SYNC_PAYLOAD_BYTES_MAX })).await;
    assert_eq!(fits.body.len(), SYNC_PAYLOAD_BYTES_MAX);
    let large = rig.invoke("f", json!({ "answer_bytes": SYNC_PAYLOAD_BYTES_MAX + 1 })).await;
    assert_eq!(large.function_error()["errorType"], "Function.ResponseSizeTooLarge");
    assert_eq!(rig.invoke("f", json!({ "answer_bytes": 10 })).await.json(), "xxxxxxxx", "the worker lives on");
    rig.host.stop().await;
}

#[tokio::test]
async fn bad_requests_get_lambdas_own_errors() {
    let rig = Rig::start(vec![function("f")], |_| ()).await;
    let post = "POST /2015-03-31/functions/f/invocations";
    let error = async |line: &str, headers: &[&str], body: &str| {
        let answer = rig.send(line, headers, body.as_bytes()).await;
        (answer.status, answer.header("x-amzn-errortype").to_owned())
    };
    let signed = |body: &[u8], keys| signature::tests::signed(post, "localhost", body, "lambda", &keys);
    let [date, other_key] = signed(b"{}", Keys { access_key: "AKIAREAL".to_owned(), ..keys() });
    let [_, other_secret] = signed(b"{}", Keys { secret_key: "guessed".to_owned(), ..keys() });
    let [_, other_body] = signed(b"{\"x\": 1}", keys());
    let dry_run = rig.invoke_with("f", &["x-amz-invocation-type: DryRun"], json!({})).await;
    assert_eq!((dry_run.status, dry_run.body.len()), (204, 0));
    assert_eq!(error(post, &[], "{}").await, (403, "MissingAuthenticationTokenException".into()));
    assert_eq!(error(post, &[&date, &other_key], "{}").await, (403, "UnrecognizedClientException".into()));
    for wrong in [other_secret, other_body] {
        assert_eq!(error(post, &[&date, &wrong], "{}").await, (403, "InvalidSignatureException".into()), "{wrong}");
    }
    assert_eq!(
        error("GET /2015-03-31/functions/f", &[], "").await,
        (403, "MissingAuthenticationTokenException".into())
    );
    assert_eq!(error(post, &[SIGNED], "{no").await, (400, "InvalidRequestContentException".into()));
    let kind = "x-amz-invocation-type: Later";
    assert_eq!(error(post, &[SIGNED, kind], "{}").await, (400, "InvalidParameterValueException".into()));
    let context = "x-amz-client-context: !";
    assert_eq!(error(post, &[SIGNED, context], "{}").await, (400, "InvalidRequestContentException".into()));
    let missing = "POST /2015-03-31/functions/g/invocations";
    assert_eq!(error(missing, &[SIGNED], "{}").await, (404, "ResourceNotFoundException".into()));
    let version = "POST /2015-03-31/functions/f/invocations?Qualifier=7";
    assert_eq!(error(version, &[SIGNED], "{}").await, (404, "ResourceNotFoundException".into()));
    assert!(rig.host.reports().is_empty() && rig.host.worker_pids().is_empty(), "nothing has run");
    rig.host.stop().await;
}

#[tokio::test]
async fn a_function_is_found_by_its_names_and_described() {
    let mut f = function("f");
    f.concurrency_max = Some(3);
    let rig = Rig::start(vec![f, function("g")], |_| ()).await;
    let arn = "arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af";
    for name in ["f", arn, "000000000000:function:f", "f%3A%24LATEST"] {
        let line = format!("POST /2015-03-31/functions/{name}/invocations?Qualifier=%24LATEST");
        let context = format!("x-amz-client-context: {}", BASE64.encode(r#"{"custom":{"a":"b"}}"#));
        let answer = rig.send(&line, &[SIGNED, &context], b"").await;
        assert_eq!(answer.json()["event"], json!({}), "no payload is an empty object");
        assert_eq!(answer.json()["headers"]["lambda-runtime-client-context"], r#"{"custom":{"a":"b"}}"#);
    }
    let described = rig.send("GET /2015-03-31/functions/f", &[SIGNED], b"").await.json();
    assert_eq!(described["Configuration"]["MemorySize"], 128);
    assert_eq!(described["Concurrency"]["ReservedConcurrentExecutions"], 3);
    let configuration = rig.send("GET /2015-03-31/functions/g/configuration", &[SIGNED], b"").await.json();
    assert_eq!((&configuration["FunctionName"], &configuration["Timeout"]), (&json!("g"), &json!(300)));
    let listed = rig.send("GET /2015-03-31/functions/", &[SIGNED], b"").await.json();
    assert_eq!(listed["Functions"].as_array().unwrap().len(), 2);
    rig.host.stop().await;
}

#[tokio::test]
async fn a_function_that_lambda_would_refuse_is_refused() {
    let refused = async |change: fn(&mut Function)| {
        let dir = tempfile::tempdir().unwrap();
        let mut f = function("f");
        change(&mut f);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = HostOptions::new(dir.path(), keys());
        Host::start(listener, options, vec![f, function("g")]).await.unwrap_err().to_string()
    };
    assert!(refused(|f| f.name = "a b".into()).await.contains("function a b"));
    assert!(refused(|f| f.memory_mb = 64).await.contains("64 MB"));
    assert!(refused(|f| f.timeout = Duration::from_secs(901)).await.contains("901s"));
    assert!(refused(|f| f.program = "/nowhere/bootstrap".into()).await.contains("/nowhere/bootstrap"));
    assert!(refused(|f| f.name = "g".into()).await.contains("two"));
}
