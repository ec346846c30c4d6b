//! The driver: resolves inputs and output, uploads the job and starts the splitter. It keeps no state that the ledger lacks.

use crate::aws::{Aws, Cloud};
use crate::calls::{Maps, new_id};
use crate::handle::JobHandle;
use crate::hold::Hold;
use crate::items::Made;
use crate::machine::{Keeper, Neighbour, Servers};
use crate::program::Shipping;
use crate::submit::Submit;
use crate::{Error, Format, Framing, Items, Job, JobStatus, Local, Phase, Report, Result, Value, inputs, output};
use kinglet_aws::Conductor;
use kinglet_aws::functions::FunctionInfo;
use kinglet_aws::objects::{Replace, Version};
use kinglet_core::ids::JobId;
use kinglet_core::wire::event::{Event, SplitEvent};
use kinglet_core::wire::frame;
use kinglet_core::wire::record::Requests;
use kinglet_core::wire::spec::{CallsSpec, JobSpec, PART, part_job};
use kinglet_core::{Registry, encode_params, signature};
use kinglet_local::Runtime;
use kinglet_local::s3::BucketKind;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Runs jobs on a stack: the embedded runtime or AWS.
pub struct Driver {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) conductor: Conductor,
    jobs: Arc<Registry>,
    pub(crate) place: Place,
    pub(crate) shipping: Shipping,
    mounts: AtomicU32,
    /// The jobs that this driver's embedded runtime runs and that have not ended, as far as it knows.
    own: Mutex<Vec<Own>>,
    /// Calls under way.
    pub(crate) maps: Maps,
}

/// A job that ends with its driver.
struct Own {
    job: JobId,
    /// Of its output, if that is a local one.
    hold: Option<Hold>,
}

/// A job that is being submitted. Nothing of it is left where that ends before the ledger has it.
struct Submission<'a> {
    shared: &'a Shared,
    job: JobId,
    /// Whether the ledger may have it.
    created: bool,
}

impl Drop for Submission<'_> {
    fn drop(&mut self) {
        if !self.created {
            self.shared.let_go(&self.job);
        }
    }
}

/// Where the servers are that a driver talks to.
pub(crate) enum Place {
    /// In this process.
    Embedded {
        runtime: Box<Runtime>,
        /// How many functions run at once.
        concurrency: u32,
        /// Records its jobs for other programs.
        keeper: Option<Keeper>,
    },
    /// In another program of this machine, for one of its jobs.
    Neighbour(Neighbour),
    /// On AWS, or on what `AWS_ENDPOINT_URL` names.
    Aws(Box<Cloud>),
}

impl Place {
    pub(crate) fn runtime(&self) -> Option<&Runtime> {
        match self {
            Place::Embedded { runtime, .. } => Some(runtime),
            Place::Neighbour(_) | Place::Aws(_) => None,
        }
    }

    pub(crate) fn keeper(&self) -> Option<&Keeper> {
        match self {
            Place::Embedded { keeper, .. } => keeper.as_ref(),
            Place::Neighbour(_) | Place::Aws(_) => None,
        }
    }

    /// How many functions of a job run at once.
    async fn concurrency(&self) -> u32 {
        match self {
            Place::Embedded { concurrency, .. } => *concurrency,
            Place::Neighbour(_) => 1,
            Place::Aws(cloud) => cloud.concurrency().await,
        }
    }
}

/// A stack on AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackInfo {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// The bucket that jobs may read.
    pub input_bucket: String,
    /// The bucket that jobs may write.
    pub output_bucket: String,
}

impl Driver {
    /// Starts the embedded runtime with its defaults; [`Local`] has the choices.
    ///
    /// # Errors
    /// As [`Local::start`].
    pub async fn local() -> Result<Driver> {
        Local::new().start().await
    }

