//! An update of one item: built step by step, sent once.

use super::rejected;
use crate::errors::{Doing, code};
use crate::ledger::Ledger;
use crate::ledger::item::{Item, text};
use crate::ledger::keys::Key;
use crate::random::token;
use crate::replies::{Refusal, of_write};
use crate::request::Request;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use kinglet_core::{Error, Result};
use std::collections::HashMap;

/// The result of an update.
pub(crate) enum Updated {
    /// It was done. Carries the item as it is now, or was before, where that was asked for.
    Done(Option<Item>),
    /// The condition does not hold.
    Unmet {
        /// The item that failed the condition, where that was asked for and there is one.
        item: Option<Item>,
        /// The refusal in DynamoDB's words.
        error: Error,
    },
    /// The item would be larger than 400 KB. DynamoDB reports this as a validation error; as the requests always have the
    /// same form, nothing else can be wrong with them.
    TooLarge(Error),
}

/// A write of some attributes of one item: what to set, on which condition, and how it is sent.
///
/// An attribute `sends` is sent as `#sends`, and its new value as `:sends`. A condition may use both. It must write `#run`
/// for an attribute whose name is a reserved word of DynamoDB's.
#[must_use = "an update is sent by `send`, `done`, `done_or` or `signed`"]
pub(crate) struct Update<'a> {
    ledger: &'a Ledger,
    doing: String,
    pub(super) key: Key,
    set: Vec<String>,
    add: Vec<String>,
    remove: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
    returned: Option<ReturnValue>,
    refused: Option<ReturnValuesOnConditionCheckFailure>,
}

impl<'a> Update<'a> {
    /// Sets an attribute.
    pub(crate) fn set(self, name: &str, value: AttributeValue) -> Self {
        self.set_as(name, name, value)
    }

    /// Sets an attribute whose name is not an identifier. Conditions call it `alias`.
    pub(crate) fn set_as(mut self, alias: &str, name: &str, value: AttributeValue) -> Self {
        self.set.push(format!("#{alias} = :{alias}"));
        self.names.insert(format!("#{alias}"), name.to_owned());
        self.value(alias, value)
    }

    /// Sets an attribute if it has a value.
    pub(crate) fn set_some(self, name: &str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    /// Sets the time from which DynamoDB may delete the item.
    pub(crate) fn ttl(self) -> Self {
        let ttl = self.ledger.ttl();
        self.set("ttl", ttl)
    }

    /// Adds members to a set.
    pub(crate) fn add(mut self, name: &str, numbers: impl IntoIterator<Item = u32>) -> Self {
        self.add.push(format!("#{name} :{name}"));
        self.names.insert(format!("#{name}"), name.to_owned());
        self.value(name, AttributeValue::Ns(numbers.into_iter().map(|number| number.to_string()).collect()))
    }

    /// Removes an attribute.
    pub(crate) fn remove(mut self, name: &str) -> Self {
        self.remove.push(format!("#{name}"));
        self.names.insert(format!("#{name}"), name.to_owned());
        self
    }

    /// Adds a condition, which must hold together with those given before.
    pub(crate) fn when(mut self, condition: impl Into<String>) -> Self {
        let condition = condition.into();
        for rest in condition.split('#').skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            self.names.entry(format!("#{name}")).or_insert(name);
        }
        self.conditions.push(condition);
        self
    }

    /// Sets the value of `:name` in a condition.
    pub(crate) fn value(mut self, name: &str, value: AttributeValue) -> Self {
        let before = self.values.insert(format!(":{name}"), value);
        debug_assert!(before.is_none(), "two values for :{name}");
        self
    }

    /// Asks for the item as it is afterwards, or was before.
    pub(crate) fn returning(self, which: ReturnValue) -> Self {
        Update { returned: Some(which), ..self }
    }

    /// Asks for the item when the condition does not hold.
    pub(crate) fn returning_refused(self) -> Self {
        Update { refused: Some(ReturnValuesOnConditionCheckFailure::AllOld), ..self }
    }

