//! The job's spec, as the driver submits it. It is stored in a frame, version 12.

use super::cost::{Ceiling, Site, Workload};
use super::frame::{Framed, Kind};
use super::owner::OWNER;
use super::run::Compression;
use crate::budget::{MEMORY_MB, TRIES_MAX};
use crate::codecs::Codec;
use crate::hive::{PathCondition, first_folder, is_value_folder};
use crate::ids::{JobId, Partition, Piece, ProgramId, Timestamp};
use crate::limits::EXPANSION_MAX;
use crate::max_rejected::MaxRejected;
use crate::output::OutputFormat;
use crate::side::Side;
use serde::{Deserialize, Serialize};

/// Everything that a worker must know about a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// [`crate::Job::NAME`].
    pub job: String,
    /// [`crate::signature`], by which a worker sees whether it holds the same job.
    pub signature: String,
    /// The job's fields, encoded.
    pub params: Vec<u8>,
    /// What it reads.
    pub inputs: Vec<InputSpec>,
    /// Where it writes.
    pub output: OutputSpec,
    /// How it runs.
    pub options: OptionsSpec,
    /// The shipped program that has the job; without one, the functions have it themselves.
    pub program: Option<ProgramId>,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// If map tasks are batches of calls of a function, one for each item: which function, and what becomes of the results.
    pub calls: Option<CallsSpec>,
}

impl JobSpec {
    /// Returns the side of a join that an input belongs to; of any other job, the left.
    pub fn side_of(&self, input_idx: u32) -> Side {
        match self.options.right {
            Some(right) if input_idx >= right.from_input => Side::Right,
            _ => Side::Left,
        }
    }

    /// Returns how compressed objects of an input are read.
    pub fn unpack_of(&self, input_idx: u32) -> UnpackSpec {
        match self.options.right {
            Some(right) if input_idx >= right.from_input => right.unpack,
            _ => self.options.unpack,
        }
    }

    /// Returns where objects of an input may be cut.
    pub fn splitting_of(&self, input_idx: u32) -> Splitting {
        match self.options.right {
            Some(right) if input_idx >= right.from_input => right.splitting,
            _ => self.options.splitting,
        }
    }

    /// Returns whether the job writes an output. Of a map of calls, the driver fetches the results instead.
    pub fn writes_output(&self) -> bool {
        self.calls.as_ref().is_none_or(|calls| calls.then == Then::Job)
    }

    /// Returns how many of the partitions hold records that were left out of the input: one, the first, where the job may leave
    /// such out, else none.
    pub fn quarantines(&self) -> u32 {
        u32::from(self.options.max_rejected.is_some())
    }

    /// Returns the partition as parts number it; `None` of the one that holds the records that were left out.
    pub fn numbered(&self, partition: Partition) -> Option<Partition> {
        partition.0.checked_sub(self.quarantines()).map(Partition)
    }

    /// Returns whether a partition holds the records that were left out.
    pub fn is_quarantine(&self, partition: Partition) -> bool {
        self.numbered(partition).is_none()
    }

    /// Returns the name within the output of what a piece of a reduce task writes: a part, or the quarantine, which is one piece.
    pub fn name_of(&self, partition: Partition, piece: Piece, job: &JobId) -> String {
        match self.numbered(partition) {
            Some(number) => self.output.part_name(number, piece, job),
            None => format!("{REJECTED}{job}{REJECTED_ENDING}"),
        }
    }

    /// Returns the key of what a piece of a reduce task writes.
    pub fn key_of(&self, partition: Partition, piece: Piece, job: &JobId) -> String {
        format!("{}{}", self.output.prefix, self.name_of(partition, piece, job))
    }
}

/// The calls of a function. Except with [`Then::Job`] there is no job then, and [`JobSpec::job`] is the function's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallsSpec {
    /// The function that is called.
    pub function: FunctionSpec,
    /// What becomes of the results.
    pub then: Then,
    /// How many calls each task makes; the last may make fewer.
    pub per_task: u32,
    /// How many calls of a task run at once. By default, as many as the function has threads.
    pub at_once: Option<u16>,
}

/// A function of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionSpec {
    /// The name it is registered under.
    pub name: String,
    /// Its types as text, by which a worker sees whether it holds the same function.
    pub signature: String,
}

/// What becomes of the results of calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// The driver reads them. There is no reduce task and no output.
    Collect,
    /// One reduce task calls another function with all of them, as a list in the order of the inputs, and the driver reads
    /// what it returns. There is no output.
    Reduce(FunctionSpec),
    /// They are lists of the job's pairs and go to its `reduce`, in place of the pairs that its `map` would emit.
    Job,
}

