//! A job without its types: handlers know jobs only by name, and dispatch once for each task, never for each record.

use super::cut::Cuts;
use super::map::{Chunks, MapOptions, Mapped, PairsOf};
use super::merge::{Bundles, MergeOptions, Merged};
use super::reduce::{FileOp, ReduceOptions, Reduced, Runs};
use crate::error::{Code, Error, Result};
use crate::guard::catch_as;
use crate::job::Job;
use crate::side::Side;
use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A job whose types are hidden.
pub trait ErasedJob: Send + Sync {
    /// Returns the job's name.
    fn name(&self) -> &'static str;

    /// Returns what finds where objects of a side of its input may be cut. A job that is no join has a left side alone.
    ///
    /// # Errors
    /// Returns [`Error::UserCode`] (`panic`) when the job's input format panics.
    fn cuts(&self, side: Side) -> Result<Cuts>;

    /// Runs a map task.
    ///
    /// # Errors
    /// Passes on the errors of `chunks`. Returns [`Error::UserCode`] when the job's code fails (`map-failed`, `panic`,
    /// `bounds`, …), [`Error::Cancelled`] when the task was stopped, and [`Error::Limit`] when `/tmp` cannot be written
    /// (`tmp-full`, `tmp`).
    fn map(&self, pool: &rayon::ThreadPool, options: &Arc<MapOptions>, chunks: &dyn Chunks) -> Result<Mapped>;

    /// Runs a map task whose pairs come from a function instead of the job's `map`: it makes an encoded list of pairs of each
    /// chunk.
    ///
    /// # Errors
    /// As [`ErasedJob::map`], with the errors of the function in place of those of the job's `map`.
    fn map_by(
        &self,
        pool: &rayon::ThreadPool,
        options: &Arc<MapOptions>,
        chunks: &dyn Chunks,
        pairs_of: &PairsOf,
    ) -> Result<Mapped>;

    /// Returns the type of a list of the job's pairs, as the signature of a function that returns one has it.
    fn pairs(&self) -> String;

    /// Runs a merge task, or a piece of it, and gives the runs that it writes to `out`, one behind the other.
    ///
    /// # Errors
    /// Passes on the errors of the bundles and of `out`. Returns [`Error::UserCode`] when the job's combiner fails (`panic`, `value-decode`),
    /// and [`Error::Cancelled`] when the task was stopped.
    fn merge(
        &self,
        options: &MergeOptions,
        bundles: Bundles,
        out: &mut dyn FnMut(Vec<u8>) -> Result<()>,
    ) -> Result<Merged>;

    /// Runs a reduce task, or a piece of it, and gives what it writes to `out` in order.
    ///
    /// # Errors
    /// Passes on the errors of `runs` and `out`. Returns [`Error::UserCode`] when the job's code fails (`reduce-failed`,
    /// `panic`), [`Error::Cancelled`] when the task was stopped, and [`Error::Limit`] when `/tmp` cannot be written
    /// (`tmp-full`, `tmp`).
    fn reduce(
        &self,
        options: &ReduceOptions,
        runs: Box<dyn Runs>,
        out: &mut dyn FnMut(FileOp) -> Result<()>,
    ) -> Result<Reduced>;
}

struct Typed<J>(J);

impl<J: Job> ErasedJob for Typed<J> {
    fn name(&self) -> &'static str {
        J::NAME
    }

    fn cuts(&self, side: Side) -> Result<Cuts> {
        let input = super::map::input(&self.0)?;
        let cuts = catch_as("the input format", || Cuts::of_side(Arc::new(input), side));
        cuts.map_err(|e| e.context(format!("setting up the input format (job {})", J::NAME)))
    }

    fn map(&self, pool: &rayon::ThreadPool, options: &Arc<MapOptions>, chunks: &dyn Chunks) -> Result<Mapped> {
        super::map::run(&self.0, pool, options, chunks)
    }

    fn map_by(
        &self,
        pool: &rayon::ThreadPool,
        options: &Arc<MapOptions>,
        chunks: &dyn Chunks,
        pairs_of: &PairsOf,
    ) -> Result<Mapped> {
        super::map::run_by(&self.0, pool, options, chunks, pairs_of)
    }

    fn pairs(&self) -> String {
        std::any::type_name::<Vec<(J::Key, J::Value)>>().to_owned()
    }

    fn merge(
        &self,
        options: &MergeOptions,
        bundles: Bundles,
        out: &mut dyn FnMut(Vec<u8>) -> Result<()>,
    ) -> Result<Merged> {
        super::merge::run(&self.0, options, bundles, out)
    }

    fn reduce(
        &self,
        options: &ReduceOptions,
        runs: Box<dyn Runs>,
        out: &mut dyn FnMut(FileOp) -> Result<()>,
    ) -> Result<Reduced> {
        super::reduce::run(&self.0, options, runs, out)
    }
}

