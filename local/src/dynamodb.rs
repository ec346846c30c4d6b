//! DynamoDB: the database is `dynoxide`'s, the server is ours. `dynoxide`'s own verifies no signatures, and whatever listens on
//! loopback can be reached by every process of the machine, so nothing listens here that does not check them.
//!
//! ```text
//! POST /   X-Amz-Target: DynamoDB_20120810.UpdateItem   {"TableName": …}
//!  ──▶ 200 {"Attributes": …}
//!  ──▶ 400 {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": …}
//! ```
//!
//! Requests are answered one after another, as the database is in memory and behind one lock. It is read and written on the
//! thread that serves the connection.

use crate::signature::{self, Keys, Unsigned};
use bytes::Bytes;
use dynoxide::{Database, DynoxideError};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use uuid::Uuid;

/// The largest request that DynamoDB takes, in bytes (16 MB).
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>, 2026-11.
const BODY_BYTES_MAX: usize = 16 << 20;

/// The pause after `accept` failed, which is nearly always "too many open files".
const ACCEPT_RETRY: Duration = Duration::from_millis(20);

/// What stands before the operation's name in the header `X-Amz-Target`.
const TARGETS: [&str; 2] = ["DynamoDB_20120810.", "DynamoDBStreams_20120810."];

type Reply = Response<Full<Bytes>>;

/// Serves `database` on `listener` until `stop` resolves. Only requests signed with `keys` are answered.
pub(crate) async fn serve(listener: TcpListener, database: Database, keys: Keys, stop: impl Future<Output = ()>) {
    let keys = Arc::new(keys);
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            // The connections end with their set; a request that is being answered has no point at which it can be dropped.
            () = &mut stop => return,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, database.clone(), keys.clone()))),
            Err(error) => {
                tracing::warn!(%error, "accepting a connection to the embedded DynamoDB server");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, database: Database, keys: Arc<Keys>) {
    // Replies are single small writes that somebody waits for.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let (database, keys) = (database.clone(), keys.clone());
        async move { Ok::<_, Infallible>(answer(&database, &keys, request).await) }
    });
    if let Err(error) = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await {
        // Mostly a client that went away.
        tracing::debug!(%error, "a connection to the embedded DynamoDB server");
    }
}

async fn answer(database: &Database, keys: &Keys, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "com.amazon.coral.service#SerializationException", "");
    };
    let body = body.to_bytes();
    if let Err(unsigned) = signature::check(&head, &body, "dynamodb", keys) {
        return unsigned_reply(unsigned);
    }
    let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = TARGETS.iter().find_map(|prefix| target.strip_prefix(prefix));
    match operation.filter(|_| head.method == Method::POST).and_then(|name| run(database, name, &body)) {
        Some(Ok(document)) => reply(StatusCode::OK, document.into()),
        Some(Err(error)) => {
            let status = StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::BAD_REQUEST);
            reply(status, error.to_json().into())
        }
        None => refusal(StatusCode::BAD_REQUEST, "com.amazon.coral.service#UnknownOperationException", ""),
    }
}

fn unsigned_reply(unsigned: Unsigned) -> Reply {
    let (kind, message) = match unsigned {
        Unsigned::Missing => {
            ("com.amazon.coral.service#MissingAuthenticationTokenException", "Request is missing Authentication Token")
        }
        Unsigned::OtherKey => (
            "com.amazon.coral.service#UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        Unsigned::Wrong => (
            "com.amazon.coral.service#InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
        ),
    };
    refusal(StatusCode::BAD_REQUEST, kind, message)
}

fn refusal(status: StatusCode, kind: &str, message: &str) -> Reply {
    reply(status, json!({ "__type": kind, "message": message }).to_string().into())
}

fn reply(status: StatusCode, document: Bytes) -> Reply {
    let mut reply = Response::new(Full::new(document));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    if let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().simple().to_string().to_uppercase()) {
        headers.insert("x-amzn-requestid", id);
    }
    reply
}

macro_rules! operations {
    ($($name:literal $method:ident)*) => {
        /// Runs an operation; `None` if there is none of this name.
        fn run(database: &Database, name: &str, body: &[u8]) -> Option<dynoxide::Result<String>> {
            Some(match name {
                $($name => read(body).and_then(|request| database.$method(request)).and_then(|reply| written(&reply)),)*
                _ => return None,
            })
        }
    };
}

