//! DynamoDB: the engine of the embedded runtime behind a model of what DynamoDB refuses.
//!
//! Units are reckoned from what is sent and answered: a write unit for each KB, a read unit for each 4 KB, half of one where
//! the read may be stale. That is a little more than DynamoDB counts, as names and JSON are counted with the data.

use super::rates::Rates;
use super::{Asked, Parts, plain};
use crate::machine::Reply;
use bytes::Bytes;
use dynoxide::{Database, DynoxideError};
use kinglet_core::model::dynamodb as model;
use serde_json::Value;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What expires later than this counts as left for good.
const EXPIRES_SOON: Duration = Duration::from_secs(30 * 86_400);

/// DynamoDB in the region.
pub struct DynamoDb {
    database: Database,
    key_writes: Rates,
    key_reads: Rates,
    table_writes: Rates,
    table_reads: Rates,
    units: Mutex<Units>,
}

/// Units that were used, as they are billed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Units {
    pub write: f64,
    pub read: f64,
}

/// Returns the operation and the item of a request.
pub fn name(parts: &Parts, body: &[u8]) -> (String, String) {
    let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    (operation, plain(&key_of(&json)))
}

/// Returns the key that a request is about, as far as it is about one.
fn key_of(json: &Value) -> String {
    let text = |value: &Value, name: &str| value[name]["S"].as_str().unwrap_or_default().to_owned();
    for holder in ["Key", "Item"] {
        if json[holder].is_object() {
            return format!("{}/{}", text(&json[holder], "pk"), text(&json[holder], "sk"));
        }
    }
    if json["ExpressionAttributeValues"][":pk"].is_object() {
        return text(&json["ExpressionAttributeValues"], ":pk");
    }
    if let Some(transacted) = json["TransactItems"][0].as_object() {
        return transacted.values().next().map(key_of).unwrap_or_default();
    }
    if let Some(table) = json["RequestItems"].as_object().and_then(|tables| tables.values().next()) {
        let first = if table.is_array() { &table[0] } else { &table["Keys"][0] };
        return first
            .as_object()
            .and_then(|request| request.values().next())
            .map(|request| if request["S"].is_string() { text(first, "pk") } else { key_of(request) })
            .unwrap_or_default();
    }
    String::new()
}

impl DynamoDb {
    /// Returns an empty DynamoDB.
    pub fn open(scarcity: u64, table_write_units: Option<u64>) -> dynoxide::Result<Self> {
        let table_writes = u64::from(model::TABLE_WRITE_UNITS_PER_S) / scarcity;
        Ok(DynamoDb {
            database: Database::memory()?,
            key_writes: Rates::new(u64::from(model::WRITE_UNITS_PER_KEY_PER_S) / scarcity, 1.0),
            key_reads: Rates::new(u64::from(model::READ_UNITS_PER_KEY_PER_S) / scarcity, 1.0),
            table_writes: Rates::new(table_write_units.unwrap_or(table_writes), 1.0),
            units: Mutex::default(),
            table_reads: Rates::new(u64::from(model::TABLE_READ_UNITS_PER_S) / scarcity, 1.0),
        })
    }

