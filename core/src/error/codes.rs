//! The one table of error codes.
//!
//! To add a code, add one entry below: its name, its text, what it means, and the way out. The group it stands in says who
//! must act and whether the task is tried again. The text is the name in kebab-case and never changes once released. Nothing
//! else is to be done: `Error::new(Code::ItsName, message)` takes the rest from here, and so does `docs/reference/errors.md`,
//! which the tests rewrite with `KINGLET_UPDATE_GOLDEN=1`. A code that nothing uses any more fails a test.
//!
//! A code says what a program, or a person who searches for it, would act upon. Errors that call for the same action share a
//! code, and their messages tell them apart. Errors that differ in who must act, or in whether the task is tried again, have
//! different codes.

use super::ErrorKind;

/// Whether a task that failed with an error is tried again without anybody changing anything.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Not tried again: it would fail again.
    Never,
    /// Tried again as it is.
    AsItIs,
    /// Tried again with less to do or with more memory.
    Relieved,
}

/// A code's entry in the table.
pub(super) struct Entry {
    pub(super) text: &'static str,
    pub(super) kind: ErrorKind,
    pub(super) again: Again,
    pub(super) meaning: &'static str,
    pub(super) way_out: &'static str,
}

macro_rules! codes {
    ($($kind:ident, $again:ident {
        $($name:ident = $text:literal, $meaning:literal, $way_out:literal;)*
    })*) => {
        /// An error code: what went wrong, for programs. The reference page "Errors" lists each code with its way out.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(
                #[doc = concat!("`", $text, "`: ", $meaning)]
                $name,
            )*)*
        }

        impl Code {
            /// All codes in the order of the table.
            pub const ALL: &'static [Code] = &[$($(Code::$name,)*)*];

            /// Returns the code of this text, if this version knows it.
            pub fn of(text: &str) -> Option<Self> {
                match text {
                    $($($text => Some(Code::$name),)*)*
                    _ => None,
                }
            }

            pub(super) const fn entry(self) -> Entry {
                match self {
                    $($(Code::$name => Entry {
                        text: $text,
                        kind: ErrorKind::$kind,
                        again: Again::$again,
                        meaning: $meaning,
                        way_out: $way_out,
                    },)*)*
                }
            }
        }
    };
}

