//! Submitting a job, in this order: its inputs and its output are resolved and checked, its spec is uploaded, the ledger
//! gets it, its output is taken, and the splitter is started. A failure before the ledger has the job leaves nothing behind;
//! after that the job comes to an end by itself.

use crate::connection::Connection;
use crate::driver::Driver;
use crate::handle::JobHandle;
use crate::hold::Hold;
use crate::inputs::Resolved;
use crate::items::Made;
use crate::output::Output;
use crate::place::Place;
use crate::plan::{Listing, plan_items};
use crate::records::RuntimeAddress;
use crate::status::JobStatus;
use crate::submit::Submit;
use crate::{
    Code, Codec, Error, Format, Frame, Framing, Items, Job, MaxRejected, Phase, Report, Result, Side, Value,
    input_list, inputs, inventory, output,
};
use futures_util::future::BoxFuture;
use kinglet_aws::objects::Replace;
use kinglet_aws::{Conductor, on_heap};
use kinglet_core::cost::{Plan, Recommended};
use kinglet_core::ids::JobId;
use kinglet_core::prices::Prices;
use kinglet_core::wire::cost::Workload;
use kinglet_core::wire::event::{Event, SplitEvent};
use kinglet_core::wire::frame;
use kinglet_core::wire::record::Requests;
use kinglet_core::wire::spec::{
    CallsSpec, InputSpec, JobSpec, OptionsSpec, OutputSpec, RightSpec, Splitting, UnpackSpec,
};
use kinglet_core::{Registry, encode_params, signature};
use kinglet_formats::Packer;
use kinglet_formats::row_groups::typed_writer;
use kinglet_local::s3::BucketKind;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A job, described by its type and its fields.
pub(crate) struct Described {
    pub(crate) name: &'static str,
    pub(crate) signature: String,
    /// Its fields, encoded.
    pub(crate) params: Vec<u8>,
    pub(crate) workload: Workload,
}

/// An input that the driver makes.
struct MadeInput {
    items: Made,
    /// When the items are the inputs of calls: the calls, and what becomes of their results.
    calls: Option<CallsSpec>,
}

/// What a job reads and writes, as its functions find it.
pub(crate) struct Places {
    pub(crate) inputs: Vec<InputSpec>,
    /// The first input of the right side of a join, if that is what the job is.
    pub(crate) right_from: Option<u32>,
    pub(crate) output: OutputSpec,
    /// The output's directory, if it is on this machine.
    directory: Option<PathBuf>,
}

/// How a job runs, and the submission that says so.
struct Chosen<'a> {
    options: OptionsSpec,
    submit: &'a Submit,
}

/// What a job would do, take and cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Planned {
    /// The plan on the stack as it is.
    #[serde(flatten)]
    pub plan: Plan,
    /// The size of functions with which the job would do best, where that can be said.
    pub recommended: Option<Recommended>,
}

/// A job that is being submitted. Nothing of it is left if the submission ends before the ledger has the job.
struct Submission<'a> {
    shared: &'a Connection,
    job: JobId,
    /// Whether no other program of this machine can be at work in the output, as this driver has locked its directory.
    alone: bool,
    /// The requests that this driver had sent before.
    before: Requests,
    /// Whether the ledger may have the job.
    created: bool,
}

