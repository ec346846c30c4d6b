//! What `kinglet doctor` checks on AWS: it tries each permission by using it, and reads each setting.
//!
//! What it writes lies below `jobs/doctor-…` of the work bucket, where a driver may write, and `doctor#…` of the table, and
//! is removed again. What a killed doctor leaves, `kinglet clean` takes for a job that is over.

use crate::conductor::Conductor;
use crate::configuration::Configuration;
use crate::errors::{Doing, code};
use crate::ledger::{Ledger, text};
use crate::objects::{Objects, Put, Replace};
use crate::replies::{Refusal, of_write};
use crate::request::Request;
use aws_sdk_lambda::types::InvocationType;
use aws_sdk_s3::types::ExpirationStatus;
use kinglet_core::{Code, Error, Result};

/// The settings of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSettings {
    /// The table's status; `ACTIVE` when it can be used.
    pub status: String,
    /// Whether requests are paid for one by one (on demand).
    pub on_demand: bool,
    /// Whether items expire by their attribute `ttl`.
    pub ttl: bool,
    /// Whether point-in-time recovery is on; `None` if that may not be read.
    pub recoverable: Option<bool>,
}

/// The settings of the work bucket; each is `None` if it may not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSettings {
    /// Whether the bucket's policy refuses requests without TLS.
    pub tls_only: Option<bool>,
    /// Whether intermediate data expires.
    pub expires: Option<bool>,
    /// Whether unfinished multipart uploads are aborted.
    pub aborts_uploads: Option<bool>,
    /// Whether objects are encrypted.
    pub encrypted: Option<bool>,
    /// Whether all public access is blocked.
    pub private: Option<bool>,
}

/// The settings of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSettings {
    /// The state: `Active` when the function can be invoked; `Inactive` when it was idle for weeks, and the first invocation
    /// wakes it.
    pub state: String,
    /// The status of the last update, such as `Successful`.
    pub last_update: String,
    /// The memory in MB.
    pub memory_mb: u32,
    /// The timeout in seconds.
    pub timeout_s: u32,
    /// The ledger's table in the function's environment.
    pub table: Option<String>,
    /// Whether the records of failed events are sent on, with no retries of Lambda's own before; `None` if that may not be
    /// read.
    pub tells_failures: Option<bool>,
}

impl Conductor {
    /// Writes, reads and deletes an object of the work bucket, and writes it once more on a condition that does not hold.
    ///
    /// # Errors
    /// Returns `condition-ignored` when S3 accepts a write whose condition does not hold; or a service error, such as
    /// `access-denied`, when it refuses a request.
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

    /// Checks by a dry run that a function may be invoked.
    ///
    /// # Errors
    /// Returns a service error, such as `access-denied`, when Lambda cannot be reached or refuses.
    pub async fn try_function(&self, name: &str) -> Result<()> {
        let doing = Doing::now(format!("invoking function {name}"));
        let request = self.clients.lambda.invoke().function_name(name).invocation_type(InvocationType::DryRun);
        request.reply().await.map(drop).map_err(|e| function_error(name, &doing, &e))
    }

    /// Reads the settings of a function.
    ///
    /// # Errors
    /// Returns a service error, such as `access-denied`, when Lambda cannot be reached or refuses.
    pub async fn function_settings(&self, name: &str) -> Result<FunctionSettings> {
        let doing = Doing::now(format!("looking at function {name}"));
        let lambda = &self.clients.lambda;
        let found = lambda.get_function_configuration().function_name(name).reply().await;
        let found = Configuration::of(found, |e| function_error(name, &doing, e))?;
        let tells_failures = match lambda.get_function_event_invoke_config().function_name(name).reply().await {
            Ok(events) => {
                let destination = events.destination_config().and_then(|to| to.on_failure()?.destination());
                Some(destination.is_some() && events.maximum_retry_attempts() == Some(0))
            }
            // A function without such settings answers so. Other errors, such as a missing permission, say nothing of them.
            Err(e) => (code(&e).as_deref() == Some("ResourceNotFoundException")).then_some(false),
        };
        Ok(FunctionSettings {
            state: found.state.unwrap_or_else(|| "Active".to_owned()),
            last_update: found.last_update.unwrap_or_else(|| "Successful".to_owned()),
            memory_mb: found.memory_mb,
            timeout_s: found.timeout_s,
            table: found.variables.get(kinglet_core::env::TABLE).cloned(),
            tells_failures,
        })
    }