operations! {
    "CreateTable" create_table
    "DeleteTable" delete_table
    "DescribeTable" describe_table
    "UpdateTable" update_table
    "ListTables" list_tables
    "PutItem" put_item
    "GetItem" get_item
    "DeleteItem" delete_item
    "UpdateItem" update_item
    "Query" query
    "Scan" scan
    "BatchGetItem" batch_get_item
    "BatchWriteItem" batch_write_item
    "TransactWriteItems" transact_write_items
    "TransactGetItems" transact_get_items
    "UpdateTimeToLive" update_time_to_live
    "DescribeTimeToLive" describe_time_to_live
    "TagResource" tag_resource
    "UntagResource" untag_resource
    "ListTagsOfResource" list_tags_of_resource
    "ExecuteStatement" execute_statement
    "ExecuteTransaction" execute_transaction
    "BatchExecuteStatement" batch_execute_statement
    "ListStreams" list_streams
    "DescribeStream" describe_stream
    "GetShardIterator" get_shard_iterator
    "GetRecords" get_records
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> dynoxide::Result<T> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        // A document, but not of this request.
        serde_json::error::Category::Data => DynoxideError::ValidationException(error.to_string()),
        _ => DynoxideError::SerializationException(error.to_string()),
    })
}

fn written<T: serde::Serialize>(reply: &T) -> dynoxide::Result<String> {
    serde_json::to_string(reply).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Sends a request of its own connection, and returns the reply.
    async fn ask(at: std::net::SocketAddr, line: &str, headers: &[String], body: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let length = body.len();
        let mut request = format!("{line} HTTP/1.1\r\nhost: here\r\nconnection: close\r\ncontent-length: {length}\r\n");
        headers.iter().for_each(|header| request += &format!("{header}\r\n"));
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        reply
    }

    #[tokio::test]
    async fn who_does_not_sign_is_told_nothing_and_who_does_gets_dynamodbs_own_errors() {
        let keys = Keys { access_key: "key".to_owned(), secret_key: "secret".to_owned() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let served = serve(listener, Database::memory().unwrap(), keys.clone(), std::future::pending());
        let server = tokio::spawn(served);
        let target = |name: &str| format!("x-amz-target: DynamoDB_20120810.{name}");
        let signed = |line: &str, body: &str, name: &str, keys: &Keys| {
            let signed = signature::tests::signed(line, "here", body.as_bytes(), "dynamodb", keys);
            signed.into_iter().chain([target(name)]).collect::<Vec<_>>()
        };
        let list = ask(at, "POST /", &signed("POST /", "{}", "ListTables", &keys), "{}").await;
        assert!(list.starts_with("HTTP/1.1 200") && list.ends_with("{\"TableNames\":[]}"), "{list}");
        let missing = "{\"TableName\":\"none\"}";
        for (line, headers, body, status, kind) in [
            ("POST /", vec![target("ListTables")], "{}", 400, "MissingAuthenticationToken"),
            ("GET /", vec![], "", 400, "MissingAuthenticationToken"),
            ("POST /", signed("POST /", "{\"Limit\":1}", "ListTables", &keys), "{}", 400, "InvalidSignature"),
            ("POST /", signed("POST /", "{}", "NoSuchThing", &keys), "{}", 400, "UnknownOperation"),
            ("POST /", signed("POST /", "{", "ListTables", &keys), "{", 400, "SerializationException"),
            ("POST /", signed("POST /", "[]", "GetItem", &keys), "[]", 400, "Exception"),
            ("POST /", signed("POST /", missing, "DescribeTable", &keys), missing, 400, "ResourceNotFoundException"),
        ] {
            let said = ask(at, line, &headers, body).await;
            assert!(said.starts_with(&format!("HTTP/1.1 {status}")) && said.contains(kind), "{kind}: {said}");
        }
        let other = Keys { access_key: "other".to_owned(), ..keys.clone() };
        let said = ask(at, "POST /", &signed("POST /", "{}", "ListTables", &other), "{}").await;
        assert!(said.contains("UnrecognizedClient"), "{said}");
        let guessed = Keys { secret_key: "guessed".to_owned(), ..keys };
        let said = ask(at, "POST /", &signed("POST /", "{}", "ListTables", &guessed), "{}").await;
        assert!(said.contains("InvalidSignature"), "{said}");
        server.abort();
    }
}