impl Driver {
    /// Runs a job to its end.
    ///
    /// # Errors
    /// As [`Driver::submit`] and [`JobHandle::wait`]. After an error there is no output.
    pub async fn run<J: Job, I>(&self, job: &J, inputs: I, output: impl Into<String>) -> Result<Report>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.submit(job, Submit::new(inputs, output)).await?.wait().await
    }

    /// Submits a job and returns at once. On AWS the job goes on without this program.
    ///
    /// # Errors
    /// What the driver can see: `input-missing` or `input-unreadable`; `output-exists` without [`Submit::with_overwrite`];
    /// `output-taken` when another job writes there; `output-unwritable`; `output-inside-input`; `local-path` on AWS;
    /// `job-not-registered` when [`crate::main`] was not given the job; `shipping-forbidden` when the stack runs no shipped
    /// programs; `over-ceiling` when it would cost or take more than it may, and `prices` when nobody can tell; `program-…` when
    /// the [program](crate::Program) does not fit the functions; [a service error](crate#errors).
    pub async fn submit<J: Job>(&self, job: &J, mut submit: Submit) -> Result<JobHandle> {
        let described = Described::of(job, &self.shared.jobs)?;
        set_reads(job, &mut submit)?;
        self.start(described, None, submit).await
    }

    /// Plans a job that reads `submit`'s inputs: what [`Driver::submit`] would do with it, how long that is likely to take and
    /// what it would cost. It lists the inputs, and starts and writes nothing.
    ///
    /// # Errors
    /// `prices` when those of the stack's region are not known; `split-bytes` and `partitions` when what `submit` fixes is
    /// impossible; `input-missing`; `local-path` on AWS; [a service error](crate#errors).
    pub async fn plan<J: Job>(&self, job: &J, mut submit: Submit) -> Result<Planned> {
        set_reads(job, &mut submit)?;
        submit.check_ceiling()?;
        let places = Places::resolve(&self.shared, &submit).await?;
        let site = self.shared.place.site(submit.prices.clone())?;
        let options = submit.options(self.concurrency(&submit).await, workload_of(job)?, site);
        let options = places.with_right(options, &submit);
        let listing = Listing::of(&self.shared.conductor.objects, &places.inputs, &options).await?;
        Ok(Planned { plan: listing.plan(&options)?, recommended: listing.recommend(&options)? })
    }

    /// Plans a job whose input is made, as [`Driver::plan`] does one that reads.
    ///
    /// # Errors
    /// As [`Driver::plan`], and as [`Driver::submit_items`] for the items.
    pub async fn plan_items<J, T>(&self, job: &J, items: impl IntoIterator<Item = T>, submit: Submit) -> Result<Planned>
    where
        J: Job<Input = Items<T>>,
        T: Value,
    {
        submit.check_ceiling()?;
        let concurrency = self.concurrency(&submit).await;
        let made = Made::new(items, &submit.cuts, concurrency)?;
        let options = submit.options(concurrency, workload_of(job)?, self.shared.place.site(submit.prices.clone())?);
        Ok(Planned { plan: plan_items(&made, &options)?, recommended: None })
    }

    /// Runs a job whose input is made, not read, to its end: one record for each of `items`, cut evenly into map tasks.
    ///
    /// ```no_run
    /// # use kinglet::{Driver, Emitter, Items, Job, Sink, UserResult, Values};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Squares;
    /// # impl Job for Squares {
    /// #     const NAME: &'static str = "squares";
    /// #     type Input = Items<std::ops::Range<u64>>; type Key = (); type Value = u64; type Output = u64;
    /// #     fn map(&self, _: std::ops::Range<u64>, _: &mut Emitter<'_, (), u64>) -> UserResult { Ok(()) }
    /// #     fn reduce(&self, _: (), _: Values<'_, u64>, _: &mut Sink<'_, u64>) -> UserResult { Ok(()) }
    /// # }
    /// # async fn run(driver: Driver) -> kinglet::Result<()> {
    /// let ranges = (0..100).map(|n| n * 1_000..(n + 1) * 1_000);
    /// let report = driver.run_items(&Squares, ranges, "out").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Driver::submit_items`] and [`JobHandle::wait`]. After an error there is no output.
    pub async fn run_items<J, T>(
        &self,
        job: &J,
        items: impl IntoIterator<Item = T>,
        output: impl Into<String>,
    ) -> Result<Report>
    where
        J: Job<Input = Items<T>>,
        T: Value,
    {
        self.submit_items(job, items, Submit::to(output)).await?.wait().await
    }

    /// Submits a job whose input is made, not read, and returns at once. The items are written to the stack's work bucket as
    /// one object, whatever their number, and are removed with the job's other intermediate data.
    ///
    /// ```no_run
    /// # use kinglet::{Driver, Emitter, Items, Job, JobHandle, Sink, Submit, UserResult, Values};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Sieve;
    /// # impl Job for Sieve {
    /// #     const NAME: &'static str = "sieve";
    /// #     type Input = Items<u64>; type Key = (); type Value = u64; type Output = u64;
    /// #     fn map(&self, _: u64, _: &mut Emitter<'_, (), u64>) -> UserResult { Ok(()) }
    /// #     fn reduce(&self, _: (), _: Values<'_, u64>, _: &mut Sink<'_, u64>) -> UserResult { Ok(()) }
    /// # }
    /// # async fn run(driver: Driver) -> kinglet::Result<JobHandle> {
    /// driver.submit_items(&Sieve, 0..1_000, Submit::to("s3://bucket/primes").with_items_per_split(1)).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// `input-missing` when there is no item; `value-encode` when an item does not serialise; `items` when they make more
    /// than 100,000 tasks; `items-per-split` and `item-weights` when the items cannot be cut so; otherwise as
    /// [`Driver::submit`].
    pub async fn submit_items<J, T>(
        &self,
        job: &J,
        items: impl IntoIterator<Item = T>,
        submit: Submit,
    ) -> Result<JobHandle>
    where
        J: Job<Input = Items<T>>,
        T: Value,
    {
        self.submit_made(job, items, submit, None).await
    }

    /// Submits a job whose input is made: of items that it reads itself, or of inputs of calls that return its pairs.
    pub(crate) async fn submit_made<J: Job, T: Value>(
        &self,
        job: &J,
        items: impl IntoIterator<Item = T>,
        submit: Submit,
        calls: Option<CallsSpec>,
    ) -> Result<JobHandle> {
        let described = Described::of(job, &self.shared.jobs)?;
        if let Some(input) = submit.inputs.first().or(submit.input_list.as_ref()).or(submit.inventory.as_ref()) {
            return Err(Error::new(Code::InputKind, format!("job {} reads items, not {input}", J::NAME))
                .with_hint("make its `Submit` with `Submit::to(output)`"));
        }
        if submit.max_rejected.is_some() {
            let message = format!("job {} reads items, of which none is left out", J::NAME);
            return Err(Error::new(Code::MaxRejected, message).with_hint("leave `with_max_rejected` out"));
        }
        let concurrency = self.concurrency(&submit).await;
        let items = Made::new(items, &submit.cuts, concurrency).map_err(|e| e.context(format!("job {}", J::NAME)))?;
        self.start(described, Some(MadeInput { items, calls }), submit).await
    }

    /// Returns for how many functions that run at once the job's input is cut.
    pub(crate) async fn concurrency(&self, submit: &Submit) -> u32 {
        match submit.concurrency {
            Some(functions) => functions,
            None => self.shared.concurrency().await,
        }
    }

    fn start(&self, job: Described, made: Option<MadeInput>, submit: Submit) -> BoxFuture<'_, Result<JobHandle>> {
        Box::pin(self.hand_over(job, made, submit))
    }

    async fn hand_over(&self, job: Described, made: Option<MadeInput>, submit: Submit) -> Result<JobHandle> {
        let shared = &self.shared;
        let before = shared.conductor.clients.meter.totals();
        shared.check_ready()?;
        let places = Places::resolve(shared, &submit).await?;
        check(&submit)?;
        let options = self.options(&job, made.as_ref(), &places, &submit).await?;
        let mut submission = Submission::begin(shared, &places, before).await?;
        let directory = places.directory.clone();
        let chosen = Chosen { options, submit: &submit };
        let spec = on_heap(|| self.spec(&submission, job, made, places, chosen)).await?;
        submission.upload(&spec).await?;
        submission.create(&spec).await?;
        let handle = JobHandle::new(shared.clone(), submission.job.clone(), spec, submission.before);
        if let Place::Embedded { runtime, keeper: Some(keeper), .. } = &shared.place {
            let address = RuntimeAddress::of(runtime, &shared.conductor.stack, directory);
            keeper.begin(JobStatus::submitted(&handle.job, &handle.spec), address);
        }
        Ok(handle)
    }

    /// Returns how the job runs. With a ceiling, the job is planned first, and refused if it is likely to exceed that.
    async fn options(
        &self,
        job: &Described,
        made: Option<&MadeInput>,
        places: &Places,
        submit: &Submit,
    ) -> Result<OptionsSpec> {
        let concurrency = self.concurrency(submit).await;
        let of_region = self.shared.place.site(submit.prices.clone());
        if !submit.has_ceiling() {
            // What a job is billed where nobody has said what is charged is told by the prices that are known.
            let elsewhere = |_| self.shared.place.site(Some(Prices::of_us_east_1("x86_64")));
            let options = submit.options(concurrency, job.workload, of_region.or_else(elsewhere)?);
            return Ok(places.with_right(options, submit));
        }
        let options = places.with_right(submit.options(concurrency, job.workload, of_region?), submit);
        let plan = match made {
            Some(made) => plan_items(&made.items, &options)?,
            None => Listing::of(&self.shared.conductor.objects, &places.inputs, &options).await?.plan(&options)?,
        };
        plan.check(submit.ceiling)?;
        Ok(options)
    }

    /// Makes the spec, which says all that workers must know of a job. Its program and its items are in S3 by then.
    async fn spec(
        &self,
        submission: &Submission<'_>,
        job: Described,
        made: Option<MadeInput>,
        places: Places,
        chosen: Chosen<'_>,
    ) -> Result<JobSpec> {
        let conductor = &self.shared.conductor;
        let Places { mut inputs, output, .. } = places;
        conductor.check_output(&output).await?;
        let Chosen { options, submit } = chosen;
        let program = self.shared.shipping.ship(submit.program.as_ref(), conductor).await?;
        let submitted_at = conductor.now();
        let mut calls = None;
        if let Some(made) = made {
            inputs.push(made.items.write(conductor, &submission.job).await?.input);
            calls = made.calls;
        }
        let Described { name, signature, params, .. } = job;
        Ok(JobSpec { job: name.to_owned(), signature, params, inputs, output, options, program, submitted_at, calls })
    }
}