impl Framed for JobSpec {
    const KIND: Kind = Kind::Spec;
    const VERSION: u8 = 12;

    fn check(&self) -> std::result::Result<(), &'static str> {
        // The names of an output are appended to it: `out` would make `outpart-…`, beside the output.
        let prefix = &self.output.prefix;
        if !(prefix.is_empty() || prefix.ends_with('/')) {
            return Err("an output that is not a folder");
        }
        if self.output.format.check().is_err() {
            return Err("an output that cannot be read again");
        }
        let OptionsSpec { site, workload, ceiling, right, .. } = &self.options;
        if right.is_some_and(|right| right.from_input == 0 || right.from_input as usize >= self.inputs.len()) {
            return Err("a join without an input of a side");
        }
        let are_amounts = site.prices.are_amounts() && workload.are_amounts() && ceiling.are_amounts();
        let is_share = self.options.max_rejected.is_none_or(|max| max.check().is_ok());
        if are_amounts && is_share { Ok(()) } else { Err("an amount that is none") }
    }
}

/// One input: objects of one bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputSpec {
    /// The bucket.
    pub bucket: String,
    /// Which of its objects.
    pub objects: Objects,
    /// What the user calls it: a path or an `s3://` URI. With a key of the bucket appended, it names one object.
    pub shown: String,
    /// Where the bucket's keys lie on this machine, if it is a directory of it.
    pub root: Option<String>,
}

/// Which objects of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Objects {
    /// The object with this key.
    One(String),
    /// All objects whose keys start with this.
    Prefix(String),
    /// All objects whose keys match this pattern: `*` and `?` match within a segment, `**` across segments, `[…]` and `{a,b}`
    /// as in a shell.
    Glob(String),
    /// The object with this key, or, if there is none, all objects below it as a folder.
    OneOrFolder(String),
    /// Items that the driver made, in an object that it wrote.
    Items(ItemsSpec),
    /// The objects with these keys, each of which must be there.
    Many(Vec<String>),
    /// The objects that an inventory lists, as it lists them.
    Inventory(InventorySpec),
}

/// The manifest of an inventory; see [`crate::inventory`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventorySpec {
    /// The bucket in which it lies.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its ETag when the job was submitted, quotes included.
    pub etag: String,
    /// Its size in bytes.
    pub size: u64,
}

/// The object with a job's items; see [`super::items`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemsSpec {
    /// Its key.
    pub key: String,
    /// Its ETag when it was written, quotes included; every read demands it.
    pub etag: String,
    /// How many items it holds.
    pub items: u64,
    /// How many bytes the items have; the index of splits starts after them.
    pub items_bytes: u64,
    /// How many splits they are cut into.
    pub splits: u32,
}

impl InputSpec {
    /// Returns how many items the driver made, or 0 for objects that are listed.
    pub fn items(&self) -> u64 {
        match &self.objects {
            Objects::Items(made) => made.items,
            _ => 0,
        }
    }

    /// Returns what tells the object with this key from all others, whatever the user calls it.
    pub fn identity(&self, key: &str) -> String {
        format!("{}/{key}", self.root.as_deref().unwrap_or(&self.bucket))
    }

    /// Returns what the user calls the object with this key.
    pub fn shown_key(&self, key: &str) -> String {
        match (&self.objects, self.shown.strip_prefix("s3://")) {
            (_, Some(_)) => format!("s3://{}/{key}", self.bucket),
            (Objects::One(_) | Objects::Items(_), None) => self.shown.clone(),
            (Objects::Glob(_), None) => {
                let literal = &self.shown[..self.shown.find(['*', '?', '[', '{']).unwrap_or(self.shown.len())];
                format!("{}{key}", &literal[..literal.rfind('/').map_or(0, |at| at + 1)])
            }
            (_, None) => format!("{}/{key}", self.shown.trim_end_matches('/')),
        }
    }
}

/// Where the parts and the manifest go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSpec {
    /// The bucket.
    pub bucket: String,
    /// The prefix of every key: empty, or ending in `/`.
    pub prefix: String,
    /// What the user calls it.
    pub shown: String,
    /// Whether a result that is already there may be replaced.
    pub overwrite: bool,
    /// How the parts are written.
    pub format: OutputFormat,
    /// Whether an empty [`SUCCESS`] says that the result is whole, for readers that do not know manifests.
    pub success_marker: bool,
}

/// The name of the manifest within an output.
pub const MANIFEST: &str = "_manifest.json";

/// The name of the marker within an output that programs of Hadoop's family look for.
pub const SUCCESS: &str = "_SUCCESS";

