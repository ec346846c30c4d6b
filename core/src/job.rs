//! What a user writes: a job with its `map` and `reduce`, and the handles through which these read and write.

use crate::error::{Code, Error, Result, UserResult};
use crate::format::{Format, Row};
use crate::key::{AsKey, GroupedBy, Key, PlacedBy};
pub use crate::pairs::Kept;
use crate::pairs::{KeptRoom, Shard};
use crate::part::{FileOp, Part};
use crate::value::{Combiner, Value};
use crate::wire::cost::Workload;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A MapReduce job. The fields of the type that implements it are the job's parameters; they travel to every function.
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
/// Emitting a key of another type than the job's does not compile:
///
/// ```compile_fail
/// use kinglet_core::{Emitter, UserResult};
/// fn map(line: &str, out: &mut Emitter<'_, u64, u64>) -> UserResult {
///     out.emit(line, 1) // a `&str` was emitted as a key, but the job's `Key` is `u64`
/// }
/// ```
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The job's name in the registry and in reports. It must be unique in a program.
    const NAME: &'static str;
    /// The input format, which cuts the input into records: [`Lines`](crate::Lines), [`ByteLines`](crate::ByteLines), …
    type Input: Format;
    /// The key of a pair. Pairs are grouped and sorted by it.
    type Key: Key;
    /// The value of a pair, which travels with the key.
    type Value: Value;
    /// One record of the result.
    type Output: Row;

    /// Returns the input format, set up from the job's parameters: with a delimiter, with the names of columns. The default
    /// is the format's own `Default`.
    fn input(&self) -> Self::Input {
        Self::Input::default()
    }

    /// Maps one record to any number of pairs. The engine calls it once for each record of an attempt, from all threads.
    ///
    /// # Errors
    /// An error fails the job with the code `map-failed` and names the record's place; the task is not tried again. A panic
    /// does the same with the code `panic`. A Kinglet error that is passed on with `?` keeps its own code.
    fn map(
        &self,
        record: <Self::Input as Format>::Record<'_>,
        out: &mut Emitter<'_, Self::Key, Self::Value>,
    ) -> UserResult;

    /// Returns the function that combines two values of one key before they travel, if there is one. The engine applies it
    /// any number of times and in any order, so it must be associative and commutative, and `reduce` must give the same
    /// result with and without it.
    fn combiner(&self) -> Option<Combiner<Self::Value>> {
        None
    }

    /// Returns the keys at which one partition ends and the next begins, in ascending order. With bounds, the parts are
    /// sorted across partitions: partition n gets the keys from bound n − 1 (included) to bound n (excluded). When there are
    /// fewer partitions than the bounds make, each gets as many of these ranges as the others, next to each other; when there are
    /// more, the last ones are empty. By default there are no bounds, and keys are spread evenly by their hash.
    ///
    /// How many partitions a job has is often decided after it is made. So a job that must have even parts gives many more bounds
    /// than that: keys of its input that it was shown beforehand, as `Driver::sample` finds them.
    fn bounds(&self) -> Vec<Self::Key> {
        Vec::new()
    }

    /// Returns what says by which bytes at the start of an encoded key its partition is decided. Keys that begin alike then go to one
    /// reduce task, which gets them one behind the other, sorted by all of the key. By default all of a key decides. Where there are
    /// [`Job::bounds`], these do.
    ///
    /// An output that is [partitioned by columns](crate::OutputFormat::with_partition_by) has few files if each of its folders is
    /// one task's: the keys then begin with what names the folder.
    ///
    /// ```
    /// # use kinglet_core::{Emitter, Job, Lines, Sink, UserResult, Values};
    /// use kinglet_core::{PlacedBy, Placing};
    /// use std::sync::Arc;
    ///
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Visits;
    /// impl Job for Visits {
    /// #   const NAME: &'static str = "visits";
    /// #   type Input = Lines; type Value = u64; type Output = u64;
    ///     /// Year and visitor: four bytes, and eight.
    ///     type Key = (u32, u64);
    ///
    ///     /// All of a year goes to one task.
    ///     fn placed_by(&self) -> Option<PlacedBy> {
    ///         Some(Arc::new(|_| Placing::by(4)))
    ///     }
    /// #   fn map(&self, _: &str, _: &mut Emitter<'_, (u32, u64), u64>) -> UserResult { Ok(()) }
    /// #   fn reduce(&self, _: (u32, u64), _: Values<'_, u64>, _: &mut Sink<'_, u64>) -> UserResult { Ok(()) }
    /// }
    /// ```
    fn placed_by(&self) -> Option<PlacedBy> {
        None
    }

    /// Returns what says how many bytes at the start of an encoded key are its group. All pairs of a group are reduced together: by one
    /// call of [`Job::reduce`], which is given the first key of the group and the values of all of them *in the order of their keys*.
    /// So the values of a group come in an order of the job's choice (a secondary sort), where the values of one key have none. By
    /// default each key is reduced by itself.
    ///
    /// Bytes that say a group must not be the beginning of those that say another one. Unless [`Job::placed_by`] says less, they decide
    /// the partition; [`Job::bounds`] are compared with them alone.
    ///
    /// ```
    /// # use kinglet_core::{Emitter, GroupedBy, Job, Lines, Sink, UserResult, Values, check_job};
    /// # use std::sync::Arc;
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Latest;
    /// impl Job for Latest {
    /// #   const NAME: &'static str = "latest";
    /// #   type Input = Lines; type Value = (u32, String); type Output = (u32, String);
    ///     /// Shop and day: four bytes each.
    ///     type Key = (u32, u32);
    ///
    ///     /// A shop's days are reduced together, the first one first.
    ///     fn grouped_by(&self) -> Option<GroupedBy> {
    ///         Some(Arc::new(|_| 4))
    ///     }
    /// #   fn map(&self, line: &str, out: &mut Emitter<'_, (u32, u32), (u32, String)>) -> UserResult {
    /// #       let mut words = line.split(' ');
    /// #       let mut next = || words.next().unwrap_or_default().to_owned();
    /// #       let (shop, day) = (next().parse()?, next().parse()?);
    /// #       out.emit((shop, day), (day, next()))
    /// #   }
    ///
    ///     fn reduce(
    ///         &self,
    ///         (shop, _): (u32, u32),
    ///         days: Values<'_, (u32, String)>,
    ///         out: &mut Sink<'_, (u32, String)>,
    ///     ) -> UserResult {
    ///         match days.last() {
    ///             Some((_, sold)) => out.push(&(shop, sold)),
    ///             None => Ok(()),
    ///         }
    ///     }
    /// }
    /// # let lines = b"7 3 pears\n7 12 figs\n2 5 nuts\n7 1 apples\n";
    /// # assert_eq!(check_job(&Latest, lines, &[1, 3])?, "2\tnuts\n7\tfigs\n");
    /// # Ok::<(), kinglet_core::Error>(())
    /// ```
    fn grouped_by(&self) -> Option<GroupedBy> {
        None
    }

    /// Returns what is known of the work that the job makes: how much of a vCPU's time, how many bytes of runs and of output.
    /// On AWS the size of splits, the number of partitions and the predicted bill follow from it; results do not. By default
    /// little is known, and the plan's range is wide.
    fn workload(&self) -> Workload {
        Workload::default()
    }

    /// Reduces one key and its values to any number of records. The engine calls it once for each key of a partition, in
    /// ascending order of the keys.
    ///
    /// # Errors
    /// An error fails the job with the code `reduce-failed`, a panic with `panic`; the task is not tried again.
    fn reduce(&self, key: Self::Key, values: Values<'_, Self::Value>, out: &mut Sink<'_, Self::Output>) -> UserResult;

    /// Runs instead of `reduce` for a partition that received no pair. Most jobs have nothing to do then, which is the
    /// default. A job of one partition whose input may turn out to be empty can write its result here, or return an error.
    ///
    /// # Errors
    /// As [`Job::reduce`].
    fn reduce_nothing(&self, _out: &mut Sink<'_, Self::Output>) -> UserResult {
        Ok(())
    }
}

