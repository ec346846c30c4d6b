//! What the pages say is so: their numbers are the constants', and the files that they name are there.

use kinglet_core::budget::*;
use kinglet_core::ledger::{
    CLAIM_MS, EVENT_AGE_MS_MAX, HANDOVER_MS, HEARTBEAT_MS, RESEND_MS, SILENCE_MS, SPLIT_HEARTBEAT_MS, SPLIT_SILENCE_MS,
    TURN_MS,
};
use kinglet_core::limits::*;
use kinglet_core::model::{Latency, dynamodb, lambda, logs, s3, schedule};
use kinglet_jobs::{BroadcastJoin, JoinRows, TOP_BYTES_MAX, TOP_ROWS_MAX};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `100,000`.
fn thousands(n: impl Into<u64>) -> String {
    let digits = n.into().to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap());
    groups.collect::<Vec<_>>().join(",")
}

fn mib(bytes: impl TryInto<u64, Error: std::fmt::Debug>) -> String {
    let bytes = bytes.try_into().unwrap();
    assert_eq!(bytes % (1 << 20), 0);
    format!("{} MiB", bytes >> 20)
}

fn word(n: impl Into<u64>) -> &'static str {
    ["no", "one", "two", "three", "four", "five", "six", "seven", "eight"][n.into() as usize]
}

const HOUR_MS: u64 = 3_600_000;
const DAY_S: u64 = 24 * 3_600;

