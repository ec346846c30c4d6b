//! The reducer: merges the committed runs of one partition as a stream, runs the job's `reduce`, and uploads one part.
//!
//! Near the end of its time it stops at the end of a key, and hands the rest of the partition to the next piece of its task, which
//! begins there and uploads a part of its own.
//!
//! The part's multipart upload is left open, so nothing of it is visible. The ledger records the upload of the attempt that
//! commits, and the process that ends the job completes it; the uploads of all other attempts are aborted. Where the output lies in
//! folders, there may be thousands of such uploads, and the record says where they are listed.
//!
//! In a job whose runs are merged before they are reduced, this function does that, too (`merging.rs`).
//!
//! Where a job may leave records out of its input, these are its first partition. Whoever reduces that writes them as they are, or
//! fails the job if they are too many.

mod calls;
mod files;
mod merging;

use files::{Files, Place, Sending, Sent};
use kinglet_aws::Conductor;
use kinglet_aws::ledger::Committed;
use kinglet_aws::runs::ReduceAttempt;
use kinglet_calls::{CallEnds, Functions};
use kinglet_core::budget::{
    KEPT_PERCENT, REDUCE_EARLY_PERCENT, REDUCE_TIME_KEPT_PERCENT, ROW_GROUP_PERCENT, memory_bytes, open_runs_max,
};
use kinglet_core::engine::passes::{Opening, Rest};
use kinglet_core::engine::quarantine::{Sums, quarantine};
use kinglet_core::engine::reduce::{CurrentKey, FileOp, ReduceOptions, Reduced};
use kinglet_core::ids::{Partition, Piece};
use kinglet_core::ledger::{JobView, Phase};
use kinglet_core::wire::event::{Event, ReduceEvent};
use kinglet_core::wire::files::{FileList, LeftFile};
use kinglet_core::wire::log::Did;
use kinglet_core::wire::record::{MapRecord, ReduceRecord};
use kinglet_core::wire::rest::{ReduceRest, RunLeft};
use kinglet_core::wire::spec::{JobSpec, Then};
use kinglet_core::{Code, Codec, ErasedJob, Error, OpenTyped, Registry, Result};
use kinglet_formats::Packer;
use kinglet_formats::row_groups::typed_writer;
use kinglet_worker::task::{self, Try, Work};
use kinglet_worker::{Assignment, Invocation, Look, Outcome, Seen, Worker};
use merging::Merging;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

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
        (Some(assigned), Event::Merge(event)) => task::run(&worker, &call, &assigned, &Merging { jobs, event }).await,
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
    /// By the job's index, which of them have runs of its partition, and where; or which merge attempts have. The index may be gone.
    Located(Result<Vec<RunLeft>>),
    /// By the piece before, which runs are left. What it wrote may be gone.
    Left(Result<ReduceRest>),
}

impl Work for Reducing {
    type Input = Told;
    type Record = ReduceRecord;