/// Refuses a submission that no job can follow from, wherever it reads and writes.
pub(crate) fn check(submit: &Submit) -> Result<()> {
    submit.check_time()?;
    submit.format.check()?;
    // What this program cannot write, its functions cannot.
    Packer::new(submit.format.packing())?;
    if submit.format.typed().is_some() {
        typed_writer(&submit.format, 0)?;
    }
    submit.check_ceiling()?;
    submit.check_files()?;
    submit.max_rejected.map_or(Ok(()), MaxRejected::check)
}

/// Says how the input is read by the format of the job, and refuses a submission that does not say what the job reads.
pub(crate) fn set_reads<J: Job>(job: &J, submit: &mut Submit) -> Result<()> {
    let input = job.input();
    let reads = |side| reads_of(J::NAME, &input.of_side(side).frame(), submit);
    let left = reads(Side::Left)?;
    let right = if J::Input::TWO_SIDES { Some(reads(Side::Right)?) } else { None };
    (submit.unpack, submit.splitting) = left;
    submit.reads_right = right;
    if input.framing() == Framing::Prefixed {
        let message = format!("the input of job {} is made of {}, not read", J::NAME, J::Input::describe());
        return Err(Error::new(Code::InputKind, message).with_hint("start it with `run_items` or `submit_items`"));
    }
    if !submit.names_input() {
        return Err(Error::new(Code::InputMissing, "the job has no input").with_hint("name at least one"));
    }
    match (J::Input::TWO_SIDES, submit.right.first()) {
        (true, None) => {
            let message = format!("the join {} has no right side", J::NAME);
            Err(Error::new(Code::InputMissing, message).with_hint("name it: --right (`Submit::with_right`)"))
        }
        (false, Some(right)) => {
            let message = format!("job {} is no join, and is given the right side {right}", J::NAME);
            Err(Error::new(Code::InputKind, message).with_hint("leave `with_right` out"))
        }
        _ => Ok(()),
    }
}

