//! The one place that sends the ledger's requests to DynamoDB, and counts the capacity they consume.
//!
//! | request | what it is | when it is refused |
//! |---|---|---|
//! | [`Update`] | a write of some attributes of one item, mostly on a condition | [`Updated`] says how; or the item is read back |
//! | [`Ledger::transact`] | two writes that are done together or not at all | as for an update; tried again where another transaction held one of the items |
//! | [`Ledger::item`], [`Ledger::item_lately`] | a read of one item | |
//! | [`Ledger::items`] | a read of up to 100 items a request, by their keys | unprocessed keys are asked for again |
//! | [`Ledger::query`] | a read of all items of a partition key, page by page | |
//! | [`Ledger::put_all`], [`Ledger::delete_all`] | unconditional writes of up to 25 items a request | unprocessed items are sent again |
//!
//! **Whose write was it?** The reply to a conditional write may be lost. The SDK then sends the write again, and its
//! condition fails because the write itself was done. So each such write leaves a random token, `by` or `run`; when one is
//! refused, the item is read back and its token compared: [`Update::signed`], [`Update::done_or`].

mod transaction;
mod update;

pub(super) use transaction::Write;
pub(crate) use update::{Update, Updated};

use super::Ledger;
use super::item::{Item, number, read_text, text};
use super::keys::Key;
use crate::errors::Doing;
use crate::meter::Meter;
use crate::replies::Pause;
use crate::request::Request;
use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConsumedCapacity, DeleteRequest, KeysAndAttributes, PutRequest, ReturnConsumedCapacity,
    WriteRequest,
};
use kinglet_core::limits::{BATCH_GET_KEYS_MAX, BATCH_WRITE_ITEMS_MAX, JOB_KEPT_S};
use kinglet_core::{Code, Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// The table, and the meter that counts its requests. The fields are private, so that no other module sends requests.
#[derive(Clone)]
pub(super) struct Table {
    client: aws_sdk_dynamodb::Client,
    name: String,
    meter: Arc<Meter>,
}

impl Table {
    pub(super) fn new(client: aws_sdk_dynamodb::Client, name: &str, meter: Arc<Meter>) -> Self {
        Table { client, name: name.to_owned(), meter }
    }

    fn wrote(&self, capacity: impl IntoIterator<Item = ConsumedCapacity>) {
        self.meter.wrote(units(capacity));
    }

    fn read(&self, capacity: impl IntoIterator<Item = ConsumedCapacity>) {
        self.meter.read(units(capacity));
    }

    fn too_long(&self) -> String {
        format!("table {} leaves requests unprocessed", self.name)
    }
}

fn units(capacity: impl IntoIterator<Item = ConsumedCapacity>) -> f64 {
    capacity.into_iter().filter_map(|one| one.capacity_units).sum()
}

fn rejected(error: BuildError) -> Error {
    Error::new(Code::Rejected, error.to_string())
}

/// An item that is written as a whole, with its key.
pub(super) struct Keyed {
    pub(super) key: Key,
    pub(super) item: Item,
}

impl Keyed {
    /// Returns the item with its key's attributes, as DynamoDB stores it.
    fn whole(mut self) -> Item {
        self.item.extend(self.key.attributes());
        self.item
    }
}

impl Ledger {
    /// Returns the client, for what is not the ledger's data: creating and describing the table, and checking its
    /// permissions.
    pub(crate) fn client(&self) -> &aws_sdk_dynamodb::Client {
        &self.table.client
    }

    /// The table's name.
    pub(crate) fn table_name(&self) -> &str {
        &self.table.name
    }

    /// Returns the time from which DynamoDB may delete an item that is written now.
    pub(crate) fn ttl(&self) -> AttributeValue {
        number(self.clock.now().0 / 1000 + JOB_KEPT_S)
    }

    /// Reads one item, if it exists.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(super) async fn item(&self, doing: String, key: Key) -> Result<Option<Item>> {
        self.get(doing, key, Some(true)).await
    }

    /// Reads one item as it was a moment ago, for half the price.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(super) async fn item_lately(&self, doing: String, key: Key) -> Result<Option<Item>> {
        self.get(doing, key, None).await
    }

    async fn get(&self, doing: String, key: Key, consistent: Option<bool>) -> Result<Option<Item>> {
        let (table, doing) = (&self.table, Doing::now(doing));
        let request = table.client.get_item().table_name(&table.name).set_key(Some(key.attributes()));
        let request = request.set_consistent_read(consistent);
        let got = request.return_consumed_capacity(ReturnConsumedCapacity::Total).reply().await;
        let got = got.map_err(|e| doing.failed(&e))?;
        table.read(got.consumed_capacity);
        Ok(got.item)
    }

    /// Reads items by their keys, in no order. Missing items are left out.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(super) async fn items(&self, keys: Vec<Key>) -> Result<Vec<Item>> {
        let table = &self.table;
        let doing = Doing::now(format!("reading {} items of table {}", keys.len(), table.name));
        let mut found = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(BATCH_GET_KEYS_MAX) {
            let keys = chunk.iter().cloned().map(Key::attributes);
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys.collect())).consistent_read(true).build();
            let mut wanted = Some(HashMap::from([(table.name.clone(), wanted.map_err(rejected)?)]));
            let mut pause = Pause::default();
            while let Some(request) = wanted.take().filter(|w| !w.is_empty()) {
                let request = table.client.batch_get_item().set_request_items(Some(request));
                let got = request.return_consumed_capacity(ReturnConsumedCapacity::Total).reply().await;
                let got = got.map_err(|e| doing.failed(&e))?;
                table.read(got.consumed_capacity.unwrap_or_default());
                found.extend(got.responses.unwrap_or_default().into_values().flatten());
                wanted = got.unprocessed_keys;
                if wanted.as_ref().is_some_and(|w| !w.is_empty()) {
                    pause.wait(&table.too_long()).await?;
                }
            }
        }
        Ok(found)
    }

    /// Reads all items of a partition key whose sort keys begin with `sk_prefix`, in the order of the sort keys.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn query(&self, pk: &str, sk_prefix: &str) -> Result<Vec<Item>> {
        // No part of a key may be the empty string, not even in a condition.
        // <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>
        let (condition, sk) = if sk_prefix.is_empty() {
            ("pk = :pk", None)
        } else {
            ("pk = :pk AND begins_with(sk, :sk)", Some((":sk".to_owned(), text(sk_prefix))))
        };
        let values: HashMap<_, _> = sk.into_iter().chain([(":pk".to_owned(), text(pk))]).collect();
        let table = &self.table;
        let doing = Doing::now(format!("reading {pk} in table {}", table.name));
        let (mut items, mut from) = (Vec::new(), None);
        loop {
            let request = table.client.query().table_name(&table.name).consistent_read(true);
            let request = request
                .key_condition_expression(condition)
                .set_expression_attribute_values(Some(values.clone()))
                .set_exclusive_start_key(from);
            let got = request.return_consumed_capacity(ReturnConsumedCapacity::Total).reply().await;
            let got = got.map_err(|e| doing.failed(&e))?;
            table.read(got.consumed_capacity);
            items.extend(got.items.unwrap_or_default());
            from = got.last_evaluated_key.filter(|key| !key.is_empty());
            if from.is_none() {
                return Ok(items);
            }
        }
    }

    /// Returns the keys of all items of a partition key.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(super) async fn keys_of(&self, pk: &str) -> Result<Vec<Key>> {
        let items = self.query(pk, "").await?;
        let key = |item: &Item| Some(Key { pk: pk.to_owned(), sk: read_text(item, "sk")?.to_owned() });
        Ok(items.iter().filter_map(key).collect())
    }

    /// Writes items without a condition: their keys belong to one attempt.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(super) async fn put_all(&self, items: impl IntoIterator<Item = Keyed>) -> Result<()> {
        let put = |new: Keyed| {
            let put = PutRequest::builder().set_item(Some(new.whole())).build().map_err(rejected)?;
            Ok(WriteRequest::builder().put_request(put).build())
        };
        self.batch("writing", items.into_iter().map(put).collect::<Result<_>>()?).await
    }

    /// Deletes items by their keys.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(super) async fn delete_all(&self, keys: impl IntoIterator<Item = Key>) -> Result<()> {
        let delete = |key: Key| {
            let delete = DeleteRequest::builder().set_key(Some(key.attributes())).build().map_err(rejected)?;
            Ok(WriteRequest::builder().delete_request(delete).build())
        };
        self.batch("deleting", keys.into_iter().map(delete).collect::<Result<_>>()?).await
    }

    async fn batch(&self, what: &str, writes: Vec<WriteRequest>) -> Result<()> {
        let table = &self.table;
        let doing = Doing::now(format!("{what} {} items of table {}", writes.len(), table.name));
        for chunk in writes.chunks(BATCH_WRITE_ITEMS_MAX) {
            let mut left = chunk.to_vec();
            let mut pause = Pause::default();
            while !left.is_empty() {
                let request = table.client.batch_write_item().request_items(&table.name, left);
                let done = request.return_consumed_capacity(ReturnConsumedCapacity::Total).reply().await;
                let done = done.map_err(|e| doing.failed(&e))?;
                table.wrote(done.consumed_capacity.unwrap_or_default());
                left = done.unprocessed_items.and_then(|mut all| all.remove(&table.name)).unwrap_or_default();
                if !left.is_empty() {
                    pause.wait(&table.too_long()).await?;
                }
            }
        }
        Ok(())
    }
}