/// What pages and help texts say of the constants, word by word. Who changes one changes these as well.
#[test]
fn the_numbers_of_the_pages_are_the_constants() {
    let s = |ms: u64| format!("{} s", ms / 1_000);
    let memory = (thousands(FUNCTION_MEMORY_MB_MAX), thousands(MEMORY_MB_PER_VCPU));
    let hours = JOB_MS_MAX / HOUR_MS;
    let days = JOB_MS_CAP / 1_000 / DAY_S;
    let kept_days = JOB_KEPT_S / DAY_S;
    let splits = format!("{} to {}", mib(SPLIT_BYTES_MIN), mib(SPLIT_BYTES_MAX));
    let signs = [HEARTBEAT_MS, SILENCE_MS, SPLIT_HEARTBEAT_MS, SPLIT_SILENCE_MS].map(s);
    let resend_min = RESEND_MS / 60_000;
    let says: Vec<(&str, Vec<String>)> = vec![
        (
            "docs/reference/limits.md",
            vec![
                format!("| a key, a value | {} each", mib(KEY_BYTES_MAX.max(VALUE_BYTES_MAX))),
                format!("| map tasks of a job | {} |", thousands(MAP_TASKS_MAX)),
                format!("(../guide/formats.md#how-csv-is-split) | {} |", thousands(REREADS_MAX as u64)),
                format!("(../guide/outputs.md#files-of-a-size) | {} |", mib(FILE_BYTES_MIN)),
                format!("in at most {} tasks |", thousands(MAP_TASKS_MAX)),
                format!(
                    "its first {} KiB, and {} KiB of the reason",
                    REJECT_BYTES_MAX >> 10,
                    REJECT_REASON_BYTES_MAX >> 10
                ),
                format!("| partitions of a job | {} |", thousands(PARTITIONS_MAX)),
                format!("[keeps](../guide/joins.md#how-it-is-done) | {KEPT_PERCENT} % of the function's memory"),
                format!(
                    "[goes to every function](../guide/joins.md#how-it-is-done) | {}, in",
                    mib(BroadcastJoin::TABLE_BYTES_MAX as u64)
                ),
                format!("[folders](../guide/outputs.md#folders-by-values) | {}; with", thousands(FILES_PER_TASK_MAX)),
                format!("| files of an output in folders | {}:", thousands(OUTPUT_FILES_MAX)),
                format!(
                    "| a folder's name, a key in the output | {FOLDER_BYTES_MAX} bytes, {} bytes |",
                    thousands(OBJECT_KEY_BYTES_MAX as u64)
                ),
                format!("for each file, up to {SMALL_FILES_AT_ONCE} small ones at once"),
                format!("| what a call returns | {}", mib(CALL_RESULT_BYTES_MAX)),
                format!("| calls that run at once in an invocation | {CALLS_AT_ONCE_MAX} |"),
                format!("cancelled one by one | {}:", thousands(CALLS_CANCELLED_MAX as u64)),
                format!(
                    "| tries of a task, and of splitting | {TRIES_MAX}, of which {} may run out of time",
                    word(TIMED_OUT_TRIES_MAX as u64)
                ),
                format!("| how long a job may take | {hours} h, waiting for functions included; "),
                format!("with `--job-timeout` to {days} days |"),
                format!(
                    "one every {}, after {} without one it is lost; a splitter's, {} and {} |",
                    signs[0], signs[1], signs[2], signs[3]
                ),
                format!("after {resend_min} min, then after twice as long each time"),
                format!("another goes on after {} without a sign of life", s(TURN_MS)),
                format!("| one invocation | {};", s(FUNCTION_TIMEOUT_MS_MAX)),
                format!("| a function's memory | 128 MB to {} MB |", memory.0),
                format!(
                    "| a shipped program | {} MB, stripped; kept for {} days",
                    PROGRAM_BYTES_MAX >> 20,
                    PROGRAM_KEPT_S / DAY_S
                ),
                format!("names columns | {} |", mib(HEAD_BYTES_MAX)),
                format!("| how long a job stands in the ledger | {kept_days} days |"),
                format!("| the newest {LOCAL_JOBS_KEPT}, with the last MiB"),
                format!("an upload in parts of {}", mib(UPLOAD_PART_BYTES)),
                format!("`UploadPart` for each {}", mib(UPLOAD_PART_BYTES)),
                format!("a part of up to {} costs three", mib(UPLOAD_PART_BYTES)),
                format!("for each part, {UPLOADS_COMPLETED_AT_ONCE} at once"),
            ],
        ),
        (
            "docs/reference/command.md",
            vec![
                format!("by the input's size and the concurrency, {splits} |"),
                format!(
                    "one for each {} of input; at least the concurrency, to {PARTITIONS_SPREAD_MAX}, above {} |",
                    mib(PARTITION_INPUT_BYTES),
                    mib(SPLIT_BYTES_MIN)
                ),
                format!("a thread for each {} MB; a mapper spills at half of it | {MEMORY_MB} |", memory.1),
                format!("| {} times `--memory-mb`, at most {FUNCTION_MEMORY_MB_MAX} |", word(LARGER_FACTOR)),
                format!("to {} ({days} days); then it fails | {} (a day) |", JOB_MS_CAP / 1_000, JOB_MS_MAX / 1_000),
                format!("| a function's timeout | {} |", FUNCTION_TIMEOUT_MS_MAX / 1_000),
                format!("may begin in folders | {FILES_PER_TASK_MAX} |"),
                format!("one that becomes {} or less always may | {EXPANSION_MAX} |", mib(EXPANDED_BYTES_FREE)),
                format!("| {} for each function that can run at once", word(WAVES)),
                format!("{SAMPLE_PIECES} pieces of {} KiB from all over the input", SAMPLE_PIECE_BYTES >> 10),
                format!("so at most {}; where", mib(u64::from(SAMPLE_PIECES) * SAMPLE_PIECE_BYTES)),
                format!("{SAMPLE_LONG_PIECES} pieces of {} more", mib(SAMPLE_LONG_PIECE_BYTES)),
                format!("it is the first {} at most", mib(SAMPLE_LONG_PIECE_BYTES)),
                format!("N is at most {}, and the rows have at most {}", thousands(TOP_ROWS_MAX), mib(TOP_BYTES_MAX)),
            ],
        ),
        (
            "docs/guide/joins.md",
            vec![
                format!("in memory up to {KEPT_PERCENT} % of the function's"),
                format!(
                    "if it has {} MiB or more, and names keys with {} % of it",
                    JoinRows::SAMPLED_BYTES_MIN >> 20,
                    JoinRows::HEAVY_PERCENT
                ),
                format!("if it has at most {} MiB", BroadcastJoin::STORED_BYTES_MAX >> 20),
                format!("more than {} MiB", BroadcastJoin::TABLE_BYTES_MAX >> 20),
            ],
        ),
        ("docs/guide/formats.md", vec![format!("at most {SAMPLE_PIECES} pieces of {} KiB", SAMPLE_PIECE_BYTES >> 10)]),
        (
            "tests/golden/help-run-sort.txt",
            vec![format!("a sample of {SAMPLE_PIECES} pieces of {} KiB", SAMPLE_PIECE_BYTES >> 10)],
        ),
        (
            "tests/golden/help-run-top.txt",
            vec![format!("At most {} rows are kept, and {} of them", thousands(TOP_ROWS_MAX), mib(TOP_BYTES_MAX))],
        ),
        (
            "docs/concepts.md",
            vec![
                format!("when a task has failed {} times, or has run out of time twice", word(TRIES_MAX)),
                format!("runs {} times longer than its siblings", word(STRAGGLER_FACTOR)),
                format!("has {} from its last sign of life", s(TURN_MS)),
                format!(
                    "every {}; of splitting every {} | after {}, of splitting {},",
                    signs[0], signs[2], signs[1], signs[3]
                ),
                format!(
                    "after {} the same try is sent again; a further piece of a task after {} |",
                    s(CLAIM_MS),
                    s(HANDOVER_MS)
                ),
                format!("after {resend_min} min, then after twice as long"),
                format!(
                    "in any case after {} h {} min",
                    EVENT_AGE_MS_MAX / HOUR_MS,
                    EVENT_AGE_MS_MAX % HOUR_MS / 60_000
                ),
                format!("{hours} h, waiting included"),
                format!("and {days} days at most, as the ledger forgets it after {kept_days}"),
            ],
        ),
        (
            "docs/guide/outputs.md",
            vec![
                format!(
                    "a task may begin {} files, or what `--max-files` says (`OutputFormat::with_files_max`), and a job {}.",
                    thousands(FILES_PER_TASK_MAX),
                    thousands(OUTPUT_FILES_MAX)
                ),
                format!(
                    "at most {FOLDER_BYTES_MAX} bytes, and a key at most {}",
                    thousands(OBJECT_KEY_BYTES_MAX as u64)
                ),
            ],
        ),
        ("docs/guide/cost.md", vec![format!("| {}, the most of a job |", thousands(OUTPUT_FILES_MAX))]),
        ("docs/guide/compute.md", vec![format!("{} for each function that can run at once", word(WAVES))]),
        (
            "docs/guide/compression.md",
            vec![
                format!("| {} times, which no gzip exceeds;", thousands(EXPANSION_MAX)),
                format!("a file that becomes {} or less is never refused", mib(EXPANDED_BYTES_FREE)),
                format!("| {UNPACK_PERCENT} % of the function's memory: "),
                format!("| {UNPACKED_RECORD_PERCENT} % of the function's memory |"),
            ],
        ),
        (
            "docs/guide/items.md",
            vec![
                format!("with one PUT up to {} MB", UPLOAD_PART_BYTES >> 20),
                format!("at most {} map tasks", thousands(MAP_TASKS_MAX)),
            ],
        ),
        (
            "docs/guide/objects.md",
            vec![
                format!("The objects of a lot, {}, are sent", thousands(OBJECTS_PER_LOT as u64)),
                format!("the first {} rows of an inventory", thousands(OBJECTS_PER_LOT as u64)),
                format!("again, {} times in all", word(OBJECT_TRIES)),
                format!("twice as late each time, up to {}.", s(OBJECT_PAUSE_MS_MAX)),
                format!("one line of at most {} bytes", thousands(RESULT_MESSAGE_BYTES_MAX as u64)),
            ],
        ),
        ("docs/guide/ends.md", vec![format!("their ends are told for {} h after that", TOLD_MS_MAX / HOUR_MS)]),
        (
            "docs/guide/functions.md",
            vec![
                format!("A map may take {hours} h"),
                format!("results are kept for {kept_days} days"),
                format!("results beyond {}", mib(CALL_RESULT_BYTES_MAX)),
            ],
        ),
        (
            "docs/guide/deploy.md",
            vec![
                format!(
                    "| `MapperMemory`, `ReducerMemory` | {MEMORY_MB} | in MB, 128 to {FUNCTION_MEMORY_MB_MAX}; {} MB are one",
                    memory.1
                ),
                format!("the account's limit ({} by default", thousands(CONCURRENCY_DEFAULT)),
            ],
        ),
        (
            "docs/guide/ship.md",
            vec![
                format!("| size | {} MB at most, stripped |", PROGRAM_BYTES_MAX >> 20),
                format!("refused, {PROGRAM_PERCENT} % of the function's in use"),
                format!("removes it {} days after it was uploaded", PROGRAM_KEPT_S / DAY_S),
                format!("one older than {} days uploads it again", PROGRAM_RENEWED_S / DAY_S),
                format!("symbols of {}.{} at most", GLIBC_MAX.major, GLIBC_MAX.minor),
            ],
        ),
        (
            "ARCHITECTURE.md",
            vec![
                format!("use {PROGRAM_PERCENT} % of the function's memory"),
                format!("its group of {TASKS_PER_GROUP} tasks"),
                format!(
                    "{} tasks make {} groups",
                    thousands(MAP_TASKS_MAX),
                    thousands(MAP_TASKS_MAX / u64::from(TASKS_PER_GROUP))
                ),
                format!("a part of up to {}", mib(UPLOAD_PART_BYTES)),
            ],
        ),
        (
            "tests/golden/help-run-word-count.txt",
            vec![
                format!(
                    "128 to {FUNCTION_MEMORY_MB_MAX}; {MEMORY_MB_PER_VCPU} MB bring one thread [default: {MEMORY_MB}]"
                ),
                format!("[default: {} times", word(LARGER_FACTOR)),
                format!("[default: {}, a day]", JOB_MS_MAX / 1_000),
                format!("at most {0} [default: {0}]", FUNCTION_TIMEOUT_MS_MAX / 1_000),
            ],
        ),
        ("tests/golden/help-run-primes.txt", vec![format!("[default: {} for each function", word(WAVES))]),
        (
            "tests/golden/help-clean.txt",
            vec![
                format!("all is gone after {kept_days} days on a stack"),
                format!("the newest {LOCAL_JOBS_KEPT} jobs are kept"),
            ],
        ),
    ];
    // Said as words, above and in ARCHITECTURE.md.
    assert_eq!(
        (TIMED_OUT_TRIES_MAX, MAPPED_PAIRS_PERCENT, JOB_MS_MAX / HOUR_MS, LOCAL_LOG_BYTES_MAX),
        (2, 50, 24, 1 << 20)
    );
    let mut missing = Vec::new();
    for (page, phrases) in says {
        let text = fs::read_to_string(root().join(page)).unwrap();
        // Help is wrapped.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        missing.extend(phrases.into_iter().filter(|phrase| !text.contains(phrase.trim())).map(|phrase| (page, phrase)));
    }
    assert!(missing.is_empty(), "not said any more, or not so: {missing:#?}");
}

