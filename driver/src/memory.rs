//! The memory of a stack's mapper, changed for a while: what `kinglet tune` measures on.

use crate::driver::Place;
use crate::{Driver, Error, Result};
use kinglet_aws::functions::Functions;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

/// What this process has changed, and what it was before the first change, by the stack's id: two stacks may have functions of
/// one name, in two regions or accounts.
static CHANGED: Mutex<BTreeMap<String, (Functions, u32)>> = Mutex::new(BTreeMap::new());

/// How long setting things right again may keep an interrupted program from ending.
const RESTORE_MAX: Duration = Duration::from_secs(60);

fn changed() -> std::sync::MutexGuard<'static, BTreeMap<String, (Functions, u32)>> {
    CHANGED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives all mappers back the memory that they had, at the same time, in a program that was interrupted.
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
    all.into_iter().map(restore).collect::<JoinSet<_>>().join_all().await;
}

impl Driver {
    /// The memory of the stack's mapper in MB.
    ///
    /// # Errors
    /// What Lambda reports.
    pub async fn mapper_memory_mb(&self) -> Result<u32> {
        self.shared.conductor.functions.mapper_memory_mb().await
    }

    /// Gives the stack's mapper so much memory, for every job that runs on the stack, until [`Driver::restore_mapper_memory`]
    /// or Ctrl-C gives it back what it had. A program that is killed leaves it as it is.
    ///
    /// # Errors
    /// [`Error::Input`] on the embedded runtime, whose memory is chosen when it is started; what Lambda reports: this needs the
    /// permissions `lambda:GetFunctionConfiguration` and `lambda:UpdateFunctionConfiguration`.
    pub async fn set_mapper_memory_mb(&self, memory_mb: u32) -> Result<()> {
        let Place::Aws(cloud) = &self.shared.place else {
            return Err(Error::input("not-a-stack", "the embedded runtime's memory is chosen when it is started")
                .with_hint("use `Local::with_memory_mb`"));
        };
        let functions = &self.shared.conductor.functions;
        let before = functions.mapper_memory_mb().await?;
        changed().entry(cloud.deployed.id.clone()).or_insert_with(|| (functions.clone(), before));
        if before == memory_mb { Ok(()) } else { functions.set_mapper_memory_mb(memory_mb).await }
    }

    /// Undoes what [`Driver::set_mapper_memory_mb`] has done to this stack in this program, through whichever driver.
    ///
    /// # Errors
    /// What Lambda reports.
    pub async fn restore_mapper_memory(&self) -> Result<()> {
        let Place::Aws(cloud) = &self.shared.place else { return Ok(()) };
        let before = changed().get(&cloud.deployed.id).cloned();
        if let Some((functions, memory_mb)) = before {
            functions.set_mapper_memory_mb(memory_mb).await?;
            changed().remove(&cloud.deployed.id);
        }
        Ok(())
    }
}