    async fn input(&self, conductor: &Conductor, view: &JobView) -> Result<Told> {
        let job = &self.event.job;
        if self.event.piece != Piece(0) {
            return Ok(Told::Left(conductor.runs(job).rest(self.event.task, self.event.piece).await));
        }
        if let Some(grid) = &view.grid {
            return Ok(Told::Located(conductor.runs(job).locate_merged(grid, self.partition()).await));
        }
        Ok(match &self.event.index {
            Some(rows) => Told::Located(conductor.runs(job).locate_by_index(self.partition(), rows).await),
            None => Told::Committed(conductor.ledger.counted(job, view).await?),
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

    async fn hand_on(&self, task: &Try<'_>, record: &ReduceRecord) -> Result<()> {
        if record.hands_on {
            let piece = self.event.piece.next()?;
            let rest = ReduceEvent { piece, number: 0, early: false, index: None, ..self.event.clone() };
            task.conductor().functions.start(&Event::Reduce(rest)).await?;
            task.look_at_ceiling().await;
        }
        Ok(())
    }

    async fn lost(&self, task: &Try<'_>, record: &ReduceRecord) -> Result<()> {
        self.abort(task, record).await
    }

    async fn leave(&self, task: &Try<'_>, record: &ReduceRecord, phase: Option<Phase>) -> Result<()> {
        if record.upload.is_none() && record.files == 0 {
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

/// What turns what an engine writes into what is sent: it compresses, counts and names files.
struct Packing<'a> {
    codec: Codec,
    /// The name of a file in this folder, before which so many others have begun there.
    name: &'a (dyn Fn(&str, u32) -> String + Sync),
    send: &'a mut (dyn FnMut(Sending) -> Result<()> + Send),
    open: Option<Packed>,
    /// From how many bytes of a file on the rest of the partition is handed on, and what says so to the engine.
    enough: Option<(u64, Arc<AtomicBool>)>,
}

/// A file that is being compressed.
struct Packed {
    packer: Packer,
    crc: crc32fast::Hasher,
    bytes: u64,
}

impl Packing<'_> {
    fn take(&mut self, op: FileOp) -> Result<()> {
        match op {
            FileOp::Begin { folder, before } => {
                let packer = Packer::new(self.codec)?;
                self.open = Some(Packed { packer, crc: crc32fast::Hasher::new(), bytes: 0 });
                (self.send)(Sending::Begin((self.name)(&folder, before)))
            }
            FileOp::Bytes(bytes) => {
                let Some(open) = &mut self.open else { return Ok(()) };
                let packed = open.packer.push(bytes)?;
                open.crc.update(&packed);
                open.bytes += packed.len() as u64;
                if let Some((_, hand_on)) = self.enough.as_ref().filter(|(most, _)| open.bytes >= *most) {
                    hand_on.store(true, Ordering::Relaxed);
                }
                self.send_bytes(packed)
            }
            FileOp::End { records } => {
                let Some(open) = self.open.take() else { return Ok(()) };
                let Packed { packer, mut crc, bytes } = open;
                let packed = packer.finish()?;
                crc.update(&packed);
                let bytes = bytes + packed.len() as u64;
                self.send_bytes(packed)?;
                (self.send)(Sending::End(Sent { bytes, records, crc32: crc.finalize() }))
            }
        }
    }

    fn send_bytes(&mut self, packed: Vec<u8>) -> Result<()> {
        if packed.is_empty() { Ok(()) } else { (self.send)(Sending::Bytes(packed)) }
    }
}

/// Tells an engine when it is time to hand on.
struct HandOn {
    flag: Arc<AtomicBool>,
    timer: JoinHandle<()>,
}

impl HandOn {
    fn at(when: Instant) -> Self {
        let flag = Arc::new(AtomicBool::new(Instant::now() >= when));
        let set = flag.clone();
        let timer = tokio::spawn(async move {
            tokio::time::sleep_until(when).await;
            set.store(true, Ordering::Relaxed);
        });
        HandOn { flag, timer }
    }
}

impl Drop for HandOn {
    fn drop(&mut self) {
        self.timer.abort();
    }
}

/// Returns when a try is to hand on, so that there is time to end the key that it is at, to send and to commit. One that follows a
/// try which ran out of time does so early: the key that took so long is then among the first of the next piece, which has all of
/// its time for it.
fn hand_on_at(reduce_ms_max: Option<u64>, deadline: Instant, early: bool) -> Instant {
    let now = Instant::now();
    let left = deadline.duration_since(now);
    let most = reduce_ms_max.map_or(left, Duration::from_millis).min(left);
    let percent = if early { REDUCE_EARLY_PERCENT } else { 100 - REDUCE_TIME_KEPT_PERCENT };
    now + most * percent / 100
}

impl Reducing {
    fn partition(&self) -> Partition {
        Partition(self.event.task.0)
    }

    /// Merges, reduces, and uploads the part. What does not come to the end of a key in all of its time fails the job.
    async fn reduce(&self, task: &Try<'_>, told: Told) -> Result<Option<ReduceRecord>> {
        if !self.event.early {
            return self.reduce_watched(task, told, None).await;
        }
        let key = CurrentKey::default();
        let mut reducing = std::pin::pin!(self.reduce_watched(task, told, Some(key.clone())));
        tokio::select! {
            biased;
            reduced = &mut reducing => return reduced,
            () = tokio::time::sleep_until(task.call.report_by()) => {}
        }
        match key.shown() {
            Some(key) => Err(self.slow_key(task, &key)),
            None => reducing.await,
        }
    }

    fn slow_key(&self, task: &Try<'_>, key: &str) -> Error {
        let seconds = task.conductor().stack.timeout_ms / 1_000;
        let partition = task.spec.numbered(self.partition()).unwrap_or(self.partition()).0;
        let message =
            format!("reducing key {key} of partition {partition} takes longer than a function lives ({seconds} s)");
        Error::new(Code::SlowKey, message).with_hint(
            "give functions more time, or memory, which brings CPU; combine the key's values in mappers (`Job::combiner`), or \
             spread them over several keys",
        )
    }

    async fn reduce_watched(
        &self,
        task: &Try<'_>,
        told: Told,
        key: Option<CurrentKey>,
    ) -> Result<Option<ReduceRecord>> {
        let Try { worker, spec, running, .. } = task;
        let hand_on_at = hand_on_at(spec.options.reduce_ms_max, task.call.deadline, self.event.early);
        let (conductor, partition) = (task.conductor(), self.partition());
        let made = match task.spec.is_quarantine(partition) {
            true => Made::Quarantine(self.sums(task, &told).await?),
            false => Made::Part(self.jobs.open(&spec.job, &spec.signature, &spec.params)?),
        };
        let store = conductor.runs_to_reduce(task.job, &task.view);
        let (located, after) = match told {
            Told::Committed(committed) => (store.locate(partition, &committed).await?, None),
            Told::Located(located) => (located?, None),
            Told::Left(left) => left.map(|ReduceRest { after, runs }| (runs, Some(after)))?,
        };
        let runs = store.open(partition, &located).await?;
        let found = runs.found();
        let left = || found.iter().zip(0..).map(|(left, run)| Opening { run, place: left.place }).collect();
        let hand_on = HandOn::at(hand_on_at);

        let options = ReduceOptions {
            fan_in_max: open_runs_max(worker.memory_mb),
            format: spec.output.format.clone(),
            typed: OpenTyped { open: typed_writer, room_bytes: memory_bytes(worker.memory_mb, ROW_GROUP_PERCENT) },
            output_bytes: OUTPUT_BYTES,
            tmp: worker.tmp.clone(),
            tmp_bytes: worker.passes_bytes,
            kept_bytes: memory_bytes(worker.memory_mb, KEPT_PERCENT) as usize,
            stop: running.stop(),
            start: after.map(|after| Rest { after, runs: left() }),
            hand_on: hand_on.flag.clone(),
            key,
        };
        let (sender, receiver) = conductor.beside.channel(BLOCKS_WAITING);
        let with_pool = (*worker).clone();
        let codec = match &made {
            Made::Quarantine(_) => Codec::None,
            Made::Part(_) => spec.output.format.packing(),
        };
        let name = self.namer(task);
        let enough = match &made {
            Made::Quarantine(_) => None,
            Made::Part(_) => spec.options.file_bytes.map(|most| (most, hand_on.flag.clone())),
        };
        let engine = move || -> Result<Reduced> {
            let mut send = |sending| sender.push(sending).map_err(|_| Error::new(Code::Upload, "the upload stopped"));
            let mut packing = Packing { codec, name: &name, send: &mut send, open: None, enough };
            // Runs in the pool, so that a kernel that the job calls uses the function's threads and no others.
            with_pool.pool.install(|| match &made {
                Made::Quarantine(sums) => {
                    let mut begun = false;
                    let counts = quarantine(sums, &options, Box::new(runs), &mut |bytes| {
                        // Where nothing was left out of the input, there is no file.
                        if !begun && !bytes.is_empty() {
                            begun = true;
                            packing.take(FileOp::Begin { folder: String::new(), before: 0 })?;
                        }
                        packing.take(FileOp::Bytes(bytes))
                    })?;
                    if begun {
                        packing.take(FileOp::End { records: counts.records_out })?;
                    }
                    Ok(Reduced { counts, rest: None })
                }
                Made::Part(job) => job.reduce(&options, Box::new(runs), &mut |op| packing.take(op)),
            })
        };
        let mut files = Files::new(self.place(task));
        let (reduced, sent) = conductor.beside.before(engine, files.send_all(receiver)).await;
        let sent = sent.map_err(|e| of_output(e, spec));
        // If both failed, the upload failed first: the engine only found its output closed.
        let Reduced { counts, rest } = match (sent, reduced.and_then(|reduced| reduced)) {
            (Ok(()), Ok(reduced)) => reduced,
            (Err(error), _) | (Ok(()), Err(error)) => {
                files.abort().await;
                if running.is_stopped() {
                    return Ok(None);
                }
                return Err(error);
            }
        };
        let left = files.take();
        let bytes_out = left.iter().map(|file| file.bytes).sum();
        worker.journal.did(Did { records: counts.records_out, bytes: bytes_out, spills: 0 });
        let hands_on = rest.is_some();
        let of = ReduceAttempt { task: task.key.task, piece: task.key.piece, attempt: task.attempt };
        let has_folders = !spec.output.format.partition_by().is_empty() && !task.spec.is_quarantine(partition);
        let list = FileList { files: left };
        // Before the commit, which says that they are there.
        let written: Result<()> = async {
            if let Some(Rest { after, runs }) = rest {
                let runs = runs.into_iter().map(|Opening { run, place }| RunLeft { place, ..found[run] }).collect();
                store.write_rest(of, &ReduceRest { after, runs }).await?;
            }
            if has_folders && !list.files.is_empty() {
                store.write_files(of, &list).await?;
            }
            Ok(())
        }
        .await;
        let FileList { files: left } = list;
        if let Err(error) = written {
            self.place(task).abort(left).await;
            return Err(error);
        }
        let count = u32::try_from(left.len()).unwrap_or(u32::MAX);
        let (files, crc32, upload) = match has_folders {
            true => (count, 0, None),
            false => match left.into_iter().next() {
                Some(LeftFile { upload, crc32, .. }) => (0, crc32, Some(upload)),
                None => (0, 0, None),
            },
        };
        Ok(Some(ReduceRecord {
            attempt: task.attempt,
            runs: found.len() as u64,
            pairs_in: counts.pairs_in,
            keys: counts.keys,
            records_out: counts.records_out,
            bytes_out,
            crc32,
            upload,
            files,
            hands_on,
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
            Told::Located(_) | Told::Left(_) => {
                read = task.conductor().ledger.counted(task.job, &task.view).await?;
                &read
            }
        };
        let sum = |of: fn(&MapRecord) -> u64| committed.iter().flatten().map(of).fold(0, u64::saturating_add);
        let rejected = sum(|record| record.rejected);
        Ok(Sums { rejected, read: rejected.saturating_add(sum(|record| record.records)), max })
    }

    /// Returns the names of what this piece writes: by the folder, and how many files it has begun there before.
    fn namer(&self, task: &Try<'_>) -> impl Fn(&str, u32) -> String + Send + Sync + use<> {
        let (spec, piece, job, partition) = (task.spec.clone(), task.key.piece, task.job.clone(), self.partition());
        move |folder, before| match folder {
            "" => spec.name_of(partition, piece, &job),
            folder => {
                let number = Partition(partition.0.saturating_sub(spec.quarantines()));
                spec.output.file_name(folder, number, piece, &job, before)
            }
        }
    }

    /// Returns where this piece's files go.
    fn place<'t>(&self, task: &'t Try<'_>) -> Place<'t> {
        let output = &task.spec.output;
        Place { objects: &task.conductor().objects, bucket: &output.bucket, prefix: &output.prefix }
    }

    /// Aborts the uploads of what nobody will complete.
    async fn abort(&self, task: &Try<'_>, record: &ReduceRecord) -> Result<()> {
        let (conductor, output) = (task.conductor(), &task.spec.output);
        if let Some(upload) = &record.upload {
            let key = task.spec.key_of(self.partition(), task.key.piece, task.job);
            return conductor.objects.abort_upload(&output.bucket, &key, &upload.id).await;
        }
        let of = ReduceAttempt { task: task.key.task, piece: task.key.piece, attempt: task.attempt };
        conductor.abort_files(task.job, output, of, record).await
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
