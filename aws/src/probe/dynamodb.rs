//! Requests on items.

use super::line::{Answers, DONE, Line, Watch, answer};
use super::{Probe, RACERS};
use crate::request::Request;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update as UpdateOf,
};
use futures_util::future::join_all;
use kinglet_core::limits::ITEM_BYTES_MAX;
use kinglet_core::model::dynamodb as model;
use std::collections::HashMap;

const LATENCIES: &str = "Latencies of DynamoDB";
const REQUESTS: &str = "Requests";

const UNMET: &str = "400 ConditionalCheckFailedException";
const CANCELLED: &str = "400 TransactionCanceledException";

impl Probe<'_> {
    pub(super) async fn dynamodb_times(&self) -> Vec<Line> {
        let [mut update, mut get, mut query, mut transact] = [(); 4].map(|()| Watch::default());
        // The first request opens the connection.
        let _ = self.number("nothing").await;
        for n in 0..self.samples.small {
            let name = format!("small#{}", n % 10);
            update.time(self.add(&name).reply()).await;
            get.time(self.read(&name).reply()).await;
            query.time(self.query().reply()).await;
            transact.time(self.transact([&name, "other"]).reply()).await;
        }
        [
            ("dynamodb-update", "UpdateItem", update, model::UPDATE),
            ("dynamodb-get", "GetItem, consistent", get, model::GET),
            ("dynamodb-query", "Query of 11 items, consistent", query, model::QUERY),
            ("dynamodb-transact", "TransactWriteItems of two", transact, model::TRANSACT),
        ]
        .into_iter()
        .map(|(name, what, watch, model)| Line::took(name, what, LATENCIES, watch.measured(), model))
        .collect()
    }

    pub(super) async fn dynamodb_answers(&self) -> Vec<Line> {
        vec![
            self.refused_with_item().await,
            self.too_large().await,
            self.race_of_updates().await,
            self.read_after_write().await,
            self.same_token().await,
            self.race_of_transactions().await,
        ]
    }

    async fn refused_with_item(&self) -> Line {
        let put = || {
            let put = self.dynamodb.put_item().table_name(self.table()).set_item(Some(self.fresh("condition")));
            let put = put.condition_expression("attribute_not_exists(pk)");
            put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld).reply()
        };
        let _ = put().await;
        let again = put().await;
        let item = again.as_ref().err().and_then(|error| match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(refused)) => refused.item(),
            _ => None,
        });
        let found = format!("{}, {} the item", answer(&again), if item.is_some() { "with" } else { "without" });
        let says = format!("{UNMET}, with the item");
        let agrees = found == says;
        let what = "PutItem on a condition that does not hold";
        Answers::from(found).line("dynamodb-condition", what, REQUESTS, &says, agrees)
    }

    async fn too_large(&self) -> Line {
        const REFUSED: &str = "400 ValidationException";
        let mut item = self.fresh("large");
        item.insert("bytes".to_owned(), AttributeValue::B(vec![0; ITEM_BYTES_MAX].into()));
        let found = answer(&self.dynamodb.put_item().table_name(self.table()).set_item(Some(item)).reply().await);
        let agrees = found == REFUSED;
        let what = "PutItem of more than 400 KB";
        Answers::from(found).line("dynamodb-too-large", what, REQUESTS, REFUSED, agrees)
    }

    async fn race_of_updates(&self) -> Line {
        let mut answers = Answers::default();
        for race in 0..self.samples.races {
            let name = format!("race#{race}");
            let updates = (0..RACERS).map(|_| self.add(&name).condition_expression("attribute_not_exists(pk)").reply());
            join_all(updates).await.iter().for_each(|update| answers.add(answer(update)));
        }
        let races = self.samples.races;
        let agrees = answers.count(DONE) == races && answers.are(&[DONE, UNMET]);
        let says = format!("one done in each race; the others {UNMET}");
        answers.line("dynamodb-race", "races of 16 UpdateItem on one condition", REQUESTS, &says, agrees)
    }

    async fn read_after_write(&self) -> Line {
        const SEEN: &str = "seen";
        let mut answers = Answers::default();
        for round in 1..=self.samples.races {
            let _ = self.add("read").reply().await;
            let seen = self.number("read").await == Some(round);
            answers.add(if seen { SEEN } else { "a write was not seen" }.to_owned());
        }
        let agrees = answers.are(&[SEEN]);
        answers.line("dynamodb-consistency", "a consistent GetItem right after a write", REQUESTS, SEEN, agrees)
    }

    async fn same_token(&self) -> Line {
        let token = format!("bench-{}", crate::nonce());
        let send = || self.transact(["token", "token-other"]).client_request_token(&token).reply();
        let answers = [answer(&send().await), answer(&send().await)];
        let count = self.number("token").await.unwrap_or(0);
        let found = format!("{}, {}; counted {count}", answers[0], answers[1]);
        let says = format!("{DONE}, {DONE}; counted 1");
        let agrees = found == says;
        let what = "TransactWriteItems twice with one ClientRequestToken";
        Answers::from(found).line("dynamodb-token", what, REQUESTS, &says, agrees)
    }

    async fn race_of_transactions(&self) -> Line {
        let mut answers = Answers::default();
        for _ in 0..self.samples.races {
            let both = (0..RACERS).map(|_| self.transact(["conflict", "conflict-other"]).reply());
            join_all(both).await.iter().for_each(|done| answers.add(answer(done)));
        }
        let (done, count) = (answers.count(DONE), self.number("conflict").await.unwrap_or(0));
        let agrees = done == count && answers.are(&[DONE, CANCELLED]);
        let says = format!("{DONE} as often as the item counts, {count}; else {CANCELLED}");
        answers.line("dynamodb-conflict", "races of 16 TransactWriteItems on two items", REQUESTS, &says, agrees)
    }

    /// Returns an item with a key and a time to live, for a name.
    fn fresh(&self, name: &str) -> HashMap<String, AttributeValue> {
        let ttl = ("ttl".to_owned(), self.conductor.ledger.ttl());
        self.item(name).into_iter().chain([ttl]).collect()
    }

    /// Adds one to an item's number.
    fn add(&self, name: &str) -> aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder {
        let request = self.dynamodb.update_item().table_name(self.table()).set_key(Some(self.item(name).into()));
        let request = request.update_expression(ADD_ONE).expression_attribute_names("#ttl", "ttl");
        request.set_expression_attribute_values(Some(self.add_values()))
    }

    fn add_values(&self) -> HashMap<String, AttributeValue> {
        let one = AttributeValue::N("1".to_owned());
        HashMap::from([(":one".to_owned(), one), (":ttl".to_owned(), self.conductor.ledger.ttl())])
    }

    fn read(&self, name: &str) -> aws_sdk_dynamodb::operation::get_item::builders::GetItemFluentBuilder {
        let request = self.dynamodb.get_item().table_name(self.table()).consistent_read(true);
        request.set_key(Some(self.item(name).into()))
    }

    /// Reads an item's number.
    async fn number(&self, name: &str) -> Option<u32> {
        self.read(name).reply().await.ok()?.item?.get("n")?.as_n().ok()?.parse().ok()
    }

    fn query(&self) -> aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder {
        let [(_, pk), _] = self.item("");
        let request = self.dynamodb.query().table_name(self.table()).consistent_read(true);
        request.key_condition_expression("pk = :pk").expression_attribute_values(":pk", pk)
    }

    /// Adds one to two items' numbers, or to none.
    fn transact(
        &self,
        names: [&str; 2],
    ) -> aws_sdk_dynamodb::operation::transact_write_items::builders::TransactWriteItemsFluentBuilder {
        let updates = names.iter().filter_map(|name| {
            let update = UpdateOf::builder().table_name(self.table()).set_key(Some(self.item(name).into()));
            let update = update.update_expression(ADD_ONE).expression_attribute_names("#ttl", "ttl");
            let update = update.set_expression_attribute_values(Some(self.add_values())).build().ok()?;
            Some(TransactWriteItem::builder().update(update).build())
        });
        self.dynamodb.transact_write_items().set_transact_items(Some(updates.collect()))
    }
}

const ADD_ONE: &str = "SET #ttl = :ttl ADD n :one";
