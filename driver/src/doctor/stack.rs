//! Checks of a stack on AWS. A check that fails does not keep the others from being made, as far as they can be.

use super::{Finding, Level};
use crate::aws::Aws;
use crate::{Error, Phase};
use kinglet_aws::checkup::{BucketSettings, FunctionSettings};
use kinglet_aws::clean::Leftover;
use kinglet_aws::session::Concurrency;
use kinglet_aws::{Conductor, Deployed, Session};
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::wire;
use kinglet_core::wire::spec::{PART, part_job};
use std::collections::BTreeMap;

/// A clock that is off by more than this is reported, in milliseconds. AWS refuses requests that are 5 minutes off.
const CLOCK_NOTE_MS: i64 = 5_000;
const CLOCK_PROBLEM_MS: i64 = 300_000;

/// The concurrency that new accounts are given until they ask for more.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>, 2026-11.
const NEW_ACCOUNT_CONCURRENCY: u32 = 10;
const NEW_ACCOUNT_MEMORY_MB: u32 = 3_008;

/// A job that has not ended after this time has most likely been forgotten, in milliseconds.
const FORGOTTEN_MS: u64 = 24 * 3_600_000;

/// How many failed jobs have their outputs looked at.
const OUTPUTS_MAX: usize = 10;

impl Aws {
    /// Checks all that jobs need of AWS: who asks, the clock, the stack, permissions, functions, quotas, settings, and what
    /// is left of earlier jobs. It writes a few objects and items and removes them again; it runs each function once, with
    /// nothing to do.
    pub async fn examine(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        let session = match self.session().await {
            Ok(session) => session,
            Err(error) => return vec![Finding::failed("region", Level::Problem, &error)],
        };
        found.push(Finding::ok("region", session.region.clone()));
        let signed_in = identity(&session, &mut found).await;
        clock(&session, &mut found);
        if !signed_in {
            return found;
        }
        let deployed = match Deployed::find(&session, self.name()).await {
            Ok(deployed) => deployed,
            Err(error) => {
                found.push(Finding::failed("stack", Level::Problem, &error));
                return found;
            }
        };
        stack(&deployed, &mut found);
        let conductor = Conductor::new(session.clients.clone(), deployed.stack.clone());
        permissions(&conductor, &deployed, &session, &mut found).await;
        let functions = functions(&conductor, &mut found).await;
        quotas(&session, &deployed, &functions, &mut found).await;
        settings(&conductor, &mut found).await;
        leftovers(&conductor, &mut found).await;
        found
    }
}

async fn identity(session: &Session, found: &mut Vec<Finding>) -> bool {
    match session.identity().await {
        Ok(who) => {
            found.push(Finding::ok("credentials", format!("{} of account {}", who.arn, who.account)));
            true
        }
        Err(error) => {
            found.push(Finding::failed("credentials", Level::Problem, &error));
            false
        }
    }
}

fn clock(session: &Session, found: &mut Vec<Finding>) {
    let Some(ahead) = session.ahead_ms() else { return };
    let (off, way) = (ahead.abs(), if ahead > 0 { "ahead of" } else { "behind" });
    let message = format!("{:.1} s {way} AWS's", off as f64 / 1e3);
    let hint = "set it by a time server: AWS refuses requests that are 5 minutes off";
    found.push(match off {
        CLOCK_PROBLEM_MS.. => Finding::problem("clock", message, hint),
        CLOCK_NOTE_MS.. => Finding::warning("clock", message, hint),
        _ => Finding::ok("clock", "as AWS's"),
    });
}

fn stack(deployed: &Deployed, found: &mut Vec<Finding>) {
    let Deployed { name, status, version, .. } = deployed;
    found.push(match deployed.check_settled() {
        Ok(()) => Finding::ok("stack", format!("{name} is {status}")),
        Err(error) => Finding::failed("stack", Level::Warning, &error),
    });
    let own = env!("CARGO_PKG_VERSION");
    found.push(if version == own {
        Finding::ok("version", format!("{version}, wire format {}", wire::VERSION))
    } else {
        let message = format!(
            "the stack is of version {version}, this program of {own}; both speak wire format {}",
            wire::VERSION
        );
        Finding::note("version", message, "jobs run; deploy this version when it suits")
    });
}

