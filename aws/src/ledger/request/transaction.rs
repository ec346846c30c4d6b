//! Writes that are done together or not at all.

use super::{Keyed, Update, rejected};
use crate::errors::{Doing, code};
use crate::ledger::Ledger;
use crate::ledger::item::text;
use crate::ledger::keys::Key;
use crate::random::token;
use crate::replies::Pause;
use crate::request::Request;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnConsumedCapacity, TransactWriteItem};
use kinglet_core::Result;

/// One of several writes that are done together.
pub(in crate::ledger) enum Write<'a> {
    /// An item that must not be there yet.
    New(Keyed),
    /// An update of an item.
    Update(Box<Update<'a>>),
}

impl Write<'_> {
    fn key(&self) -> Key {
        match self {
            Write::New(new) => new.key.clone(),
            Write::Update(update) => update.key.clone(),
        }
    }

    /// Returns the write with the token `by`.
    fn signed(self, by: &AttributeValue) -> Self {
        match self {
            Write::New(mut new) => {
                new.item.insert("by".into(), by.clone());
                Write::New(new)
            }
            Write::Update(update) => Write::Update(Box::new(update.set("by", by.clone()))),
        }
    }

    fn in_transaction(self, table: &str) -> Result<TransactWriteItem> {
        match self {
            Write::New(new) => {
                let put = Put::builder().table_name(table).set_item(Some(new.whole()));
                let put = put.condition_expression("attribute_not_exists(pk)").build().map_err(rejected)?;
                Ok(TransactWriteItem::builder().put(put).build())
            }
            Write::Update(update) => update.in_transaction(),
        }
    }
}

impl Ledger {
    /// Writes items together or not at all, `own` with a token. Returns whether this call's write stands.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(in crate::ledger) async fn transact<'w>(
        &self,
        doing: String,
        own: Write<'w>,
        others: impl IntoIterator<Item = Write<'w>>,
    ) -> Result<bool> {
        let table = &self.table;
        let (by, key) = (text(token()), own.key());
        let own = own.signed(&by).in_transaction(&table.name)?;
        let others = others.into_iter().map(|other| other.in_transaction(&table.name));
        let writes = std::iter::once(Ok(own)).chain(others).collect::<Result<Vec<_>>>()?;
        let met = Doing::now(doing.clone());
        let mut pause = Pause::default();
        loop {
            let request = table.client.transact_write_items().set_transact_items(Some(writes.clone()));
            let refused = match request.return_consumed_capacity(ReturnConsumedCapacity::Total).reply().await {
                Ok(done) => {
                    table.wrote(done.consumed_capacity.unwrap_or_default());
                    return Ok(true);
                }
                Err(e) => e,
            };
            match code(&refused).as_deref() {
                // A condition failed, or another transaction held one of the items.
                Some("TransactionCanceledException") => {
                    let reasons: Vec<_> = match refused.as_service_error() {
                        Some(TransactWriteItemsError::TransactionCanceledException(e)) => {
                            e.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect()
                        }
                        _ => vec![],
                    };
                    if reasons.contains(&"ConditionalCheckFailed") || reasons.is_empty() {
                        return Ok(self.item(doing, key).await?.is_some_and(|item| item.get("by") == Some(&by)));
                    }
                    pause.wait("a transaction of the ledger meets others").await?;
                }
                Some("TransactionInProgressException" | "TransactionConflictException") => {
                    pause.wait("a transaction of the ledger meets others").await?;
                }
                _ => return Err(met.failed(&refused)),
            }
        }
    }
}