type Decode = fn(&[u8]) -> Result<Box<dyn ErasedJob>>;

struct Registered {
    decode: Decode,
    signature: String,
    type_id: TypeId,
}

/// The jobs of a program, by name.
#[derive(Default)]
pub struct Registry {
    jobs: BTreeMap<&'static str, Registered>,
    clash: Option<Error>,
}

impl Registry {
    /// Makes a registry without jobs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a job. Two jobs of the same name are an error, which [`Registry::check`] and [`Registry::open`] report.
    #[must_use]
    pub fn job<J: Job>(mut self) -> Self {
        let registered = Registered {
            decode: |params| Ok(Box::new(Typed(crate::job::decode_params::<J>(params)?))),
            signature: signature::<J>(),
            type_id: TypeId::of::<J>(),
        };
        match self.jobs.get(J::NAME) {
            Some(there) if there.type_id != registered.type_id => {
                self.clash.get_or_insert(
                    Error::new(Code::JobNameTaken, format!("two jobs are registered under the name {:?}", J::NAME))
                        .with_hint("give one of them another `const NAME`"),
                );
            }
            _ => {
                self.jobs.insert(J::NAME, registered);
            }
        }
        self
    }

    /// Returns the names of the jobs, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.jobs.keys().copied()
    }

    /// Checks that no two jobs have the same name.
    ///
    /// # Errors
    /// Returns [`Error::Input`] (`job-name-taken`) when two have.
    pub fn check(&self) -> Result<()> {
        self.clash.clone().map_or(Ok(()), Err)
    }

    /// Returns the job of this name with these parameters.
    ///
    /// # Errors
    /// Returns [`Error::Input`] when no job has the name (`job-not-registered`) or two have the same (`job-name-taken`).
    /// Returns [`Error::StaleDeployment`] when the types (`job-types`) or the parameters (`job-params`) are those of another
    /// version, and [`Error::UserCode`] (`panic`) when the parameters' `Deserialize` panics.
    pub fn open(&self, name: &str, signature: &str, params: &[u8]) -> Result<Box<dyn ErasedJob>> {
        self.check()?;
        let Some(found) = self.jobs.get(name) else {
            let known: Vec<_> = self.names().collect();
            return Err(Error::new(
                Code::JobNotRegistered,
                format!("no job named {name:?} is registered here (registered: {})", known.join(", ")),
            )
            .with_hint(
                "register it in `main` with `.job::<YourJob>()`; functions deployed before must be deployed again",
            ));
        };
        if found.signature != signature {
            return Err(Error::new(
                Code::JobTypes,
                format!("job {name} has the types {} here, but {signature} where it was submitted", found.signature),
            )
            .with_hint("driver and functions hold different versions of the job: deploy again"));
        }
        let opened = catch_as("the job's code", || (found.decode)(params));
        opened.map_err(|e| e.context(format!("reading the parameters of job {name}"))).flatten()
    }
}

/// Returns the job's types as text, by which a driver and a function see whether they mean the same job.
pub fn signature<J: Job>() -> String {
    use std::any::type_name;
    format!(
        "{} → ({}, {}) → {}",
        <J::Input as crate::format::Format>::describe(),
        type_name::<J::Key>(),
        type_name::<J::Value>(),
        type_name::<J::Output>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Emitter, Lines, Sink, UserResult, Values};
    use serde::{Deserialize, Serialize};

    macro_rules! job {
        ($name:ident, $key:ty) => {
            #[derive(Serialize, Deserialize)]
            struct $name;
            impl Job for $name {
                const NAME: &'static str = "same";
                type Input = Lines;
                type Key = $key;
                type Value = u8;
                type Output = ();
                fn map(&self, _: &str, _: &mut Emitter<'_, $key, u8>) -> UserResult {
                    Ok(())
                }
                fn reduce(&self, _: $key, _: Values<'_, u8>, _: &mut Sink<'_, ()>) -> UserResult {
                    Ok(())
                }
            }
        };
    }
    job!(One, String);
    job!(Two, u64);

    #[test]
    fn two_jobs_of_one_name_are_an_error() {
        assert!(Registry::new().job::<One>().job::<One>().check().is_ok());
        let error = Registry::new().job::<One>().job::<Two>().check().unwrap_err();
        assert_eq!(error.code(), "job-name-taken");
        assert!(error.hint().is_some());
    }

    #[test]
    fn a_missing_registration_and_other_types_are_told_apart() {
        let registry = Registry::new().job::<One>();
        assert_eq!(registry.open("other", "", &[]).err().map(|e| e.code().to_owned()).unwrap(), "job-not-registered");
        assert_eq!(registry.open("same", &signature::<Two>(), &[]).err().unwrap().code(), "job-types");
        assert!(registry.open("same", &signature::<One>(), &[]).is_ok());
    }
}
