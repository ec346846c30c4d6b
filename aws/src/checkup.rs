//! What `kinglet doctor` asks of AWS: each permission tried by using it, each setting read.
//!
//! Whatever is written to try is below `jobs/doctor-…` of the work bucket, where a driver may write, and `doctor#…` of the
//! table, and is removed again. What a doctor that was killed leaves, `kinglet clean` takes for a job that is over.

use crate::conduct::Conductor;
use crate::errors::{Doing, code};
use crate::ledger::{Ledger, text};
use crate::objects::{Objects, Put, Replace};
use crate::replies::{Refusal, of_write};
use aws_sdk_lambda::types::InvocationType;
use aws_sdk_s3::types::ExpirationStatus;
use kinglet_core::{Code, Error, Result};

/// How the table is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSettings {
    /// `ACTIVE` when it can be used.
    pub status: String,
    /// Whether it is paid for by request.
    pub on_demand: bool,
    /// Whether items go by their attribute `ttl`.
    pub ttl: bool,
    /// Whether it can be restored to any second; `None` where that may not be read.
    pub recoverable: Option<bool>,
}

/// How the work bucket is set up; `None` where that may not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSettings {
    /// Whether its policy refuses what does not come by TLS.
    pub tls_only: Option<bool>,
    /// Whether intermediate data expires.
    pub expires: Option<bool>,
    /// Whether uploads that were not finished are given up.
    pub aborts_uploads: Option<bool>,
    /// Whether objects are encrypted.
    pub encrypted: Option<bool>,
    /// Whether nothing in it can be made public.
    pub private: Option<bool>,
}

/// How a function is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSettings {
    /// `Active` when it can be invoked; `Inactive` when it has slept for weeks, and the first invocation wakes it.
    pub state: String,
    /// How the last change of it ended, `Successful`.
    pub last_update: String,
    /// Memory in MB.
    pub memory_mb: u32,
    /// In seconds.
    pub timeout_s: u32,
    /// The ledger's table that it was told.
    pub table: Option<String>,
    /// Whether the record of a failed event is sent on, with no retry of Lambda's own before; `None` where that may not be read.
    pub tells_failures: Option<bool>,
}

impl Conductor {
    /// Writes, reads and deletes an object of the work bucket, one write of it on a condition.
    ///
    /// # Errors
    /// What S3 refuses; `condition-ignored` when it takes a write whose condition does not hold.
    pub async fn try_bucket(&self, name: &str) -> Result<()> {
        let (objects, bucket, key) = (&self.objects, &self.stack.work_bucket, format!("jobs/doctor-{name}/tried"));
        objects.put(bucket, &key, "tried".into(), Replace::No).await?;
        let again = objects.put(bucket, &key, "tried again".into(), Replace::No).await;
        let read = objects.get(bucket, &key, None).await;
        objects.delete(bucket, std::slice::from_ref(&key)).await?;
        read?;
        match again? {
            Put::Refused => Ok(()),
            Put::Written(_) => Err(ignored(&format!("bucket {bucket}"))),
        }
    }

    /// Invokes a function without running it.
    ///
    /// # Errors
    /// What Lambda refuses.
    pub async fn try_function(&self, name: &str) -> Result<()> {
        let doing = Doing::now(format!("invoking function {name}"));
        let request = self.clients.lambda.invoke().function_name(name).invocation_type(InvocationType::DryRun);
        request.send().await.map(drop).map_err(|e| function_error(name, &doing, &e))
    }

    /// How a function is set up.
    ///
    /// # Errors
    /// What Lambda refuses.
    pub async fn function_settings(&self, name: &str) -> Result<FunctionSettings> {
        let doing = Doing::now(format!("looking at function {name}"));
        let lambda = &self.clients.lambda;
        let found = lambda.get_function_configuration().function_name(name).send().await;
        let found = found.map_err(|e| function_error(name, &doing, &e))?;
        let tells_failures = match lambda.get_function_event_invoke_config().function_name(name).send().await {
            Ok(events) => {
                let destination = events.destination_config().and_then(|to| to.on_failure()?.destination());
                Some(destination.is_some() && events.maximum_retry_attempts() == Some(0))
            }
            // One that was never set up has none; that it may not be read says nothing of it.
            Err(e) => (code(&e).as_deref() == Some("ResourceNotFoundException")).then_some(false),
        };
        let variables = found.environment().and_then(|environment| environment.variables());
        let number = |n: i32| n.unsigned_abs();
        Ok(FunctionSettings {
            state: found.state().map_or("Active", |state| state.as_str()).to_owned(),
            last_update: found.last_update_status().map_or("Successful", |status| status.as_str()).to_owned(),
            memory_mb: found.memory_size().map_or(0, number),
            timeout_s: found.timeout().map_or(0, number),
            table: variables.and_then(|all| all.get(kinglet_core::env::TABLE).cloned()),
            tells_failures,
        })
    }

