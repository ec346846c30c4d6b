//! The driver, which runs jobs and calls on a stack. It keeps no state that the ledger does not have.

use crate::connection::Connection;
use crate::place::Place;
use crate::program::Shipping;
use crate::{Result, output};
use kinglet_aws::Conductor;
use kinglet_aws::deployed::Buckets;
use kinglet_core::Registry;
use kinglet_local::{REGION, Runtime, Servers};
use std::fmt;
use std::sync::Arc;

/// Runs jobs and calls functions on a stack: the embedded runtime or AWS.
pub struct Driver {
    pub(crate) shared: Arc<Connection>,
}

/// A stack on AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StackInfo {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// The bucket that jobs may read.
    pub input_bucket: String,
    /// The bucket that jobs may write.
    pub output_bucket: String,
    /// The bucket or the folder that jobs may read: `s3://BUCKET/` or `s3://BUCKET/FOLDER/`.
    pub input_uri: String,
    /// The bucket or the folder that jobs may write.
    pub output_uri: String,
}

/// The servers of an embedded runtime, on loopback, and the keys to them.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Endpoints {
    /// The URL of S3.
    pub s3_url: String,
    /// The URL of DynamoDB.
    pub dynamodb_url: String,
    /// The URL of Lambda.
    pub lambda_url: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The access key id.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: String,
}

/// Without the secret, as what is printed is often kept.
impl fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoints { s3_url, dynamodb_url, lambda_url, region, access_key, secret_key: _ } = self;
        let mut shown = f.debug_struct("Endpoints");
        shown.field("s3_url", s3_url).field("dynamodb_url", dynamodb_url).field("lambda_url", lambda_url);
        shown.field("region", region).field("access_key", access_key).finish_non_exhaustive()
    }
}

impl From<Endpoints> for Servers {
    /// Takes what a second embedded runtime needs to use the S3 and the DynamoDB of the first.
    fn from(Endpoints { s3_url, dynamodb_url, access_key, secret_key, .. }: Endpoints) -> Self {
        Servers { s3_url, dynamodb_url, access_key, secret_key }
    }
}

impl Driver {
    pub(crate) fn new(conductor: Conductor, jobs: Arc<Registry>, place: Place, shipping: Shipping) -> Self {
        Driver { shared: Connection::new(conductor, jobs, place, shipping) }
    }

    /// Returns the stack on AWS; `None` on the embedded runtime.
    pub fn stack(&self) -> Option<StackInfo> {
        match &self.shared.place {
            Place::Embedded { .. } | Place::Neighbour(_) | Place::Simulated { .. } => None,
            Place::Aws(cloud) => {
                let deployed = &cloud.deployed;
                let Buckets { input: input_bucket, output: output_bucket } = deployed.buckets.clone();
                let (name, region) = (deployed.name.clone(), deployed.region.clone());
                let uri = |key: &str, bucket: &str| {
                    deployed.outputs.get(key).cloned().unwrap_or_else(|| format!("s3://{bucket}/"))
                };
                let (input_uri, output_uri) = (uri("InputUri", &input_bucket), uri("OutputUri", &output_bucket));
                Some(StackInfo { name, region, input_bucket, output_bucket, input_uri, output_uri })
            }
        }
    }

    /// Removes a result in S3: its manifest, and the parts that the manifest lists. Parts of version 1 stay, as nobody could
    /// tell them from other files.
    ///
    /// # Errors
    /// `output` or `uri` when `output` is not an `s3://` URI; `bucket-missing`; [a service error](crate#errors).
    pub async fn remove_output(&self, output: &str) -> Result<()> {
        self.shared.conductor.remove_result(&output::in_s3(output)?).await
    }

    /// Returns where the servers of the embedded runtime listen, for use by any AWS client while the driver lives; `None` on
    /// AWS.
    pub fn endpoints(&self) -> Option<Endpoints> {
        let runtime = self.shared.place.runtime()?;
        let [s3_url, dynamodb_url, lambda_url] = runtime.urls().map(str::to_owned);
        let (access_key, secret_key) = runtime.keys();
        let (access_key, secret_key) = (access_key.to_owned(), secret_key.to_owned());
        Some(Endpoints { s3_url, dynamodb_url, lambda_url, region: REGION.to_owned(), access_key, secret_key })
    }

    /// Returns the embedded runtime, for its Lambda host's reports, logs and faults; `None` on AWS. Its type is not part of
    /// this API.
    #[doc(hidden)]
    pub fn runtime(&self) -> Option<&Runtime> {
        self.shared.place.runtime()
    }

    /// Stops the embedded runtime and waits until nothing of it is left. Its jobs that have not ended are cancelled, as
    /// their functions end with it; jobs that publish already are published. Calls that have not ended by then fail with
    /// `driver-closed`.
    ///
    /// Dropping the driver does the same without waiting, and leaves its jobs' claims in their outputs: the next job there
    /// finds them dead.
    pub async fn close(self) {
        self.shared.end_tasks().await;
        if let Some(runtime) = self.shared.place.runtime() {
            runtime.host().end_workers().await;
            self.shared.end_jobs().await;
            self.shared.record_ends().await;
        }
        if let Ok(shared) = Arc::try_unwrap(self.shared).map_err(drop)
            && let Place::Embedded { runtime, .. } = shared.place
        {
            runtime.stop().await;
        }
    }
}