/// The model's constants, by the names that the page has for them, and what it says they are.
fn modelled() -> Vec<(&'static str, String)> {
    let s = |ms: u64| format!("{} s", ms / 1_000);
    let min = |ms: u64| format!("{} min", ms / 60_000);
    let hours = |ms: u64| format!("{} h", ms / HOUR_MS);
    let ms = |us: u64| {
        if us < 10_000 { format!("{:.1} ms", us as f64 / 1e3) } else { format!("{} ms", thousands(us / 1_000)) }
    };
    let took = |Latency { median_us, p99_us }| format!("{}, {}", ms(median_us), ms(p99_us));
    let mb_s = |bytes: u64| format!("{} MB/s", bytes / 1_000_000);
    vec![
        ("limits::CONCURRENCY_DEFAULT", thousands(CONCURRENCY_DEFAULT)),
        ("limits::INVOKE_SYNC_BYTES_MAX", format!("{} MB", INVOKE_SYNC_BYTES_MAX >> 20)),
        ("limits::INVOKE_ASYNC_BYTES_MAX", format!("{} MB", INVOKE_ASYNC_BYTES_MAX >> 20)),
        ("limits::FUNCTION_TIMEOUT_MS_MAX", s(FUNCTION_TIMEOUT_MS_MAX)),
        ("limits::FUNCTION_MEMORY_MB_MAX", format!("128 MB to {} MB", thousands(FUNCTION_MEMORY_MB_MAX))),
        ("limits::MEMORY_MB_PER_VCPU", format!("{} MB", thousands(MEMORY_MB_PER_VCPU))),
        ("limits::UPLOAD_PARTS_MAX", thousands(UPLOAD_PARTS_MAX as u64)),
        ("limits::UPLOAD_PART_BYTES_MIN", mib(UPLOAD_PART_BYTES_MIN)),
        ("limits::ITEM_BYTES_MAX", format!("{} KB", ITEM_BYTES_MAX >> 10)),
        ("limits::BATCH_WRITE_ITEMS_MAX", BATCH_WRITE_ITEMS_MAX.to_string()),
        ("limits::BATCH_GET_KEYS_MAX", BATCH_GET_KEYS_MAX.to_string()),
        ("lambda::CONCURRENCY_NEW_ACCOUNT", lambda::CONCURRENCY_NEW_ACCOUNT.to_string()),
        ("lambda::CONCURRENCY_UNRESERVED_MIN", lambda::CONCURRENCY_UNRESERVED_MIN.to_string()),
        ("lambda::RAMP_ENVIRONMENTS", thousands(lambda::RAMP_ENVIRONMENTS)),
        ("lambda::RAMP_MS", s(lambda::RAMP_MS)),
        ("lambda::INVOKES_PER_ENVIRONMENT_PER_S", lambda::INVOKES_PER_ENVIRONMENT_PER_S.to_string()),
        ("lambda::CONTROL_REQUESTS_PER_S", lambda::CONTROL_REQUESTS_PER_S.to_string()),
        ("lambda::GET_FUNCTION_PER_S", lambda::GET_FUNCTION_PER_S.to_string()),
        ("lambda::EVENT_RETRIES_MAX", format!("{} times", lambda::EVENT_RETRIES_MAX)),
        ("lambda::EVENT_RETRY_WAITS_MS", lambda::EVENT_RETRY_WAITS_MS.map(s).join(" and ")),
        ("lambda::THROTTLED_WAIT_MS", s(lambda::THROTTLED_WAIT_MS)),
        ("lambda::THROTTLED_WAIT_FACTOR", lambda::THROTTLED_WAIT_FACTOR.to_string()),
        ("lambda::THROTTLED_WAIT_MS_MAX", min(lambda::THROTTLED_WAIT_MS_MAX)),
        ("lambda::EVENT_AGE_MS_MAX", hours(lambda::EVENT_AGE_MS_MAX)),
        ("lambda::DUPLICATES_PER_MILLION", lambda::DUPLICATES_PER_MILLION.to_string()),
        ("lambda::RECURSION_DEPTH_MAX", lambda::RECURSION_DEPTH_MAX.to_string()),
        ("lambda::INIT_MS_MAX", s(lambda::INIT_MS_MAX)),
        ("lambda::IDLE_MS", min(lambda::IDLE_MS)),
        ("lambda::ENVIRONMENT_AGE_MS_MAX", hours(lambda::ENVIRONMENT_AGE_MS_MAX)),
        ("lambda::NETWORK_BYTES_PER_S", mb_s(lambda::NETWORK_BYTES_PER_S)),
        ("lambda::INVOKE_EVENT", took(lambda::INVOKE_EVENT)),
        ("lambda::INVOKE_WARM", took(lambda::INVOKE_WARM)),
        ("lambda::WARM_START", took(lambda::WARM_START)),
        ("lambda::COLD_START", took(lambda::COLD_START)),
        ("lambda::INIT", took(lambda::INIT)),
        ("lambda::CONTROL", took(lambda::CONTROL)),
        ("s3::WRITES_PER_PREFIX_PER_S", thousands(s3::WRITES_PER_PREFIX_PER_S)),
        ("s3::READS_PER_PREFIX_PER_S", thousands(s3::READS_PER_PREFIX_PER_S)),
        ("s3::PREFIX_SPLIT_MS", min(s3::PREFIX_SPLIT_MS)),
        ("s3::STREAM_BYTES_PER_S", mb_s(s3::STREAM_BYTES_PER_S)),
        ("s3::GET", took(s3::GET)),
        ("s3::PUT", took(s3::PUT)),
        ("s3::HEAD", took(s3::HEAD)),
        ("s3::LIST", took(s3::LIST)),
        ("s3::DELETE", took(s3::DELETE)),
        ("s3::CREATE_UPLOAD", took(s3::CREATE_UPLOAD)),
        ("s3::COMPLETE_UPLOAD", took(s3::COMPLETE_UPLOAD)),
        ("s3::SKEW_MS_MAX", min(s3::SKEW_MS_MAX)),
        ("dynamodb::WRITE_UNITS_PER_KEY_PER_S", thousands(dynamodb::WRITE_UNITS_PER_KEY_PER_S)),
        ("dynamodb::READ_UNITS_PER_KEY_PER_S", thousands(dynamodb::READ_UNITS_PER_KEY_PER_S)),
        ("dynamodb::TABLE_WRITE_UNITS_PER_S", thousands(dynamodb::TABLE_WRITE_UNITS_PER_S)),
        ("dynamodb::TABLE_READ_UNITS_PER_S", thousands(dynamodb::TABLE_READ_UNITS_PER_S)),
        ("dynamodb::TABLE_DOUBLES_MS", min(dynamodb::TABLE_DOUBLES_MS)),
        ("dynamodb::TABLE_UNITS_PER_S_MAX", thousands(dynamodb::TABLE_UNITS_PER_S_MAX)),
        ("dynamodb::BURST_MS", min(dynamodb::BURST_MS)),
        ("dynamodb::QUERY_PAGE_BYTES_MAX", format!("{} MB", dynamodb::QUERY_PAGE_BYTES_MAX >> 20)),
        ("dynamodb::TRANSACTION_ACTIONS_MAX", dynamodb::TRANSACTION_ACTIONS_MAX.to_string()),
        ("dynamodb::TRANSACTION_TOKEN_MS", min(dynamodb::TRANSACTION_TOKEN_MS)),
        ("dynamodb::EXPIRED_KEPT_MS", format!("{} days", dynamodb::EXPIRED_KEPT_MS / 1_000 / DAY_S)),
        ("dynamodb::GET", took(dynamodb::GET)),
        ("dynamodb::UPDATE", took(dynamodb::UPDATE)),
        ("dynamodb::QUERY", took(dynamodb::QUERY)),
        ("dynamodb::TRANSACT", took(dynamodb::TRANSACT)),
        ("dynamodb::SKEW_MS_MAX", min(dynamodb::SKEW_MS_MAX)),
        ("schedule::PERIOD_MS_MIN", min(schedule::PERIOD_MS_MIN)),
        ("schedule::LATE_MS_MAX", s(schedule::LATE_MS_MAX)),
        ("logs::DELAY_MS", s(logs::DELAY_MS)),
    ]
}

