//! The keys of all items. The table in [the ledger's header](super) says what each key holds.
//!
//! Numbers in keys have a fixed length, so that items sort in numeric order.

use super::item::{Item, text};
use kinglet_core::ids::{AttemptId, JobId, Partition, Piece, Stage, TaskIdx, TryKey};
use kinglet_core::limits::TASKS_PER_GROUP;
use kinglet_core::wire::stored::{self, StoredName};
use std::fmt;

/// The key of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The partition key: items that share it are stored and queried together.
    pub(crate) pk: String,
    /// The sort key: identifies the item among these, and orders them.
    pub(crate) sk: String,
}

impl Key {
    fn new(pk: String, sk: impl Into<String>) -> Self {
        Key { pk, sk: sk.into() }
    }

    /// Returns the key as the two attributes that every item has.
    pub(super) fn attributes(self) -> Item {
        Item::from([("pk".into(), text(self.pk)), ("sk".into(), text(self.sk))])
    }

    /// Returns the key of a job's own item.
    pub(crate) fn job(job: &JobId) -> Self {
        Self::new(job_pk(job), "job")
    }

    /// Returns the key of a job's entry in the list of jobs.
    pub(super) fn entry(job: &JobId) -> Self {
        Self::new(JOBS_PK.to_owned(), job.as_str())
    }

    /// Returns the key of the item that holds a stage's complete groups.
    pub(super) fn root(job: &JobId, stage: Stage) -> Self {
        Self::new(job_pk(job), format!("root#{stage}"))
    }

    /// Returns the key of the item that holds the committed pieces of a group's tasks.
    pub(super) fn group(job: &JobId, stage: Stage, group: u32) -> Self {
        Self::new(group_pk(job, stage, group), "group")
    }

    /// Returns the key of a try of a task, or of splitting.
    pub(super) fn of_try(job: &JobId, key: TryKey) -> Self {
        let TryKey { stage, task, piece, number } = key;
        match stage {
            Stage::Split => Self::new(job_pk(job), format!("{SPLIT_TRIES}{number:05}")),
            Stage::Map | Stage::Merge | Stage::Reduce => {
                let sk = format!("{TRIES}{:06}#{:05}#{number:05}", task.0, piece.0);
                Self::new(group_pk(job, stage, group_of(task)), sk)
            }
        }
    }

    /// Returns the key of the index of an attempt's S3 object: where its runs lie.
    pub(super) fn index(job: &JobId, stage: Stage, of: RunsAttempt) -> Self {
        Self::new(index_pk(job, stage, group_of(of.task)), of.to_string())
    }

    /// Returns the key of the `n`th item of an inline run.
    pub(super) fn run(job: &JobId, partition: Partition, of: RunsAttempt, n: usize) -> Self {
        Self::new(runs_pk(job, partition), item_sk(&of.to_string(), n))
    }

    /// Returns the key of the `n`th item of what a reduce function returned.
    pub(crate) fn result(job: &JobId, attempt: AttemptId, n: usize) -> Self {
        Self::new(result_pk(job), item_sk(&attempt.to_string(), n))
    }

    /// Returns the key of a stored job.
    pub(super) fn stored(name: &StoredName) -> Self {
        Self::new(STORED_PK.to_owned(), name.as_str())
    }

    /// Returns the key of a start of a stored job. Whatever tells it from others has any length and any characters.
    pub(super) fn start(name: &StoredName, once: &str) -> Self {
        Self::new(format!("stored#{name}"), format!("start#{}", stored::hash_of(once)))
    }

    /// Returns the key of the progress of a batch of calls.
    pub(crate) fn progress(job: &JobId, task: TaskIdx) -> Self {
        Self::new(progress_pk(job), format!("{:06}", task.0))
    }
}

/// An attempt of a stage that writes runs: a map attempt, or a merge attempt. The keys of everything that it wrote carry it, here and in
/// S3: its text is the sort key of its items, or their prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunsAttempt {
    /// The task.
    pub task: TaskIdx,
    /// The piece of it.
    pub piece: Piece,
    /// The attempt.
    pub attempt: AttemptId,
}

impl fmt::Display for RunsAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}#{:05}#{}", self.task.0, self.piece.0, self.attempt)
    }
}

/// The partition key of the list of jobs.
pub(super) const JOBS_PK: &str = "jobs";

/// The partition key of the list of stored jobs.
pub(super) const STORED_PK: &str = "stored";

/// The prefix of the sort keys of tries of splitting.
pub(super) const SPLIT_TRIES: &str = "split#";

/// The prefix of the sort keys of tries of tasks.
pub(super) const TRIES: &str = "try#";

pub(super) fn job_pk(job: &JobId) -> String {
    format!("job#{job}")
}

