//! Brings jobs to their ends: sums checked and the result published, or what was written undone.

use super::turn::Turn;
use crate::conductor::{Conductor, plan_of};
use crate::heap::on_heap;
use crate::objects::SMALL_BYTES_MAX;
use crate::output::Publication;
use crate::runs::Shuffled;
use kinglet_core::guesses::Counted;
use kinglet_core::ids::{JobId, Stage, Timestamp};
use kinglet_core::ledger::{JobView, Phase};
use kinglet_core::limits::OUTPUT_FILES_MAX;
use kinglet_core::manifest::{Done, reconcile};
use kinglet_core::wire::plan;
use kinglet_core::wire::record::{MapRecord, MergeRecord, ReduceRecord, Requests, Usage};
use kinglet_core::wire::spec::JobSpec;
use kinglet_core::{Code, Error, Result};

/// The most turns at publishing, each of ten seconds or more, before a job fails whose output can neither be written nor
/// looked at.
const PUBLISHING_TURNS_MAX: u64 = 30;

/// Refuses an output of more files in folders than may be published.
fn check_files(spec: &JobSpec, reduces: &[ReduceRecord]) -> Result<()> {
    let files: u64 = reduces.iter().map(|record| u64::from(record.files)).sum();
    if files <= OUTPUT_FILES_MAX {
        return Ok(());
    }
    let by = spec.output.format.partition_by().join(", ");
    let message = format!(
        "the output is partitioned by {by} and would have {files} files in folders, where {OUTPUT_FILES_MAX} are the most"
    );
    Err(Error::new(Code::OutputFiles, message)
        .with_hint("partition by columns with fewer values, ask for fewer partitions, or cut the job into several"))
}

impl Conductor {
    /// Ends a job whose tasks are all committed: checks the sums, publishes, and records success.
    pub(super) async fn finish(&self, job: &JobId, view: &JobView, before: &Requests) -> Result<()> {
        let started_at = self.now();
        if !view.writes_output {
            return self.finish_calls(job, view, before, started_at).await;
        }
        let publication = on_heap(|| self.publication(job, view)).await?;
        let upload = self.begin_manifest(&publication.spec.output).await?;
        let (usage, before) = (self.usage_since(before, started_at), self.clients.meter.totals());
        if !self.ledger.publish(job, &upload, usage.as_ref()).await? {
            let (output, key) = (&publication.spec.output, publication.spec.output.manifest_key());
            return self.objects.abort_upload(&output.bucket, &key, &upload).await;
        }
        let view = JobView { phase: Phase::Publishing, manifest_upload: Some(upload), ..view.clone() };
        let turn = Turn::new(Phase::Publishing, 1);
        on_heap(|| self.publish(job, &view, publication, &turn, &before)).await
    }

    /// Ends a job of calls when all results are committed: checks that each call has one. Such a job has no output.
    async fn finish_calls(&self, job: &JobId, view: &JobView, before: &Requests, started_at: Timestamp) -> Result<()> {
        let committed = self.ledger.committed::<MapRecord>(job, view.map_tasks).await?;
        let made: u64 = committed.iter().flatten().map(|record| record.records).sum();
        let count = view.calls.map_or(0, |calls| calls.count);
        if made != count {
            let message = format!("reconciling job {job}: calls given and made: {count} is not {made}");
            return Err(Error::new(Code::Unreconciled, message));
        }
        let usage = self.usage_since(before, started_at);
        // Without a call that reduces them, what the batches return is the result.
        if self.ledger.succeed(job, view.phase, usage.as_ref()).await? {
            self.wake_teller(job, view).await;
            if view.partitions > 0 {
                // A call that reduces is one piece.
                let shuffled = Shuffled { maps: committed, merges: vec![], indexes: view.index.tries, reduces: vec![] };
                self.leave_no_runs(job, shuffled).await;
            }
        }
        Ok(())
    }