    /// Returns how many units were used.
    pub fn units(&self) -> Units {
        *self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a request; of a batch, only the first half if it is to be served in part.
    pub fn serve(&self, asked: &Asked, in_part: bool) -> Reply {
        let mut json: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let Some(taken) = self.take(&asked.operation, &json, asked.body.len()) else {
            return refusal(
                "ProvisionedThroughputExceededException",
                "The level of configured throughput was exceeded.",
            );
        };
        let left = if in_part { split(&mut json) } else { None };
        let body = if left.is_some() { json.to_string().into() } else { asked.body.clone() };
        match answer(&self.database, &asked.operation, &body) {
            Ok(text) => {
                self.correct(&taken, &text);
                let body = match left {
                    Some(left) => with_left(&text, &asked.operation, left),
                    None => text,
                };
                Reply { status: 200, headers: headers(), body: Bytes::from(body) }
            }
            Err(error) => Reply { status: error.status_code(), headers: headers(), body: Bytes::from(error.to_json()) },
        }
    }

    /// Returns all items of a table that do not expire within thirty days, as text.
    pub fn items(&self, table: &str, now: SystemTime) -> Vec<String> {
        let soon = now.duration_since(UNIX_EPOCH).unwrap_or_default() + EXPIRES_SOON;
        let stays = |item: &&Value| {
            let ttl = item["ttl"]["N"].as_str().and_then(|seconds| seconds.parse().ok());
            ttl.is_none_or(|seconds| Duration::from_secs(seconds) > soon)
        };
        let scan = serde_json::json!({ "TableName": table }).to_string();
        let found = answer(&self.database, "Scan", scan.as_bytes()).unwrap_or_else(|error| error.to_json());
        let found: Value = serde_json::from_str(&found).unwrap_or_default();
        found["Items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(stays)
            .map(|item| format!("{}/{}", item["pk"]["S"], item["sk"]["S"]))
            .collect()
    }

    /// Takes what a request will use, as far as that can be told beforehand: what is written is at least what is sent, and what
    /// is read is at least one item. Returns `None` if it is not there.
    fn take(&self, operation: &str, json: &Value, bytes: usize) -> Option<Taken> {
        let key = key_of(json);
        let pk = key.split('/').next().unwrap_or_default().to_owned();
        let writes = |units| Taken { pk: pk.clone(), side: Side::Writes, units };
        let taken = match operation {
            "PutItem" | "UpdateItem" | "DeleteItem" | "BatchWriteItem" => writes((bytes as f64 / 1_024.0).ceil()),
            "TransactWriteItems" => writes(2.0 * (bytes as f64 / 1_024.0).ceil()),
            "GetItem" | "Query" | "BatchGetItem" => {
                let units = if json["ConsistentRead"].as_bool() == Some(true) { 1.0 } else { 0.5 };
                Taken { pk, side: Side::Reads, units }
            }
            _ => return Some(Taken { pk, side: Side::Reads, units: 0.0 }),
        };
        let (keys, table) = self.rates(taken.side);
        if !(keys.take(&taken.pk, taken.units) && table.take("", taken.units)) {
            return None;
        }
        self.count(taken.side, taken.units);
        Some(taken)
    }

    /// Corrects what was taken by what the answer says was used: all of the item that was changed, all items that were read.
    fn correct(&self, taken: &Taken, answer: &str) {
        let answer: Value = serde_json::from_str(answer).unwrap_or_default();
        let said = &answer["ConsumedCapacity"];
        let each = said.as_array().map_or(std::slice::from_ref(said), Vec::as_slice);
        let Some(used) = each.iter().map(|of| of["CapacityUnits"].as_f64()).sum::<Option<f64>>() else { return };
        let more = used - taken.units;
        let (keys, table) = self.rates(taken.side);
        keys.correct(&taken.pk, more);
        table.correct("", more);
        self.count(taken.side, more);
    }

    fn rates(&self, side: Side) -> (&Rates, &Rates) {
        match side {
            Side::Writes => (&self.key_writes, &self.table_writes),
            Side::Reads => (&self.key_reads, &self.table_reads),
        }
    }

    fn count(&self, side: Side, units: f64) {
        let mut used = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        match side {
            Side::Writes => used.write += units,
            Side::Reads => used.read += units,
        }
    }
}

/// What a request has taken of the rates of a partition key and of the table.
struct Taken {
    pk: String,
    side: Side,
    units: f64,
}

#[derive(Clone, Copy)]
enum Side {
    Writes,
    Reads,
}

/// Takes the second half of a batch out of it, if it has more than one request.
fn split(batch: &mut Value) -> Option<Value> {
    let mut left = batch["RequestItems"].clone();
    let halves = [&mut batch["RequestItems"], &mut left].map(|half| {
        let table = half.as_object_mut()?.values_mut().next()?;
        if table.is_array() { table.as_array_mut() } else { table["Keys"].as_array_mut() }
    });
    let [Some(first), Some(second)] = halves else { return None };
    let half = first.len() / 2;
    first.truncate(half);
    second.drain(..half);
    (half > 0).then_some(left)
}

/// Adds to the answer of a batch what was not done.
fn with_left(answer: &str, operation: &str, left: Value) -> String {
    let mut answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let name = if operation == "BatchWriteItem" { "UnprocessedItems" } else { "UnprocessedKeys" };
    answer[name] = left;
    answer.to_string()
}

fn headers() -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static("application/x-amz-json-1.0"));
    headers
}

/// Returns an error of DynamoDB.
pub fn refusal(code: &str, message: &str) -> Reply {
    let body = format!("{{\"__type\":\"com.amazonaws.dynamodb.v20120810#{code}\",\"message\":\"{message}\"}}");
    let status = if code.starts_with("Internal") { 500 } else { 400 };
    Reply { status, headers: headers(), body: Bytes::from(body) }
}

fn answer(database: &Database, operation: &str, body: &[u8]) -> dynoxide::Result<String> {
    macro_rules! operations {
        ($($name:literal => $call:ident),* $(,)?) => {
            match operation {
                $($name => {
                    let request = serde_json::from_slice(body);
                    let request = request.map_err(|e| DynoxideError::SerializationException(e.to_string()))?;
                    let answer = database.$call(request)?;
                    serde_json::to_string(&answer).map_err(|e| DynoxideError::SerializationException(e.to_string()))
                })*
                other => Err(DynoxideError::SerializationException(format!("{other} is not simulated"))),
            }
        };
    }
    operations! {
        "CreateTable" => create_table,
        "DescribeTable" => describe_table,
        "PutItem" => put_item,
        "GetItem" => get_item,
        "UpdateItem" => update_item,
        "DeleteItem" => delete_item,
        "Query" => query,
        "Scan" => scan,
        "BatchGetItem" => batch_get_item,
        "BatchWriteItem" => batch_write_item,
        "TransactWriteItems" => transact_write_items,
    }
}