/// The prefix of the names of parts.
pub const PART: &str = "part-";

/// The beginning and the end of the name of an object with the records that a job has left out of its input.
pub const REJECTED: &str = "_rejected-";
const REJECTED_ENDING: &str = ".jsonl";

/// The beginnings of all names that jobs write their results under, but the manifest's.
pub const WRITTEN: [&str; 2] = [PART, REJECTED];

/// What stands before the number of a further file that a piece of a task has begun in one folder.
const AGAIN: char = '_';

/// Returns whether this can be the name of a part within an output, whoever wrote it: a name that begins as a part's does, in
/// folders, if any, that say values. So it leads nowhere else.
pub fn is_part_name(name: &str) -> bool {
    let (folders, name) = split_folders(name);
    name.starts_with(PART) && folders.is_none_or(|folders| folders.split('/').all(is_value_folder))
}

/// Returns whether this can be the name of something that a job writes as its result, but the manifest.
pub fn is_written_name(name: &str) -> bool {
    is_part_name(name) || name.starts_with(REJECTED) && !name.contains('/')
}

/// Splits a name within an output into its folders and the rest.
fn split_folders(name: &str) -> (Option<&str>, &str) {
    match name.rsplit_once('/') {
        Some((folders, name)) => (Some(folders), name),
        None => (None, name),
    }
}

/// Returns the partition whose reduce task has written the part of this name within an output.
pub fn part_partition(name: &str) -> Option<Partition> {
    let (_, name) = split_folders(name);
    let (place, _) = name.strip_prefix(PART)?.split_once('-')?;
    place.split('.').next()?.parse().ok().map(Partition)
}

/// Returns the job whose part has this name within an output, if it is the name of a part or of the records that the job has left
/// out.
pub fn part_job(name: &str) -> Option<JobId> {
    let (folders, name) = split_folders(name);
    if folders.is_some_and(|folders| !folders.split('/').all(is_value_folder) || !name.starts_with(PART)) {
        return None;
    }
    if let Some(rest) = name.strip_prefix(REJECTED) {
        let job: JobId = rest.strip_suffix(REJECTED_ENDING)?.parse().ok()?;
        return job.created_at().map(|_| job);
    }
    let (place, rest) = name.strip_prefix(PART)?.split_once('-')?;
    let (partition, piece) = match place.split_once('.') {
        Some((partition, piece)) => (partition, Some(piece)),
        None => (place, None),
    };
    let (job, ending) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
    if !OutputFormat::is_ending(ending) {
        return None;
    }
    let is_number = |text: &str| text.len() >= 5 && text.bytes().all(|b| b.is_ascii_digit());
    let job = match job.split_once(AGAIN) {
        Some((job, again)) if folders.is_some() && is_number(again) => job,
        Some(_) => return None,
        None => job,
    };
    // A file of the user's may be called part-2024-01, which has no job's id.
    let is_place = is_number(partition) && piece.is_none_or(|piece| is_number(piece) && piece.len() == 5);
    let job: JobId = job.parse().ok().filter(|_| is_place)?;
    job.created_at().map(|_| job)
}

impl OutputSpec {
    /// Returns the name of a part within the output. It contains the job's id, so that no two jobs ever write to the same key.
    /// What a partition's further pieces wrote has names that sort behind the first's, in order.
    pub fn part_name(&self, partition: Partition, piece: Piece, job: &JobId) -> String {
        let further = piece.before().map(|_| format!(".{:05}", piece.0)).unwrap_or_default();
        format!("{PART}{:05}{further}-{job}{}", partition.0, self.format.ending())
    }

    /// Returns the name within the output of a file that a task has begun in a folder, when it had begun so many others there before.
    /// In each folder the names of a task's files sort in the order in which they were begun.
    pub fn file_name(&self, folder: &str, partition: Partition, piece: Piece, job: &JobId, before: u32) -> String {
        let part = self.part_name(partition, piece, job);
        match before {
            0 => format!("{folder}{part}"),
            again => {
                let ending = self.format.ending();
                let plain = part.strip_suffix(&ending).unwrap_or(&part);
                format!("{folder}{plain}{AGAIN}{again:05}{ending}")
            }
        }
    }

    /// Returns what the keys of all begin with that a job writes as its result, but the manifest.
    pub fn written(&self) -> Vec<String> {
        let folder = self.format.partition_by().first().map(|column| first_folder(column));
        let names = WRITTEN.into_iter().map(str::to_owned).chain(folder);
        names.map(|name| format!("{}{name}", self.prefix)).collect()
    }

