//! What `kinglet bench` and `kinglet tune` need of a stack besides running jobs: its functions as Lambda describes them,
//! another memory for the mapper for a while, data copied to where it can be read, the services tried from outside, and the
//! removal of what a run leaves.

mod left;
mod services;

pub use left::Left;
pub use services::{Line, Measured, Model, Samples, Services, Start, Times};

use crate::connection::Connection;
use crate::driver::Driver;
use crate::place::Place;
use crate::{Code, Error, Result, output};
use kinglet_aws::Objects;
pub use kinglet_aws::functions::FunctionInfo;
use kinglet_aws::functions::Functions;
use kinglet_aws::objects::{Address, Version};
use kinglet_core::wire::spec::{PART, part_job};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// A stack on which something is measured.
///
/// ```no_run
/// # async fn describe(driver: kinglet::Driver) -> kinglet::Result<()> {
/// for function in kinglet::measure::Measure::on(&driver).functions().await? {
///     println!("{}: {} MB", function.name, function.memory_mb);
/// }
/// # Ok(()) }
/// ```
pub struct Measure<'a> {
    shared: &'a Connection,
}

/// What this process has changed, by the stack's id, and the memory from before the first change. Two stacks in two regions
/// or accounts may have functions of one name, so names alone would not do.
static CHANGED: Mutex<BTreeMap<String, (Functions, u32)>> = Mutex::new(BTreeMap::new());

/// How long an interrupted program may be kept from ending while the memory is restored.
const RESTORE_MAX: Duration = Duration::from_secs(60);

fn changed() -> std::sync::MutexGuard<'static, BTreeMap<String, (Functions, u32)>> {
    CHANGED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Restores the memory of all mappers at the same time, and removes what was measured with, in a program that was interrupted.
pub(crate) async fn restore_interrupted() {
    let all = std::mem::take(&mut *changed());
    let restore = |(stack, (functions, memory_mb)): (String, (Functions, u32))| async move {
        let failed = match tokio::time::timeout(RESTORE_MAX, functions.set_mapper_memory_mb(memory_mb)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!(": {error}"),
            Err(_) => " took too long".to_owned(),
        };
        eprintln!("error: giving the mapper of stack {stack} its {memory_mb} MB back{failed}");
    };
    tokio::join!(all.into_iter().map(restore).collect::<JoinSet<_>>().join_all(), left::remove_interrupted());
}

impl<'a> Measure<'a> {
    /// Measures on the stack of this driver.
    pub fn on(driver: &'a Driver) -> Self {
        Measure { shared: &driver.shared }
    }

    /// Returns the memory of the stack's mapper in MB.
    ///
    /// # Errors
    /// [A service error](crate#errors).
    pub async fn mapper_memory_mb(&self) -> Result<u32> {
        self.shared.conductor.functions.mapper_memory_mb().await
    }

    /// Sets the memory of the stack's mapper, for every job that runs on the stack, until [`Measure::restore_mapper_memory`]
    /// or Ctrl-C restores it. A program that is killed leaves it changed.
    ///
    /// This needs the permissions `lambda:GetFunctionConfiguration` and `lambda:UpdateFunctionConfiguration`.
    ///
    /// # Errors
    /// `not-a-stack` on the embedded runtime, whose memory is chosen when it is started; `function-update` when Lambda does
    /// not make the change; [a service error](crate#errors).
    pub async fn set_mapper_memory_mb(&self, memory_mb: u32) -> Result<()> {
        let Place::Aws(cloud) = &self.shared.place else {
            return Err(Error::new(Code::NotAStack, "the embedded runtime's memory is chosen when it is started")
                .with_hint("use `Local::with_memory_mb`"));
        };
        let functions = &self.shared.conductor.functions;
        let before = functions.mapper_memory_mb().await?;
        changed().entry(cloud.deployed.id.clone()).or_insert_with(|| (functions.clone(), before));
        if before == memory_mb { Ok(()) } else { functions.set_mapper_memory_mb(memory_mb).await }
    }

    /// Undoes what [`Measure::set_mapper_memory_mb`] did to this stack in this program, through any driver.
    ///
    /// # Errors
    /// [A service error](crate#errors).
    pub async fn restore_mapper_memory(&self) -> Result<()> {
        let Place::Aws(cloud) = &self.shared.place else { return Ok(()) };
        let before = changed().get(&cloud.deployed.id).cloned();
        if let Some((functions, memory_mb)) = before {
            functions.set_mapper_memory_mb(memory_mb).await?;
            changed().remove(&cloud.deployed.id);
        }
        Ok(())
    }

    /// Copies the parts of an output from one `s3://` prefix to another, within S3.
    ///
    /// # Errors
    /// `output` or `uri` when either is not an `s3://` URI; `bucket-missing`; [a service error](crate#errors).
    pub async fn copy_parts(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (output::in_s3(from)?, output::in_s3(to)?);
        let objects = &self.shared.conductor.objects;
        for part in objects.list(&from.bucket, &format!("{}{PART}", from.prefix)).await? {
            let name = part.key.strip_prefix(&from.prefix).unwrap_or(&part.key);
            let key = format!("{}{name}", to.prefix);
            let copy = Address { bucket: &to.bucket, key: &key };
            objects.copy(Address { bucket: &from.bucket, key: &part.key }, copy).await?;
        }
        Ok(())
    }

    /// Removes the parts that [`Measure::copy_parts`] copied to `to`.
    ///
    /// # Errors
    /// As [`Measure::copy_parts`].
    pub async fn remove_copied_parts(&self, to: &str) -> Result<()> {
        remove_parts(&self.shared.conductor.objects, to).await
    }

    /// Returns how many functions can run at once.
    pub async fn concurrency(&self) -> u32 {
        self.shared.concurrency().await
    }

    /// Returns the stack's functions as Lambda describes them: splitter, mapper, larger mapper and reducer.
    ///
    /// # Errors
    /// [A service error](crate#errors).
    pub async fn functions(&self) -> Result<Vec<FunctionInfo>> {
        self.shared.conductor.functions.describe().await
    }
}

/// Removes what has the name of a part below a prefix, whatever job wrote it.
async fn remove_parts(objects: &Objects, from: &str) -> Result<()> {
    let from = output::in_s3(from)?;
    let listed = objects.list(&from.bucket, &format!("{}{PART}", from.prefix)).await?;
    let is_part = |key: &str| key.strip_prefix(&from.prefix).and_then(part_job).is_some();
    let parts = listed.into_iter().filter(|object| is_part(&object.key));
    let parts = parts.map(|object| Version { key: object.key, etag: Some(object.etag) }).collect();
    objects.delete_versions(&from.bucket, parts).await
}