#[test]
fn the_model_of_aws_is_written_down_with_the_numbers_of_the_constants() {
    let page = fs::read_to_string(root().join(kinglet_core::model::PAGE)).unwrap();
    let modelled = modelled();
    for (name, value) in &modelled {
        let named = format!("| `{name}` |");
        let rows: Vec<&str> = page.lines().filter(|line| line.contains(&named)).collect();
        assert_eq!(rows.len(), 1, "{name}: {rows:?}");
        // The value's cell stands before the constant's.
        let cell = rows[0].split(&named).next().unwrap().rsplit('|').next().unwrap();
        let ends = |rest: &str| !rest.trim_start_matches([',', '.']).starts_with(|c: char| c.is_ascii_digit());
        let at = cell.find(value.as_str()).unwrap_or_else(|| panic!("{name} is {value}: {}", rows[0]));
        assert!(ends(&cell[at + value.len()..]) && !cell[..at].ends_with(|c: char| c.is_ascii_digit()), "{}", rows[0]);
    }
    // Every constant is there, and the section that it names.
    let source = fs::read_to_string(root().join("core/src/model.rs")).unwrap();
    let mut module = "";
    for line in source.lines() {
        if let Some(name) = line.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(" {")) {
            module = name;
        } else if let Some(rest) = line.strip_prefix("    pub const ").filter(|rest| !rest.starts_with("fn ")) {
            let name = format!("{module}::{}", rest.split(':').next().unwrap());
            assert!(modelled.iter().any(|(known, _)| *known == name), "{name} is not on the page");
        }
    }
    let docs: Vec<&str> = source.lines().map(|line| line.trim().trim_start_matches("///").trim()).collect();
    let docs = docs.join(" ");
    let sections: Vec<&str> = docs.split("Section *").skip(1).map(|rest| rest.split('*').next().unwrap()).collect();
    assert!(sections.len() > 40, "{} constants name a section", sections.len());
    for section in sections {
        assert!(page.lines().any(|line| line == format!("### {section}")), "there is no section {section}");
    }
}