    /// Returns what the keys in its folders begin with; `None` if it has none.
    pub fn in_folders(&self) -> Option<String> {
        self.written().into_iter().nth(WRITTEN.len())
    }

    /// Returns the key of a job's part.
    pub fn part_key(&self, partition: Partition, piece: Piece, job: &JobId) -> String {
        format!("{}{}", self.prefix, self.part_name(partition, piece, job))
    }

    /// Returns the key of the claim to the output.
    pub fn owner_key(&self) -> String {
        format!("{}{OWNER}", self.prefix)
    }

    /// Returns the key of the manifest.
    pub fn manifest_key(&self) -> String {
        format!("{}{MANIFEST}", self.prefix)
    }

    /// Returns the key of the marker.
    pub fn success_key(&self) -> String {
        format!("{}{SUCCESS}", self.prefix)
    }

    /// Returns what the user calls the object of the output with this key.
    pub fn shown_key(&self, key: &str) -> String {
        format!("{}/{}", self.shown.trim_end_matches('/'), key.strip_prefix(&self.prefix).unwrap_or(key))
    }
}

/// How a job is run. `None` leaves the choice to the splitter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptionsSpec {
    /// About how many bytes a map task reads.
    pub split_bytes: Option<u64>,
    /// How many reduce partitions, and so parts, there are.
    pub partitions: Option<u32>,
    /// From how many bytes on a file of the output is ended; what is left of its partition goes into further ones.
    pub file_bytes: Option<u64>,
    /// How many functions can run at once; splits are sized so that all of them have work.
    pub concurrency: u32,
    /// How runs are stored.
    pub compression: Compression,
    /// How often a task may be tried.
    pub tries_max: u16,
    /// How long the job may take in all, in milliseconds; [`crate::limits::JOB_MS_MAX`] by default. The time that it waits for
    /// functions that another job occupies counts as well.
    pub ms_max: Option<u64>,
    /// The runs of a task lie in DynamoDB if they have at most this many bytes together. `None`: if that is cheaper.
    pub inline_bytes_max: Option<u64>,
    /// How long a map task may run before it commits what it has and hands back the rest, in milliseconds; at most as long as
    /// its function's timeout allows.
    pub map_ms_max: Option<u64>,
    /// The same of a reduce task, which leaves the rest of its partition to the next piece.
    pub reduce_ms_max: Option<u64>,
    /// Where the job runs.
    pub site: Site,
    /// What the job makes of its input.
    pub workload: Workload,
    /// What the job may cost and take.
    pub ceiling: Ceiling,
    /// How compressed objects of the input are read.
    pub unpack: UnpackSpec,
    /// Whether the runs in S3 stay when the job has succeeded.
    pub keep_runs: bool,
    /// Where objects of the input may be cut.
    pub splitting: Splitting,
    /// Whether reducers find their runs by an index.
    pub indexed: Indexed,
    /// Whether runs are merged before they are reduced.
    pub merged: RunsMerged,
    /// What the paths of the input's objects must say; the others are not read.
    pub conditions: Vec<PathCondition>,
    /// How many records that are not valid the job may leave out, if any; see [`JobSpec::quarantines`].
    pub max_rejected: Option<MaxRejected>,
    /// If the job is a join: which inputs are its right side, and how they are read.
    pub right: Option<RightSpec>,
}

/// The right side of a join. Of the left one, [`OptionsSpec`] says the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightSpec {
    /// The first of the job's inputs that is of the right side; all behind it are, too.
    pub from_input: u32,
    /// How compressed objects are read.
    pub unpack: UnpackSpec,
    /// Where objects may be cut.
    pub splitting: Splitting,
}

/// Whether the runs of a job are indexed by partition ([`super::index`]), or each reducer reads the index of each map attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Indexed {
    /// Where that is cheaper: see [`crate::cost::Barrier`].
    #[default]
    WhereCheaper,
    /// Whatever it costs: for tests.
    Always,
    /// Not at all: for tests and comparisons.
    Never,
}

impl Indexed {
    /// Returns its name in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Indexed::WhereCheaper => "where cheaper",
            Indexed::Always => "always",
            Indexed::Never => "never",
        }
    }

    /// Returns what has this name.
    pub fn parse(word: &str) -> Option<Self> {
        [Indexed::WhereCheaper, Indexed::Always, Indexed::Never].into_iter().find(|one| one.as_str() == word)
    }
}