    /// Collects what a job whose tasks are all committed has to publish.
    ///
    /// # Errors
    /// Returns `unreconciled` when the sums do not agree; or a service error of S3 or DynamoDB.
    pub(super) async fn publication(&self, job: &JobId, view: &JobView) -> Result<Publication> {
        let key = Self::plan_key(job, plan_of(job, view)?);
        let (spec, bytes, maps, merges, reduces) = tokio::try_join!(
            self.spec(job),
            self.objects.get_whole(&self.stack.work_bucket, &key, SMALL_BYTES_MAX),
            self.ledger.committed::<MapRecord>(job, view.map_tasks),
            self.ledger.committed::<MergeRecord>(job, view.tasks_of(Stage::Merge)),
            self.ledger.committed::<ReduceRecord>(job, view.partitions),
        )?;
        let (splits, inputs) = plan::read(&bytes)?;
        let reduces: Vec<_> = reduces.into_iter().flatten().collect();
        check_files(&spec, &reduces)?;
        let files = self.runs(job).all_files(&reduces).await?;
        let done = Done {
            splits: &splits,
            maps: &maps,
            merges: &merges,
            partitions: view.partitions,
            reduces: &reduces,
            files: &files,
        };
        let manifest = match view.rereads.0.is_empty() {
            true => reconcile(job, &spec, &inputs, &done)?,
            false => {
                let counted = Counted::of(&view.rereads, &splits, &maps);
                let done = Done { splits: &counted.splits, maps: &counted.maps, ..done };
                let mut manifest = reconcile(job, &spec, &inputs, &done)?;
                for split in &mut manifest.splits {
                    split.task = counted.task(split.task).map_or(split.task, |task| task.0);
                }
                manifest
            }
        };
        Ok(Publication { spec, maps, merges, reduces, files, manifest })
    }

    pub(super) async fn publish(
        &self,
        job: &JobId,
        view: &JobView,
        mut publication: Publication,
        turn: &Turn,
        before: &Requests,
    ) -> Result<()> {
        let started_at = self.now();
        let shuffled = (!publication.spec.options.keep_runs).then(|| Shuffled {
            maps: std::mem::take(&mut publication.maps),
            merges: std::mem::take(&mut publication.merges),
            indexes: view.index.tries,
            reduces: publication.reduces.clone(),
        });
        // S3 may take minutes to complete large parts; signs of life are needed meanwhile.
        let published = tokio::select! {
            biased;
            published = on_heap(|| self.publish_output(job, publication, view.manifest_upload.clone())) => published,
            taken = turn.keep(self, job) => Err(taken),
        };
        match published {
            Ok(()) => {
                let usage = self.usage_since(before, started_at);
                let has_ended = self.record_end(job, view, Phase::Succeeded, usage.as_ref()).await?;
                if let Some(shuffled) = shuffled.filter(|_| has_ended) {
                    self.leave_no_runs(job, shuffled).await;
                }
                Ok(())
            }
            Err(error) if error.is(Code::TurnTaken) => Ok(()),
            Err(error) if self.decides(&error) => on_heap(|| self.give_up_publishing(job, view, &error)).await,
            Err(error) => Err(error),
        }
    }

    /// Records the end of a job that is publishing or undone, and has it told. Returns whether this call ended it.
    async fn record_end(&self, job: &JobId, view: &JobView, to: Phase, usage: Option<&Usage>) -> Result<bool> {
        let from = if to == Phase::Succeeded { Phase::Publishing } else { Phase::Undoing };
        let has_ended = self.ledger.settle(job, from, to, usage).await?;
        if has_ended {
            self.wake_teller(job, view).await;
        }
        Ok(has_ended)
    }

    /// Ends a job that cannot be published, unless its result is visible all the same.
    pub(super) async fn give_up_publishing(&self, job: &JobId, view: &JobView, error: &Error) -> Result<()> {
        let upload = match self.spec(job).await {
            Ok(spec) => {
                let stopped = async {
                    let upload = self.stop_publishing(job, &spec.output).await?;
                    self.publish_rest(job, &spec.output).await.map(|published| (published, upload))
                };
                match stopped.await {
                    Ok((true, _)) => {
                        return self.record_end(job, view, Phase::Succeeded, None).await.map(drop);
                    }
                    Ok((false, upload)) => upload,
                    Err(error) if error.is(Code::TurnTaken) => return Ok(()),
                    // Nothing can be in a bucket that does not exist.
                    Err(error) if error.is(Code::BucketMissing) => view.manifest_upload.clone(),
                    // A process that may not even abort the upload leaves it to others, but not for ever.
                    Err(error) if self.decides(&error) && view.turn > PUBLISHING_TURNS_MAX => {
                        view.manifest_upload.clone()
                    }
                    Err(error) => return Err(error),
                }
            }
            Err(error) if error.is(Code::ObjectMissing) => view.manifest_upload.clone(),
            Err(error) => return Err(error),
        };
        tracing::error!(target: "kinglet::job", %job, code = error.code(), %error, hint = error.hint(), "publishing");
        if self.ledger.end_publishing(job, view, upload.as_deref(), error).await? {
            return self.undo(job, &self.ledger.job(job).await?).await;
        }
        Ok(())
    }