#[test]
fn every_source_of_the_model_is_linked_and_every_link_is_used() {
    let page = fs::read_to_string(root().join(kinglet_core::model::PAGE)).unwrap();
    let (links, text): (Vec<&str>, Vec<&str>) =
        page.lines().partition(|line| line.starts_with('[') && line.contains("]: http"));
    let text = text.join("\n");
    let linked: Vec<&str> = links.iter().map(|line| line[1..].split("]: ").next().unwrap()).collect();
    assert!(linked.len() > 40);
    for name in &linked {
        assert!(text.contains(&format!("[{name}]")), "{name} is not used");
    }
    // What stands in brackets and is no link in its own right is one of these.
    for used in text.split('[').skip(1) {
        let (name, rest) = used.split_once(']').unwrap();
        assert!(rest.is_empty() || rest.starts_with('(') || linked.contains(&name), "[{name}] leads nowhere");
    }
    // Each line of a table of behaviours has a source.
    for row in text.lines().filter(|line| line.starts_with("| ") && line.matches(" | ").count() == 4) {
        let source = row.split(" | ").nth(3).unwrap();
        let has = source.contains('[') || source.contains("**assumption**") || source == "source";
        assert!(has, "no source: {row}");
    }
}

/// The options that a text names: `--` and a name of small letters.
fn options(text: &str) -> BTreeSet<&str> {
    let named =
        text.match_indices("--").filter(|(at, _)| !text[..*at].ends_with(|c: char| c == '-' || c.is_alphanumeric()));
    let ends = |rest: &str| rest.find(|c: char| !(c == '-' || c.is_ascii_lowercase())).unwrap_or(rest.len());
    let names = named.map(|(at, _)| &text[at + 2..]).map(|rest| &rest[..ends(rest)]);
    names.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())).collect()
}