/// Whether the runs of a job are merged, by groups of map tasks and bands of partitions, before they are reduced ([`crate::grid`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunsMerged {
    /// Where the plan finds that better: in large shuffles on AWS.
    #[default]
    WhereBetter,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where objects of a job's input may be cut into splits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Splitting {
    /// Anywhere: whoever reads a split finds its first record.
    #[default]
    Anywhere,
    /// Anywhere, but where a split's first record starts is a guess, which those that read the splits before it prove or
    /// disprove; see [`crate::format::Framing::Quoted`].
    Guessed,
    /// Nowhere: each object is in one split.
    Nowhere,
    /// At row groups, which the object's footer lists; see [`crate::format::Framing::RowGroups`].
    RowGroups,
}

/// How compressed objects of the input are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpackSpec {
    /// The codec of all objects. `None`: as the name and the first bytes of each say.
    pub codec: Option<Codec>,
    /// How many times as long as it is an object may become; [`EXPANSION_MAX`] by default.
    pub expansion_max: u32,
    /// Whether each compressed object is read by one task, as the job's records depend on where they lie in the whole object.
    pub whole: bool,
}

impl Default for UnpackSpec {
    fn default() -> Self {
        UnpackSpec { codec: None, expansion_max: EXPANSION_MAX, whole: false }
    }
}

impl OptionsSpec {
    /// Returns options that leave every choice to the splitter, on an embedded runtime that runs `concurrency` functions at
    /// once.
    pub fn for_concurrency(concurrency: u32) -> Self {
        OptionsSpec {
            split_bytes: None,
            partitions: None,
            file_bytes: None,
            concurrency,
            compression: Compression::Lz4,
            tries_max: TRIES_MAX,
            ms_max: None,
            inline_bytes_max: None,
            map_ms_max: None,
            reduce_ms_max: None,
            site: Site::embedded(MEMORY_MB),
            workload: Workload::default(),
            ceiling: Ceiling::default(),
            unpack: UnpackSpec::default(),
            keep_runs: false,
            splitting: Splitting::default(),
            indexed: Indexed::default(),
            merged: RunsMerged::default(),
            conditions: vec![],
            max_rejected: None,
            right: None,
        }
    }
}

