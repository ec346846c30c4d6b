//! What a submission says: what a job reads and writes, and the choices that Kinglet makes unless the submission does.

use crate::items::ItemCuts;
use crate::program::Program;
use crate::{Code, Codec, Compression, Error, MaxRejected, OutputFormat, Result};
use kinglet_core::prices::Prices;
use kinglet_core::wire::cost::{Ceiling, Site, Workload};
use kinglet_core::wire::spec::{Indexed, OptionsSpec, RunsMerged, Splitting, UnpackSpec};
use kinglet_core::{PathCondition, Side, limits};
use std::time::Duration;

/// What a job reads and writes, and how it runs: for [`crate::Driver::submit`] and the like.
///
/// ```no_run
/// use kinglet::Submit;
///
/// let submit = Submit::new(["s3://books/english/"], "s3://results/counts").with_partitions(8).with_overwrite();
/// ```
#[derive(Clone, Debug)]
#[must_use = "hand it to a driver"]
pub struct Submit {
    pub(crate) inputs: Vec<String>,
    /// Those of the right side of a join.
    pub(crate) right: Vec<String>,
    pub(crate) output: String,
    pub(crate) program: Option<Program>,
    pub(crate) overwrite: bool,
    pub(crate) format: OutputFormat,
    pub(crate) success_marker: bool,
    pub(crate) cuts: ItemCuts,
    pub(crate) concurrency: Option<u32>,
    partitions: Option<u32>,
    file_bytes: Option<u64>,
    split_bytes: Option<u64>,
    compression: Option<Compression>,
    tries: Option<u16>,
    job_timeout: Option<Duration>,
    inline_bytes: Option<u64>,
    map_time: Option<Duration>,
    reduce_time: Option<Duration>,
    pub(crate) ceiling: Ceiling,
    pub(crate) prices: Option<Prices>,
    pub(crate) unpack: UnpackSpec,
    keep_runs: bool,
    pub(crate) splitting: Splitting,
    /// How the right side of a join is read; which of its inputs that is, is not known here.
    pub(crate) reads_right: Option<(UnpackSpec, Splitting)>,
    indexed: Indexed,
    merged: RunsMerged,
    pub(crate) input_list: Option<String>,
    pub(crate) inventory: Option<String>,
    pub(crate) conditions: Vec<PathCondition>,
    pub(crate) max_rejected: Option<MaxRejected>,
}

