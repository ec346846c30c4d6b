//! The reducer: merges the committed runs of one partition as a stream, runs the job's `reduce`, and uploads one part.
//!
//! The part's multipart upload is left open, so nothing of it is visible. The ledger records the upload of the attempt that
//! commits, and the process that ends the job completes it; the uploads of all other attempts are aborted.
//!
//! Where a job may leave records out of its input, these are its first partition. Whoever reduces that writes them as they are, or
//! fails the job if they are too many.

mod calls;

use kinglet_aws::Conductor;
use kinglet_aws::beside::Inbox;
use kinglet_aws::ledger::Committed;
use kinglet_aws::upload::Upload;
use kinglet_calls::{CallEnds, Functions};
use kinglet_core::budget::{ROW_GROUP_PERCENT, memory_bytes, open_runs_max};
use kinglet_core::engine::quarantine::{Sums, quarantine};
use kinglet_core::engine::reduce::{ReduceCounts, ReduceOptions, Runs};
use kinglet_core::ids::Partition;
use kinglet_core::ledger::{JobView, Phase};
use kinglet_core::wire::event::{Event, ReduceEvent};
use kinglet_core::wire::index::RunAt;
use kinglet_core::wire::log::Did;
use kinglet_core::wire::record::{MapRecord, ReduceRecord};
use kinglet_core::wire::spec::{JobSpec, Then};
use kinglet_core::{Code, Codec, ErasedJob, Error, OpenTyped, Registry, Result};
use kinglet_formats::Packer;
use kinglet_formats::row_groups::typed_writer;
use kinglet_worker::task::{self, Try, Work};
use kinglet_worker::{Assignment, Invocation, Look, Outcome, Seen, Worker};
use std::sync::Arc;

/// How many bytes of output are handed on at once.
const OUTPUT_BYTES: usize = 1 << 20;

/// How many such blocks wait to be sent.
const BLOCKS_WAITING: usize = 8;

/// Handles one invocation for a program that has jobs and no functions.
///
/// # Errors
/// Returns the errors of [`handle_with`].
pub async fn handle(worker: Arc<Worker>, jobs: Arc<Registry>, call: Invocation) -> Result<Outcome> {
    handle_with(worker, jobs, Arc::default(), call).await
}

/// Handles one invocation.
///
/// # Errors
/// Returns the errors of [`task::run`].
pub async fn handle_with(
    worker: Arc<Worker>,
    jobs: Arc<Registry>,
    functions: Arc<Functions>,
    call: Invocation,
) -> Result<Outcome> {
    let event = call.event()?;
    match (Assignment::of(&event), event) {
        (Some(assigned), Event::Reduce(event)) => {
            let work = Reducing { jobs, functions, event, ends: CallEnds::default() };
            task::run(&worker, &call, &assigned, &work).await
        }
        (_, other) => Err(Error::new(Code::Event, format!("the reducer was invoked with {other:?}"))),
    }
}

/// One reduce task.
struct Reducing {
    jobs: Arc<Registry>,
    functions: Arc<Functions>,
    event: ReduceEvent,
    /// Passes its cancellation to its call, if it makes one.
    ends: CallEnds,
}

/// What a task is told of the map attempts.
enum Told {
    /// All records.
    Committed(Committed<MapRecord>),
    /// By the job's index, which of them have runs of its partition, and where. The index may be gone.
    Located(Result<Vec<RunAt>>),
}

impl Work for Reducing {
    type Input = Told;
    type Record = ReduceRecord;

    async fn input(&self, conductor: &Conductor, view: &JobView) -> Result<Told> {
        let job = &self.event.job;
        Ok(match &self.event.index {
            Some(rows) => Told::Located(conductor.runs(job).locate_by_index(self.partition(), rows).await),
            None => Told::Committed(conductor.ledger.committed(job, view.map_tasks).await?),
        })
    }