async fn permissions(conductor: &Conductor, deployed: &Deployed, session: &Session, found: &mut Vec<Finding>) {
    let name = JobId::new(Timestamp::now(), u64::from(std::process::id()));
    let (bucket, table) = (&deployed.stack.work_bucket, &deployed.stack.table);
    let tried = conductor.try_bucket(name.as_str()).await;
    found.push(Finding::of("work-bucket", tried, format!("{bucket}: written, read and deleted")));
    let tried = conductor.ledger.try_table(name.as_str()).await;
    found.push(Finding::of("table", tried, format!("{table}: written on a condition, read and deleted")));
    for (check, bucket) in [("input", &deployed.buckets.input), ("output", &deployed.buckets.output)] {
        let tried = conductor.objects.try_list(bucket).await;
        found.push(Finding::of(check, tried, format!("{bucket}: listed")));
    }
    let splitter = &deployed.stack.functions.splitter;
    found.push(match session.log_page(splitter, "doctor", Timestamp::now(), None).await {
        Ok(_) => Finding::ok("logs", "read"),
        // Only `kinglet logs` needs them.
        Err(error) => Finding::failed("logs", Level::Warning, &error),
    });
}

async fn functions(conductor: &Conductor, found: &mut Vec<Finding>) -> Vec<(String, FunctionSettings)> {
    let names = &conductor.stack.functions;
    let all = [Some(&names.splitter), Some(&names.mapper), names.mapper_large.as_ref(), Some(&names.reducer)];
    let mut known = Vec::new();
    for name in all.into_iter().flatten() {
        if let Err(error) = conductor.try_function(name).await {
            found.push(Finding::failed("functions", Level::Problem, &error));
            continue;
        }
        // A function may be invocable and still not run: without a bootstrap, for another architecture, of another version.
        match conductor.functions.ping(name).await {
            Ok(None) => {}
            Ok(Some(error)) => {
                let error = error.with_hint("build the functions and deploy the stack again");
                found.push(Finding::failed("functions", Level::Problem, &error));
                continue;
            }
            Err(error) => found.push(Finding::failed("functions", Level::Note, &error)),
        }
        match conductor.function_settings(name).await {
            Ok(settings) => {
                found.push(function(conductor, name, &settings, *name == names.splitter));
                known.push((name.clone(), settings));
            }
            Err(error) => found.push(Finding::failed("functions", Level::Note, &error)),
        }
    }
    known
}

fn function(conductor: &Conductor, name: &str, settings: &FunctionSettings, is_splitter: bool) -> Finding {
    let deploy = "deploy the stack again, and leave its functions to the template";
    let FunctionSettings { state, last_update, memory_mb, timeout_s, table, .. } = settings;
    if !matches!(state.as_str(), "Active" | "Inactive") {
        return Finding::problem("functions", format!("{name} is {state}"), "wait, or deploy the stack again");
    }
    if last_update == "Failed" {
        return Finding::problem("functions", format!("the last change of {name} failed"), "deploy the stack again");
    }
    if table.as_ref().is_some_and(|table| *table != conductor.stack.table) {
        let message = format!("{name} uses table {}, not the stack's", table.as_deref().unwrap_or_default());
        return Finding::problem("functions", message, deploy);
    }
    if u64::from(*timeout_s) * 1_000 != conductor.stack.timeout_ms {
        let message = format!("{name} has {timeout_s} s, and the stack says {} s", conductor.stack.timeout_ms / 1_000);
        return Finding::warning("functions", message, deploy);
    }
    if !is_splitter && settings.tells_failures == Some(false) {
        let message = format!("{name} does not hand its failures to the splitter at once: lost tasks are found late");
        return Finding::warning("functions", message, deploy);
    }
    let fine = format!("{name} can be invoked: {memory_mb} MB, {timeout_s} s");
    if !is_splitter && settings.tells_failures.is_none() {
        let hint = "allow lambda:GetFunctionEventInvokeConfig to whoever asks, as the stack's DriverPolicy does";
        return Finding::note("functions", format!("{fine}; whom it hands its failures to may not be read"), hint);
    }
    Finding::ok("functions", fine)
}