/// The handle through which `map` emits its pairs.
pub struct Emitter<'a, K, V> {
    shard: &'a mut Shard<V>,
    scratch: Vec<u8>,
    number: u16,
    marker: std::marker::PhantomData<fn(K)>,
}

impl<'a, K: Key, V: Value> Emitter<'a, K, V> {
    pub(crate) fn new(shard: &'a mut Shard<V>) -> Self {
        Emitter { shard, scratch: Vec::new(), number: 0, marker: std::marker::PhantomData }
    }

    /// Returns the same, with numbers that come after this one.
    pub(crate) fn with_number(self, number: u16) -> Self {
        Emitter { number, ..self }
    }

    /// Returns how many reduce partitions the pairs go to.
    pub fn partitions(&self) -> u32 {
        self.shard.partitions()
    }

    /// Emits one pair.
    ///
    /// # Errors
    /// Returns an error when the key or the value cannot be encoded (`key-encode`, `value-encode`) or is longer than 512 MiB
    /// (`key-too-long`, `value-too-long`), or when pairs must be spilled and `/tmp` is full (`tmp-full`) or cannot be written
    /// (`tmp`). Pass it on with `?`.
    #[inline]
    pub fn emit<Q: AsKey<K>>(&mut self, key: Q, value: V) -> UserResult {
        let encoded = key.encoded(&mut self.scratch)?;
        self.shard.add(encoded, value)?;
        Ok(())
    }

