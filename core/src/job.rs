//! What a user writes: a job, its `map`, its `reduce`, and the handles these are given.

use crate::error::{Code, Error, Result, UserResult};
use crate::format::{Format, Row};
use crate::key::{AsKey, Key};
use crate::pairs::Shard;
use crate::value::{Combiner, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A MapReduce job. The struct's fields are the job's parameters; they travel to every function with it.
///
/// ```
/// use kinglet_core::{Combiner, Emitter, Job, Lines, Sink, UserResult, Values};
/// use serde::{Deserialize, Serialize};
///
/// /// Counts the lines of each length up to `longest`.
/// #[derive(Serialize, Deserialize)]
/// struct LineLengths { longest: u64 }
///
/// impl Job for LineLengths {
///     const NAME: &'static str = "line-lengths";
///     type Input = Lines;
///     type Key = u64;
///     type Value = u64;
///     type Output = (u64, u64);
///
///     fn map(&self, line: &str, out: &mut Emitter<'_, u64, u64>) -> UserResult {
///         out.emit((line.len() as u64).min(self.longest), 1)
///     }
///
///     fn combiner(&self) -> Option<Combiner<u64>> {
///         Some(Combiner::sum())
///     }
///
///     fn reduce(&self, length: u64, counts: Values<'_, u64>, out: &mut Sink<'_, (u64, u64)>) -> UserResult {
///         out.push(&(length, counts.sum()))
///     }
/// }
/// ```
///
/// A key of another type than the job's does not compile:
///
/// ```compile_fail
/// use kinglet_core::{Emitter, UserResult};
/// fn map(line: &str, out: &mut Emitter<'_, u64, u64>) -> UserResult {
///     out.emit(line, 1) // a `&str` was emitted as a key, but the job's `Key` is `u64`
/// }
/// ```
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Names the job in the registry and in reports. Must be unique in a program.
    const NAME: &'static str;
    /// How the input is cut into records: [`Lines`](crate::Lines), [`ByteLines`](crate::ByteLines), …
    type Input: Format;
    /// Pairs are grouped and sorted by this.
    type Key: Key;
    /// What travels with a key.
    type Value: Value;
    /// A record of the result.
    type Output: Row;

    /// The input's format, with what the job's parameters say of it: a delimiter, the names of columns. By default it is the
    /// format's own default.
    fn input(&self) -> Self::Input {
        Self::Input::default()
    }

    /// Called once for each record, on all threads.
    ///
    /// # Errors
    /// An error fails the job: it names the record's place and is not tried again.
    fn map(
        &self,
        record: <Self::Input as Format>::Record<'_>,
        out: &mut Emitter<'_, Self::Key, Self::Value>,
    ) -> UserResult;

    /// How two values of one key become one before they travel, if they can. It is applied any number of times, in any order,
    /// so it must be associative and commutative, and `reduce` must give the same result with and without it.
    fn combiner(&self) -> Option<Combiner<Self::Value>> {
        None
    }

    /// Keys between which partitions lie, in ascending order, for a job whose parts are to be in order one behind the other:
    /// partition n gets the keys from bound n − 1 on, and before bound n. With fewer partitions than that the last takes the
    /// rest. By default there are none, and keys are spread evenly by their hash.
    fn bounds(&self) -> Vec<Self::Key> {
        Vec::new()
    }

    /// Called once for each key, keys in ascending order within a partition.
    ///
    /// # Errors
    /// An error fails the job and is not tried again.
    fn reduce(&self, key: Self::Key, values: Values<'_, Self::Value>, out: &mut Sink<'_, Self::Output>) -> UserResult;

    /// Called in place of `reduce` for a partition that no pair came to: as a rule nothing is to be done. A job of one
    /// partition, whose input may turn out to be empty, can write its result or its error here.
    ///
    /// # Errors
    /// An error fails the job and is not tried again.
    fn reduce_nothing(&self, _out: &mut Sink<'_, Self::Output>) -> UserResult {
        Ok(())
    }
}

/// Where `map` puts its pairs.
pub struct Emitter<'a, K, V> {
    shard: &'a mut Shard<V>,
    scratch: Vec<u8>,
    marker: std::marker::PhantomData<fn(K)>,
}

impl<'a, K: Key, V: Value> Emitter<'a, K, V> {
    pub(crate) fn new(shard: &'a mut Shard<V>) -> Self {
        Emitter { shard, scratch: Vec::new(), marker: std::marker::PhantomData }
    }

    /// Emits one pair.
    ///
    /// # Errors
    /// When the key or the value cannot be encoded, or the function's memory and `/tmp` are both full; pass it on with `?`.
    #[inline]
    pub fn emit<Q: AsKey<K>>(&mut self, key: Q, value: V) -> UserResult {
        let encoded = key.encoded(&mut self.scratch)?;
        self.shard.add(encoded, value)?;
        Ok(())
    }
}

/// The values of one key, in no particular order, read as the iterator advances: a key may have more values than memory
/// holds. What `reduce` leaves unread is skipped.
pub struct Values<'a, V> {
    source: &'a mut dyn Iterator<Item = V>,
}

impl<'a, V> Values<'a, V> {
    pub(crate) fn new(source: &'a mut dyn Iterator<Item = V>) -> Self {
        Values { source }
    }
}

impl<V> Iterator for Values<'_, V> {
    type Item = V;

    #[inline]
    fn next(&mut self) -> Option<V> {
        self.source.next()
    }
}

/// Where `reduce` puts the records of the result.
pub struct Sink<'a, O> {
    out: &'a mut Vec<u8>,
    records: u64,
    marker: std::marker::PhantomData<fn(O)>,
}

impl<'a, O: Row> Sink<'a, O> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Sink { out, records: 0, marker: std::marker::PhantomData }
    }

    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Writes one record of the result.
    ///
    /// # Errors
    /// When the record cannot be written in the output's format.
    #[inline]
    pub fn push(&mut self, record: &O) -> UserResult {
        record.write_text(self.out);
        self.records += 1;
        Ok(())
    }
}

/// A job's parameters as they travel.
///
/// # Errors
/// [`Error::UserCode`] when the job's `Serialize` fails.
pub fn encode_params<J: Job>(job: &J) -> Result<Vec<u8>> {
    crate::codec::encode(job).map_err(|e| e.context(format!("encoding the parameters of job {}", J::NAME)))
}

/// Reads a job's parameters.
///
/// # Errors
/// [`Error::StaleDeployment`] when they were written by another version of the job.
pub(crate) fn decode_params<J: Job>(bytes: &[u8]) -> Result<J> {
    crate::codec::decode(bytes).map_err(|e| {
        Error::new(Code::JobParams, format!("reading the parameters of job {}: {e}", J::NAME))
            .with_hint("the deployed functions hold another version of this job: deploy again")
    })
}