async fn quotas(
    session: &Session,
    deployed: &Deployed,
    known: &[(String, FunctionSettings)],
    found: &mut Vec<Finding>,
) {
    let more = "ask for more: Service Quotas, AWS Lambda, \"Concurrent executions\"; it is free";
    match session.concurrency().await {
        Ok(Concurrency { unreserved, all }) => {
            let reserved = match deployed.reserved_concurrency {
                0 => String::new(),
                reserved => format!("; the stack reserves {reserved} mappers and {reserved} reducers"),
            };
            let message = format!("{all} functions of the account at once, {unreserved} of them unreserved{reserved}");
            found.push(if all <= NEW_ACCOUNT_CONCURRENCY {
                Finding::warning("concurrency", format!("{message}: what new accounts have"), more)
            } else {
                Finding::ok("concurrency", message)
            });
        }
        Err(error) => found.push(Finding::failed("concurrency", Level::Note, &error)),
    }
    let ceiling: Vec<_> = known.iter().filter(|(_, settings)| settings.memory_mb == NEW_ACCOUNT_MEMORY_MB).collect();
    if !ceiling.is_empty() {
        let names: Vec<_> = ceiling.iter().map(|(name, _)| name.as_str()).collect();
        let message = format!(
            "{} has {NEW_ACCOUNT_MEMORY_MB} MB, the most that new accounts may give a function",
            names.join(", ")
        );
        let hint = "for up to 10,240 MB ask AWS support to lift the account's limit, then raise MapperLargeMemory";
        found.push(Finding::note("memory", message, hint));
    }
}

async fn settings(conductor: &Conductor, found: &mut Vec<Finding>) {
    let template = "deploy the stack again, and leave its settings to the template";
    let BucketSettings { tls_only, expires, aborts_uploads, encrypted, private } = conductor.bucket_settings().await;
    let wanted = [
        (tls_only, "refuses requests without TLS", Level::Warning),
        (private, "blocks public access", Level::Warning),
        (encrypted, "encrypts objects", Level::Warning),
        (expires, "lets intermediate data expire", Level::Warning),
        (aborts_uploads, "gives up unfinished uploads", Level::Warning),
    ];
    let bucket = &conductor.stack.work_bucket;
    for (_, what, level) in wanted.into_iter().filter(|(is, ..)| *is == Some(false)) {
        let message = format!("bucket {bucket}: not set up so that it {what}");
        found.push(Finding { level, ..Finding::note("settings", message, template) });
    }
    let unknown: Vec<_> = wanted.iter().filter(|(is, ..)| is.is_none()).map(|(_, what, _)| *what).collect();
    if !unknown.is_empty() {
        let message = format!("bucket {bucket}: you may not see whether it {}", unknown.join(", "));
        found.push(Finding::note("settings", message, "jobs do not need that; an administrator sees more"));
    }
    let good: Vec<_> = wanted.iter().filter(|(is, ..)| *is == Some(true)).map(|(_, what, _)| *what).collect();
    if !good.is_empty() {
        found.push(Finding::ok("settings", format!("bucket {bucket} {}", good.join(", "))));
    }
    match conductor.ledger.settings().await {
        Ok(table) => {
            let name = &conductor.stack.table;
            if table.status != "ACTIVE" {
                found.push(Finding::problem(
                    "settings",
                    format!("table {name} is {}", table.status),
                    "wait, or deploy again",
                ));
            }
            if !table.ttl {
                found.push(Finding::warning(
                    "settings",
                    format!("table {name} keeps items for ever: its TTL is off"),
                    template,
                ));
            }
            if !table.on_demand {
                let message = format!("table {name} has a fixed capacity: large jobs will be throttled");
                found.push(Finding::warning("settings", message, template));
            }
            let recovery = match table.recoverable {
                Some(true) => ", and can be restored to any second",
                _ => "",
            };
            if table.status == "ACTIVE" && table.ttl && table.on_demand {
                found.push(Finding::ok(
                    "settings",
                    format!("table {name} is paid by request, forgets by TTL{recovery}"),
                ));
            }
        }
        Err(error) => found.push(Finding::failed("settings", Level::Note, &error)),
    }
}