/// Returns how objects are read whose records are told apart so.
fn reads_of(job: &str, frame: &Frame, submit: &Submit) -> Result<(UnpackSpec, Splitting)> {
    let mut unpack = UnpackSpec { whole: frame.needs_offsets, ..submit.unpack };
    let splitting = match frame.framing {
        // What stands next to a quote proves nothing there.
        Framing::Quoted(quotes) if quotes.escape.is_some() => Splitting::Nowhere,
        Framing::Whole => Splitting::Nowhere,
        Framing::Quoted(_) if submit.splitting == Splitting::Anywhere => Splitting::Guessed,
        Framing::RowGroups if submit.splitting == Splitting::Anywhere => Splitting::RowGroups,
        Framing::Blocks if submit.splitting == Splitting::Anywhere => Splitting::Guessed,
        _ => submit.splitting,
    };
    if frame.framing.is_in_columns() {
        let is_called = if frame.framing == Framing::Blocks { "Avro" } else { "Parquet" };
        if let Some(codec) = unpack.codec.filter(|codec| *codec != Codec::None) {
            let message =
                format!("the input of job {job} is {is_called}, which is not compressed by {codec} as a whole");
            return Err(Error::new(Code::InputKind, message).with_hint("leave --input-compression out"));
        }
        // So nobody looks for a codec: columns and blocks are compressed within the file.
        unpack.codec = Some(Codec::None);
    }
    Ok((unpack, splitting))
}