#[cfg(test)]
impl JobSpec {
    /// A job that reads one object and of which nothing particular is asked.
    pub(crate) fn of_one_object() -> Self {
        JobSpec {
            job: "j".into(),
            signature: String::new(),
            params: vec![],
            inputs: vec![InputSpec {
                bucket: "b".into(),
                objects: Objects::One("k".into()),
                shown: "s3://b/k".into(),
                root: None,
            }],
            output: OutputSpec {
                bucket: "o".into(),
                prefix: "p/".into(),
                shown: "s3://o/p".into(),
                overwrite: false,
                format: Default::default(),
                success_marker: false,
            },
            options: OptionsSpec::for_concurrency(1_000),
            program: None,
            submitted_at: Timestamp(0),
            calls: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let items = ItemsSpec { key: "k".into(), etag: "\"e\"".into(), items: 3, items_bytes: 40, splits: 2 };
        let (bucket, key, etag) = ("i".into(), "manifest.json".into(), "\"m\"".into());
        let inventory = InventorySpec { bucket, key, etag, size: 9 };
        let spec = JobSpec {
            job: "word-count".into(),
            signature: "words → (k, v) → o".into(),
            params: vec![1, 2],
            inputs: vec![
                InputSpec {
                    bucket: "b".into(),
                    objects: Objects::Glob("x/*.txt".into()),
                    shown: "s3://b/x/*.txt".into(),
                    root: None,
                },
                InputSpec {
                    bucket: "l".into(),
                    objects: Objects::Many(vec!["x/y".into()]),
                    shown: "list".into(),
                    root: Some("/data".into()),
                },
                InputSpec { bucket: "w".into(), objects: Objects::Items(items), shown: "items".into(), root: None },
                InputSpec {
                    bucket: "photos".into(),
                    objects: Objects::Inventory(inventory),
                    shown: "s3://i/manifest.json".into(),
                    root: None,
                },
            ],
            output: OutputSpec {
                bucket: "o".into(),
                prefix: "p/".into(),
                shown: "s3://o/p/".into(),
                overwrite: true,
                format: OutputFormat::csv()
                    .with_columns(["a", "b"])
                    .with_compression(Codec::Zstd)
                    .with_partition_by(["a"])
                    .with_files_max(30),
                success_marker: true,
            },
            options: OptionsSpec {
                file_bytes: Some(128 << 20),
                conditions: vec!["year>=2026".parse().unwrap()],
                max_rejected: Some(MaxRejected::Percent(0.5)),
                right: Some(RightSpec {
                    from_input: 1,
                    unpack: UnpackSpec { codec: Some(Codec::Gzip), expansion_max: 3, whole: true },
                    splitting: Splitting::Guessed,
                }),
                ..OptionsSpec::for_concurrency(1_000)
            },
            program: Some(ProgramId::of(b"abc")),
            submitted_at: Timestamp(7),
            calls: Some(CallsSpec {
                function: FunctionSpec { name: "f".into(), signature: "fn(u8) -> u8".into() },
                then: Then::Reduce(FunctionSpec { name: "r".into(), signature: "fn(Vec<u8>) -> u8".into() }),
                per_task: 9,
                at_once: Some(64),
            }),
        };
        let bytes = crate::wire::frame::write(&spec).unwrap();
        crate::wire::golden(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/spec-v12.bin"), &bytes);
        assert_eq!(crate::wire::frame::read::<JobSpec>(&bytes, "spec").unwrap(), spec);
    }

    fn input(objects: Objects, shown: &str) -> InputSpec {
        InputSpec { bucket: "b".into(), objects, shown: shown.into(), root: None }
    }

    #[test]
    fn an_object_is_called_what_its_user_would_call_it() {
        let (one, glob) = (|key: &str| Objects::One(key.into()), |glob: &str| Objects::Glob(glob.into()));
        let made = ItemsSpec { key: "k".into(), etag: "e".into(), items: 3, items_bytes: 40, splits: 2 };
        let (bucket, key, etag) = ("i".into(), "manifest.json".into(), "e".into());
        let inventory = InventorySpec { bucket, key, etag, size: 9 };
        for (objects, shown, key, called) in [
            (one("x/y"), "s3://b/x/y", "x/y", "s3://b/x/y"),
            (Objects::Prefix("x/".into()), "s3://b/x", "x/y", "s3://b/x/y"),
            // The objects of an inventory lie in another bucket than it.
            (Objects::Inventory(inventory), "s3://i/manifest.json", "x/y", "s3://b/x/y"),
            (glob("x/*"), "s3://b/x/*", "x/y", "s3://b/x/y"),
            (one("x"), "./data/x", "x", "./data/x"),
            (Objects::Items(made), "items", "jobs/j/items", "items"),
            (Objects::Prefix(String::new()), "data", "x/y", "data/x/y"),
            (Objects::OneOrFolder("x".into()), "data/", "x/y", "data/x/y"),
            // What stands before the first segment with a wild card, and the key behind it.
            (glob("a*"), "data/a*", "ab", "data/ab"),
            (glob("**/a?"), "/data/**/a?", "x/ab", "/data/x/ab"),
            (glob("x[12]"), "x[12]", "x1", "x1"),
            (glob("{a,b}/c"), "data/{a,b}/c", "a/c", "data/a/c"),
            (glob("c"), "data/c", "c", "data/c"),
        ] {
            assert_eq!(input(objects, shown).shown_key(key), called, "{shown}");
        }
    }

    /// An output of which nothing is asked.
    fn no_output() -> OutputSpec {
        OutputSpec {
            bucket: String::new(),
            prefix: String::new(),
            shown: String::new(),
            overwrite: false,
            format: OutputFormat::default(),
            success_marker: false,
        }
    }

    #[test]
    fn a_join_has_inputs_of_both_sides() {
        let spec = |from_input: Option<u32>| JobSpec {
            job: "j".into(),
            signature: String::new(),
            params: vec![],
            inputs: ["a", "b", "c"].map(|key| input(Objects::One(key.into()), key)).to_vec(),
            output: no_output(),
            options: OptionsSpec {
                right: from_input.map(|from_input| RightSpec {
                    from_input,
                    unpack: UnpackSpec { whole: true, ..UnpackSpec::default() },
                    splitting: Splitting::RowGroups,
                }),
                ..OptionsSpec::for_concurrency(1)
            },
            program: None,
            submitted_at: Timestamp(0),
            calls: None,
        };
        let join = spec(Some(2));
        assert_eq!([0, 1, 2, 3].map(|idx| join.side_of(idx)), [Side::Left, Side::Left, Side::Right, Side::Right]);
        assert_eq!([1, 2].map(|idx| join.splitting_of(idx)), [Splitting::Anywhere, Splitting::RowGroups]);
        assert_eq!([1, 2].map(|idx| join.unpack_of(idx).whole), [false, true]);
        assert_eq!(spec(None).side_of(7), Side::Left);
        let is_whole = |from_input| spec(Some(from_input)).check().is_ok();
        assert_eq!([0, 1, 2, 3].map(is_whole), [false, true, true, false]);
    }

    #[test]
    fn only_an_input_that_was_made_says_how_many_items_it_has() {
        let made = ItemsSpec { key: "k".into(), etag: "e".into(), items: 3, items_bytes: 40, splits: 2 };
        assert_eq!(input(Objects::Items(made), "items").items(), 3);
        assert_eq!(input(Objects::One("k".into()), "k").items(), 0);
    }

    #[test]
    fn a_jobs_parts_are_known_by_their_names_and_nothing_else_is() {
        let job = JobId::new(Timestamp(1_763_709_292_208), 0x0001_f0a9_c3d5_e7ab);
        let output = |format| OutputSpec {
            format,
            success_marker: false,
            bucket: "o".into(),
            prefix: "p/".into(),
            shown: String::new(),
            overwrite: false,
        };
        for partition in [0, 7, 99_999, 1_234_567] {
            let parquet = OutputFormat::parquet("a int".parse().unwrap());
            for format in [OutputFormat::text(), OutputFormat::csv(), OutputFormat::json_lines(), parquet] {
                for codec in Codec::ALL {
                    for piece in [0, 1, 12, u16::MAX].map(Piece) {
                        let output = output(format.clone().with_compression(codec));
                        let name = output.part_name(Partition(partition), piece, &job);
                        assert_eq!(part_job(&name), Some(job.clone()), "{name}");
                    }
                }
            }
        }
        assert_eq!(output(OutputFormat::text()).part_name(Partition(7), Piece(0), &job), format!("part-00007-{job}"));
        let packed = output(OutputFormat::csv().with_compression(Codec::Gzip));
        assert_eq!(packed.part_key(Partition(7), Piece(0), &job), format!("p/part-00007-{job}.csv.gz"));
        assert_eq!(packed.part_key(Partition(7), Piece(3), &job), format!("p/part-00007.00003-{job}.csv.gz"));
        // Whoever lists the parts has them in the order of partitions and pieces.
        let name = |partition, piece| packed.part_name(Partition(partition), Piece(piece), &job);
        let names = [name(6, 2), name(7, 0), name(7, 1), name(7, 2), name(7, 10), name(7, 100), name(8, 0)];
        assert!(names.is_sorted(), "{names:?}");
        for other in [
            "part-2024-01".to_owned(),
            "part-00000".to_owned(),
            "part-00000-".to_owned(),
            "part-00000-report".to_owned(),
            format!("part-0000-{job}"),
            format!("part-0000x-{job}"),
            format!("part--{job}"),
            format!("part-00000.-{job}"),
            format!("part-00000.1-{job}"),
            format!("part-00000.000001-{job}"),
            format!("part-00000.0000x-{job}"),
            format!("part-.00001-{job}"),
            format!("00000-{job}"),
            format!("part-00000-{job}.txt"),
            format!("part-00000-{job}.csv.zip"),
            format!("part-00000-{job}.csv.old"),
            MANIFEST.to_owned(),
        ] {
            assert_eq!(part_job(&other), None, "{other}");
        }
    }

    #[test]
    fn files_in_folders_are_known_by_their_names_and_lead_nowhere_else() {
        let job = JobId::new(Timestamp(1_763_709_292_208), 0x0001_f0a9_c3d5_e7ab);
        let output = OutputSpec {
            bucket: "o".into(),
            prefix: "p/".into(),
            shown: String::new(),
            overwrite: false,
            format: OutputFormat::json_lines().with_compression(Codec::Gzip).with_partition_by(["a b", "c/d"]),
            success_marker: false,
        };
        assert_eq!(output.written(), ["p/part-", "p/_rejected-", "p/a b="]);
        assert_eq!(output.in_folders().as_deref(), Some("p/a b="));
        let name = |piece, before| output.file_name("a b=1/c%2Fd=2/", Partition(7), Piece(piece), &job, before);
        assert_eq!(name(0, 0), format!("a b=1/c%2Fd=2/part-00007-{job}.jsonl.gz"));
        assert_eq!(name(3, 12), format!("a b=1/c%2Fd=2/part-00007.00003-{job}_00012.jsonl.gz"));
        let names = [name(0, 0), name(0, 1), name(0, 2), name(0, 10), name(0, 19_999), name(1, 0), name(1, 1)];
        for name in &names {
            assert_eq!((part_job(name), part_partition(name)), (Some(job.clone()), Some(Partition(7))), "{name}");
            assert!(is_part_name(name) && is_written_name(name));
        }
        let mut within: Vec<_> = names[..5].to_vec();
        within.sort_unstable();
        assert_eq!(within, names[..5], "as they were begun");
        let part = format!("part-00007-{job}.csv");
        for other in [
            format!("plain/{part}"),
            format!("../{part}"),
            format!("a=1/../{part}"),
            format!("a=1//{part}"),
            format!("/{part}"),
            format!("=1/{part}"),
            format!("a=1/counter{part}"),
            format!("a=1/_rejected-{job}.jsonl"),
            "_manifest.json".to_owned(),
        ] {
            assert_eq!(
                (part_job(&other), is_part_name(&other), is_written_name(&other)),
                (None, false, false),
                "{other}"
            );
        }
        // Only in folders does a task begin a further file.
        let again = format!("part-00007-{job}_00001.csv");
        assert_eq!((part_job(&again), part_job(&format!("a=1/{again}"))), (None, Some(job.clone())));
        for other in ["_1", "_00001_00001", "_0000x", "_"] {
            assert_eq!(part_job(&format!("a=1/part-00007-{job}{other}.csv")), None, "{other}");
        }
        assert!(is_written_name(&format!("_rejected-{job}.jsonl")) && is_written_name("part-mine"));
    }

    #[test]
    fn what_a_job_has_left_out_lies_beside_its_parts_under_a_hidden_name() {
        let job = JobId::new(Timestamp(1_763_709_292_208), 0x0001_f0a9_c3d5_e7ab);
        let output = OutputSpec {
            bucket: "o".into(),
            prefix: "p/".into(),
            shown: String::new(),
            overwrite: false,
            format: OutputFormat::csv().with_compression(Codec::Gzip),
            success_marker: false,
        };
        let mut spec = JobSpec {
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
        let keys = |spec: &JobSpec| [0, 1].map(|partition| spec.key_of(Partition(partition), Piece(0), &job));
        let part = |number: u32| format!("p/part-0000{number}-{job}.csv.gz");
        assert_eq!(keys(&spec), [part(0), part(1)]);
        assert!(!spec.is_quarantine(Partition(0)));
        spec.options.max_rejected = Some(MaxRejected::Count(0));
        let left_out = format!("_rejected-{job}.jsonl");
        assert_eq!(keys(&spec), [format!("p/{left_out}"), part(0)]);
        assert_eq!((spec.is_quarantine(Partition(0)), spec.is_quarantine(Partition(1))), (true, false));
        assert_eq!(part_job(&left_out), Some(job.clone()));
        for other in
            ["_rejected-", "_rejected-.jsonl", "_rejected-report.jsonl", &left_out[1..], &format!("{left_out}.gz")]
        {
            assert_eq!(part_job(other), None, "{other}");
        }
        let percent = |max| JobSpec {
            options: OptionsSpec { max_rejected: Some(MaxRejected::Percent(max)), ..spec.options.clone() },
            ..spec.clone()
        };
        assert!(percent(100.0).check().is_ok() && percent(f64::NAN).check().is_err() && percent(-1.0).check().is_err());
    }

    #[test]
    fn all_that_a_job_writes_lies_below_its_outputs_prefix() {
        let job: JobId = "id".parse().unwrap();
        let output = |prefix: &str, shown: &str| OutputSpec {
            bucket: "o".into(),
            prefix: prefix.into(),
            shown: shown.into(),
            overwrite: false,
            format: OutputFormat::default(),
            success_marker: false,
        };
        let folder = output("p/", "s3://o/p/");
        let keys = [folder.part_key(Partition(3), Piece(0), &job), folder.owner_key(), folder.manifest_key()];
        assert_eq!(keys, ["p/part-00003-id", "p/_owner.json", "p/_manifest.json"]);
        let shown = keys.map(|key| folder.shown_key(&key));
        assert_eq!(shown, ["s3://o/p/part-00003-id", "s3://o/p/_owner.json", "s3://o/p/_manifest.json"]);
        let bucket = output("", "out");
        assert_eq!((bucket.owner_key(), bucket.shown_key("x/y")), ("_owner.json".into(), "out/x/y".into()));
    }

    #[test]
    fn only_calls_that_feed_a_job_write_an_output() {
        let function = || FunctionSpec { name: "f".into(), signature: "fn(u8) -> u8".into() };
        let writes = |then: Option<Then>| {
            let calls = then.map(|then| CallsSpec { function: function(), then, per_task: 9, at_once: None });
            let output = no_output();
            JobSpec {
                job: "j".into(),
                signature: String::new(),
                params: vec![],
                inputs: vec![],
                output,
                options: OptionsSpec::for_concurrency(1_000),
                program: None,
                submitted_at: Timestamp(0),
                calls,
            }
            .writes_output()
        };
        assert!(writes(None) && writes(Some(Then::Job)));
        assert!(!writes(Some(Then::Collect)) && !writes(Some(Then::Reduce(function()))));
    }
}