async fn leftovers(conductor: &Conductor, found: &mut Vec<Finding>) {
    let left = match conductor.leftovers().await {
        Ok(left) => left,
        Err(error) => return found.push(Finding::failed("leftovers", Level::Note, &error)),
    };
    let before = found.len();
    let now = conductor.now();
    let forgotten: Vec<_> =
        left.iter().filter(|(_, left)| is_forgotten(left, now)).map(|(job, _)| job.as_str()).collect();
    if !forgotten.is_empty() {
        let message = format!("{} jobs have not ended for a day: {}", forgotten.len(), some(&forgotten));
        let hint = "see `kinglet status JOB`; `kinglet cancel JOB` ends one. Is the splitter's schedule on?";
        found.push(Finding::warning("leftovers", message, hint));
    }
    let over: Vec<_> = left.iter().filter(|(_, left)| left.is_over(now) && !left.keys.is_empty()).collect();
    if !over.is_empty() {
        let bytes: u64 = over.iter().map(|(_, left)| left.bytes).sum();
        let objects: usize = over.iter().map(|(_, left)| left.keys.len()).sum();
        let message = format!("{} jobs that are over left {objects} objects, {:.1} MB", over.len(), bytes as f64 / 1e6);
        found.push(Finding::note(
            "leftovers",
            message,
            "they go by themselves after 7 days; `kinglet clean` removes them now",
        ));
    }
    let uploads: usize = left.values().filter(|left| left.is_over(now)).map(|left| left.uploads.len()).sum();
    if uploads > 0 {
        let message = format!("{uploads} uploads of jobs that are over were not finished, and are paid for");
        found.push(Finding::note(
            "leftovers",
            message,
            "they go by themselves after a day; `kinglet clean` removes them now",
        ));
    }
    for (output, parts) in unmarked(conductor, &left).await {
        let message = format!("{output} holds {parts} parts of a job that failed");
        found.push(Finding::warning("leftovers", message, "do not take them for a result: remove them"));
    }
    if found.len() == before {
        found.push(Finding::ok("leftovers", "nothing is left of earlier jobs"));
    }
}

fn is_forgotten(left: &Leftover, now: Timestamp) -> bool {
    left.entry.as_ref().is_some_and(|entry| !entry.phase.is_final() && now.since_ms(entry.submitted_at) > FORGOTTEN_MS)
}

fn some(names: &[&str]) -> String {
    let shown = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    if names.len() > 5 { format!("{shown}, …") } else { shown }
}

/// Returns the outputs of the newest failed jobs that still hold parts of theirs, and how many parts.
async fn unmarked(conductor: &Conductor, left: &BTreeMap<JobId, Leftover>) -> BTreeMap<String, usize> {
    let failed = left.iter().rev().filter(|(_, left)| {
        left.entry.as_ref().is_some_and(|entry| matches!(entry.phase, Phase::Failed | Phase::Cancelled))
    });
    let mut found = BTreeMap::new();
    for (job, _) in failed.take(OUTPUTS_MAX) {
        let looked: Result<_, Error> = async {
            let output = conductor.spec(job).await?.output;
            let is_its = |key: &str| key.strip_prefix(&output.prefix).and_then(part_job).is_some_and(|of| of == *job);
            let mut its = 0;
            for beginning in [Some(format!("{}{PART}", output.prefix)), output.in_folders()].into_iter().flatten() {
                let parts = conductor.objects.list_page(&output.bucket, &beginning, None).await?;
                its += parts.objects.iter().filter(|part| is_its(&part.key)).count();
            }
            Ok((output.shown, its))
        }
        .await;
        // A job without a spec, or an output that may not be listed, says nothing.
        if let Ok((shown, parts)) = looked
            && parts > 0
        {
            found.insert(shown, parts);
        }
    }
    found
}