    /// Reads the settings of the work bucket.
    pub async fn bucket_settings(&self) -> BucketSettings {
        let (s3, bucket) = (&self.clients.s3, &self.stack.work_bucket);
        // A missing setting has an error code of its own, and is an answer; a missing permission is none.
        let none = |code: Option<String>| match code.as_deref() {
            Some(code) if code.starts_with("NoSuch") || code.contains("NotFound") => Some(false),
            _ => None,
        };
        let tls_only = match s3.get_bucket_policy().bucket(bucket).reply().await {
            Ok(said) => Some(said.policy().is_some_and(refuses_plain)),
            Err(e) => none(code(&e)),
        };
        let (expires, aborts_uploads) = match s3.get_bucket_lifecycle_configuration().bucket(bucket).reply().await {
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
        let encrypted = match s3.get_bucket_encryption().bucket(bucket).reply().await {
            Ok(said) => Some(said.server_side_encryption_configuration().is_some_and(|set| !set.rules().is_empty())),
            Err(e) => none(code(&e)),
        };
        let private = match s3.get_public_access_block().bucket(bucket).reply().await {
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

/// Returns whether a bucket's policy denies requests without TLS.
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
    /// Writes an item twice on a condition, which does not hold the second time, reads it and deletes it.
    ///
    /// # Errors
    /// Returns `condition-ignored` when DynamoDB accepts a write whose condition does not hold; or a service error, such as
    /// `access-denied`, when it refuses a request.
    pub async fn try_table(&self, name: &str) -> Result<()> {
        let (client, table) = (self.client(), self.table_name());
        let doing = Doing::now(format!("trying table {table}"));
        let pk = text(format!("doctor#{name}"));
        let put = || {
            let put = client.put_item().table_name(table).item("pk", pk.clone()).item("sk", text("tried"));
            put.item("ttl", self.ttl()).condition_expression("attribute_not_exists(pk)").reply()
        };
        put().await.map_err(|e| doing.failed(&e))?;
        let again = put().await;
        let request = client.get_item().table_name(table).consistent_read(true);
        let read = request.key("pk", pk.clone()).key("sk", text("tried")).reply().await;
        let delete = client.delete_item().table_name(table).key("pk", pk.clone()).key("sk", text("tried"));
        delete.reply().await.map_err(|e| doing.failed(&e))?;
        if read.map_err(|e| doing.failed(&e))?.item.is_none() {
            return Err(Error::new(Code::Service, format!("table {table} has lost what was written to it")));
        }
        match again {
            Err(e) if of_write(code(&e).as_deref()) == Refusal::Unmet => Ok(()),
            Err(e) => Err(doing.failed(&e)),
            Ok(_) => Err(ignored(&format!("table {table}"))),
        }
    }

    /// Reads the settings of the table.
    ///
    /// # Errors
    /// Returns a service error, such as `access-denied`, when DynamoDB cannot be reached or refuses.
    pub async fn settings(&self) -> Result<TableSettings> {
        let (client, name) = (self.client(), self.table_name());
        let doing = Doing::now(format!("looking at table {name}"));
        let described = client.describe_table().table_name(name).reply().await;
        let table = described.map_err(|e| doing.failed(&e))?.table;
        let ttl = client.describe_time_to_live().table_name(name).reply().await;
        let ttl = ttl.map_err(|e| doing.failed(&e))?.time_to_live_description;
        let backups = client.describe_continuous_backups().table_name(name).reply().await.ok();
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
    /// Lists at most one object of a bucket, to check the permission.
    ///
    /// # Errors
    /// Returns a service error, such as `access-denied`, when S3 cannot be reached or refuses.
    pub async fn try_list(&self, bucket: &str) -> Result<()> {
        let doing = self.doing(format!("listing s3://{bucket}/"));
        self.s3.list_objects_v2().bucket(bucket).max_keys(1).reply().await.map(drop).map_err(|e| doing.failed(&e))
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