    /// How the work bucket is set up.
    pub async fn bucket_settings(&self) -> BucketSettings {
        let (s3, bucket) = (&self.clients.s3, &self.stack.work_bucket);
        // That nothing is set is an answer, told by an error of its own; that it may not be read is none.
        let none = |code: Option<String>| match code.as_deref() {
            Some(code) if code.starts_with("NoSuch") || code.contains("NotFound") => Some(false),
            _ => None,
        };
        let tls_only = match s3.get_bucket_policy().bucket(bucket).send().await {
            Ok(said) => Some(said.policy().is_some_and(refuses_plain)),
            Err(e) => none(code(&e)),
        };
        let (expires, aborts_uploads) = match s3.get_bucket_lifecycle_configuration().bucket(bucket).send().await {
            Ok(said) => {
                let enabled = || said.rules().iter().filter(|rule| rule.status() == &ExpirationStatus::Enabled);
                (
                    Some(enabled().any(|rule| rule.expiration().is_some())),
                    Some(enabled().any(|rule| rule.abort_incomplete_multipart_upload().is_some())),
                )
            }
            Err(e) => {
                let none = none(code(&e));
                (none, none)
            }
        };
        let encrypted = match s3.get_bucket_encryption().bucket(bucket).send().await {
            Ok(said) => Some(said.server_side_encryption_configuration().is_some_and(|set| !set.rules().is_empty())),
            Err(e) => none(code(&e)),
        };
        let private = match s3.get_public_access_block().bucket(bucket).send().await {
            Ok(said) => {
                let all = |set: &aws_sdk_s3::types::PublicAccessBlockConfiguration| {
                    let set = [
                        set.block_public_acls(),
                        set.block_public_policy(),
                        set.ignore_public_acls(),
                        set.restrict_public_buckets(),
                    ];
                    set.iter().all(|set| set.unwrap_or(false))
                };
                Some(said.public_access_block_configuration().is_some_and(all))
            }
            Err(e) => none(code(&e)),
        };
        BucketSettings { tls_only, expires, aborts_uploads, encrypted, private }
    }
}

/// Whether a bucket's policy denies requests that do not come by TLS.
fn refuses_plain(policy: &str) -> bool {
    let policy: serde_json::Value = serde_json::from_str(policy).unwrap_or_default();
    let statements = match &policy["Statement"] {
        serde_json::Value::Array(all) => all.clone(),
        one => vec![one.clone()],
    };
    statements.iter().any(|statement| {
        let secure = &statement["Condition"]["Bool"]["aws:SecureTransport"];
        statement["Effect"] == "Deny" && (secure == "false" || *secure == serde_json::Value::Bool(false))
    })
}

fn ignored(what: &str) -> Error {
    Error::new(Code::ConditionIgnored, format!("{what} took a write whose condition did not hold"))
        .with_hint("results would not be exactly once: use AWS, or a server that keeps conditions")
}

fn function_error<E>(
    name: &str,
    doing: &Doing<String>,
    error: &aws_smithy_runtime_api::client::result::SdkError<
        E,
        aws_smithy_runtime_api::client::orchestrator::HttpResponse,
    >,
) -> Error
where
    E: aws_smithy_types::error::metadata::ProvideErrorMetadata + std::error::Error + 'static,
{
    match code(error).as_deref() {
        Some("ResourceNotFoundException") => Error::new(Code::FunctionMissing, format!("there is no function {name}"))
            .with_hint("deploy the stack again: one of its functions was deleted"),
        _ => doing.failed(error),
    }
}

