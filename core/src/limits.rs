//! Every limit, once, with its source and the date on which that was read.

/// The largest payload of a synchronous invocation and of its response, in bytes (6 MB).
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>, 2026-11.
pub const INVOKE_SYNC_BYTES_MAX: usize = 6_291_556;

/// The largest payload of an asynchronous invocation, in bytes (1 MB). Same page.
pub const INVOKE_ASYNC_BYTES_MAX: usize = 1 << 20;

/// The longest a function may run, in milliseconds (900 s). Same page.
pub const FUNCTION_TIMEOUT_MS_MAX: u64 = 900_000;

/// The most memory that a function can have, in MB (10 GB). Same page.
pub const FUNCTION_MEMORY_MB_MAX: u32 = 10_240;

/// How many files and connections a function may have open, and how many processes and threads. Same page.
pub const DESCRIPTORS_MAX: usize = 1_024;

/// How many functions an account may run at once by default; new accounts may run fewer. Same page.
pub const CONCURRENCY_DEFAULT: u32 = 1_000;

/// The memory with which a function gets one vCPU, in MB.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>, 2026-11.
pub const MEMORY_MB_PER_VCPU: u32 = 1_769;

/// The largest DynamoDB item, in bytes (400 KB), including the names of its attributes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>, 2026-11.
pub const ITEM_BYTES_MAX: usize = 400 << 10;

/// The most items in one `BatchWriteItem`. Same page.
pub const BATCH_WRITE_ITEMS_MAX: usize = 25;

/// The most keys in one `BatchGetItem`. Same page.
pub const BATCH_GET_KEYS_MAX: usize = 100;

/// The smallest part of a multipart upload, except the last, in bytes (5 MiB).
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>, 2026-11.
pub const UPLOAD_PART_BYTES_MIN: usize = 5 << 20;

/// The largest part of a multipart upload, in bytes (5 GiB). Same page.
pub const UPLOAD_PART_BYTES_MAX: usize = 5 << 30;

/// The most parts of a multipart upload. Same page.
pub const UPLOAD_PARTS_MAX: usize = 10_000;

/// The longest key of an object, in bytes. <https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html>, 2026-11.
pub const OBJECT_KEY_BYTES_MAX: usize = 1_024;

/// The longest name of a folder that says a column's value, in bytes: what most file systems take, so that an output can be copied
/// to one.
pub const FOLDER_BYTES_MAX: usize = 255;

/// The most keys in one `DeleteObjects`. <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>, 2026-11.
pub const DELETE_OBJECTS_MAX: usize = 1_000;

/// The newest glibc whose symbols a program may need on the functions' runtime, `provided.al2023`: Amazon Linux 2023 keeps
/// glibc 2.34 for all its life. <https://docs.aws.amazon.com/linux/al2023/ug/core-glibc.html>, 2026-11.
pub const GLIBC_MAX: Glibc = Glibc { major: 2, minor: 34 };

/// A version of glibc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glibc {
    /// The number before the dot.
    pub major: u32,
    /// The number after it.
    pub minor: u32,
}

impl std::fmt::Display for Glibc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The least and the most that `/tmp` can have, in MB. <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>,
/// 2026-11.
pub const TMP_MB_MIN: u32 = 512;
/// See [`TMP_MB_MIN`].
pub const TMP_MB_MAX: u32 = 10_240;

// Kinglet's own.

/// The largest program that can be shipped, in bytes (256 MiB), stripped and not compressed. It must fit into the smallest
/// `/tmp`, 512 MB, and leave room for spills.
pub const PROGRAM_BYTES_MAX: u64 = 256 << 20;

/// How long S3 keeps a shipped program after its upload, in seconds (30 days); `template.yaml` says the same.
pub const PROGRAM_KEPT_S: u64 = 30 * 24 * 3600;

/// The age of an uploaded program from which a driver uploads it again before a job starts, in seconds (22 days). The 8 days
/// that a younger one has left are longer than a job lives.
pub const PROGRAM_RENEWED_S: u64 = PROGRAM_KEPT_S - JOB_KEPT_S - 24 * 3600;

/// The longest encoded key, in bytes (512 MiB).
pub const KEY_BYTES_MAX: usize = 512 << 20;

/// The longest encoded value, in bytes (512 MiB).
pub const VALUE_BYTES_MAX: usize = 512 << 20;

/// The largest value that a call may return, encoded, in bytes (128 MiB).
pub const CALL_RESULT_BYTES_MAX: usize = 128 << 20;

/// How many calls may run at once in one invocation. Each takes a thread, and a function may have about 1,000 of them:
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>, 2026-11.
pub const CALLS_AT_ONCE_MAX: usize = 512;

/// The longest first record of an object that describes the other records, such as by naming columns, in bytes (1 MiB).
pub const HEAD_BYTES_MAX: u64 = 1 << 20;

/// The most bytes of a Parquet file's footer that are read (64 MiB). What it becomes in memory is a few times as much.
pub const PARQUET_FOOTER_BYTES_MAX: u64 = 64 << 20;

