//! Creating the table.

use super::Ledger;
use crate::errors::{Doing, code};
use crate::replies::Pause;
use crate::request::Request;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
};
use kinglet_core::{Code, Error, Result};

impl Ledger {
    /// Creates the table where `template.yaml` does not: on the embedded runtime and on self-hosted servers. A table that
    /// exists already, with the jobs of earlier drivers, is left as it is.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn create_table(&self) -> Result<()> {
        let (client, table) = (self.client(), self.table_name());
        let doing = Doing::now(format!("creating table {table}"));
        let mut request = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
        for (name, key) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
            let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
            let element = KeySchemaElement::builder().attribute_name(name).key_type(key).build();
            let rejected = |e: aws_sdk_dynamodb::error::BuildError| Error::new(Code::Rejected, e.to_string());
            request = request.attribute_definitions(attribute.build().map_err(rejected)?);
            request = request.key_schema(element.map_err(rejected)?);
        }
        match request.reply().await {
            Ok(_) => {}
            Err(e) if code(&e).as_deref() == Some("ResourceInUseException") => {}
            Err(e) => return Err(doing.failed(&e)),
        }
        // AWS takes a while to make the table active; the embedded server does not.
        let mut pause = Pause::default();
        loop {
            let described = client.describe_table().table_name(table).reply().await;
            let described = described.map_err(|e| doing.failed(&e))?.table;
            if described.and_then(|table| table.table_status).is_none_or(|status| status == TableStatus::Active) {
                return Ok(());
            }
            pause.wait(&format!("table {table} is not active yet")).await?;
        }
    }
}