    /// Connects to the stack of this name on AWS, with the region and the credentials that every AWS tool finds; [`Aws`] has
    /// the choices.
    ///
    /// ```no_run
    /// # async fn connect() -> kinglet::Result<()> {
    /// let driver = kinglet::Driver::aws("kinglet").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Aws::connect`].
    pub async fn aws(stack: impl Into<String>) -> Result<Driver> {
        Aws::new(stack).connect().await
    }

    pub(crate) fn new(conductor: Conductor, jobs: Arc<Registry>, place: Place, shipping: Shipping) -> Self {
        let (mounts, own) = (AtomicU32::new(0), Mutex::default());
        let shared = Arc::new(Shared { conductor, jobs, place, shipping, mounts, own, maps: Maps::default() });
        if shared.is_local() {
            crate::handle::end_with_program(&shared);
        }
        Driver { shared }
    }

    /// Runs a job to its end.
    ///
    /// # Errors
    /// What is wrong with the inputs, the output, the job's code or a service; then there is no output.
    pub async fn run<J: Job, I>(&self, job: &J, inputs: I, output: impl Into<String>) -> Result<Report>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.submit(job, Submit::new(inputs, output)).await?.wait().await
    }

    /// Submits a job and does not wait for it. On AWS it goes on without this program.
    ///
    /// # Errors
    /// What is wrong with the inputs or the output, as far as it can be seen from here.
    pub async fn submit<J: Job>(&self, job: &J, submit: Submit) -> Result<JobHandle> {
        let (params, signature) = (encode_params(job)?, signature::<J>());
        self.shared.jobs.open(J::NAME, &signature, &params)?;
        if job.input().framing() == Framing::Prefixed {
            let message = format!("the input of job {} is made of {}, not read", J::NAME, J::Input::describe());
            return Err(Error::input("input-kind", message).with_hint("start it with `run_items` or `submit_items`"));
        }
        if submit.inputs.is_empty() {
            return Err(Error::input("input-missing", "the job has no input").with_hint("name at least one"));
        }
        self.submit_erased(J::NAME, signature, params, submit, None).await
    }

    /// Runs a job whose input is made, not read, to its end: one record for each of `items`, cut into map tasks evenly.
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
    /// As [`Driver::submit_items`]; what is wrong with the job's code or a service. Then there is no output.
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

    /// Submits a job whose input is made, not read, and does not wait for it. The items are written to the stack's work bucket,
    /// one object whatever their number, and are gone with the job's other intermediate data.
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
    /// [`Error::Input`] when there is no item (`input-missing`), [`Error::UserCode`] when one does not serialise,
    /// [`Error::Limit`] when they make more than 100,000 tasks; what is wrong with the output, as far as it can be seen from
    /// here.
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

    /// Submits a job whose input is made, of items that it reads itself or that calls make its pairs of.
    pub(crate) async fn submit_made<J: Job, T: Value>(
        &self,
        job: &J,
        items: impl IntoIterator<Item = T>,
        submit: Submit,
        calls: Option<CallsSpec>,
    ) -> Result<JobHandle> {
        let (params, signature) = (encode_params(job)?, signature::<J>());
        self.shared.jobs.open(J::NAME, &signature, &params)?;
        if let Some(input) = submit.inputs.first() {
            return Err(Error::input("input-kind", format!("job {} reads items, not {input}", J::NAME))
                .with_hint("make its `Submit` with `Submit::to(output)`"));
        }
        let concurrency = self.concurrency(&submit).await;
        let made = Made::new(items, &submit.cuts, concurrency).map_err(|e| e.context(format!("job {}", J::NAME)))?;
        self.submit_erased(J::NAME, signature, params, submit, Some((made, calls))).await
    }

    async fn concurrency(&self, submit: &Submit) -> u32 {
        match submit.concurrency {
            Some(given) => given,
            None => self.shared.place.concurrency().await,
        }
    }

    async fn submit_erased(
        &self,
        name: &str,
        signature: String,
        params: Vec<u8>,
        submit: Submit,
        made: Option<(Made, Option<CallsSpec>)>,
    ) -> Result<JobHandle> {
        let conductor = &self.shared.conductor;
        let before = conductor.clients.meter.totals();
        self.shared.check_ready()?;
        let mut resolved = Vec::new();
        for input in &submit.inputs {
            resolved.push(inputs::resolve(input, &self.mount_name("input"))?);
        }
        let output = output::resolve(&submit.output, &self.mount_name("output"), submit.overwrite)?;
        output::check_apart(&output, &resolved)?;
        let mounts = resolved.iter().map(|input| (&input.spec.bucket, &input.spec.shown, input.mount.clone()));
        let directory = output.path.clone().map(|root| BucketKind::Directory { root });
        for (bucket, shown, kind) in mounts.chain([(&output.spec.bucket, &output.spec.shown, directory)]) {
            let Some(kind) = kind else { continue };
            let Some(runtime) = self.shared.place.runtime().filter(|runtime| runtime.serves_s3()) else {
                let message = format!("{shown} is on this machine, where the functions cannot reach it");
                return Err(
                    Error::input("local-path", message).with_hint("copy it to S3, or run on the embedded runtime")
                );
            };
            runtime.create_bucket(bucket, kind).map_err(|e| Error::input("bucket", e.to_string()))?;
        }
        submit.check_time()?;
        let hold = match &output.path {
            Some(path) => {
                self.shared.let_go_of_ended().await;
                let (path, shown) = (path.clone(), output.spec.shown.clone());
                let held = tokio::task::spawn_blocking(move || Hold::take(&path, &shown)).await;
                Some(held.map_err(|e| Error::limit("threads", format!("taking the output: {e}")))??)
            }
            None => None,
        };
        // Who has locked the directory knows that no other program of this machine is at work there.
        let (job, alone) = (new_id(), hold.as_ref().is_some_and(Hold::is_locked));
        if self.shared.is_local() {
            self.shared.own().push(Own { job: job.clone(), hold });
        }
        let submission = Submission { shared: &self.shared, job, created: false };
        self.start(name, (signature, params), submit, made, (resolved, output, alone), (submission, before)).await
    }

    /// Uploads a job whose output may be taken, takes that, and starts the splitter.
    async fn start(
        &self,
        name: &str,
        (signature, params): (String, Vec<u8>),
        submit: Submit,
        made: Option<(Made, Option<CallsSpec>)>,
        (resolved, output, alone): (Vec<inputs::Resolved>, output::Output, bool),
        (mut submission, before): (Submission<'_>, Requests),
    ) -> Result<JobHandle> {
        let conductor = &self.shared.conductor;
        let output::Output { spec: output, path } = output;
        conductor.check_output(&output).await?;
        let program = self.shared.shipping.ship(submit.program.as_ref(), conductor).await?;
        let now = conductor.now();
        let job = submission.job.clone();
        let concurrency = self.concurrency(&submit).await;
        let mut inputs: Vec<_> = resolved.into_iter().map(|input| input.spec).collect();
        let mut calls = None;
        if let Some((made, by)) = made {
            inputs.push(made.write(conductor, &job).await?.input);
            calls = by;
        }
        let spec = JobSpec {
            job: name.to_owned(),
            signature,
            params,
            inputs,
            output,
            options: submit.options(concurrency),
            program,
            submitted_at: now,
            calls,
        };
        let bytes = frame::write(&spec)?;
        conductor
            .objects
            .put(&conductor.stack.work_bucket, &Conductor::spec_key(&job), bytes.into(), Replace::Yes)
            .await?;
        // From here on the job ends, whatever becomes of this program. So the output is taken only now, as nobody else could
        // tell whether a job that the ledger does not know is dead.
        submission.created = true;
        let started = async {
            conductor.ledger.create_job(&job, &spec, conductor.stack.timeout_ms).await?;
            conductor.take_output(&job, &spec, alone).await?;
            conductor.functions.start(&Event::Split(SplitEvent { job: job.clone(), number: 0 })).await
        };
        if let Err(error) = started.await {
            // Else the sweeper would start later what this call says has failed.
            return Err(match conductor.fail(&job, Phase::Failed, &error).await {
                Err(why) if why.code() != "job-missing" => {
                    tracing::warn!(%job, error = %why, "ending a job that could not be started");
                    error.with_hint(format!("job {job} may begin all the same: `kinglet cancel {job}` ends it"))
                }
                _ => {
                    self.shared.let_go(&job);
                    error
                }
            });
        }
        let handle = JobHandle::new(self.shared.clone(), job, spec, before);
        if let (Some(keeper), Some(runtime)) = (self.shared.place.keeper(), self.shared.place.runtime()) {
            keeper.begin(JobStatus::submitted(&handle.job, &handle.spec), Servers::of(runtime, &conductor.stack, path));
        }
        Ok(handle)
    }

    fn mount_name(&self, what: &str) -> String {
        format!("local-{what}-{}", self.shared.mounts.fetch_add(1, Ordering::Relaxed))
    }

    /// The stack on AWS; `None` on the embedded runtime.
    pub fn stack(&self) -> Option<StackInfo> {
        match &self.shared.place {
            Place::Embedded { .. } | Place::Neighbour(_) => None,
            Place::Aws(cloud) => {
                let deployed = &cloud.deployed;
                let (input_bucket, output_bucket) = deployed.buckets.clone();
                let (name, region) = (deployed.name.clone(), deployed.region.clone());
                Some(StackInfo { name, region, input_bucket, output_bucket })
            }
        }
    }

    /// Copies the parts of an output from one `s3://` prefix to another, within S3.
    ///
    /// # Errors
    /// [`Error::Input`] when either is not an `s3://` URI; what S3 reports.
    pub async fn copy_parts(&self, from: &str, to: &str) -> Result<()> {
        let (from, to) = (output::in_s3(from)?, output::in_s3(to)?);
        let objects = &self.shared.conductor.objects;
        for part in objects.list(&from.bucket, &format!("{}{PART}", from.prefix)).await? {
            let name = part.key.strip_prefix(&from.prefix).unwrap_or(&part.key);
            objects.copy((&from.bucket, &part.key), (&to.bucket, &format!("{}{name}", to.prefix))).await?;
        }
        Ok(())
    }

    /// Removes what [`Driver::copy_parts`] has put somewhere.
    ///
    /// # Errors
    /// As [`Driver::copy_parts`].
    pub async fn remove_copied_parts(&self, to: &str) -> Result<()> {
        let to = output::in_s3(to)?;
        let objects = &self.shared.conductor.objects;
        let listed = objects.list(&to.bucket, &format!("{}{PART}", to.prefix)).await?;
        let is_part = |key: &str| key.strip_prefix(&to.prefix).and_then(part_job).is_some();
        let parts = listed.into_iter().filter(|object| is_part(&object.key));
        let parts = parts.map(|object| Version { key: object.key, etag: Some(object.etag) }).collect();
        objects.delete_versions(&to.bucket, parts).await
    }

    /// Removes what a job that has ended has left in the stack's work bucket; what stands of it in the ledger goes by itself.
    /// Nobody can attach to the job after that.
    ///
    /// # Errors
    /// What S3 reports.
    pub async fn remove_intermediates(&self, job: &JobId) -> Result<()> {
        let Conductor { objects, stack, .. } = &self.shared.conductor;
        let listed = objects.list(&stack.work_bucket, &Conductor::prefix(job)).await?;
        let keys: Vec<_> = listed.into_iter().map(|object| object.key).collect();
        objects.delete(&stack.work_bucket, &keys).await
    }

    /// The stack's functions: splitter, mapper, larger mapper and reducer, as Lambda describes them.
    ///
    /// # Errors
    /// What Lambda reports.
    pub async fn functions(&self) -> Result<Vec<FunctionInfo>> {
        self.shared.conductor.functions.describe().await
    }

    /// Removes a result in S3: its manifest, and the parts that this lists. Those of version 1 stay: nobody could tell them from
    /// other files.
    ///
    /// # Errors
    /// [`Error::Input`] when it is not an `s3://` URI; what S3 reports.
    pub async fn remove_output(&self, output: &str) -> Result<()> {
        self.shared.conductor.remove_result(&output::in_s3(output)?).await
    }

    /// The URLs of S3, DynamoDB and Lambda, and the access key id and secret, of the embedded runtime; `None` on AWS. Any
    /// AWS client can use them while the driver lives.
    pub fn endpoints(&self) -> Option<([String; 3], (String, String))> {
        let runtime = self.shared.place.runtime()?;
        let (id, secret) = runtime.keys();
        Some((runtime.urls().map(str::to_owned), (id.to_owned(), secret.to_owned())))
    }

    /// The embedded runtime, for its Lambda host's reports, logs and faults; `None` on AWS.
    pub fn runtime(&self) -> Option<&Runtime> {
        self.shared.place.runtime()
    }

    /// Stops the embedded runtime and waits until nothing of it is left; its jobs that have not ended are cancelled, as their
    /// functions go, and those that publish already are published. Dropping the driver does the same without waiting, and leaves
    /// it to the next job in their outputs to see that they are dead. Calls that have not ended by then fail with `driver-closed`.
    pub async fn close(self) {
        self.shared.maps.close().await;
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

impl Shared {
    /// Whether the servers are in this process.
    pub(crate) fn is_local(&self) -> bool {
        self.place.runtime().is_some()
    }

    /// How many functions run at once.
    pub(crate) async fn concurrency(&self) -> u32 {
        self.place.concurrency().await
    }

    /// Refuses work that the stack cannot take now.
    pub(crate) fn check_ready(&self) -> Result<()> {
        match &self.place {
            Place::Aws(cloud) => cloud.deployed.check_settled(),
            Place::Embedded { .. } | Place::Neighbour(_) => Ok(()),
        }
    }

    /// Brings the jobs of the embedded runtime to their end, all at once: nobody else can, once it is gone.
    pub(crate) async fn end_jobs(&self) {
        let ends = self.own_jobs().into_iter().map(|job| async move {
            let error = Error::cancelled("interrupted", format!("job {job} was interrupted"));
            match self.conductor.bring_to_end(&job, &error).await {
                Err(error) if error.code() != "job-missing" => tracing::warn!(%job, %error, "ending a job"),
                _ => {}
            }
            self.let_go(&job);
        });
        futures_util::future::join_all(ends).await;
    }

    /// Lets go of the outputs of jobs that have ended without anybody having waited for them.
    async fn let_go_of_ended(&self) {
        for job in self.own_jobs() {
            if let Ok(view) = self.conductor.ledger.job(&job).await {
                self.saw(&job, view.phase);
            }
        }
    }

    /// Takes notice of a job's phase: the output of one that has ended is let go.
    pub(crate) fn saw(&self, job: &JobId, phase: Phase) {
        if phase.is_final() {
            self.let_go(job);
        }
    }

    /// Lets go of the output of a job that has ended; directories that were made for it and have nothing in them go.
    fn let_go(&self, job: &JobId) {
        let mut own = self.own();
        own.iter().filter(|own| own.job == *job).filter_map(|own| own.hold.as_ref()).for_each(Hold::remove_made);
        own.retain(|own| own.job != *job);
    }

    fn own_jobs(&self) -> Vec<JobId> {
        self.own().iter().map(|own| own.job.clone()).collect()
    }

    fn own(&self) -> MutexGuard<'_, Vec<Own>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records how jobs stand that nobody waited for: the runtime is about to go, and they with it.
    pub(crate) async fn record_ends(&self) {
        let Some(keeper) = self.place.keeper() else { return };
        for mut status in keeper.running() {
            if let Ok(view) = self.conductor.ledger.job(&status.job).await {
                status.see(&view);
            }
            if !status.phase.is_final() {
                let message = format!("job {}: the program that ran it ended before it", status.job);
                status.end_without_success(Phase::Cancelled, Error::cancelled("interrupted", message));
            }
            keeper.end(status);
        }
    }
}