impl Code {
    /// Returns the code's text: stable, in kebab-case.
    pub const fn as_str(self) -> &'static str {
        self.entry().text
    }

    /// Returns who must act.
    pub const fn kind(self) -> ErrorKind {
        self.entry().kind
    }

    /// Returns whether a task that failed with this code is tried again.
    pub const fn again(self) -> Again {
        self.entry().again
    }

    /// Returns what the code means, as a sentence.
    pub const fn meaning(self) -> &'static str {
        self.entry().meaning
    }

    /// Returns the way out, as a sentence.
    pub const fn way_out(self) -> &'static str {
        self.entry().way_out
    }

    /// Returns whether AWS credentials could not be had, have expired or were refused.
    pub const fn is_of_credentials(self) -> bool {
        matches!(
            self,
            Code::Credentials | Code::CredentialsExpired | Code::CredentialsMissing | Code::CredentialsProvider
        )
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

codes! {
    Input, Never {
        // Inputs.
        InputMissing = "input-missing",
            "Nothing is at a path, a prefix or a pattern, or there is no input or no item at all.",
            "Name a file, a directory, a pattern in quotes or `s3://BUCKET/KEY` that there is.";
        InputUnreadable = "input-unreadable",
            "A file or directory cannot be read.",
            "Check the path and its permissions.";
        InputKind = "input-kind",
            "An input is neither a file nor a directory; or items were given to a job that reads objects, or the other way round.",
            "Write what comes through a pipe to a file first; start a job of items with `run_items` or `submit_items`.";
        InputName = "input-name",
            "A file's name is not UTF-8, which S3's keys are.",
            "Rename the file.";
        ObjectChanged = "object-changed",
            "An object has changed since it was listed, by the job or by an inventory, or is gone.",
            "Run the job again when nothing writes to its input; take a newer inventory if the object came from one.";
        ObjectMissing = "object-missing",
            "An object that is to be read is not there.",
            "Check its name, and whether something removes objects of the bucket, as a lifecycle rule may.";
        PathCondition = "path-condition",
            "A condition on the values in the paths of the input cannot be read.",
            "Write it as `year=2026`, `month>=10`, `city!=Oslo` or `day=1,2,3`.";
        InputTwice = "input-twice",
            "An object is in two of the job's inputs, or twice in one; it would be counted twice.",
            "Name it once.";
        InputList = "input-list",
            "A list of inputs cannot be used: it names nothing, too much, or what is no object.",
            "Write one `s3://BUCKET/KEY` or one path a line, 10,000 at most.";
        Inventory = "inventory",
            "An S3 Inventory report cannot be used: its manifest or a row of it is none, it is of another bucket, or a file of it is not what its checksum says.",
            "Name the `manifest.json` that S3 Inventory has written, where S3 has written it; take the newest one.";
        Pattern = "pattern",
            "A pattern of inputs cannot be read.",
            "Put a character that is meant as it is into brackets: `[[]` for `[`.";
        Uri = "uri",
            "A URI names no bucket or no object.",
            "Write `s3://BUCKET/KEY`.";
        LocalPath = "local-path",
            "A path is on this machine, where the functions of a stack cannot reach it.",
            "Copy the files to S3, or run on the embedded runtime.";
        Bucket = "bucket",
            "The embedded runtime can make no bucket of a local path.",
            "Check the path and its permissions.";
        RecordCut = "record-cut",
            "An object of records of a fixed length ends within one.",
            "Look whether the object is cut short, and whether its records have the length that the job says.";
        RecordInvalid = "record-invalid",
            "A record of the input is not what its format says, or not of the type that the job reads; the message names its object and offset.",
            "Mend or remove the record, let the job's type take it, or allow some to be left out (`--max-rejected`).";
        TooManyRejected = "too-many-rejected",
            "More records of the input are not valid than the job may leave out; the message names how many, and the first of them.",
            "Mend the input, or say how it is written; allow more (`--max-rejected`) if so many may be left out.";
        MaxRejected = "max-rejected",
            "The number or the share of records that may be left out cannot be read, or is not allowed for this job's input.",
            "Write a number, as in `20`, or a share, as in `0.1%`.";
        Columns = "columns",
            "A column that is named is not in an object of the input, its type is not one that is read, compared or written so, or objects disagree on it; the message names column and object.",
            "See with `kinglet look` which columns the object has, and name those, or read objects of one kind.";
        ParquetCorrupt = "parquet-corrupt",
            "An object that is read as Parquet is none, is cut short, or is damaged.",
            "Write or copy the object again, or leave it out of the input.";
        ParquetEncrypted = "parquet-encrypted",
            "A Parquet file is encrypted, in whole or in columns that are read.",
            "Write it without encryption; S3 encrypts objects by itself.";
        AvroCorrupt = "avro-corrupt",
            "An object that is read as Avro is none, is cut short, or is damaged; the message names the block.",
            "Write or copy the object again, or leave it out of the input.";
        AvroSchema = "avro-schema",
            "An Avro file is of a schema, or compressed by a codec, that is not read.",
            "Write it by a record without itself in it, and with null, deflate, snappy, zstandard, bzip2 or xz.";
        AvroBlock = "avro-block",
            "A block of an Avro file takes more memory than a function has for it.",
            "Give the functions more memory, or write the file in smaller blocks.";
        FormatContradiction = "format-contradiction",
            "An object's first bytes say that it is in another format than it is read in.",
            "Say the format of the input with `--format`, or leave the object out.";
        FormatMissing = "format-missing",
            "The input or the output is in a format that the functions are built without.",
            "Build the program with the feature of `kinglet` that the message names.";
        Aggregate = "aggregate",
            "What is to be computed of groups of rows cannot be read, or gives two columns of one name.",
            "Write it like `count(), sum(price) as total`; there are `count`, `sum`, `avg`, `min` and `max`.";
        SortBy = "sort-by",
            "What rows are to be sorted by cannot be read, names a column twice, or is not said.",
            "Write columns with commas between, as in `--by 'price desc, town'`; behind one may stand `as text` or `as number`, `asc` or `desc`, and `nulls first` or `nulls last`.";
        JoinOn = "join-on",
            "By which columns rows are to be joined cannot be read, or is not said.",
            "Write columns with commas between, as in `--on 'customer = id, day'`: that of the left side, `=`, and that of the right one, or one name where both sides have it; behind it may stand `as text` or `as number`.";
        JoinTypes = "join-types",
            "Rows are to be joined by columns whose values are of different types, as numbers and text, so that none are equal.",
            "Join by other columns, or say as what these are compared: `--on 'customer = id as text'`.";
        Broadcast = "broadcast",
            "A side of a join cannot go to every function: its rows are written without a match, or have too many bytes.",
            "Leave `--broadcast` out: both sides are then merged.";
        ColumnAmbiguous = "column-ambiguous",
            "Both sides of a join have a column of a name that is used, and it is not said which is meant.",
            "Write `left.NAME` or `right.NAME`.";
        TopRows = "top-rows",
            "More of the first rows are asked for than are kept at once: more than 1,000,000, or than 256 MiB of them.",
            "Sort all rows with `kinglet run sort`, and read as many as you need.";
        Regex = "regex",
            "What rows are to be searched for is no regular expression.",
            "Mend the pattern; the message says where it goes wrong.";
        SplitGuess = "split-guess",
            "More splits were taken to begin outside of quotes, and do not, than can be read again: a job has 100,000 map tasks, and at most 1,000 of them read again. Each is due to a quoted field of more than 1 MiB which has line feeds in it and no quote next to text. Nothing was published.",
            "Read each object in one split: `--whole-objects` (`Submit::with_whole_objects`).";
        CodecUnknown = "codec-unknown",
            "An object of the input is compressed in a way that is not read here.",
            "Compress it by gzip, zstd, bzip2, LZ4, Snappy or xz, or leave it out; if it is not compressed, say so with `--input-compression none`.";
        CodecContradiction = "codec-contradiction",
            "An object's name says that it is compressed by one codec, and its first bytes say another, or none.",
            "Name the object for what it is, or say how all of the input is compressed with `--input-compression`.";
        CodecMissing = "codec-missing",
            "An object is compressed by a codec that the functions are built without.",
            "Build the program with the feature of `kinglet` that the message names.";
        CompressedCorrupt = "compressed-corrupt",
            "A compressed object of the input is cut short, is damaged, or has something behind its end; the message says at which byte of it.",
            "Copy or compress the object again, and check it with the codec's own tool, such as `gzip -t`.";
        CompressedMixed = "compressed-mixed",
            "An object that is read in several splits as BGZF or by its seek table has a part that cannot be read so.",
            "Compress it anew in one go, or give a split more bytes than the object has (`--split-bytes`).";
        Expansion = "expansion",
            "A compressed object becomes more times as long as the job lets it.",
            "If the object is meant to, allow more (`--expansion-max`).";
        UnpackWindow = "unpack-window",
            "To decompress an object takes a window or a dictionary that is too large for the function's memory.",
            "Give the functions more memory, or compress the object with a smaller window.";
        UnpackedRecord = "unpacked-record",
            "A record of a compressed object is too long for the function's memory.",
            "Give the functions more memory, or look whether the job reads the right format.";
        UnpackTime = "unpack-time",
            "An object that is compressed in one piece takes longer to decompress than a function may run.",
            "Compress it in pieces (`bzip2`, `bgzip`, or zstd with a seek table), or give the functions more time.";

        // Outputs.
        OutputExists = "output-exists",
            "The output holds a manifest already, or one of version 1, or files called `part-…` that belong to no result, and may not be replaced; or its `_manifest.json` is none of Kinglet's.",
            "Choose another output, or pass `--overwrite`, which replaces a result of Kinglet's and leaves all other files.";
        OutputInsideInput = "output-inside-input",
            "The output and an input lie in each other.",
            "Choose an output outside of the input.";
        OutputKind = "output-kind",
            "The output is a file, or lies below one.",
            "Name a directory.";
        OutputTaken = "output-taken",
            "Another job has the output, which the message names where it can; its `_owner.json` cannot be read; or the job's own claim was gone when it was to publish.",
            "Wait for that job, end it, or choose another output.";
        OutputChanged = "output-changed",
            "Something else changed or removed the manifest, a part or its upload before the job had published it, as a lifecycle rule of the bucket may.",
            "Run the job again, or choose another output.";
        OutputUnwritable = "output-unwritable",
            "Nothing can be made in the output directory.",
            "Check its permissions.";
        Output = "output",
            "An output has no name, is on this machine where it must be in S3, or cannot be resolved; or a measurement's own outputs cannot be made or removed.",
            "Name a directory or `s3://BUCKET/PREFIX`.";
        OutputFormat = "output-format",
            "The output cannot be written so that it can be read again: bytes of CSV could not be told apart, two columns have one name, text has named columns, or Parquet has no types or a codec that it does not know; or it is partitioned by columns that it does not have, by one twice, or by all of them.",
            "Change the delimiter or the names; say the types of the columns of Parquet.";
        Types = "types",
            "Types of columns are not written as they are read, or are none that can be stored.",
            "Write them as in `id bigint, price decimal(12,2), tags text[]`; `docs/guide/outputs.md` lists them.";
        PartMissing = "part-missing",
            "A part was asked for that the job has not written.",
            "Wait for the job's end.";

        // What is asked of a job.
        Partitions = "partitions",
            "A job cannot have so many partitions.",
            "Ask for a number within the limits (`--partitions`), or leave the choice to Kinglet.";
        SplitBytes = "split-bytes",
            "Splits of so many bytes hold nothing, or make more tasks than a job may have.",
            "Choose another size (`--split-bytes`), or leave the choice to Kinglet.";
        ItemsPerSplit = "items-per-split",
            "A split of no items holds nothing.",
            "Put one item or more into a split, or leave the choice to Kinglet.";
        ItemWeights = "item-weights",
            "The weights do not fit the items.",
            "Give one weight for each item, in the same order.";
        OverCeiling = "over-ceiling",
            "The plan of the job says that it costs more, or takes longer, than it may.",
            "Allow more (`--max-usd`, `--max-seconds`), give it less to do, or see with `kinglet plan` what the cost comes of.";
        Ceiling = "ceiling",
            "A job may not cost nothing, take no time, or have a ceiling that is no number.",
            "Give it a ceiling above zero, or none.";
        Prices = "prices",
            "The prices of the region are not known, or the file of prices cannot be read.",
            "Give a file with the region's prices (`--prices`); `docs/guide/cost.md` has its layout.";
        JobTimeout = "job-timeout",
            "A job is given no time at all, or more than 6 days.",
            "Give it some time, or cut it into several jobs.";
        CallsPerBatch = "calls-per-batch",
            "A batch of no calls does nothing.",
            "Put one call or more into a batch, or leave the choice to Kinglet.";
        CallsAtOnce = "calls-at-once",
            "An invocation cannot run so many calls at once.",
            "Choose from 1 to 512, or leave it at one for each thread.";
        NoInputs = "no-inputs",
            "A function is mapped over no inputs.",
            "Give it at least one.";

        // What a program registers.
        JobNotRegistered = "job-not-registered",
            "No job of this name is registered in the program or in the functions.",
            "Register it in `main` with `.job::<YourJob>()`; build or deploy the functions again if they are of another version of the program.";
        JobNameTaken = "job-name-taken",
            "Two jobs are registered under one name.",
            "Give one of them another `const NAME`.";
        NoJobs = "no-jobs",
            "A program starts a job and has registered none.",
            "Start it with `kinglet::main(Registry::new().job::<YourJob>(), …)`, first thing in `main`.";
        FunctionNotRegistered = "function-not-registered",
            "A function that is to be called is not registered in the program or in the functions.",
            "Register it in `main` with `Registry::new().function(your_function)`; build or deploy the functions again if they are of another version of the program.";
        FunctionNameTaken = "function-name-taken",
            "Two functions are registered under one name.",
            "Give one of them a name of its own with `.named_function(\"name\", function)`.";
        ProgramFailed = "program-failed",
            "A program that uses Kinglet could not go on, for a reason of its own: its arguments, or a file that it reads or writes. Kinglet itself does not raise it.",
            "Do what the program says.";

        // Which job is meant.
        JobMissing = "job-missing",
            "There is no such job, or not any more: jobs are kept for 7 days.",
            "Look for it with `kinglet jobs`; for those on AWS, add `--stack NAME`.";
        StoredMissing = "stored-missing",
            "The stack keeps no job under this name.",
            "`kinglet stored` lists those that it keeps; `kinglet run … --store NAME` stores one.";
        StoredJob = "stored-job",
            "A job cannot be stored so, or started so: its name, its input, its output, or the event.",
            "Do what the message says; the guide \"Jobs that start themselves\" has the rules.";
        JobAmbiguous = "job-ambiguous",
            "Several jobs may be meant.",
            "Give more of the id; its second half will do, too.";
        JobEnded = "job-ended",
            "A job of this machine does not run any more.",
            "Ask how it ended with `kinglet status`.";
        JobExists = "job-exists",
            "The ledger has a job of this id already.",
            "Submit the job again: it gets another id.";
        JobId = "job-id",
            "A text is no job's id.",
            "Write letters, digits and `-` only, at most 64.";
        JobKind = "job-kind",
            "A job is attached to as what it is not: a job with an output, a map of calls, or one that a function reduces.",
            "Attach to it with the method that the hint names.";
        JobsMissing = "jobs-missing",
            "A map is attached to, and none of its jobs is named.",
            "Name all jobs of the map.";
        JobsOfTwoMaps = "jobs-of-two-maps",
            "Jobs of two maps are attached to as one.",
            "Attach to each map by itself.";
        OutputType = "output-type",
            "The results of a map are of another type than is asked for.",
            "Attach to it with the type that the function returns.";
        StateDir = "state-dir",
            "There is no directory for the records of this machine's jobs, or it cannot be read or written.",
            "Set `HOME`, or `KINGLET_STATE_DIR` to a directory, and check its permissions.";
        RecordUnreadable = "record-unreadable",
            "The record of a job of this machine cannot be read.",
            "Remove it, or use the version of Kinglet that wrote it.";

        // AWS, and what it lets one do.
        AccessDenied = "access-denied",
            "S3, DynamoDB, Lambda or CloudFormation refused; on the embedded runtime, the file system did.",
            "Give the role or user that asks the permission that the message names; locally, check the permissions of the path.";
        BucketMissing = "bucket-missing",
            "There is no such bucket.",
            "Create the bucket or mend its name.";
        Region = "region",
            "A bucket is in another region than the stack; the message names both.",
            "Use a stack in the bucket's region, or copy the objects.";
        RegionMissing = "region-missing",
            "No AWS region is set.",
            "Pass `--region`, set `AWS_REGION`, or give the profile one.";
        ProfileMissing = "profile-missing",
            "The profile that was named is in no file of AWS's tools, or these cannot be read.",
            "Name one that is there: `aws configure list-profiles` lists them.";
        CredentialsMissing = "credentials-missing",
            "There are no AWS credentials.",
            "Sign in with `aws login` or `aws configure`, name a profile with `--profile`, or set `AWS_ACCESS_KEY_ID`.";
        CredentialsExpired = "credentials-expired",
            "The AWS credentials have expired.",
            "Sign in again, or renew the keys in the environment.";
        Credentials = "credentials",
            "AWS does not take the credentials, or they cannot be had.",
            "Check whose they are with `aws sts get-caller-identity`, and sign in again.";
        Rejected = "rejected",
            "A service refused a request.",
            "Read what the service says in the message; report it if it is no setting of yours.";
        Precondition = "precondition",
            "S3 refused a write, as the object was not as it was to be.",
            "Run it again when nothing else writes there.";
        Range = "range",
            "S3 was asked for bytes that the object does not have.",
            "Run the job again when nothing writes to its input.";
        StackMissing = "stack-missing",
            "There is no stack of this name in the region.",
            "Name one of those that the hint lists, or deploy one.";
        NotAStack = "not-a-stack",
            "The memory of the embedded runtime's functions was to be changed, which is chosen when it is started.",
            "Use `Local::with_memory_mb`.";

        // Shipped programs.
        Program = "program",
            "The executable that is to be shipped cannot be found or read.",
            "Check the path and its permissions.";
        ProgramMissing = "program-missing",
            "The executable that is to be shipped, or the object in S3 that it became, is not there.",
            "Name the executable to ship with `Program::File`; start the driver again, which uploads the program.";
        ProgramSystem = "program-system",
            "The program is built for another system than Linux.",
            "Build it for the functions: the hint has the commands.";
        ProgramKind = "program-kind",
            "What is to be shipped is no executable for Linux, or a shared library.",
            "Name the executable, built for the functions: the hint has the commands.";
        ProgramDamaged = "program-damaged",
            "The executable is cut short or damaged.",
            "Build it again.";
        ProgramArchitecture = "program-architecture",
            "The program is built for another processor than the functions'.",
            "Build it for the functions: the hint has the commands.";
        ProgramLoader = "program-loader",
            "The program is loaded by a loader that the functions do not have, as that of musl.",
            "Build it for the functions: the hint has the commands.";
        ProgramGlibc = "program-glibc",
            "The program needs a later glibc than the functions have.",
            "Build it for the functions: the hint has the commands.";
        ProgramLibrary = "program-library",
            "The program needs a shared library that the functions do not have.",
            "Link the library statically: most `-sys` crates have a feature `vendored` or `static` for it.";
        ProgramLoad = "program-load",
            "A function's system could not load or run a shipped program.",
            "Build it statically (musl) if libraries are missing; give the embedded runtime another `--data-dir` if its directory is mounted with `noexec`.";
        ProgramId = "program-id",
            "A task names a program by what is no SHA-256.",
            "Invoke the functions through Kinglet only.";
        Architecture = "architecture",
            "There are no functions for such a processor.",
            "Use `x86_64` or `arm64`: Lambda has no others.";
        ShippingForbidden = "shipping-forbidden",
            "The stack was deployed with `ShippedPrograms=forbid`.",
            "Deploy it with `ShippedPrograms=allow`, or with functions that hold the jobs.";

        // The built-in jobs and the command.
        NotANumber = "not-a-number",
            "A number of `kinglet run primes` is none.",
            "Write a whole number from 0 to 2^64-1, such as `1000000`, `1_000_000`, `1e12` or `10^12`.";
        RangeReversed = "range-reversed",
            "A range of `kinglet run primes` ends before it begins.",
            "Name the smaller end first.";
        ListTooLong = "list-too-long",
            "A list of primes would be longer than the limit.",
            "List a shorter range, or ask for the number of the primes or their sum.";
        Format = "format",
            "`kinglet run hull` cannot tell how the points are written, or was told what does not go together.",
            "Say it with `--format csv`, `--format jsonl` or `--format f64`, and leave away what another format needs.";
        Dimensions = "dimensions",
            "`kinglet run hull` was given a third coordinate and told that there are two.",
            "Leave away `--z` or `--dimensions`.";
        ColumnMissing = "column-missing",
            "An object of the input has no column of a name that the job reads, or two; the message names the columns that it has.",
            "Leave the object out, or read what all objects have. Of points, name the columns with `--x`, `--y` and `--z`, their delimiter with `--delimiter`; count them from 1 with `--no-header`.";
        CsvQuotes = "csv-quotes",
            "A quoted field does not end on its line.",
            "Leave such columns out, or write JSON lines.";
        Point = "point",
            "A row has no point.",
            "Give every row a finite number for each coordinate.";
        NoPoints = "no-points",
            "There are no points in the input, so there is no hull.",
            "Name an input that has some.";
        NotFinite = "not-finite",
            "A coordinate is NaN or infinite.",
            "Leave such points out.";
        Svg = "svg",
            "A picture cannot be written, or is asked for of points in space.",
            "Name a file in a directory that can be written; leave `--svg` away for points in space.";
        MemoryTwice = "memory-twice",
            "`kinglet tune` was given a size of memory twice.",
            "Name each size once; `--runs` says how often it is measured.";
        Report = "report",
            "A report, or a benchmark's results, cannot be written as JSON.",
            "Report it: this is a defect.";
        Page = "page",
            "The page of a job's report, a manual page, or what completes words in a shell cannot be written.",
            "Name a place that can be written; `kinglet report` writes a report's page again.";
        Project = "project",
            "A new project cannot be made: its directory is not empty, cannot be written, or cannot name a program; or the library is not where it was said to be.",
            "Name a directory that is not there yet, with a name of letters, digits, `-` and `_`.";
        Shell = "shell",
            "Which shell is in use, or where it looks for a user's files, cannot be told.",
            "Name the shell; without `--install` what completes its words is printed, to be put where you want it.";
        Problems = "problems",
            "`kinglet doctor` found problems.",
            "Do what each of them says.";
        CodeMissing = "code-missing",
            "`kinglet explain` was asked for an error code that does not exist.",
            "The hint has the codes that are like it; without a code, it lists all.";
        Stdout = "stdout",
            "Standard output refused a line: the device is full, say. A reader that has gone, such as `head`, is no error.",
            "Write it elsewhere. What a job has published stays, and `kinglet status last` shows its report again.";
    }

    UserCode, Never {
        MapFailed = "map-failed",
            "The job's `map` returned an error; the message names the record's place.",
            "Mend the job's code, or the record.";
        ReduceFailed = "reduce-failed",
            "The job's `reduce` returned an error; the message names the key.",
            "Mend the job's code.";
        SlowKey = "slow-key",
            "Reducing one key takes longer than a function lives; the message names it. A reducer that needs more time hands on, but only between two keys.",
            "Give functions more time (`Timeout`, at most 900 s) or memory, which brings CPU; combine the values in mappers (`Job::combiner`); or spread a key that has most of the values over several, as `(key, n)`, and add up their results.";
        OutputColumns = "output-columns",
            "A record of the result has other columns than the output, or than the first record of its part.",
            "Name all columns that records may have (`--columns`, `OutputFormat::with_columns`), or write JSON lines.";
        NotSummed = "not-summed",
            "A value that is to be added to others is no number; the message names it and its place.",
            "Mend the input, or leave such rows out.";
        SumTooLarge = "sum-too-large",
            "An exact sum has more than 38 digits, or a float that is to be added is larger than 2^960 (about 10^289).",
            "Leave such values out, or add them in a job of yours.";
        OutputValue = "output-value",
            "A record of the result has a value that the output's format has no way to write, such as NaN in JSON; or a list, a struct, bytes that are no text or text of more than 255 bytes where it should name a folder.",
            "Write another value, or another format; partition by another column.";
        CallFailed = "call-failed",
            "A function that was called returned an error; `call N` says for which input.",
            "Mend the function, or its input.";
        PermanentFailure = "permanent-failure",
            "A function that was called for an object says that another try cannot mend what is wrong; the message says what.",
            "Mend the object or the function, and call it for the objects of the report's failed part again.";
        Panic = "panic",
            "The job's code, or a function that was called, panicked; the message says on what.",
            "Mend the code.";
        Exited = "exited",
            "A shipped program ended itself in the middle of a task.",
            "Return errors, and do not call `std::process::exit`.";
        StackOverflow = "stack-overflow",
            "A shipped program overflowed its stack.",
            "Use a loop where the code calls itself too deeply, or a thread with a larger stack.";
        ProgramStart = "program-start",
            "A shipped program ended before it asked for work.",
            "Start it with `kinglet::main`, first thing in `main`: what stands before it runs in every function, too.";
        DriverInWorker = "driver-in-worker",
            "The job's code, or what stands before `kinglet::main`, starts a driver inside a function.",
            "Start drivers in the closure that `kinglet::main` is given.";
        Bounds = "bounds",
            "The bounds that a job gives its parts are not in ascending order.",
            "Sort them.";
        KeyEncode = "key-encode",
            "A key does not serialise.",
            "Mend the `Serialize` of its type.";
        ValueEncode = "value-encode",
            "An item, a value or a call's input does not serialise.",
            "Mend the `Serialize` of its type.";
        Workload = "workload",
            "What a job says of its own work has an amount that is below zero, or no number.",
            "Mend its `workload`.";
    }

    StaleDeployment, Never {
        WireVersion = "wire-version",
            "The stack speaks another wire format than the driver.",
            "Deploy the stack or update the program: the hint says which side is older.";
        StackState = "stack-state",
            "The stack is not whole, or, for a new job, is being changed.",
            "Wait until the deployment is over, or deploy again.";
        StackOutputs = "stack-outputs",
            "The stack is not Kinglet's, or of a version that lacks an output.",
            "Name a stack that was deployed from Kinglet's `template.yaml`, and deploy this version's.";
        SplitterSilent = "splitter-silent",
            "The splitter can be run, was sent its event again and again for a quarter of an hour, and has not said that it began.",
            "Build the functions and deploy the stack again; `kinglet doctor` and the splitter's log say more.";
        FunctionMissing = "function-missing",
            "A function is not built, or was deleted from the stack.",
            "Build the functions, or deploy the stack again.";
        ResourceMissing = "resource-missing",
            "A table or a function of the stack is gone.",
            "Deploy the stack, or check its name and region.";
        JobTypes = "job-types",
            "A job has other types in the functions than in the driver.",
            "Build or deploy the functions again.";
        JobParams = "job-params",
            "The functions hold another version of a job, which cannot read its parameters.",
            "Build or deploy the functions again.";
        JobPhase = "job-phase",
            "A job is in a phase that this version does not know.",
            "Use the version of Kinglet that started it.";
        FunctionTypes = "function-types",
            "A function that was called has other types in the functions than in the driver.",
            "Build or deploy the functions again.";
        ItemType = "item-type",
            "The functions know another type of item than the driver.",
            "Build or deploy the functions again.";
        CallInput = "call-input",
            "The functions know another type of input than the driver.",
            "Build or deploy the functions again.";
        CallOutput = "call-output",
            "The functions know another type of output than the driver.",
            "Build or deploy the functions again.";
        SharedType = "shared-type",
            "The functions know another type of shared data than the driver.",
            "Build or deploy the functions again.";
        FrameVersion = "frame-version",
            "Something that a job has stored is of another version of Kinglet, as one of before an upgrade.",
            "Deploy again, or start the job again.";
        ProgramVersion = "program-version",
            "A shipped program was packed by another version of Kinglet than the functions'.",
            "Deploy again.";
        Event = "event",
            "A function was invoked by something else than Kinglet, or by another version of it.",
            "Deploy again; invoke the functions through Kinglet only.";
        Environment = "environment",
            "A function lacks an environment variable.",
            "Deploy with the template of this version.";
        Role = "role",
            "A program was started as a function of a kind that it does not know.",
            "Deploy again; start the program without `KINGLET_ROLE`.";
    }

    Limit, Never {
        Items = "items",
            "There are too many items, or they make too many tasks.",
            "Put more items into a split (`with_items_per_split`).";
        ItemTooLarge = "item-too-large",
            "An item has 4 GB or more.",
            "Keep it in S3, and let the item name it.";
        KeyTooLong = "key-too-long",
            "A key is longer than the limit.",
            "Emit a hash or a prefix of the key.";
        ValueTooLong = "value-too-long",
            "A value is longer than the limit.",
            "Emit it in pieces, or keep it in S3 and emit its name.";
        HeadTooLong = "head-too-long",
            "The first line of an object, which should name the columns, is longer than the limit.",
            "Look whether the input is in another format.";
        ResultTooLarge = "result-too-large",
            "A call returned more than 128 MiB.",
            "Write it to S3 with `context.put`, and return where it lies.";
        CallsCancelled = "calls-cancelled",
            "More than 50,000 calls of a map were cancelled one by one.",
            "Cancel the whole map with `Calls::cancel`.";
        CeilingPassed = "ceiling-passed",
            "The job has spent, or taken, what it may by its ceiling, or a further try of a task could; it was stopped.",
            "Allow more (`--max-usd`, `--max-seconds`), or give it less to do.";
        JobTooLong = "job-too-long",
            "The job took longer than it may: 24 h, or what it was given.",
            "Give it more time (`--job-timeout`), or less to do.";
        OutputFiles = "output-files",
            "A reduce task would begin more files in folders than it may: 20,000, or what `--max-files` says; or a job would publish more than 200,000. The columns that the output is partitioned by have too many values, or records do not come in their order.",
            "Partition by fewer columns, or by some with fewer values; let the job's keys begin with these columns (`Job::placed_by`); or allow more files (`--max-files`, `OutputFormat::with_files_max`).";
        TooManyPieces = "too-many-pieces",
            "32 tasks together were handed back about 3,500 times.",
            "Give tasks more time, or make splits or batches smaller.";
        ProgramTooLarge = "program-too-large",
            "The program is larger than one that is shipped may be.",
            "Build it with `--release`, and put what is data and not code into S3.";
        TooLarge = "too-large",
            "Something is larger than the service takes.",
            "Cut it: ask for more partitions where a part is too large.";
        NoSpace = "no-space",
            "There is no space for the output.",
            "Free some disk space.";
        TmpFull = "tmp-full",
            "A function's `/tmp` is full.",
            "Give the functions a larger `/tmp` or more memory, or cut the input into smaller splits (`--split-bytes`).";
        Tmp = "tmp",
            "A temporary directory cannot be written.",
            "Give the functions, and the driver, a temporary directory that can be written and is large enough.";
        LocalStart = "local-start",
            "The embedded runtime has no port or no directory, or cannot find its program.",
            "Give it free ports on 127.0.0.1 and a directory that can be written (`--data-dir`).";
    }

    Limit, Relieved {
        OutOfMemory = "out-of-memory",
            "A function ran out of memory. A map task is tried again on half of its split, then on the larger mapper; a reduce task as it is.",
            "Give the functions more memory, cut the input into smaller splits (`--split-bytes`), or hold less.";
    }

    StaleDeployment, AsItIs {
        RunVersion = "run-version",
            "A mapper and a reducer are of different versions.",
            "Deploy again. It is tried again first, as a byte that was damaged on its way looks the same.";
    }

    Input, AsItIs {
        // The clock of a function is AWS's own: there, a request stood still on its way.
        Clock = "clock",
            "This machine's clock is wrong, or a request stood still on its way, so that AWS does not take its signature.",
            "Set the clock: AWS refuses what is more than 5 minutes off.";
    }
    Service, AsItIs {
        Service = "service",
            "S3, DynamoDB or Lambda failed, or something else was writing at the same time.",
            "Run it again; look at AWS's status page if it lasts.";
        Throttled = "throttled",
            "An account's limit was met, or others were writing the same object or item all the time, and waiting did not help.",
            "Wait, lower `--concurrency`, or ask AWS for more.";
        Unreachable = "unreachable",
            "A service could not be reached.",
            "Check the network, the region and the endpoint.";
        Body = "body",
            "A service broke a reply off again and again.",
            "Check the network, and run it again.";
        CredentialsProvider = "credentials-provider",
            "What the credentials come from does not answer.",
            "Check the network and the profile.";
        Upload = "upload",
            "A part could not be sent, or its multipart upload was gone.",
            "Run the job again; see that no lifecycle rule of the bucket aborts uploads within a day.";
        UploadGone = "upload-gone",
            "A multipart upload was aborted while it was written or completed, as by a lifecycle rule.",
            "Run the job again; see that no lifecycle rule of the bucket aborts uploads within a day.";
        OutputContended = "output-contended",
            "Several jobs are started on one output at once, which changes hands all the time.",
            "Choose another output for each of them.";
        TurnTaken = "turn-taken",
            "Another driver or function has taken over bringing a job to its end.",
            "Wait: the other goes on.";
        TimedOut = "timed-out",
            "A function ran out of time, or the ledger did not answer one.",
            "Give the functions a longer timeout, or cut the input into smaller splits (`--split-bytes`).";
        Crashed = "crashed",
            "A function died; the message says how.",
            "Look into the function's log.";
        Aborted = "aborted",
            "A function called `abort()`, its stack overflowed, or the system refused it memory, which only its log can tell apart.",
            "Look into the function's log.";
        TaskLost = "task-lost",
            "The workers of a task, or of splitting, were lost without a word each time it was tried: no sign of life for 130 s (of splitting 40 s), and no failure from Lambda.",
            "Look into the function's log; give the functions more memory or a longer timeout.";
        Undelivered = "undelivered",
            "Lambda found no free function for six hours and gave the event up. This is no try, and does not fail a job.",
            "Lower `--concurrency` of the jobs that run, or ask AWS for more.";
        Engine = "engine",
            "A thread of a function stopped.",
            "Look into the function's log, and report it: this is a defect.";
        Threads = "threads",
            "A function, or the driver's machine, could not start threads.",
            "Let fewer calls run at once (`with_calls_at_once`), or fewer programs on the machine.";
        RunRead = "run-read",
            "A run could not be read.",
            "Run the job again.";
        ProgramSilent = "program-silent",
            "A shipped program did not ask for work within 10 s or within the function's time, or was ended by a signal before it did.",
            "Start it with `kinglet::main`, first thing in `main`; build it for a processor that the functions have.";
        ProgramRemoved = "program-removed",
            "A function's copy of a shipped program was removed, to make room for others, while it was being started.",
            "Give the functions a larger `/tmp` (`TmpSize`) if it happens often.";
        ProgramRenewed = "program-renewed",
            "A shipped program was uploaded again while a function fetched it.",
            "Wait: the next try reads the new one.";
        RuntimeApi = "runtime-api",
            "A function could not take its events from Lambda, or from what stands in for it.",
            "Look into the function's log.";
        FunctionUpdate = "function-update",
            "The memory of a stack's mapper could not be changed.",
            "Look at the function in the console, then try again when nobody else changes it.";
        ConditionIgnored = "condition-ignored",
            "A server took a write whose condition did not hold, as `kinglet doctor` found: results would not be exactly once.",
            "Use AWS, or a server that keeps conditions.";
        DriverLost = "driver-lost",
            "The program that ran a job on this machine was killed.",
            "Run it again.";
        Failed = "failed",
            "A job failed, and nothing says why.",
            "Look into its log with `kinglet logs`, and report it: this is a defect.";
        CallOpen = "call-open",
            "The result of a call was asked for that has not ended.",
            "Report it: this is a defect.";
    }

    Corrupt, AsItIs {
        FrameCorrupt = "frame-corrupt",
            "A record that a job has stored is not what was written.",
            "See that nothing else writes to the stack's bucket and table.";
        IndexMissing = "index-missing",
            "The index of a map task's output is gone.",
            "See that nothing else writes to the stack's table.";
        ItemsCorrupt = "items-corrupt",
            "Stored items, or the results of calls, are not what was written.",
            "See that nothing else writes to the stack's bucket and table.";
        PlanCorrupt = "plan-corrupt",
            "The plan of a job, or a split of it, is not what was written.",
            "See that nothing else writes to the stack's bucket.";
        ProgramCorrupt = "program-corrupt",
            "A shipped program in S3 is not what its name says.",
            "Start the driver again: it uploads what something else wrote over; else have that object removed.";
        ResultsMissing = "results-missing",
            "The results of a job of calls are gone.",
            "See that nothing else writes to the stack's bucket and table, and that the job is not older than 7 days.";
        RunCorrupt = "run-corrupt",
            "A run is not what was written.",
            "See that nothing else writes to the stack's bucket.";
        RunMagic = "run-magic",
            "What should be a run is none.",
            "See that nothing else writes to the stack's bucket.";
        RunTruncated = "run-truncated",
            "A run ends before its end mark.",
            "See that nothing else writes to the stack's bucket.";
        KeyDecode = "key-decode",
            "A key comes back as what its type cannot be.",
            "See that the `Serialize` and `Deserialize` of its type fit each other, and that all functions are of one version.";
        ValueDecode = "value-decode",
            "A value comes back as what its type cannot be.",
            "See that the `Serialize` and `Deserialize` of its type fit each other, and that all functions are of one version.";
        Manifest = "manifest",
            "A manifest could not be written as JSON.",
            "Report it: this is a defect.";
        Owner = "owner",
            "The claim to an output could not be written as JSON.",
            "Report it: this is a defect.";
        Part = "part",
            "A hull that is to be drawn is not lines of two numbers.",
            "See that nothing else writes to the output.";
    }

    Corrupt, Never {
        ObjectTooLarge = "object-too-large",
            "An object of Kinglet's own has more bytes than were written to it.",
            "See that nothing else writes to the stack's bucket, and remove what else has the name of a manifest or a claim.";
        Unreconciled = "unreconciled",
            "The sums of the job do not agree, so nothing was published.",
            "Report it: this is a defect.";
    }

    Cancelled, Never {
        Cancelled = "cancelled",
            "The job was ended by its handle or by `kinglet cancel`, the call by its future.",
            "Start it again, if that was not meant.";
        Interrupted = "interrupted",
            "The program that ran the job was ended, as by Ctrl-C.",
            "Start it again, if that was not meant.";
        DriverClosed = "driver-closed",
            "A call had not ended when its driver was closed or dropped.",
            "Wait for the calls before that.";
    }
}