/// The most bytes of an Avro file's head, which has its schema, that are read (16 MiB).
pub const AVRO_HEAD_BYTES_MAX: u64 = 16 << 20;

/// How much is kept of a record that is left out of a job's input because it is not valid, in bytes (64 KiB).
pub const REJECT_BYTES_MAX: usize = 64 << 10;

/// How much is kept of the reason, in bytes (1 KiB): a reason may quote the record.
pub const REJECT_REASON_BYTES_MAX: usize = 1 << 10;

/// How many times as long as it is a compressed object may become, by default. No gzip becomes more than 1,032 times as long:
/// <https://www.zlib.net/zlib_tech.html>, 2026-11. A bzip2 or zstd of some kilobytes may become gigabytes.
pub const EXPANSION_MAX: u32 = 1_100;

/// How many bytes a compressed object may become whatever its own size, in bytes (256 MiB).
pub const EXPANDED_BYTES_FREE: u64 = 256 << 20;

/// The most calls of a map that can be cancelled one by one. Their numbers are a set in the job's item. A number of ten digits
/// takes 6 bytes, so the set takes up to 300 KB of the item's 400 and leaves room for what the job's end writes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>, 2026-11.
pub const CALLS_CANCELLED_MAX: usize = 50_000;

/// The longest message of an error in the ledger, in bytes (8 KiB): one item holds several tries in 400 KB.
pub const ERROR_BYTES_MAX: usize = 8 << 10;

/// The most events of one request to EventBridge.
/// <https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html>
pub const PUT_EVENTS_MAX: usize = 10;

/// How long after a job's end the event bus is told of it, if it could not be told before, in milliseconds (24 h).
pub const TOLD_MS_MAX: u64 = 24 * 3_600_000;

/// The longest message of a line in a completion report, in bytes (1 KiB); what is longer is cut.
pub const RESULT_MESSAGE_BYTES_MAX: usize = 1 << 10;

/// The most objects that a list of inputs may name. Their names stand in the job's spec, which each task reads.
pub const LISTED_INPUTS_MAX: usize = 10_000;

/// The most map tasks of a job: more would make the ledger's root item large.
pub const MAP_TASKS_MAX: u64 = 100_000;

/// The most tasks of a job that read splits again which began at wrong places. They stand in the job's own item, which each task
/// reads.
pub const REREADS_MAX: usize = 1_000;

/// The smallest size of files that a job may ask for, in bytes (1 MiB). Each file of a partition but its first takes a function of its
/// own.
pub const FILE_BYTES_MIN: u64 = 1 << 20;

/// The most reduce partitions of a job.
pub const PARTITIONS_MAX: u32 = 10_000;

/// How many tasks share one group item of the ledger.
pub const TASKS_PER_GROUP: u32 = 32;

/// How long one try of a request to DynamoDB or Lambda may take, in milliseconds (30 s), before it is sent again: both answer within
/// milliseconds, and a reply that is lost on its way never comes.
pub const REPLY_MS_MAX: u64 = 30_000;

/// The same of S3, in milliseconds (5 minutes): completing an upload may take minutes.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>, 2026-11.
pub const S3_REPLY_MS_MAX: u64 = 300_000;

/// How slowly a body may be uploaded to S3, in bytes a second (64 KiB), before the request is sent again.
pub const UPLOAD_BYTES_PER_S_MIN: u64 = 64 << 10;

/// How old the claim to an output may be before other stacks, which cannot ask its ledger, take its job for dead, in
/// milliseconds (an hour, by S3's clock). A stack renews the claims of its jobs every ten minutes.
pub const OUTPUT_LEASE_MS: u64 = 3_600_000;

/// The most files of an output in folders. Whoever publishes it holds about a kilobyte for each, and the smallest function that may
/// has 512 MB.
pub const OUTPUT_FILES_MAX: u64 = 200_000;

/// How many uploads of an output's parts are completed at once. With 64, 10,000 parts take about 10 s, and S3's limit of 3,500
/// writes a second to a prefix is not reached.
pub const UPLOADS_COMPLETED_AT_ONCE: usize = 64;

/// How long a job may take by default, in milliseconds (24 hours). A job that runs longer than a day is most likely a mistake,
/// and its functions cost money meanwhile.
pub const JOB_MS_MAX: u64 = 24 * 3_600_000;

/// The longest time that a job can be given, in milliseconds (6 days): the ledger forgets a job a day later.
pub const JOB_MS_CAP: u64 = (JOB_KEPT_S - 24 * 3600) * 1000;

/// How long a job's ledger items and intermediate objects are kept, in seconds (7 days).
pub const JOB_KEPT_S: u64 = 7 * 24 * 3600;

/// The most jobs of embedded runtimes that a machine keeps records of.
pub const LOCAL_JOBS_KEPT: usize = 200;

/// How much of the functions' logs is kept for each of these jobs, in bytes (1 MiB): the end of them.
pub const LOCAL_LOG_BYTES_MAX: usize = 1 << 20;
