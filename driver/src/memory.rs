//! The memory of a stack's mapper, changed for a while: what `kinglet tune` measures on.

use crate::driver::Place;
use crate::{Driver, Error, Result};
use kinglet_aws::functions::Functions;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What this process has changed, and what it was.
static CHANGED: Mutex<Vec<(Functions, u32)>> = Mutex::new(Vec::new());

/// How long setting things right again may keep an interrupted program from ending.
const RESTORE_MAX: Duration = Duration::from_secs(60);

fn changed() -> std::sync::MutexGuard<'static, Vec<(Functions, u32)>> {
    CHANGED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives mappers back the memory that they had, in a program that was interrupted.
pub(crate) async fn restore_interrupted() {
    let all = std::mem::take(&mut *changed());
    for (functions, memory_mb) in all {
        match tokio::time::timeout(RESTORE_MAX, functions.set_mapper_memory_mb(memory_mb)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("error: giving the mapper its {memory_mb} MB back: {error}"),
            Err(_) => eprintln!("error: giving the mapper its {memory_mb} MB back took too long"),
        }
    }
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
        if let Place::Embedded { .. } = self.shared.place {
            return Err(Error::input("not-a-stack", "the embedded runtime's memory is chosen when it is started")
                .with_hint("use `Local::with_memory_mb`"));
        }
        let functions = &self.shared.conductor.functions;
        let before = functions.mapper_memory_mb().await?;
        if changed().is_empty() {
            changed().push((functions.clone(), before));
        }
        if before == memory_mb { Ok(()) } else { functions.set_mapper_memory_mb(memory_mb).await }
    }

    /// Undoes [`Driver::set_mapper_memory_mb`].
    ///
    /// # Errors
    /// What Lambda reports.
    pub async fn restore_mapper_memory(&self) -> Result<()> {
        let last = changed().last().cloned();
        if let Some((functions, memory_mb)) = last {
            functions.set_mapper_memory_mb(memory_mb).await?;
            changed().clear();
        }
        Ok(())
    }
}