impl Submit {
    /// Reads `inputs` (files, directories, patterns, `s3://` URIs) and writes to `output` (a directory or an `s3://`
    /// prefix).
    pub fn new<I>(inputs: I, output: impl Into<String>) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Submit {
            inputs: inputs.into_iter().map(Into::into).collect(),
            right: vec![],
            output: output.into(),
            program: None,
            overwrite: false,
            format: OutputFormat::default(),
            success_marker: false,
            cuts: ItemCuts::Even,
            concurrency: None,
            partitions: None,
            file_bytes: None,
            split_bytes: None,
            compression: None,
            tries: None,
            job_timeout: None,
            inline_bytes: None,
            map_time: None,
            reduce_time: None,
            ceiling: Ceiling::default(),
            prices: None,
            unpack: UnpackSpec::default(),
            keep_runs: false,
            splitting: Splitting::default(),
            reads_right: None,
            indexed: Indexed::default(),
            merged: RunsMerged::default(),
            input_list: None,
            inventory: None,
            conditions: vec![],
            max_rejected: None,
        }
    }

    /// Writes to `output` and reads nothing: for a job whose input is made ([`crate::Driver::submit_items`]).
    pub fn to(output: impl Into<String>) -> Self {
        Submit::new([""; 0], output)
    }

    /// Replaces the result that the output may already hold. The old result stays until the new one is whole; then what the
    /// old manifest lists is removed. Other files stay as they are.
    pub fn with_overwrite(self) -> Self {
        Submit { overwrite: true, ..self }
    }

    /// Sets how the records of the result are written: as CSV or JSON lines in place of text, and compressed. The names of parts then
    /// end as the format's files do, as in `part-00000-….csv.gz`.
    ///
    /// ```no_run
    /// use kinglet::{Codec, OutputFormat, Submit};
    ///
    /// let format = OutputFormat::csv().with_columns(["word", "count"]).with_compression(Codec::Gzip);
    /// let submit = Submit::new(["books/"], "counts").with_output_format(format);
    /// ```
    ///
    /// A job whose records are a struct of yours needs no `with_columns`: see [`SerdeRow`](crate::SerdeRow).
    pub fn with_output_format(self, format: OutputFormat) -> Self {
        Submit { format, ..self }
    }

    /// Writes an empty `_SUCCESS` once the result is whole, for programs that look for one as Hadoop's and Spark's do. It stays while
    /// the result is replaced by another's, and says nothing of which one it is: the manifest does.
    pub fn with_success_marker(self) -> Self {
        Submit { success_marker: true, ..self }
    }

    /// Sets the number of reduce partitions, and so of parts, from 1 to 10,000. By default it follows from the input's size
    /// and the number of functions.
    pub fn with_partitions(self, partitions: u32) -> Self {
        Submit { partitions: Some(partitions), ..self }
    }

    /// Sets how many bytes a file of the output has about, 1 MiB or more, in place of how many parts there are: a file is ended with the
    /// key at which it has so many, as it lies in the output, and the rest of its partition goes into further files. Without
    /// [`Self::with_partitions`] there are as many partitions as the input has such files' bytes. The last file of each partition is
    /// smaller, and so are all where the output is shorter than the input.
    ///
    /// Each further file of a partition is written by a function of its own, after the one before it.
    pub fn with_file_bytes(self, bytes: u64) -> Self {
        Submit { file_bytes: Some(bytes), ..self }
    }

    /// Refuses files that are too small.
    pub(crate) fn check_files(&self) -> Result<()> {
        match self.file_bytes.filter(|bytes| *bytes < limits::FILE_BYTES_MIN) {
            Some(bytes) => {
                let message = format!("files of {bytes} bytes; the smallest have {}", limits::FILE_BYTES_MIN);
                Err(Error::new(Code::OutputFormat, message).with_hint("ask for larger ones (--file-size), as 128MB"))
            }
            None => Ok(()),
        }
    }

    /// Sets about how many bytes each map task reads. By default every function has work, within bounds.
    pub fn with_split_bytes(self, bytes: u64) -> Self {
        Submit { split_bytes: Some(bytes), ..self }
    }

    /// Sets how many items each map task gets. By default items are spread evenly over four tasks for each function that can
    /// run at once.
    pub fn with_items_per_split(self, items: usize) -> Self {
        Submit { cuts: ItemCuts::PerSplit(items), ..self }
    }

    /// Says how much work each item is, in any unit, in the order of the items: map tasks get about the same amount each. An
    /// item heavier than that amount is a task of its own.
    pub fn with_item_weights(self, weights: impl IntoIterator<Item = u64>) -> Self {
        Submit { cuts: ItemCuts::Weights(weights.into_iter().collect()), ..self }
    }

    /// Cuts the input for this many functions that run at once. By default that is what the stack has: [`crate::Local`]'s
    /// concurrency, or what Lambda gives the stack. It does not limit how many functions run.
    pub fn with_concurrency(self, functions: u32) -> Self {
        Submit { concurrency: Some(functions.max(1)), ..self }
    }

    /// Sets how runs, which mappers hand to reducers, are compressed: by default with [`Compression::Lz4`].
    pub fn with_compression(self, compression: Compression) -> Self {
        Submit { compression: Some(compression), ..self }
    }

    /// Says by which codec all of the input is compressed, or with [`Codec::None`] that none of it is. By default the name and the
    /// first bytes of each object say it, and must agree.
    pub fn with_input_compression(self, codec: Codec) -> Self {
        Submit { unpack: UnpackSpec { codec: Some(codec), ..self.unpack }, ..self }
    }

    /// Lets a compressed object become this many times as long as it is, at least once: 1,100 times by default, which no gzip
    /// exceeds. An object that becomes 256 MiB or less is never refused.
    pub fn with_expansion_max(self, times: u32) -> Self {
        Submit { unpack: UnpackSpec { expansion_max: times.max(1), ..self.unpack }, ..self }
    }

    /// Reads each object in one split, whatever its size. Large objects are otherwise cut and read by many functions at once. A
    /// job of quoted rows may be spared some work by it: where a split begins within a very long quoted field, it is read again.
    pub fn with_whole_objects(self) -> Self {
        Submit { splitting: Splitting::Nowhere, ..self }
    }

    /// Reads also the objects that a file lists: one `s3://BUCKET/KEY` or one path a line, 10,000 at most. Each is one object, not a
    /// prefix and no pattern. The file itself is one of this machine, or an `s3://` URI that whoever submits may read.
    pub fn with_input_list(self, list: impl Into<String>) -> Self {
        Submit { input_list: Some(list.into()), ..self }
    }

    /// Reads also the objects that an S3 Inventory report lists, named by its `s3://BUCKET/…/manifest.json`: the current versions, as it
    /// lists them. Nothing is listed then. The inventory says sizes and ETags, and lies where the functions may read; whoever submits
    /// reads its manifest.
    ///
    /// An object that has changed since, or is gone, fails the job with `object-changed` when it is read.
    pub fn with_inventory(self, manifest: impl Into<String>) -> Self {
        Submit { inventory: Some(manifest.into()), ..self }
    }

    /// Returns whether it names anything to read.
    pub(crate) fn names_input(&self) -> bool {
        !self.inputs.is_empty() || self.input_list.is_some() || self.inventory.is_some()
    }

    /// Reads only the objects whose path says these values, as in `logs/year=2026/month=07/`. Folders that cannot hold any are not
    /// even listed.
    ///
    /// ```
    /// # fn only() -> kinglet::Result<kinglet::Submit> {
    /// let submit = kinglet::Submit::new(["s3://logs/"], "s3://results/counts");
    /// Ok(submit.with_conditions(["year=2026".parse()?, "month>=7".parse()?]))
    /// # }
    /// # assert!(only().is_ok());
    /// ```
    pub fn with_conditions(self, conditions: impl IntoIterator<Item = PathCondition>) -> Self {
        Submit { conditions: self.conditions.into_iter().chain(conditions).collect(), ..self }
    }

    /// Names the right side of a [join](crate::Join): files, directories, patterns, `s3://` URIs. What [`Submit::new`] names is its left
    /// side. An object may be on both.
    ///
    /// ```no_run
    /// use kinglet::Submit;
    ///
    /// let submit = Submit::new(["orders/*.csv"], "named").with_right(["customers.jsonl"]);
    /// ```
    ///
    /// How objects are compressed, how long they may become, whether they are read in one split and which values their paths must say
    /// is said of both sides at once.
    pub fn with_right<I>(self, inputs: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Submit { right: inputs.into_iter().map(Into::into).collect(), ..self }
    }

    /// Returns the submission of a job that reads what one side of this one is, and nothing else: to look at it beforehand.
    pub fn with_side_alone(self, side: Side) -> Self {
        match side {
            Side::Left => Submit { right: vec![], ..self },
            Side::Right => Submit { inputs: self.right, right: vec![], input_list: None, inventory: None, ..self },
        }
    }

    /// Leaves out so many records of the input that are not valid. Without this, the first fails the job.
    ///
    /// What is left out lies beside the result, as JSON lines: in `_rejected-JOB.jsonl`, which the manifest names, each with its
    /// object, its offset, the reason and its bytes. A job that would leave out more fails with `too-many-rejected`, and
    /// publishes nothing. Records are left out that their [format](crate::Format) finds not valid; an error of the job's own `map`
    /// fails the job.
    ///
    /// ```no_run
    /// use kinglet::{MaxRejected, Submit};
    ///
    /// let submit = Submit::new(["logs/"], "counts").with_max_rejected(MaxRejected::Percent(0.1));
    /// ```
    pub fn with_max_rejected(self, max: MaxRejected) -> Self {
        Submit { max_rejected: Some(max), ..self }
    }

    /// Keeps the runs of a map task in DynamoDB when they have at most this many bytes, and in S3 when they have more. By
    /// default they go where that is cheaper.
    pub fn with_inline_bytes(self, bytes: u64) -> Self {
        Submit { inline_bytes: Some(bytes), ..self }
    }

    /// Keeps the runs in S3 when the job has succeeded: for looking at them, they stay for 7 days, at S3's price. By default they are
    /// removed then.
    pub fn with_runs_kept(self) -> Self {
        Submit { keep_runs: true, ..self }
    }

    /// Says whether the job's runs are merged, by groups of map tasks and bands of partitions, before they are reduced. By default they
    /// are where the plan finds that better: where so many tasks map and reduce that each reducer's requests for the runs of each mapper
    /// would cost more, and take longer, than reading and writing all of them once more. Runs that are merged lie in S3, whatever
    /// [`Self::with_inline_bytes`] says.
    pub fn with_runs_merged(self, merged: RunsMerged) -> Self {
        Submit { merged, ..self }
    }

    /// Says whether the job's runs are indexed. Not part of this API.
    #[doc(hidden)]
    pub fn with_indexed(self, indexed: Indexed) -> Self {
        Submit { indexed, ..self }
    }

    /// Sets how often a task is tried before the job fails: 4 times by default. An error that another try cannot mend, such
    /// as one of the job's own code, fails the job at once.
    pub fn with_tries(self, tries: u16) -> Self {
        Submit { tries: Some(tries.max(1)), ..self }
    }

    /// Sets how long the job may take in all, in whole milliseconds: 24 h by default, 6 days at most. The time that it waits
    /// for functions counts. After that it fails with `job-too-long`.
    ///
    /// How long one invocation may run is the function's timeout: [`crate::Local::with_timeout`], or the stack's.
    pub fn with_job_timeout(self, timeout: Duration) -> Self {
        Submit { job_timeout: Some(timeout), ..self }
    }

    /// Sets how long a map task runs, in whole milliseconds, before it commits what it has and leaves the rest to the next
    /// piece. The default, and the most, is what its function's timeout allows.
    pub fn with_map_time(self, time: Duration) -> Self {
        Submit { map_time: Some(time), ..self }
    }

    /// Sets how long a reduce task runs, in whole milliseconds, before it commits what it has, at the end of a key, and leaves the
    /// rest of its partition to the next piece, which writes a part of its own. The default, and the most, is what its function's
    /// timeout allows.
    pub fn with_reduce_time(self, time: Duration) -> Self {
        Submit { reduce_time: Some(time), ..self }
    }

    /// Sets what the job may cost, in US dollars. A job whose plan is likely to cost more is refused with `over-ceiling`, and
    /// of the shapes that a job may have, one that costs no more is preferred. A job that has spent as much all the same, or in
    /// which a further try could, fails with `ceiling-passed`.
    pub fn with_max_usd(self, usd: f64) -> Self {
        Submit { ceiling: Ceiling { usd: Some(usd), ..self.ceiling }, ..self }
    }

    /// Sets how long the job may take, in seconds. A job whose plan is likely to take longer is refused with `over-ceiling`;
    /// one that takes longer all the same fails with `ceiling-passed`.
    pub fn with_max_seconds(self, seconds: f64) -> Self {
        Submit { ceiling: Ceiling { seconds: Some(seconds), ..self.ceiling }, ..self }
    }

    /// Sets the prices by which the job is planned and billed. By default they are those of the stack's region and
    /// architecture.
    pub fn with_prices(self, prices: Prices) -> Self {
        Submit { prices: Some(prices), ..self }
    }

    /// Ships this program to the functions, for a job that is not in the program that the driver ships for its other jobs.
    pub fn with_program(self, program: Program) -> Self {
        Submit { program: Some(program), ..self }
    }

    /// Refuses a ceiling that no job can keep, and prices that are no amounts.
    pub(crate) fn check_ceiling(&self) -> Result<()> {
        check_ceiling(self.ceiling, self.prices.as_ref())
    }

    /// Refuses a job that the ledger would forget before it ends.
    pub(crate) fn check_time(&self) -> Result<()> {
        match self.job_timeout.map(whole_ms) {
            Some(0) => Err(Error::new(Code::JobTimeout, "a job that may take no time does nothing")
                .with_hint("give it some, or leave the choice to Kinglet")),
            Some(ms) if ms > limits::JOB_MS_CAP => {
                let message =
                    format!("a job may take {} s at most, and not {} s", limits::JOB_MS_CAP / 1_000, ms / 1_000);
                Err(Error::new(Code::JobTimeout, message).with_hint("cut it into several jobs"))
            }
            _ => Ok(()),
        }
    }

    /// Returns whether the job may not cost, or take, more than some amount.
    pub(crate) fn has_ceiling(&self) -> bool {
        self.ceiling != Ceiling::default()
    }

    /// Returns the choices as workers read them, for a job that makes this of its input, on a stack that runs `concurrency`
    /// functions at once.
    pub(crate) fn options(&self, concurrency: u32, workload: Workload, site: Site) -> OptionsSpec {
        let defaults = OptionsSpec::for_concurrency(concurrency);
        OptionsSpec {
            split_bytes: self.split_bytes,
            partitions: self.partitions,
            file_bytes: self.file_bytes,
            concurrency,
            compression: self.compression.unwrap_or(defaults.compression),
            tries_max: self.tries.unwrap_or(defaults.tries_max),
            ms_max: self.job_timeout.map(whole_ms),
            inline_bytes_max: self.inline_bytes,
            map_ms_max: self.map_time.map(whole_ms),
            reduce_ms_max: self.reduce_time.map(whole_ms),
            site,
            workload,
            ceiling: self.ceiling,
            unpack: self.unpack,
            keep_runs: self.keep_runs,
            splitting: self.splitting,
            indexed: self.indexed,
            merged: self.merged,
            conditions: self.conditions.clone(),
            max_rejected: self.max_rejected,
            right: None,
        }
    }
}

