//! Stored jobs, what has changed for them, and which start has begun which job.

use super::Ledger;
use super::item::{Item, flag, number, read_flag, read_number, read_text, read_time, text, time};
use super::job::NewJob;
use super::keys::{Key, STORED_PK};
use super::request::{Keyed, Write};
use kinglet_core::ids::{JobId, Timestamp};
use kinglet_core::wire::spec::JobSpec;
use kinglet_core::wire::stored::StoredName;
use kinglet_core::{Code, Error, Result};

/// What the ledger has of a stored job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredJob {
    /// Its name.
    pub name: StoredName,
    /// The version of it that counts.
    pub version: String,
    /// The job's name.
    pub job: String,
    /// Where its results go, as the user calls it.
    pub output: String,
    /// The bucket of its output, and what the keys there begin with whatever the time is.
    pub writes: (String, String),
    /// When it was stored.
    pub stored_at: Timestamp,
    /// Whether its program is stored with it.
    pub is_shipped: bool,
    /// How long before a start the time lies that its names say, in milliseconds.
    pub back_ms: u64,
    /// When changes start it.
    pub changes: Changes,
    /// When the first and the last change was that no start has seen, if there is any.
    pub changed: Option<(Timestamp, Timestamp)>,
    /// The job that a change started last.
    pub last: Option<JobId>,
}

/// When changes start a stored job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changes {
    /// How long it must have been quiet, in milliseconds.
    pub quiet_ms: u64,
    /// How long the first change waits at most, in milliseconds.
    pub wait_ms: u64,
}

/// A version of a stored job, as it is written.
pub(crate) struct Version<'a> {
    pub(crate) name: &'a StoredName,
    pub(crate) version: &'a str,
    pub(crate) spec: &'a JobSpec,
    /// What the output's keys begin with whatever the time is.
    pub(crate) beginning: &'a str,
    pub(crate) back_ms: u64,
    pub(crate) changes: Changes,
}

/// A start of a stored job, and the job that it is to begin.
#[derive(Clone, Copy)]
pub(crate) struct Starting<'a> {
    pub(crate) name: &'a StoredName,
    /// What tells the start from all others.
    pub(crate) once: &'a str,
    pub(crate) job: &'a JobId,
    pub(crate) spec: &'a JobSpec,
    pub(crate) timeout_ms: u64,
    /// The token of the task of Step Functions that waits for the job.
    pub(crate) token: Option<&'a str>,
    /// If changes start it: the stored job as it was read, with the job that changes had started last.
    pub(crate) after: Option<&'a StoredJob>,
}

impl StoredJob {
    /// Returns whether changes are to start it now, as no more have come for long enough, or the first has waited for long enough.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let Changes { quiet_ms, wait_ms } = self.changes;
        self.changed.is_some_and(|(first, last)| now.since_ms(last) >= quiet_ms || now.since_ms(first) >= wait_ms)
    }
}

fn read(item: &Item) -> Option<StoredJob> {
    let word = |name| read_text(item, name).map(str::to_owned);
    let last = read_time(item, "changed_last");
    Some(StoredJob {
        name: read_text(item, "sk")?.parse().ok()?,
        version: word("version")?,
        job: word("name")?,
        output: word("output")?,
        writes: (word("bucket")?, word("beginning")?),
        stored_at: read_time(item, "at")?,
        is_shipped: read_flag(item, "shipped"),
        back_ms: read_number(item, "back_ms")?,
        changes: Changes { quiet_ms: read_number(item, "quiet_ms")?, wait_ms: read_number(item, "wait_ms")? },
        // Of two that note changes at once, one may have seen a first one that a start has taken away meanwhile.
        changed: last.map(|last| (read_time(item, "changed").unwrap_or(last), last)),
        last: read_text(item, "job").and_then(|job| job.parse().ok()),
    })
}