    fn expression(&self) -> String {
        let clauses = [("SET", &self.set), ("REMOVE", &self.remove), ("ADD", &self.add)];
        let clauses = clauses.iter().filter(|(_, all)| !all.is_empty());
        clauses.map(|(verb, all)| format!("{verb} {}", all.join(", "))).collect::<Vec<_>>().join(" ")
    }

    /// Joins all conditions. Each may itself be several alternatives.
    fn condition(&self) -> Option<String> {
        let all: Vec<_> = self.conditions.iter().map(|one| format!("({one})")).collect();
        (!all.is_empty()).then(|| all.join(" AND "))
    }

    fn names(&self) -> Option<HashMap<String, String>> {
        (!self.names.is_empty()).then(|| self.names.clone())
    }

    /// Sends the update and returns its result.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses,
    /// except for the refusals in [`Updated`].
    pub(crate) async fn write(self) -> Result<Updated> {
        let table = &self.ledger.table;
        let doing = Doing::now(&self.doing);
        let request = table.client.update_item().table_name(&table.name).set_key(Some(self.key.clone().attributes()));
        let request = request
            .update_expression(self.expression())
            .set_condition_expression(self.condition())
            .set_expression_attribute_names(self.names())
            .set_expression_attribute_values(Some(self.values.clone()))
            .set_return_values(self.returned.clone())
            .set_return_values_on_condition_check_failure(self.refused.clone());
        match request.return_consumed_capacity(ReturnConsumedCapacity::Total).reply().await {
            Ok(done) => {
                table.wrote(done.consumed_capacity);
                Ok(Updated::Done(done.attributes))
            }
            Err(e) if of_write(code(&e).as_deref()) == Refusal::Unmet => {
                let error = doing.failed(&e);
                let item = match e.into_service_error() {
                    UpdateItemError::ConditionalCheckFailedException(failed) => failed.item,
                    _ => None,
                };
                Ok(Updated::Unmet { item, error })
            }
            Err(e) if code(&e).as_deref() == Some("ValidationException") => Ok(Updated::TooLarge(doing.failed(&e))),
            Err(e) => Err(doing.failed(&e)),
        }
    }

    /// Sends the update and returns whether its condition held.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn done(self) -> Result<bool> {
        match self.write().await? {
            Updated::Done(_) => Ok(true),
            Updated::Unmet { .. } => Ok(false),
            Updated::TooLarge(error) => Err(error),
        }
    }

    /// Sends the update and returns whether it was done. If it is refused, `is_mine` decides from the item whether this
    /// update had been done before and its reply was lost.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn done_or(self, is_mine: impl Fn(&Item) -> bool) -> Result<bool> {
        let (ledger, doing, key) = (self.ledger, self.doing.clone(), self.key.clone());
        Ok(self.done().await? || ledger.item(doing, key).await?.is_some_and(|item| is_mine(&item)))
    }

    /// Sends the update with a random token in `by`. Returns whether this call's write stands.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn signed(self) -> Result<bool> {
        let by = text(token());
        self.set("by", by.clone()).done_or(|item| item.get("by") == Some(&by)).await
    }

    /// Returns the update as one of the writes of a transaction.
    pub(super) fn in_transaction(&self) -> Result<TransactWriteItem> {
        let update = aws_sdk_dynamodb::types::Update::builder().table_name(self.ledger.table_name());
        let update = update
            .set_key(Some(self.key.clone().attributes()))
            .update_expression(self.expression())
            .set_condition_expression(self.condition())
            .set_expression_attribute_names(self.names())
            .set_expression_attribute_values(Some(self.values.clone()));
        Ok(TransactWriteItem::builder().update(update.build().map_err(rejected)?).build())
    }
}

impl Ledger {
    /// Begins an update of one item. `doing` names the operation in errors.
    pub(crate) fn update(&self, doing: impl Into<String>, key: Key) -> Update<'_> {
        Update {
            ledger: self,
            doing: doing.into(),
            key,
            set: vec![],
            add: vec![],
            remove: vec![],
            conditions: vec![],
            names: HashMap::new(),
            values: HashMap::new(),
            returned: None,
            refused: None,
        }
    }
}