/// Refuses a ceiling that no job can keep, and prices that are no amounts.
pub(crate) fn check_ceiling(Ceiling { usd, seconds }: Ceiling, prices: Option<&Prices>) -> Result<()> {
    match [usd, seconds].into_iter().flatten().find(|most| !most.is_finite() || *most <= 0.0) {
        Some(most) => Err(Error::new(Code::Ceiling, format!("a job cannot run below a ceiling of {most}"))
            .with_hint("give it one above zero (--max-usd, --max-seconds), or none")),
        None if prices.is_some_and(|prices| !prices.are_amounts()) => {
            Err(Error::new(Code::Prices, "a price is below zero, or no number")
                .with_hint("docs/guide/cost.md has the layout of a file of prices"))
        }
        None => Ok(()),
    }
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_is_left_to_the_splitter() {
        let defaults = OptionsSpec::for_concurrency(7);
        let (workload, site) = (defaults.workload, defaults.site.clone());
        assert_eq!(Submit::to("out").options(7, workload, site), defaults);
    }

    #[test]
    fn what_is_said_is_what_workers_read() {
        let submit = Submit::to("out")
            .with_partitions(3)
            .with_file_bytes(4_000_000)
            .with_split_bytes(10)
            .with_compression(Compression::None);
        let submit = submit.with_input_compression(Codec::Bzip2).with_expansion_max(7);
        let submit =
            submit.with_whole_objects().with_tries(0).with_job_timeout(Duration::from_secs(9)).with_inline_bytes(5);
        let want = OptionsSpec {
            split_bytes: Some(10),
            partitions: Some(3),
            file_bytes: Some(4_000_000),
            concurrency: 2,
            compression: Compression::None,
            tries_max: 1,
            ms_max: Some(9_000),
            inline_bytes_max: Some(5),
            map_ms_max: Some(1),
            reduce_ms_max: Some(2),
            ceiling: Ceiling { usd: Some(0.5), seconds: Some(7.5) },
            unpack: UnpackSpec { codec: Some(Codec::Bzip2), expansion_max: 7, whole: false },
            keep_runs: true,
            splitting: Splitting::Nowhere,
            indexed: Indexed::Always,
            merged: RunsMerged::Always,
            max_rejected: Some(MaxRejected::Count(3)),
            ..OptionsSpec::for_concurrency(2)
        };
        let submit = submit.with_map_time(Duration::from_micros(1_999)).with_max_usd(0.5).with_max_seconds(7.5);
        let submit = submit.with_runs_kept().with_indexed(Indexed::Always).with_runs_merged(RunsMerged::Always);
        let submit = submit.with_max_rejected(MaxRejected::Count(3));
        let submit = submit.with_reduce_time(Duration::from_millis(2));
        assert_eq!(submit.options(2, want.workload, want.site.clone()), want);
    }

    #[test]
    fn a_ceiling_is_a_number_above_zero() {
        let code = |submit: Submit| submit.check_ceiling().map_err(|e| e.code().to_owned());
        assert_eq!(code(Submit::to("out")), Ok(()));
        assert_eq!(code(Submit::to("out").with_max_usd(1e-9).with_max_seconds(1e9)), Ok(()));
        for most in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(code(Submit::to("out").with_max_usd(most)), Err("ceiling".to_owned()), "{most}");
            assert_eq!(code(Submit::to("out").with_max_seconds(most)), Err("ceiling".to_owned()), "{most}");
        }
    }

    #[test]
    fn a_job_takes_some_time_and_no_more_than_the_ledger_keeps_it() {
        let check = |timeout| Submit::to("out").with_job_timeout(timeout).check_time().map_err(|e| e.code().to_owned());
        assert_eq!(check(Duration::from_millis(limits::JOB_MS_CAP)), Ok(()));
        for timeout in [Duration::ZERO, Duration::from_millis(limits::JOB_MS_CAP + 1), Duration::MAX] {
            assert_eq!(check(timeout), Err("job-timeout".to_owned()), "{timeout:?}");
        }
    }
}
