//! The whole-system tests, in one binary. Table of contents:
//!
//! | module | what it shows |
//! |---|---|
//! | `aggregate` | counts, sums, means and extremes of groups are those of exact arithmetic, whatever the format and the splits |
//! | `arrows` | the crates depend on each other as ARCHITECTURE.md says, and on nothing that they must not |
//! | `modules` | no modules of a crate depend on each other in a circle |
//! | `word_count` | the answer equals an independent count, however the input looks and the job is cut, stored and run; the manifest accounts for every byte |
//! | `bad_input` | inputs, outputs, disks and arguments that are wrong: a clear error, and nothing that looks whole |
//! | `inputs` | which objects a job reads: hidden ones are counted and left out, lists and values in paths choose, and none is read twice |
//! | `inventory` | jobs that read what an S3 Inventory report lists: the current objects as they are listed; what is damaged, of elsewhere or no longer so is refused |
//! | `for_each` | a function called for each object of a listing, a manifest or an inventory; what became of each is in the report, which is there whole or not at all |
//! | `compressed` | compressed input gives the words of the plain files, in whatever splits and pieces; what is damaged, unknown or not what it says is refused |
//! | `formats` | CSV and JSON lines have the same rows in all splits, and those that Python reads; rows counted, found, written and looked at; what is not valid is named with its place |
//! | `outputs` | results in every format and codec have the same rows, as Python reads them; what cannot be written is said |
//! | `avro` | Avro of every type and codec has the rows that fastavro reads, in all splits; what is damaged, odd or not read is refused |
//! | `parquet` | Parquet of every type and codec has the rows that pyarrow reads, in all splits; only the columns that are wanted are read; what is damaged, mixed or encrypted is refused |
//! | `rejected` | records that are not valid are left out where a job may, once each, and come back byte for byte; too many fail the job |
//! | `partitioned` | outputs in folders by the values of columns: read back by Kinglet, pyarrow and DuckDB as the same rows; ten thousand folders in bounded memory; whole or not at all |
//! | `parquet_outputs` | results as Parquet are read by pyarrow, DuckDB and pandas, with the right types; columns that differ between files and values that do not fit are named |
//! | `bench` | `kinglet bench` measures its whole set, says what it cost, and leaves nothing |
//! | `cost` | plans: the requests that they predict are counted, they start nothing, and what is above its ceiling is refused, or stopped as it reaches it |
//! | `cli` | help, report, progress and exit codes of the command; how it ends when it is interrupted or killed |
//! | `head` | the first rows of every format are printed as they are written, and hardly more is read than they need |
//! | `hull` | convex hulls from every format and cut; points that are wrong are named with their place |
//! | `faults` | workers that die, stall, lose their answer or run twice, refused invocations, deadlines: the same bytes come out |
//! | `long` | reducers that need longer than a function lives hand on; what comes out is what one would have written |
//! | `owners` | each output has one owner: races, overwriting, late workers, and what a job that fails leaves as it was |
//! | `ended` | an event bus is told of each job's end, and no job waits for it |
//! | `stored` | stored jobs start once for each start, with its time in their names, and after changes; tasks of Step Functions are told of their ends |
//! | `ends` | workers, drivers and whole programs that are killed at each step of a job's start and end; another goes on |
//! | `replies` | lost replies, conflicts and throttling: the job succeeds, with nothing run twice; what cleaning leaves alone |
//! | `runs` | intermediate results come back from every place where they lie, what is missing there is said, and they go when their job has succeeded |
//! | `merged` | runs that are merged before they are reduced: the same results byte for byte, in requests as the plan counts them, and whoever dies meanwhile is followed by another |
//! | `index` | the index of a job's runs: each reducer reads one row of it; who dies while it is written is followed by another; it goes with the runs |
//! | `queues` | waiting is not dying: tasks in Lambda's queue, events that come twice, records without end, splitters that cannot run |
//! | `small_stacks` | a thread with half of the usual stack is enough for jobs, calls, and what becomes of those that cannot run |
//! | `gate` | what tests do to requests on their way to S3 and DynamoDB: refuse, lose, cut off, delay and hold them |
//! | `ledger` | the ledger's own promises: of hands that race, one wins and the others are told, also when replies are lost |
//! | `memory` | a map task that dies of memory is retried alone, halved and then on the larger mapper; one that fits nowhere fails the job by its memory |
//! | `calls` | functions and futures: results in order, failures alone, crashed workers, cancelling, waiting, attaching |
//! | `items` | jobs whose input the driver makes: each item is mapped once, however they are cut |
//! | `primes` | the job of primes and `kinglet tune`: counts, sums and lists equal trial division, bad ranges are named, every memory size is measured |
//! | `function_logs` | what the functions log: each task's start and end with its job and trace, metrics by CloudWatch's rules, errors with their codes |
//! | `history` | each attempt of a job is known, whatever became of it, and the page of a job has the same when its program is gone |
//! | `machine` | jobs of this machine are listed, followed, cancelled and cleaned by other programs than the one that runs them |
//! | `jobs_api` | what a program gets wrong about its jobs is said before anything starts |
//! | `terminal` | the command in a terminal, narrow and wide; Ctrl-C says what it does, once and twice |
//! | `shipped` | programs that ship themselves to the generic functions: however they end, it is their task's error, and the worker lives; what does not fit is refused |
//! | `example` | the example project's program does what the README says |
//! | `examples` | the other example projects' programs give what another way of finding it gives |
//! | `boto3` | AWS's own Python client works with the embedded S3, DynamoDB and Lambda |
//! | `keys` | the embedded servers answer nobody without the runtime's keys; what is printed holds no secret |
//! | `stack` | jobs on a deployed stack, found by CloudFormation; whatever is wrong with stack, region, credentials, buckets and functions is named |
//! | `sort` | sorted rows are those of a stable sort, end to end, in even parts, whatever the format, the splits and who dies; the first rows of it |
//! | `join` | joined rows are those of nested loops and of DuckDB, whatever the formats, the splits and who dies; a key that does not fit into memory |
//! | `cookbook` | every command of `docs/cookbook.md` prints what the page shows |
//! | `coming_from` | the programs of `docs/coming-from/` are compiled and tested, and stand on the pages as they are |
//! | `prose` | the numbers on the pages and in the help are the constants', and the files that pages name are there |
//! | `template` | what `template.yaml` says about the code that it deploys is so |
//! | `ministack` | the same jobs give the same bytes on an S3 and a DynamoDB that are not ours |
//!
//! The stack of `template.yaml` itself is deployed and tried by the script `tests/cloud`.
//!
//! `programs` builds and finds what is run, `support` runs it and checks what comes out, `rig` is a driver whose requests can be
//! held, `embedded` the servers of a driver and a conductor beside them, `inventories` makes S3 Inventory reports, `sources` reads
//! which module uses which, `venv` brings Python packages.

// Here all functions are tests or parts of tests; clippy sees only those that are marked.
#![allow(clippy::unwrap_used)]

mod aggregate;
mod arrows;
mod avro;
mod bad_input;
mod bench;
mod boto3;
mod calls;
mod cli;
mod coming_from;
mod compressed;
mod cookbook;
mod cost;
mod embedded;
mod ended;
mod ends;
mod example;
mod examples;
mod faults;
mod for_each;
mod formats;
mod function_logs;
mod gate;
mod head;
mod history;
mod hull;
mod index;
mod inputs;
mod inventories;
mod inventory;
mod items;
mod jobs_api;
mod join;
mod keys;
mod ledger;
mod long;
mod machine;
mod memory;
mod merged;
mod ministack;
mod modules;
mod outputs;
mod owners;
mod parquet;
mod parquet_outputs;
mod partitioned;
mod primes;
mod programs;
mod prose;
mod queues;
mod rejected;
mod replies;
mod rig;
mod row_files;
mod runs;
mod shipped;
mod small_stacks;
mod sort;
mod sources;
mod stack;
mod stored;
mod support;
mod template;
mod terminal;
mod venv;
mod word_count;