pub(super) fn group_pk(job: &JobId, stage: Stage, group: u32) -> String {
    format!("job#{job}#{stage}#{group:05}")
}

pub(super) fn index_pk(job: &JobId, stage: Stage, group: u32) -> String {
    match stage {
        Stage::Merge => format!("job#{job}#merge-index#{group:05}"),
        _ => format!("job#{job}#index#{group:05}"),
    }
}

pub(super) fn runs_pk(job: &JobId, partition: Partition) -> String {
    format!("job#{job}#runs#{:05}", partition.0)
}

pub(crate) fn result_pk(job: &JobId) -> String {
    format!("job#{job}#result")
}

pub(crate) fn progress_pk(job: &JobId) -> String {
    format!("job#{job}#progress")
}

/// Returns the sort key of an output's `n`th item.
pub(super) fn item_sk(output: &str, n: usize) -> String {
    format!("{output}#{n:05}")
}

/// Returns the name of the attribute that holds a piece's record in the group's item.
pub(super) fn done_name(task: TaskIdx, piece: Piece) -> String {
    format!("t{}.{}", task.0, piece.0)
}

/// Returns the name of the attribute by which a group's item says that a task has a further try.
pub(super) fn further_name(task: TaskIdx, piece: Piece, number: u16) -> String {
    format!("x{}.{}.{number}", task.0, piece.0)
}

/// Returns whether an attribute of a group's item has such a name.
pub(super) fn is_further(name: &str) -> bool {
    name.strip_prefix('x').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

pub(super) fn group_of(task: TaskIdx) -> u32 {
    task.0 / TASKS_PER_GROUP
}

/// Returns how many groups a stage of so many tasks has.
pub fn group_count(tasks: u32) -> u32 {
    tasks.div_ceil(TASKS_PER_GROUP)
}

pub(super) fn tasks_of(group: u32, tasks: u32) -> std::ops::Range<u32> {
    group * TASKS_PER_GROUP..((group + 1) * TASKS_PER_GROUP).min(tasks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_as_jobs_of_other_versions_have_written_them() {
        let job: JobId = "j-1".parse().unwrap();
        let (task, piece) = (TaskIdx(70), Piece(3));
        let attempt = AttemptId { number: 2, nonce: 0xab };
        let of = RunsAttempt { task, piece, attempt };
        let keys = [
            Key::job(&job),
            Key::entry(&job),
            Key::root(&job, Stage::Map),
            Key::group(&job, Stage::Reduce, 12),
            Key::of_try(&job, TryKey::split(4)),
            Key::of_try(&job, TryKey::map(task, piece, 5)),
            Key::of_try(&job, TryKey::reduce(TaskIdx(31), Piece(0), 1)),
            Key::index(&job, Stage::Map, of),
            Key::index(&job, Stage::Merge, of),
            Key::of_try(&job, TryKey::merge(task, piece, 5)),
            Key::run(&job, Partition(9), of, 1),
            Key::result(&job, attempt, 0),
            Key::progress(&job, task),
        ];
        let shown = keys.map(|Key { pk, sk }| format!("{pk} | {sk}"));
        let expected = [
            "job#j-1 | job",
            "jobs | j-1",
            "job#j-1 | root#map",
            "job#j-1#reduce#00012 | group",
            "job#j-1 | split#00004",
            "job#j-1#map#00002 | try#000070#00003#00005",
            "job#j-1#reduce#00000 | try#000031#00000#00001",
            "job#j-1#index#00002 | 000070#00003#2-000000ab",
            "job#j-1#merge-index#00002 | 000070#00003#2-000000ab",
            "job#j-1#merge#00002 | try#000070#00003#00005",
            "job#j-1#runs#00009 | 000070#00003#2-000000ab#00001",
            "job#j-1#result | 2-000000ab#00000",
            "job#j-1#progress | 000070",
        ];
        assert_eq!(shown, expected);
        assert_eq!((done_name(task, piece), further_name(task, piece, 2)), ("t70.3".into(), "x70.3.2".into()));
        let further = ["x70.3.2", "t70.3", "ttl", "pk", "x", "xs"].map(is_further);
        assert_eq!(further, [true, false, false, false, false, false]);
    }

    #[test]
    fn groups_hold_every_task_once() {
        for tasks in [0, 1, 31, 32, 33, 64, 100] {
            let all: Vec<u32> = (0..group_count(tasks)).flat_map(|group| tasks_of(group, tasks)).collect();
            assert_eq!(all, (0..tasks).collect::<Vec<_>>());
            assert!((0..group_count(tasks)).all(|g| tasks_of(g, tasks).all(|task| group_of(TaskIdx(task)) == g)));
        }
    }
}