impl Ledger {
    /// Lists the stored jobs, by name.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn stored_jobs(&self) -> Result<Vec<StoredJob>> {
        Ok(self.query(STORED_PK, "").await?.iter().filter_map(read).collect())
    }

    /// Reads a stored job.
    ///
    /// # Errors
    /// Returns `stored-missing` when there is none of this name; or a service error (`access-denied`, `throttled`,
    /// `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub async fn stored(&self, name: &StoredName) -> Result<StoredJob> {
        let item = self.item(format!("reading the stored job {name}"), Key::stored(name)).await?;
        item.as_ref().and_then(read).ok_or_else(|| self.stored_missing(name))
    }

    fn stored_missing(&self, name: &StoredName) -> Error {
        Error::new(Code::StoredMissing, format!("there is no stored job {name} in table {}", self.table_name()))
            .with_hint("`kinglet stored` lists those that the stack keeps")
    }

    /// Makes a version of a stored job the one that counts. Returns the one that counted before.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn store(&self, stored: &Version<'_>) -> Result<Option<StoredJob>> {
        let Version { name, version, spec, beginning, back_ms, changes } = stored;
        let doing = format!("storing job {name} in table {}", self.table_name());
        let before = self.item(doing.clone(), Key::stored(name)).await?;
        let storing = self
            .update(doing, Key::stored(name))
            .set("version", text(*version))
            .set("name", text(&spec.job))
            .set("output", text(&spec.output.shown))
            .set("bucket", text(&spec.output.bucket))
            .set("beginning", text(*beginning))
            .set("at", time(self.clock.now()))
            .set("shipped", flag(spec.program.is_some()))
            .set("back_ms", number(*back_ms))
            .set("quiet_ms", number(changes.quiet_ms))
            .set("wait_ms", number(changes.wait_ms));
        storing.done().await?;
        Ok(before.as_ref().and_then(read))
    }

    /// Removes a stored job.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn remove_stored(&self, name: &StoredName) -> Result<()> {
        self.delete_all([Key::stored(name)]).await
    }

    /// Returns the job that a start has begun, if it has.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn started(&self, name: &StoredName, once: &str) -> Result<Option<JobId>> {
        let item = self.item(format!("reading a start of the stored job {name}"), Key::start(name, once)).await?;
        Ok(item.as_ref().and_then(|item| read_text(item, "job")?.parse().ok()))
    }

    /// Writes the items of a new job that a start of a stored job begins, unless that start has begun one. Returns the job that it
    /// has begun; `None` if there is none, as the changes that it is for have started another job since they were read.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn create_started(&self, starting: &Starting<'_>) -> Result<Option<JobId>> {
        let Starting { name, once, job, spec, timeout_ms, token, after } = *starting;
        let NewJob { mut own, mut entry } = self.new_job(spec, timeout_ms)?;
        if let Some(token) = token {
            own.insert("token".into(), text(token));
            entry.insert("awaited".into(), flag(true));
        }
        let start = Item::from([("job".into(), text(job.as_str())), ("ttl".into(), self.ttl())]);
        let own = Write::New(Keyed { key: Key::job(job), item: own });
        let others = [(Key::entry(job), entry), (Key::start(name, once), start)];
        let others = others.map(|(key, item)| Write::New(Keyed { key, item }));
        let last = after.map(|seen| {
            let noting = self.update(self.creating(job), Key::stored(name)).set("job", text(job.as_str()));
            let noting = match &seen.last {
                Some(last) => noting.when("#job = :last").value("last", text(last.as_str())),
                None => noting.when("attribute_exists(pk) AND attribute_not_exists(#job)"),
            };
            Write::Update(Box::new(noting))
        });
        if self.transact(self.creating(job), own, others.into_iter().chain(last)).await? {
            return Ok(Some(job.clone()));
        }
        self.started(name, once).await
    }

    /// Notes that something has changed that a stored job may read.
    ///
    /// # Errors
    /// Returns `stored-missing` when it was removed; or a service error (`access-denied`, `throttled`, `unreachable`, …) when
    /// DynamoDB cannot be reached or refuses.
    pub(crate) async fn note_change(&self, stored: &StoredJob) -> Result<()> {
        let now = self.clock.now();
        let noting =
            self.update(format!("noting a change for the stored job {}", stored.name), Key::stored(&stored.name));
        let first = stored.changed.is_none().then(|| time(now));
        let noting = noting.set("changed_last", time(now)).set_some("changed", first);
        match noting.when("attribute_exists(pk)").done().await? {
            true => Ok(()),
            false => Err(self.stored_missing(&stored.name)),
        }
    }

    /// Notes that a job was started after all changes up to the last that `stored` says, if there are no later ones.
    ///
    /// # Errors
    /// Returns a service error (`access-denied`, `throttled`, `unreachable`, …) when DynamoDB cannot be reached or refuses.
    pub(crate) async fn changes_seen(&self, stored: &StoredJob) -> Result<()> {
        let Some((_, last)) = stored.changed else { return Ok(()) };
        let noting =
            self.update(format!("noting the start of the stored job {}", stored.name), Key::stored(&stored.name));
        let noting = noting.remove("changed").remove("changed_last");
        noting.when("changed_last = :seen").value("seen", time(last)).done().await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_start_a_job_when_it_is_quiet_or_the_first_has_waited() {
        let stored = |changed: Option<(u64, u64)>| StoredJob {
            name: "n".parse().unwrap(),
            version: "v".into(),
            job: "j".into(),
            output: "s3://o/p".into(),
            writes: ("o".into(), "p/".into()),
            stored_at: Timestamp(0),
            is_shipped: false,
            back_ms: 0,
            changes: Changes { quiet_ms: 60, wait_ms: 900 },
            changed: changed.map(|(first, last)| (Timestamp(first), Timestamp(last))),
            last: None,
        };
        assert!(!stored(None).is_due(Timestamp(u64::MAX)));
        for (first, last, now, due) in
            [(0, 0, 59, false), (0, 0, 60, true), (0, 899, 899, false), (0, 899, 900, true), (50, 40, 10, false)]
        {
            assert_eq!(stored(Some((first, last))).is_due(Timestamp(now)), due, "{first} {last} {now}");
        }
    }
}