/// Returns what a job says of its work, and refuses what no plan can follow from.
fn workload_of<J: Job>(job: &J) -> Result<Workload> {
    let workload = job.workload();
    if workload.are_amounts() {
        return Ok(workload);
    }
    let message = format!("job {} says of its work what is no amount: {workload:?}", J::NAME);
    Err(Error::new(Code::Workload, message).with_hint("let its `workload` give numbers from zero on"))
}

impl Described {
    /// Describes a job that this program has registered.
    pub(crate) fn of<J: Job>(job: &J, registered: &Registry) -> Result<Self> {
        let (params, signature) = (encode_params(job)?, signature::<J>());
        registered.open(J::NAME, &signature, &params)?;
        Ok(Described { name: J::NAME, signature, params, workload: workload_of(job)? })
    }
}

impl Places {
    /// Resolves the inputs and the output that a submission names. Those on this machine become buckets of the embedded
    /// runtime.
    pub(crate) async fn resolve(shared: &Connection, submit: &Submit) -> Result<Self> {
        let mut resolved = resolve_inputs(shared, submit).await?;
        let left = resolved.len() as u32;
        for input in &submit.right {
            resolved.push(inputs::resolve(input, &shared.mount_name("input"))?);
        }
        let right_from = (!submit.right.is_empty()).then_some(left);
        let output =
            output::resolve(&submit.output, &shared.mount_name("output"), submit.overwrite, submit.format.clone())?;
        output::check_apart(&output, &resolved)?;
        let inputs = mount_inputs(shared, resolved)?;
        let directory = output.path.clone().map(|root| BucketKind::Directory { root });
        mount(shared, &output.spec.bucket, &output.spec.shown, directory)?;
        let output = Output { spec: OutputSpec { success_marker: submit.success_marker, ..output.spec }, ..output };
        Ok(Places { inputs, right_from, output: output.spec, directory: output.path })
    }

    /// Adds to the options of a join which inputs are its right side.
    pub(crate) fn with_right(&self, options: OptionsSpec, submit: &Submit) -> OptionsSpec {
        let right = self.right_from.zip(submit.reads_right);
        let right = right.map(|(from_input, (unpack, splitting))| RightSpec { from_input, unpack, splitting });
        OptionsSpec { right, ..options }
    }

    /// Returns whether the output is a directory of this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.directory.is_some()
    }

    /// Resolves the inputs alone, for who only reads.
    pub(crate) async fn inputs(shared: &Connection, submit: &Submit) -> Result<Vec<InputSpec>> {
        mount_inputs(shared, resolve_inputs(shared, submit).await?)
    }
}