    /// Emits one pair whose key is what this appends.
    #[inline]
    pub(crate) fn emit_by(&mut self, value: V, encode: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> UserResult {
        self.scratch.clear();
        encode(&mut self.scratch)?;
        self.shard.add(&self.scratch, value)?;
        Ok(())
    }

    /// Returns another number each time, for pairs that may go anywhere.
    pub(crate) fn next_number(&mut self) -> u16 {
        self.number = self.number.wrapping_add(1);
        self.number
    }
}

/// An iterator over the values of one key, in no particular order. It reads them as it advances, so a key may have more
/// values than fit into memory. Values that `reduce` does not read are skipped.
pub struct Values<'a, V> {
    source: &'a mut dyn Iterator<Item = V>,
    room: &'a KeptRoom,
}

impl<'a, V> Values<'a, V> {
    pub(crate) fn new(source: &'a mut dyn Iterator<Item = V>, room: &'a KeptRoom) -> Self {
        Values { source, room }
    }

    /// Returns a place for values that must be read more than once, or after all others: in memory up to `part` of what a function has
    /// for them, which is 10 % of its memory, and beyond that in `/tmp`. The parts of all such places of a key make 1 together.
    ///
    /// ```
    /// # use kinglet_core::{Job, Emitter, Sink, UserResult, Values, Lines, check_job};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Shares;
    /// # impl Job for Shares {
    /// #   const NAME: &'static str = "shares";
    /// #   type Input = Lines; type Key = (); type Value = u64; type Output = (u64, u64);
    /// #   fn map(&self, line: &str, out: &mut Emitter<'_, (), u64>) -> UserResult { out.emit((), line.parse()?) }
    /// /// Writes each number beside the sum of all.
    /// fn reduce(&self, _: (), numbers: Values<'_, u64>, out: &mut Sink<'_, (u64, u64)>) -> UserResult {
    ///     let (mut kept, mut sum) = (numbers.kept(1.0), 0);
    ///     for number in numbers {
    ///         sum += number;
    ///         kept.push(&number)?;
    ///     }
    ///     kept.for_each(|number| out.push(&(number, sum)))
    /// }
    /// # }
    /// # assert_eq!(check_job(&Shares, b"3\n", &[1]).unwrap(), "3\t3\n");
    /// ```
    pub fn kept<T: Value>(&self, part: f64) -> Kept<T> {
        let KeptRoom { memory_bytes, tmp } = self.room;
        Kept::new(KeptRoom { memory_bytes: (*memory_bytes as f64 * part.clamp(0.0, 1.0)) as usize, tmp: tmp.clone() })
    }
}

impl<V> Iterator for Values<'_, V> {
    type Item = V;

    #[inline]
    fn next(&mut self) -> Option<V> {
        self.source.next()
    }
}

/// The handle through which `reduce` writes the records of the result.
pub struct Sink<'a, O> {
    part: &'a mut Part,
    out: &'a mut (dyn FnMut(FileOp) -> Result<()> + 'a),
    marker: std::marker::PhantomData<fn(O)>,
}

impl<'a, O: Row> Sink<'a, O> {
    pub(crate) fn new(part: &'a mut Part, out: &'a mut (dyn FnMut(FileOp) -> Result<()> + 'a)) -> Self {
        Sink { part, out, marker: std::marker::PhantomData }
    }

    /// Writes one record of the result. What was written is sent on as the part grows, so `reduce` may write any number of records.
    ///
    /// # Errors
    /// Returns an error when the output's format cannot write the record (`output-columns`, `output-value`), or when the part cannot
    /// be sent. Pass it on with `?`; the task fails in any case.
    #[inline]
    pub fn push(&mut self, record: &O) -> UserResult {
        Ok(self.part.push(record, self.out)?)
    }
}

/// Encodes a job's parameters.
///
/// # Errors
/// Returns [`Error::UserCode`] (`value-encode`) when the job's `Serialize` fails.
pub fn encode_params<J: Job>(job: &J) -> Result<Vec<u8>> {
    crate::codec::encode(job).map_err(|e| e.context(format!("encoding the parameters of job {}", J::NAME)))
}

/// Decodes a job's parameters.
///
/// # Errors
/// Returns [`Error::StaleDeployment`] (`job-params`) when another version of the job wrote them.
pub(crate) fn decode_params<J: Job>(bytes: &[u8]) -> Result<J> {
    crate::codec::decode(bytes).map_err(|e| {
        Error::new(Code::JobParams, format!("reading the parameters of job {}: {e}", J::NAME))
            .with_hint("the deployed functions hold another version of this job: deploy again")
    })
}