impl Ledger {
    /// Writes an item on a condition, twice, reads it and deletes it.
    ///
    /// # Errors
    /// What DynamoDB refuses; `condition-ignored` when it takes a write whose condition does not hold.
    pub async fn try_table(&self, name: &str) -> Result<()> {
        let (client, table) = (self.client(), self.table_name());
        let doing = Doing::now(format!("trying table {table}"));
        let pk = text(format!("doctor#{name}"));
        let put = || {
            let put = client.put_item().table_name(table).item("pk", pk.clone()).item("sk", text("tried"));
            put.item("ttl", self.ttl()).condition_expression("attribute_not_exists(pk)").send()
        };
        put().await.map_err(|e| doing.failed(&e))?;
        let again = put().await;
        let request = client.get_item().table_name(table).consistent_read(true);
        let read = request.key("pk", pk.clone()).key("sk", text("tried")).send().await;
        let delete = client.delete_item().table_name(table).key("pk", pk.clone()).key("sk", text("tried"));
        delete.send().await.map_err(|e| doing.failed(&e))?;
        if read.map_err(|e| doing.failed(&e))?.item.is_none() {
            return Err(Error::new(Code::Service, format!("table {table} has lost what was written to it")));
        }
        match again {
            Err(e) if of_write(code(&e).as_deref()) == Refusal::Unmet => Ok(()),
            Err(e) => Err(doing.failed(&e)),
            Ok(_) => Err(ignored(&format!("table {table}"))),
        }
    }

    /// How the table is set up.
    ///
    /// # Errors
    /// What DynamoDB refuses.
    pub async fn settings(&self) -> Result<TableSettings> {
        let (client, name) = (self.client(), self.table_name());
        let doing = Doing::now(format!("looking at table {name}"));
        let described = client.describe_table().table_name(name).send().await;
        let table = described.map_err(|e| doing.failed(&e))?.table;
        let ttl = client.describe_time_to_live().table_name(name).send().await;
        let ttl = ttl.map_err(|e| doing.failed(&e))?.time_to_live_description;
        let backups = client.describe_continuous_backups().table_name(name).send().await.ok();
        let backups = backups.and_then(|said| said.continuous_backups_description);
        let recovery = backups.and_then(|said| said.point_in_time_recovery_description);
        let table = table.as_ref();
        Ok(TableSettings {
            status: table.and_then(|t| t.table_status()).map_or("in no state", |status| status.as_str()).to_owned(),
            on_demand: table
                .and_then(|t| t.billing_mode_summary())
                .and_then(|billing| billing.billing_mode())
                .is_some_and(|mode| *mode == aws_sdk_dynamodb::types::BillingMode::PayPerRequest),
            ttl: ttl.is_some_and(|ttl| {
                let status = ttl.time_to_live_status().map(|status| status.as_str());
                ttl.attribute_name() == Some("ttl") && matches!(status, Some("ENABLED" | "ENABLING"))
            }),
            recoverable: recovery
                .and_then(|said| said.point_in_time_recovery_status)
                .map(|status| status.as_str() == "ENABLED"),
        })
    }
}

impl Objects {
    /// Lists at most one object of a bucket, to see whether that is permitted.
    ///
    /// # Errors
    /// What S3 refuses.
    pub async fn try_list(&self, bucket: &str) -> Result<()> {
        let doing = self.doing(format!("listing s3://{bucket}/"));
        self.s3.list_objects_v2().bucket(bucket).max_keys(1).send().await.map(drop).map_err(|e| doing.failed(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_refuses_plain_http_is_known() {
        let statement = |effect: &str, secure: &str| {
            format!(r#"{{"Effect":"{effect}","Condition":{{"Bool":{{"aws:SecureTransport":{secure}}}}}}}"#)
        };
        for secure in ["false", "\"false\""] {
            assert!(refuses_plain(&format!(r#"{{"Statement":[{}]}}"#, statement("Deny", secure))));
            assert!(refuses_plain(&format!(r#"{{"Statement":{}}}"#, statement("Deny", secure))));
            assert!(!refuses_plain(&format!(r#"{{"Statement":[{}]}}"#, statement("Allow", secure))));
        }
        assert!(!refuses_plain(&format!(r#"{{"Statement":[{}]}}"#, statement("Deny", "true"))));
        assert!(!refuses_plain("{}") && !refuses_plain(""));
    }
}