/// `tests/cli.rs` holds the help texts to what the command says.
#[test]
fn the_reference_has_the_options_of_the_help_and_no_others() {
    let page = fs::read_to_string(root().join("docs/reference/command.md")).unwrap();
    let texts = fs::read_dir(root().join("tests/golden")).unwrap().map(|entry| entry.unwrap().path());
    let helps = texts.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("help"));
    let helps = helps.map(|path| fs::read_to_string(path).unwrap()).collect::<Vec<_>>().join("\n");
    let mut helped = options(&helps);
    assert!(helped.remove("help") && helped.remove("version"));
    assert_eq!(options(&page), helped);
    let whole = fs::read_to_string(root().join("tests/golden/help.txt")).unwrap();
    let listed = whole.split("\nCommands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    for name in commands.into_iter().filter(|name| !name.is_empty() && *name != "help") {
        let named =
            [format!("`kinglet {name}"), format!(", `{name}`")].iter().any(|title| page.contains(title.as_str()));
        assert!(named, "`kinglet {name}` is not on the page");
    }
}

/// The pages: those of the root, and all below `docs`.
fn pages() -> Vec<PathBuf> {
    let mut pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| root().join(name)).to_vec();
    let mut dirs = vec![root().join("docs")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { pages.push(path) }
        }
    }
    pages
}

#[test]
fn the_files_that_pages_name_are_there() {
    let (mut missing, mut named) = (Vec::new(), 0);
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        // Code in lines of its own is the user's.
        let prose = text.split("```").step_by(2);
        let names = prose.flat_map(|prose| prose.split('`').skip(1).step_by(2));
        for file in names.filter(|name| name.contains("/src/") && !name.contains([' ', '*', '<'])) {
            named += 1;
            if !root().join(file).exists() {
                missing.push(format!("{}: {file}", page.display()));
            }
        }
    }
    assert!(named > 10, "pages name {named} files");
    assert!(missing.is_empty(), "{missing:#?}");
}
