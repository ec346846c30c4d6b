//! AWS's own Python client works with the embedded S3, DynamoDB and Lambda: `python/boto3_check.py` is the list.

use crate::{programs, venv};
use kinglet::{Local, LocalFunctions, Registry};
use std::process::Command;
use std::time::Duration;

/// What the script has to print, each with `ok` in front: none may be lost on the way.
const CHECKS: usize = 32;

#[tokio::test(flavor = "multi_thread")]
async fn boto3_works_with_the_embedded_runtime() {
    let Some(python) = venv::python("boto3_works_with_the_embedded_runtime") else { return };
    kinglet::register(Registry::of(kinglet_jobs::registry())).unwrap();
    let functions = LocalFunctions::Directory(programs::directory().clone());
    let driver = Local::new().with_functions(functions).with_state_dir(programs::state_dir()).start().await.unwrap();
    let at = driver.endpoints().unwrap();

    let mut script = Command::new(python);
    // Nothing of the developer's own: no profile, no session, no proxy.
    script.env_clear().arg(venv::script("boto3_check.py")).envs([
        ("AWS_ENDPOINT_URL_S3", at.s3_url.as_str()),
        ("AWS_ENDPOINT_URL_DYNAMODB", &at.dynamodb_url),
        ("AWS_ENDPOINT_URL_LAMBDA", &at.lambda_url),
        ("AWS_ACCESS_KEY_ID", &at.access_key),
        ("AWS_SECRET_ACCESS_KEY", &at.secret_key),
        ("AWS_DEFAULT_REGION", kinglet_local::REGION),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]);
    let done = tokio::task::spawn_blocking(move || script.output()).await.unwrap().unwrap();
    let printed = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{}: {printed}\n{}", done.status, String::from_utf8_lossy(&done.stderr));
    assert_eq!(printed.lines().filter(|line| line.starts_with("ok ")).count(), CHECKS, "{printed}");

    // An event is answered before it is run.
    let event = printed.lines().find_map(|line| line.strip_prefix("event ")).unwrap();
    let host = driver.runtime().unwrap().host();
    let report = loop {
        if let Some(report) = host.reports().into_iter().find(|report| *report.request_id == *event) {
            break report;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!((&*report.function, report.error), ("kinglet-splitter", None));
    driver.close().await;
}