    /// Ends a job without success unless it has ended or is publishing, and undoes what it has written to its output.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses;
    /// another process then goes on.
    pub async fn fail(&self, job: &JobId, phase: Phase, error: &Error) -> Result<()> {
        self.fail_in(job, &[Phase::Splitting, Phase::Mapping, Phase::Merging, Phase::Reducing], phase, error).await
    }

    /// Ends a job without success, as [`Self::fail`] does, if it is in one of the phases `from`.
    pub(super) async fn fail_in(&self, job: &JobId, from: &[Phase], phase: Phase, error: &Error) -> Result<()> {
        let view = self.ledger.job(job).await?;
        if !from.contains(&view.phase) || !self.ledger.end(job, &view, from, phase, error).await? {
            return Ok(());
        }
        let (code, hint) = (error.code(), error.hint());
        tracing::error!(
            target: "kinglet::job", %job, phase = phase.as_str(), code, %error, hint, "the job ended without success"
        );
        if view.writes_output {
            // Read again: the job may have gone on between the first read and its end.
            let view = self.ledger.job(job).await?;
            match on_heap(|| self.undo(job, &view)).await {
                // Others may have rights that this process lacks, and the job has ended all the same.
                Err(error) if !error.is_retryable() && !self.decides(&error) => {
                    tracing::warn!(%job, %error, "undoing is left to the functions");
                }
                undone => undone?,
            }
        } else {
            self.wake_teller(job, &view).await;
        }
        Ok(())
    }

    pub(super) async fn undo(&self, job: &JobId, view: &JobView) -> Result<()> {
        let spec = match self.spec(job).await {
            Ok(spec) => Some(spec),
            // Without the spec, nobody can tell where the output is.
            Err(error) if self.decides(&error) => {
                tracing::warn!(%job, %error, "undoing a job without its spec");
                None
            }
            Err(error) => return Err(error),
        };
        if let Some(spec) = &spec {
            on_heap(|| self.undo_output(job, spec, view)).await?;
        }
        let ending = view.ending.unwrap_or(Phase::Failed);
        self.record_end(job, view, ending, None).await?;
        // A claim may have been on its way when the output was looked at. Any claim sent from now on sees that the job has
        // ended.
        if let Some(spec) = &spec
            && let Err(error) = self.drop_late_claim(job, &spec.output).await
        {
            tracing::warn!(%job, %error, "looking for a late claim");
        }
        Ok(())
    }

    /// Brings a job to its end from any phase: a job that is publishing succeeds, any other is cancelled.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when a service cannot be reached or refuses;
    /// another process then goes on.
    pub async fn bring_to_end(&self, job: &JobId, error: &Error) -> Result<()> {
        let view = self.ledger.job(job).await?;
        match view.phase {
            Phase::Publishing | Phase::Undoing => self.go_on(job, &view, &Turn::new(view.phase, view.turn)).await,
            phase if phase.is_final() => Ok(()),
            _ => self.fail(job, Phase::Cancelled, error).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kinglet_core::ids::AttemptId;
    use kinglet_core::wire::spec::{OptionsSpec, OutputSpec};

    #[test]
    fn an_output_of_more_files_than_can_be_published_is_refused() {
        let format = kinglet_core::OutputFormat::json_lines().with_partition_by(["year", "id"]);
        let output = OutputSpec {
            bucket: "o".into(),
            prefix: String::new(),
            shown: "out".into(),
            overwrite: false,
            format,
            success_marker: false,
        };
        let spec = JobSpec {
            job: "j".into(),
            signature: String::new(),
            params: vec![],
            inputs: vec![],
            output,
            options: OptionsSpec::for_concurrency(1),
            program: None,
            submitted_at: Timestamp(0),
            calls: None,
        };
        let record = |files| ReduceRecord {
            attempt: AttemptId { number: 0, nonce: 0 },
            runs: 0,
            pairs_in: 0,
            keys: 0,
            records_out: 0,
            bytes_out: 0,
            crc32: 0,
            upload: None,
            files,
            hands_on: false,
            usage: Usage::default(),
        };
        let most = OUTPUT_FILES_MAX as u32;
        assert!(check_files(&spec, &[record(most - 7), record(0), record(7)]).is_ok());
        let error = check_files(&spec, &[record(most), record(1)]).unwrap_err();
        assert!(
            error.is(Code::OutputFiles) && error.to_string().contains("by year, id and would have 200001"),
            "{error}"
        );
    }
}