    fn look(&self, _: &JobSpec) -> Look {
        let ends = self.ends.clone();
        Box::new(move |seen| {
            if matches!(seen, Seen::Over) {
                ends.cancel_all();
            }
        })
    }

    async fn run(&self, task: &Try<'_>, told: Told) -> Result<Option<ReduceRecord>> {
        let reducer = match task.spec.calls.as_ref().map(|calls| &calls.then) {
            Some(Then::Reduce(reducer)) => Some(reducer),
            _ => None,
        };
        let reduced = match (reducer, told) {
            (Some(reducer), Told::Committed(committed)) => self.call(task, reducer, committed).await.map(Some),
            (_, told) => self.reduce(task, told).await,
        };
        match reduced {
            // When a job has succeeded, its runs go: who stood still meanwhile finds nothing, and nobody wants its part.
            Err(error) if error.is(Code::ObjectMissing) && is_over(task).await => Ok(None),
            reduced => reduced,
        }
    }

    async fn lost(&self, task: &Try<'_>, record: &ReduceRecord) -> Result<()> {
        self.abort(task, record).await
    }

    async fn leave(&self, task: &Try<'_>, record: &ReduceRecord, phase: Option<Phase>) -> Result<()> {
        if record.upload.is_none() {
            return Ok(());
        }
        let phase = match phase {
            Some(phase) => phase,
            None => task.conductor().ledger.job(task.job).await?.phase,
        };
        // The job may have been given up meanwhile by a process that has not seen the upload.
        if matches!(phase, Phase::Undoing | Phase::Failed | Phase::Cancelled) {
            self.abort(task, record).await?;
        }
        Ok(())
    }
}

/// What is made of a partition.
enum Made {
    /// A part, by the job.
    Part(Box<dyn ErasedJob>),
    /// The records that the job's map tasks have left out, if these are not too many.
    Quarantine(Sums),
}

/// What was reduced, and the part as it was sent.
struct Reduced {
    counts: ReduceCounts,
    bytes_out: u64,
    crc32: u32,
}

impl Reducing {
    fn partition(&self) -> Partition {
        Partition(self.event.task.0)
    }

