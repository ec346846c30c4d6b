//! The embedded servers know their own: whoever finds their ports, but has no keys, or others, is refused by each of them.

use crate::support::{driver, endpoints};
use kinglet_aws::{Clients, Endpoints};
use std::os::unix::fs::PermissionsExt;

/// Asks each server for something that is there. Returns what each said: S3, DynamoDB, Lambda.
async fn asked(at: &Endpoints) -> [Result<(), String>; 3] {
    let clients = Clients::at(at);
    let s3 = clients.s3.list_objects_v2().bucket("kinglet-work").send().await;
    let dynamodb = clients.dynamodb.describe_table().table_name("kinglet").send().await;
    let lambda = clients.lambda.get_function().function_name("kinglet-mapper").send().await;
    let s3 = s3.map(drop).map_err(|e| format!("{e:?}"));
    let dynamodb = dynamodb.map(drop).map_err(|e| format!("{e:?}"));
    [s3, dynamodb, lambda.map(drop).map_err(|e| format!("{e:?}"))]
}

/// Sends a request that is not signed, and returns the reply's status and body.
async fn unsigned(url: &str, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (line, rest) = request.split_once('\n').unwrap();
    let (headers, body) = rest.split_once('\n').unwrap();
    let length = format!("host: {address}\r\nconnection: close\r\ncontent-length: {}", body.len());
    stream.write_all(format!("{line} HTTP/1.1\r\n{length}\r\n{headers}\r\n\r\n{body}").as_bytes()).await.unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await.unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_server_refuses_another_key_another_secret_and_none() {
    let driver = driver(|local| local).await;
    let at = endpoints(&driver);
    assert_eq!(asked(&at).await, [Ok(()), Ok(()), Ok(())]);

    let with = |access_key: &str, secret: &str| Endpoints { keys: (access_key.into(), secret.into()), ..at.clone() };
    let codes = ["SignatureDoesNotMatch", "InvalidSignatureException", "InvalidSignatureException"];
    for (said, code) in asked(&with(&at.keys.0, "guessed")).await.into_iter().zip(codes) {
        let said = said.unwrap_err();
        assert!(said.contains(code), "another secret: {said}");
    }
    let codes = ["InvalidAccessKeyId", "UnrecognizedClientException", "UnrecognizedClientException"];
    for (said, code) in asked(&with("AKIAIOSFODNN7EXAMPLE", &at.keys.1)).await.into_iter().zip(codes) {
        let said = said.unwrap_err();
        assert!(said.contains(code), "another key: {said}");
    }

    let target = "x-amz-target: DynamoDB_20120810.DescribeTable";
    let describe = format!("POST /\n{target}\n{{\"TableName\":\"kinglet\"}}");
    for (url, request, status, code) in [
        (&at.s3, "GET /kinglet-work?list-type=2\nx-none: none\n", "403", "AccessDenied"),
        (&at.s3, "PUT /kinglet-work/mine\nx-none: none\nmine", "403", "AccessDenied"),
        (&at.dynamodb, &*describe, "400", "MissingAuthenticationTokenException"),
        (&at.dynamodb, "GET /\nx-none: none\n", "400", "MissingAuthenticationTokenException"),
        (&at.lambda, "GET /2015-03-31/functions/\nx-none: none\n", "403", "MissingAuthenticationTokenException"),
        (
            &at.lambda,
            "POST /2015-03-31/functions/kinglet-mapper/invocations\nx-none: none\n{\"ping\":{}}",
            "403",
            "MissingAuthenticationTokenException",
        ),
    ] {
        let said = unsigned(url, request).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")) && said.contains(code), "{request}: {said}");
    }
    assert!(driver.runtime().unwrap().host().reports().is_empty(), "nothing has run");
    driver.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_of_a_runtime_holds_no_secret_and_its_data_is_its_users() {
    let driver = driver(|local| local).await;
    let at = driver.endpoints().unwrap();
    let secret = at.secret_key.clone();
    let shown = format!("{at:?} {:?} {:?}", endpoints(&driver), kinglet_local::Servers::from(at.clone()));
    assert!(shown.contains(&at.access_key) && !shown.contains(&secret), "{shown}");
    let dir = driver.runtime().unwrap().dir().to_owned();
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    driver.close().await;
    assert!(!dir.exists());
}