async fn resolve_inputs(shared: &Connection, submit: &Submit) -> Result<Vec<Resolved>> {
    let mut resolved = Vec::new();
    for input in &submit.inputs {
        resolved.push(inputs::resolve(input, &shared.mount_name("input"))?);
    }
    if let Some(list) = &submit.input_list {
        resolved.extend(input_list::resolve(shared, list).await?);
    }
    if let Some(manifest) = &submit.inventory {
        resolved.push(inventory::resolve(shared, manifest).await?);
    }
    Ok(resolved)
}

fn mount_inputs(shared: &Connection, resolved: Vec<Resolved>) -> Result<Vec<InputSpec>> {
    let mounted = resolved.into_iter().map(|Resolved { spec, mount: kind, .. }| {
        mount(shared, &spec.bucket, &spec.shown, kind)?;
        Ok(spec)
    });
    mounted.collect()
}

/// Makes a bucket of the embedded runtime of what lies on this machine.
pub(crate) fn mount(shared: &Connection, bucket: &str, shown: &str, kind: Option<BucketKind>) -> Result<()> {
    let Some(kind) = kind else { return Ok(()) };
    let Some(runtime) = shared.place.runtime().filter(|runtime| runtime.serves_s3()) else {
        let message = format!("{shown} is on this machine, where the functions cannot reach it");
        return Err(Error::new(Code::LocalPath, message).with_hint("copy it to S3, or run on the embedded runtime"));
    };
    runtime.create_bucket(bucket, kind).map_err(|e| Error::new(Code::Bucket, e.to_string()))
}

impl<'a> Submission<'a> {
    /// Gives the job its id, and locks its output if that is a directory of this machine.
    async fn begin(shared: &'a Connection, places: &Places, before: Requests) -> Result<Self> {
        let hold = match &places.directory {
            Some(path) => {
                shared.let_go_of_ended().await;
                let (path, shown) = (path.clone(), places.output.shown.clone());
                let held = tokio::task::spawn_blocking(move || Hold::take(&path, &shown)).await;
                Some(held.map_err(|e| Error::new(Code::Threads, format!("taking the output: {e}")))??)
            }
            None => None,
        };
        let (job, alone) = (shared.conductor.new_id(), hold.as_ref().is_some_and(Hold::is_locked));
        if shared.is_local() {
            shared.begin(job.clone(), hold);
        }
        Ok(Submission { shared, job, alone, before, created: false })
    }

    async fn upload(&mut self, spec: &JobSpec) -> Result<()> {
        let conductor = &self.shared.conductor;
        let (bytes, key) = (frame::write(spec)?, Conductor::spec_key(&self.job));
        conductor.objects.put(&conductor.stack.work_bucket, &key, bytes.into(), Replace::Yes).await?;
        Ok(())
    }

    /// Hands the job to the ledger, takes its output and starts the splitter.
    async fn create(&mut self, spec: &JobSpec) -> Result<()> {
        let (conductor, job) = (&self.shared.conductor, &self.job);
        // From here on the job ends, whatever becomes of this program. The output is taken only now: before, nobody else
        // could tell whether a job that the ledger does not know is dead.
        self.created = true;
        self.shared.goes_on(job);
        let started = async {
            conductor.ledger.create_job(job, spec, conductor.stack.timeout_ms).await?;
            on_heap(|| conductor.take_output(job, spec, self.alone)).await?;
            conductor.functions.start(&Event::Split(SplitEvent { job: job.clone(), number: 0 })).await
        };
        let Err(error) = started.await else { return Ok(()) };
        // Otherwise the sweeper would later start what this call reports as failed.
        Err(match on_heap(|| conductor.fail(job, Phase::Failed, &error)).await {
            Err(why) if !why.is(Code::JobMissing) => {
                tracing::warn!(%job, error = %why, "ending a job that could not be started");
                error.with_hint(format!("job {job} may begin all the same: `kinglet cancel {job}` ends it"))
            }
            _ => {
                self.shared.let_go(job);
                error
            }
        })
    }
}

impl Drop for Submission<'_> {
    fn drop(&mut self) {
        if !self.created {
            self.shared.let_go(&self.job);
        }
    }
}