    /// Merges, reduces, and uploads the part.
    async fn reduce(&self, task: &Try<'_>, told: Told) -> Result<Option<ReduceRecord>> {
        let Try { worker, spec, running, .. } = task;
        let (conductor, partition) = (task.conductor(), self.partition());
        let made = match task.spec.is_quarantine(partition) {
            true => Made::Quarantine(self.sums(task, &told).await?),
            false => Made::Part(self.jobs.open(&spec.job, &spec.signature, &spec.params)?),
        };
        let store = conductor.runs(task.job);
        let located = match told {
            Told::Committed(committed) => store.locate(partition, &committed).await?,
            Told::Located(located) => located?,
        };
        let mut runs = store.open(partition, &located).await?;
        let run_count = runs.count() as u64;

        let options = ReduceOptions {
            fan_in_max: open_runs_max(worker.memory_mb),
            format: spec.output.format.clone(),
            typed: OpenTyped { open: typed_writer, room_bytes: memory_bytes(worker.memory_mb, ROW_GROUP_PERCENT) },
            output_bytes: OUTPUT_BYTES,
            tmp: worker.tmp.clone(),
            stop: running.stop(),
        };
        let (sender, receiver) = conductor.beside.channel(BLOCKS_WAITING);
        let with_pool = (*worker).clone();
        let mut packer = Packer::new(match &made {
            Made::Quarantine(_) => Codec::None,
            Made::Part(_) => spec.output.format.packing(),
        })?;
        let engine = move || -> Result<Reduced> {
            let (mut crc, mut bytes_out) = (crc32fast::Hasher::new(), 0);
            let mut send = |bytes: Vec<u8>| {
                crc.update(&bytes);
                bytes_out += bytes.len() as u64;
                sender.push(bytes).map_err(|_| Error::new(Code::Upload, "the upload stopped"))
            };
            // Runs in the pool, so that a kernel that the job calls uses the function's threads and no others.
            let counts = with_pool.pool.install(|| {
                let mut pack = |bytes| match packer.push(bytes)? {
                    nothing if nothing.is_empty() => Ok(()),
                    bytes => send(bytes),
                };
                match &made {
                    Made::Quarantine(sums) => quarantine(sums, &options, &mut runs, &mut pack),
                    Made::Part(job) => job.reduce(&options, &mut runs, &mut pack),
                }
            })?;
            send(packer.finish()?)?;
            Ok(Reduced { counts, bytes_out, crc32: crc.finalize() })
        };
        let mut upload = Upload::new(&conductor.objects, &spec.output.bucket, &spec.key_of(partition, task.job));
        let (reduced, uploaded) = conductor.beside.before(engine, push_all(&mut upload, receiver)).await;
        let uploaded = uploaded.map_err(|e| of_output(e, spec));
        // If both failed, the upload failed first: the engine only found its output closed.
        let Reduced { counts, bytes_out, crc32 } = match (uploaded, reduced.and_then(|reduced| reduced)) {
            (Ok(()), Ok(reduced)) => reduced,
            (Err(error), _) | (Ok(()), Err(error)) => {
                upload.abort().await;
                if running.is_stopped() {
                    return Ok(None);
                }
                return Err(error);
            }
        };
        worker.journal.did(Did { records: counts.records_out, bytes: bytes_out, spills: 0 });
        // Where nothing was left out of the input, there is nothing to be published.
        let upload = match task.spec.is_quarantine(partition) && counts.records_out == 0 {
            true => None,
            false => Some(upload.leave_open().await.map_err(|e| of_output(e, spec))?),
        };
        Ok(Some(ReduceRecord {
            attempt: task.attempt,
            runs: run_count,
            pairs_in: counts.pairs_in,
            keys: counts.keys,
            records_out: counts.records_out,
            bytes_out,
            crc32,
            upload,
            usage: task.usage(),
        }))
    }

    /// Returns how many records the job's map tasks have read and left out.
    async fn sums(&self, task: &Try<'_>, told: &Told) -> Result<Sums> {
        let Some(max) = task.spec.options.max_rejected else {
            return Err(Error::new(Code::Engine, "a job that leaves nothing out has no partition for that"));
        };
        let read;
        let committed = match told {
            Told::Committed(committed) => committed,
            // An index has no sums.
            Told::Located(_) => {
                read = task.conductor().ledger.committed(task.job, task.view.map_tasks).await?;
                &read
            }
        };
        let sum = |of: fn(&MapRecord) -> u64| committed.iter().flatten().map(of).fold(0, u64::saturating_add);
        let rejected = sum(|record| record.rejected);
        Ok(Sums { rejected, read: rejected.saturating_add(sum(|record| record.records)), max })
    }

    /// Aborts the upload of a part that nobody will complete.
    async fn abort(&self, task: &Try<'_>, record: &ReduceRecord) -> Result<()> {
        let Some(upload) = &record.upload else { return Ok(()) };
        let key = task.spec.key_of(self.partition(), task.job);
        task.conductor().objects.abort_upload(&task.spec.output.bucket, &key, &upload.id).await
    }
}

/// Returns whether the job has ended, as far as the ledger can be asked.
async fn is_over(task: &Try<'_>) -> bool {
    match task.conductor().ledger.job(task.job).await {
        Ok(view) => view.phase.is_final(),
        Err(error) => error.is(Code::JobMissing),
    }
}

/// Adds the output's name, as the user gave it, to an error of writing it.
fn of_output(error: Error, spec: &JobSpec) -> Error {
    error.context(format!("output {}", spec.output.shown))
}

async fn push_all(upload: &mut Upload, mut blocks: Inbox<Vec<u8>>) -> Result<()> {
    while let Some(block) = blocks.recv().await {
        upload.push(block.into()).await?;
    }
    Ok(())
}
