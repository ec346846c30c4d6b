//! `advance` under a simulated clock: workers die, fall silent, start twice or crawl, and several deciders act at once.

use super::super::view::{Failure, InputSize, JobView};
use super::*;
use crate::Code;
use crate::grid::Grid;
use std::collections::BTreeMap;

/// A small random generator (splitmix64), so that a seed is enough to repeat a failure.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// How often things go wrong, in percent of attempts.
#[derive(Clone, Copy)]
struct Luck {
    crash: u64,
    silent: u64,
    /// Lambda loses the event, which it should not.
    undelivered: u64,
    /// The process that claimed to send a try dies before it sends it.
    unsent: u64,
    slow: u64,
    twice: u64,
}

enum Happens {
    Starts(u32, u16),
    Commits(u32, u64),
    Fails(u32, u16, Error),
}

struct World {
    view: LedgerView,
    now: u64,
    due: BTreeMap<(u64, u64), Happens>,
    sequence: u64,
    dice: Dice,
    luck: Luck,
    invoked: u64,
    /// Executions that leave because another execution has already started their try.
    left: u64,
    commits_refused: u64,
    /// What the tries of a task need so as not to die of memory.
    hungry: BTreeMap<u32, Hunger>,
    /// What each try of a hungry task was given.
    given: BTreeMap<(u32, u16), Eased>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hunger {
    Half,
    Larger,
    HalfOfLarger,
    Never,
}

const PIECE_BYTES: u64 = 64 << 20;
const MEMORY_MB: (u32, u32) = (1_769, 7_076);

const TIMEOUT_MS: u64 = 60_000;

impl World {
    fn new(tasks: u32, seed: u64, luck: Luck) -> Self {
        let at = Some(Timestamp(0));
        let job = JobView {
            phase_at: [at, at, None, None, None].into(),
            map_tasks: tasks,
            partitions: 1,
            input: InputSize { objects: 1, bytes: 1, skipped: 0 },
            tries_max: 4,
            timeout_ms: TIMEOUT_MS,
            sent: tasks,
            ..JobView::new(Phase::Mapping)
        };
        let tasks = (0..tasks).map(|n| TaskView { task: TaskIdx(n), ..TaskView::default() }).collect();
        let mut world = World {
            view: LedgerView { job, tasks },
            now: 0,
            due: BTreeMap::new(),
            sequence: 0,
            dice: Dice(seed),
            luck,
            invoked: 0,
            left: 0,
            commits_refused: 0,
            hungry: BTreeMap::new(),
            given: BTreeMap::new(),
        };
        for task in 0..world.view.tasks.len() as u32 {
            world.deliver(task, 0);
        }
        world
    }

    fn after(&mut self, ms: u64, what: Happens) {
        self.sequence += 1;
        self.due.insert((self.now + ms, self.sequence), what);
    }

    fn deliver(&mut self, task: u32, number: u16) {
        self.invoked += 1;
        if self.dice.roll(100) < self.luck.undelivered {
            return;
        }
        let wait = self.dice.roll(500);
        self.after(wait, Happens::Starts(task, number));
        if self.dice.roll(100) < self.luck.twice {
            self.after(wait + 50, Happens::Starts(task, number));
        }
    }

    fn happen(&mut self, what: Happens) {
        match what {
            Happens::Starts(task, number) => {
                let now = Timestamp(self.now);
                let tries = &mut self.view.tasks[task as usize].tries;
                let given = self.given.get(&(task, number)).copied();
                let given = given.unwrap_or(Eased { larger: false, bytes_max: None });
                let at = tries.iter().position(|t| t.number == number).unwrap_or_else(|| {
                    tries.push(TryView { number, ..TryView::default() });
                    tries.len() - 1
                });
                if tries[at].started_at.is_some() {
                    self.left += 1;
                    return;
                }
                let memory_mb = Some(if given.larger { MEMORY_MB.1 } else { MEMORY_MB.0 });
                tries[at] = TryView { started_at: Some(now), memory_mb, larger: given.larger, ..tries[at].clone() };
                let fits = match self.hungry.get(&task) {
                    None => true,
                    Some(Hunger::Half) => given.larger || given.bytes_max == Some(PIECE_BYTES / 2),
                    Some(Hunger::Larger) => given.larger,
                    Some(Hunger::HalfOfLarger) => given.larger && given.bytes_max == Some(PIECE_BYTES / 2),
                    Some(Hunger::Never) => false,
                };
                if !fits {
                    return self.after(500, Happens::Fails(task, number, Error::new(Code::OutOfMemory, "killed")));
                }
                let mut takes = 1_000 + self.dice.roll(1_000);
                if self.dice.roll(100) < self.luck.slow {
                    takes *= 30;
                }
                let fate = self.dice.roll(100);
                if fate < self.luck.crash {
                    let error = match self.dice.roll(2) {
                        0 => Error::new(Code::OutOfMemory, "killed"),
                        _ => Error::new(Code::Crashed, "exit"),
                    };
                    self.after(takes / 2, Happens::Fails(task, number, error));
                } else if fate >= self.luck.crash + self.luck.silent {
                    self.after(takes, Happens::Commits(task, takes));
                }
            }
            Happens::Commits(task, ran_ms) => {
                let task = &mut self.view.tasks[task as usize];
                self.commits_refused += u64::from(task.done);
                task.ran_ms = if task.done { task.ran_ms } else { ran_ms };
                task.done = true;
            }
            Happens::Fails(task, number, error) => {
                let at = Timestamp(self.now);
                let tries = &mut self.view.tasks[task as usize].tries;
                if let Some(there) = tries.iter_mut().find(|t| t.number == number) {
                    there.failed = Some(Failure { error, at });
                }
            }
        }
    }

    /// Two deciders look at the same view; the ledger lets one of them claim.
    fn decide(&mut self) -> Option<Result<(), Error>> {
        let now = Timestamp(self.now);
        let commands = [advance(&self.view, now), advance(&self.view, now)];
        for command in commands.concat() {
            match command {
                Command::StartMerging | Command::StartReducing(_) | Command::Finish => return Some(Ok(())),
                Command::Fail(error) => return Some(Err(error)),
                Command::TakeTurn { .. } | Command::Settle(_) | Command::Reread { .. } => {
                    unreachable!("all is sent, nothing are calls, and no task says what it reads")
                }
                Command::Invoke(Invoke { of: PieceAt { task, .. }, number, sends, relief }) => {
                    self.given.insert((task.0, number), relief.eased(PIECE_BYTES, HALF_BYTES_MIN, true));
                    let accepted = self.dice.roll(100) >= self.luck.unsent;
                    let tries = &mut self.view.tasks[task.0 as usize].tries;
                    let at = tries.iter().position(|t| t.number == number).unwrap_or_else(|| {
                        tries.push(TryView { number, ..TryView::default() });
                        tries.len() - 1
                    });
                    let there = &mut tries[at];
                    if there.sends == sends && there.started_at.is_none() {
                        there.sends += 1;
                        (there.sent_at, there.accepted) = (Some(now), accepted);
                        if accepted {
                            self.deliver(task.0, number);
                        }
                    }
                }
            }
        }
        None
    }

    /// Runs until the stage ends; panics if it never does.
    fn run(&mut self) -> Result<(), Error> {
        while self.now < 48 * 3_600_000 {
            let until = self.now + if self.due.is_empty() { 60_000 } else { 1_000 };
            while let Some((&key, _)) = self.due.range(..(until, u64::MAX)).next() {
                let what = self.due.remove(&key).unwrap();
                self.now = self.now.max(key.0);
                self.happen(what);
            }
            self.now = until;
            if let Some(end) = self.decide() {
                return end;
            }
        }
        panic!("the stage hangs: {:?}", self.view.tasks.iter().filter(|t| !t.done).collect::<Vec<_>>());
    }
}

const FINE: Luck = Luck { crash: 0, silent: 0, undelivered: 0, unsent: 0, slow: 0, twice: 0 };

#[test]
fn without_faults_nothing_is_invoked_twice() {
    let mut world = World::new(1_000, 1, FINE);
    world.run().unwrap();
    assert_eq!(world.invoked, 1_000);
    assert_eq!(world.commits_refused, 0);
}

#[test]
fn every_stage_ends_whatever_the_luck() {
    for seed in 0..300 {
        let percent = seed % 30;
        let (crash, slow, twice) = (percent, percent, percent);
        let luck = Luck { crash, silent: percent / 3, undelivered: percent / 3, unsent: percent, slow, twice };
        let mut world = World::new(50, seed, luck);
        match world.run() {
            Ok(()) => assert!(world.view.tasks.iter().all(|t| t.done), "seed {seed}"),
            Err(error) => {
                let started = |t: &&TryView| t.started_at.is_some();
                let tried = world.view.tasks.iter().map(|t| t.tries.iter().filter(started).count()).max().unwrap();
                assert!(tried >= 4, "seed {seed}: given up after {tried} tries that ran: {error}");
            }
        }
        let sends: u64 = world.view.tasks.iter().flat_map(|t| &t.tries).map(|t| u64::from(t.sends)).sum();
        assert!(world.invoked <= 50 + sends, "seed {seed}: {} invocations", world.invoked);
        assert!(world.view.tasks.iter().all(|t| t.tries.len() <= 4 + 1), "seed {seed}");
    }
}

#[test]
fn a_crashed_attempt_is_tried_again_and_one_out_of_memory_is_halved() {
    let mut world = World::new(2, 1, FINE);
    let started = |number| TryView { number, started_at: Some(Timestamp(0)), ..TryView::default() };
    let failed = |error| Some(Failure { error, at: Timestamp(5) });
    world.view.tasks[0].tries = vec![TryView { failed: failed(Error::new(Code::Crashed, "")), ..started(0) }];
    world.view.tasks[1].tries = vec![TryView { failed: failed(Error::new(Code::OutOfMemory, "")), ..started(0) }];
    let invoke = |task, died| {
        let relief = Relief { died, ..Relief::default() };
        Command::Invoke(Invoke { of: first_piece(task), number: 1, sends: 0, relief })
    };
    assert_eq!(advance(&world.view, Timestamp(6)), [invoke(0, 0), invoke(1, 1)]);
}

/// Whoever reduces it next hands on before the key at which its time was over.
#[test]
fn a_try_that_follows_one_out_of_time_is_told_so() {
    let mut world = World::new(1, 1, FINE);
    let tried = |number, code| TryView {
        number,
        started_at: Some(Timestamp(0)),
        failed: Some(Failure { error: Error::new(code, ""), at: Timestamp(5) }),
        ..TryView::default()
    };
    for (codes, timed_out) in
        [(&[Code::Crashed][..], false), (&[Code::TimedOut], true), (&[Code::TimedOut, Code::Crashed], true)]
    {
        world.view.tasks[0].tries = codes.iter().zip(0..).map(|(code, number)| tried(number, *code)).collect();
        let relief = Relief { timed_out, ..Relief::default() };
        let next = Invoke { of: first_piece(0), number: codes.len() as u16, sends: 0, relief };
        assert_eq!(advance(&world.view, Timestamp(6)), [Command::Invoke(next)]);
    }
}

#[test]
fn a_task_that_dies_of_memory_climbs_alone_until_it_fits() {
    let mut world = World::new(100, 1, FINE);
    world.hungry = [(3, Hunger::Half), (40, Hunger::Larger), (41, Hunger::HalfOfLarger)].into();
    world.run().unwrap();
    let tried = |task: usize| world.view.tasks[task].tries.len();
    assert_eq!((tried(3), tried(40), tried(41)), (2, 3, 4));
    assert_eq!(world.invoked, 100 + 1 + 2 + 3, "the other tasks keep their results");
    assert_eq!(world.commits_refused, 0);
}

#[test]
fn a_task_that_fits_nowhere_fails_the_job_with_the_memory_it_had() {
    let mut world = World::new(10, 1, FINE);
    world.hungry = [(7, Hunger::Never)].into();
    let error = world.run().unwrap_err();
    assert_eq!(error.code(), "out-of-memory");
    assert_eq!(error.to_string(), "task 7 failed 4 times, the last time with 7076 MB of memory: killed");
    assert!(error.hint().unwrap().contains("MapperLargeMemory"));
    assert_eq!(world.invoked, 10 + 3);

    // There is no larger reducer: a reduce task is tried again as it is, and the hint is about reducers.
    let mut world = World::new(1, 1, FINE);
    world.view.job.phase = Phase::Reducing;
    let failed = Some(Failure { error: Error::new(Code::OutOfMemory, "killed"), at: Timestamp(5) });
    let died = |number| TryView { number, memory_mb: Some(128), failed: failed.clone(), ..TryView::default() };
    world.view.tasks[0].tries = (0..4).map(died).collect();
    let commands = advance(&world.view, Timestamp(6));
    let [Command::Fail(error)] = &commands[..] else { panic!("{commands:?}") };
    assert!(error.to_string().contains("128 MB") && error.hint().unwrap().contains("ReducerMemory"), "{error}");
}

#[test]
fn luck_and_hunger_together_end_too() {
    for seed in 0..100 {
        let percent = seed % 20;
        let luck = Luck { crash: percent, silent: percent / 3, slow: percent, twice: percent, ..FINE };
        let mut world = World::new(40, seed, luck);
        world.hungry = [(0, Hunger::Half), (11, Hunger::Larger)].into();
        let _ = world.run();
        assert!(world.invoked <= 40 * 4, "seed {seed}: {} invocations", world.invoked);
        if percent == 0 {
            assert!(world.view.tasks.iter().all(|t| t.done), "seed {seed}");
        }
    }
}

#[test]
fn relief_comes_by_halves_then_by_memory() {
    let eased = |died, died_larger, bytes, has_larger| {
        let Eased { larger, bytes_max } =
            Relief { died, died_larger, ..Relief::default() }.eased(bytes, HALF_BYTES_MIN, has_larger);
        (larger, bytes_max)
    };
    const MB: u64 = 1 << 20;
    assert_eq!(eased(0, 0, 0, true), (false, None));
    assert_eq!(eased(1, 0, 64 * MB, true), (false, Some(32 * MB)));
    assert_eq!(eased(2, 0, 64 * MB, true), (true, None));
    assert_eq!(eased(2, 1, 64 * MB, true), (true, Some(32 * MB)));
    assert_eq!(eased(2, 9, 64 * MB, true), (true, Some(MB)));
    // A piece of 1 MB is not halved.
    assert_eq!(eased(1, 0, MB, true), (true, None));
    assert_eq!(eased(1, 1, MB, true), (true, None));
    assert_eq!([1, 2, 99].map(|died| eased(died, 0, 64 * MB, false).1.unwrap() / MB), [32, 16, 1]);
    assert_eq!(eased(1, 0, MB, false), (false, None));
}

#[test]
fn an_error_of_the_users_code_fails_the_job_at_once() {
    let mut world = World::new(1, 1, FINE);
    let error = Error::new(Code::Panic, "boom");
    let failed = Some(Failure { error: error.clone(), at: Timestamp(5) });
    world.view.tasks[0].tries = vec![TryView { failed, ..TryView::default() }];
    assert_eq!(advance(&world.view, Timestamp(6)), [Command::Fail(error)]);
}

#[test]
fn a_straggler_gets_one_backup() {
    let mut world = World::new(4, 1, FINE);
    for task in &mut world.view.tasks[..3] {
        task.done = true;
        task.ran_ms = 5_000;
    }
    let started = TryView { started_at: Some(Timestamp(0)), ..TryView::default() };
    world.view.tasks[3].tries = vec![started.clone()];
    assert_eq!(advance(&world.view, Timestamp(20_000)), []);
    assert_eq!(advance(&world.view, Timestamp(20_001)), [invoke(3, 1, 0)]);
    world.view.tasks[3].tries.push(TryView { number: 1, ..started });
    assert_eq!(advance(&world.view, Timestamp(30_000)), []);
}

#[test]
fn a_stage_that_is_done_goes_on_and_an_empty_one_too() {
    let mut world = World::new(0, 1, FINE);
    assert_eq!(advance(&world.view, Timestamp(0)), [Command::StartReducing(FindRuns::Cheapest)]);
    world.view.job.phase = Phase::Reducing;
    assert_eq!(advance(&world.view, Timestamp(0)), [Command::Finish]);
    world.view.job.phase = Phase::Succeeded;
    assert_eq!(advance(&world.view, Timestamp(0)), []);
}

/// Where runs are merged, the tasks of that come between.
#[test]
fn a_job_that_merges_its_runs_goes_on_to_that_and_then_to_reducing() {
    let mut world = World::new(2, 1, FINE);
    world.view.job.grid = Grid::of(2, 1);
    assert!(!advance(&world.view, Timestamp(0)).contains(&Command::StartMerging));
    world.view.tasks.iter_mut().for_each(|task| task.done = true);
    assert_eq!(advance(&world.view, Timestamp(0)), [Command::StartMerging]);
    // An index that somebody had begun would change nothing.
    world.view.job.index.tries = 1;
    assert_eq!(advance(&world.view, Timestamp(0)), [Command::StartMerging]);
    (world.view.job.phase, world.view.job.sent) = (Phase::Merging, 1);
    world.view.tasks.truncate(1);
    assert_eq!(advance(&world.view, Timestamp(0)), [Command::StartReducing(FindRuns::Ledger)]);
    world.view.tasks[0].done = false;
    assert_eq!(advance(&world.view, Timestamp(0)), []);
    let started = TryView { started_at: Some(Timestamp(0)), ..TryView::default() };
    world.view.tasks[0].tries = vec![started];
    assert_eq!(advance(&world.view, Timestamp(SILENCE_MS + 1)), [invoke(0, 1, 0)]);
}

/// One writes the index; when it falls silent another does, with its turn, and after three of them reducers do without.
#[test]
fn an_index_is_begun_anew_and_then_done_without() {
    let mut world = World::new(0, 1, FINE);
    let mut does = |tries: u16, silent_ms: u64| {
        (world.view.job.turn, world.view.job.turn_at) = (7, Timestamp(1_000));
        world.view.job.index.tries = tries;
        advance(&world.view, Timestamp(1_000 + silent_ms))
    };
    assert_eq!(does(0, 0), [Command::StartReducing(FindRuns::Cheapest)]);
    for tries in 1..=INDEX_TRIES_MAX {
        assert_eq!(does(tries, TURN_MS - 1), []);
    }
    for tries in 1..INDEX_TRIES_MAX {
        assert_eq!(does(tries, TURN_MS), [Command::TakeTurn { turn: 7 }]);
    }
    assert_eq!(does(INDEX_TRIES_MAX, TURN_MS), [Command::StartReducing(FindRuns::Ledger)]);
}

fn first_piece(task: u32) -> PieceAt {
    PieceAt { task: TaskIdx(task), piece: Piece(0), start: None }
}

fn invoke(task: u32, number: u16, sends: u16) -> Command {
    let relief = Relief::default();
    Command::Invoke(Invoke { of: first_piece(task), number, sends, relief })
}

#[test]
fn a_splitter_of_which_nobody_heard_is_sent_again_and_one_that_dies_is_given_up() {
    let mut world = World::new(1, 1, FINE);
    world.view.job.phase = Phase::Splitting;
    world.view.job.sent = 0;
    assert_eq!(advance(&world.view, Timestamp(CLAIM_MS - 1)), []);
    assert_eq!(advance(&world.view, Timestamp(CLAIM_MS)), [invoke(0, 0, 0)]);
    let sent = TryView { sends: 1, sent_at: Some(Timestamp(CLAIM_MS)), accepted: true, ..TryView::default() };
    world.view.tasks[0].tries = vec![sent.clone()];
    assert_eq!(advance(&world.view, Timestamp(CLAIM_MS + RESEND_MS - 1)), [], "it waits for a free function");
    assert_eq!(advance(&world.view, Timestamp(CLAIM_MS + RESEND_MS)), [invoke(0, 0, 1)]);
    let at = Timestamp(CLAIM_MS + 1);
    let died = |number| {
        let failed = Some(Failure { error: Error::new(Code::Crashed, "no bootstrap"), at });
        TryView { number, failed, ..sent.clone() }
    };
    world.view.tasks[0].tries = (0..3).map(died).collect();
    assert_eq!(advance(&world.view, at), [invoke(0, 3, 0)]);
    world.view.tasks[0].tries = (0..4).map(died).collect();
    let commands = advance(&world.view, at);
    let [Command::Fail(error)] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(error.to_string(), "splitting failed 4 times, the last time: no bootstrap");
}

#[test]
fn tasks_wait_in_lambdas_queue_for_as_long_as_it_takes() {
    // Two functions, ten tasks of 150 s: the last begins after ten minutes.
    let mut world = World::new(10, 1, FINE);
    let started = |at| TryView { started_at: Some(Timestamp(at)), ..TryView::default() };
    for wave in 0..5 {
        let at = wave * 150_000;
        for task in 2 * wave..2 * wave + 2 {
            let t = &mut world.view.tasks[task as usize];
            (t.tries, t.done) = (vec![TryView { alive_at: Some(Timestamp(at + 100_000)), ..started(at) }], false);
        }
        world.view.job.timeout_ms = 900_000;
        assert_eq!(advance(&world.view, Timestamp(at + 149_000)), [], "wave {wave}");
        for task in 2 * wave..2 * wave + 2 {
            let t = &mut world.view.tasks[task as usize];
            (t.done, t.ran_ms) = (true, 150_000);
        }
    }
    // Another job occupies all functions for hours: the same tries are sent again, a few at once, and none counts as a failure.
    let mut world = World::new(1_000, 1, FINE);
    assert_eq!(advance(&world.view, Timestamp(RESEND_MS - 1)), []);
    let again = advance(&world.view, Timestamp(RESEND_MS));
    assert_eq!(again.len(), RESENDS_MAX);
    assert_eq!(again[63], invoke(63, 0, 0));
    for sends in 1..20 {
        let sent_at = Some(Timestamp(RESEND_MS));
        world.view.tasks[0].tries = vec![TryView { sends, sent_at, accepted: true, ..TryView::default() }];
        let waits_ms = (RESEND_MS << (sends - 1).min(5)).min(EVENT_AGE_MS_MAX);
        let first =
            |ms| advance(&world.view, Timestamp(RESEND_MS + ms)).into_iter().find(|c| *c == invoke(0, 0, sends));
        assert_eq!((first(waits_ms - 1), first(waits_ms)), (None, Some(invoke(0, 0, sends))), "{sends}");
    }
    // While one try runs, the others wait for their turn.
    world.view.tasks[999].tries = vec![TryView { alive_at: Some(Timestamp(RESEND_MS)), ..started(RESEND_MS - 1_000) }];
    world.view.job.timeout_ms = 900_000;
    world.view.tasks[0].tries.clear();
    assert_eq!(advance(&world.view, Timestamp(RESEND_MS + 1)), []);
}

#[test]
fn what_lambda_gave_up_before_it_ran_is_sent_as_a_new_try_and_costs_none() {
    let mut world = World::new(1, 1, FINE);
    let failure = Failure { error: Error::new(Code::Undelivered, "six hours"), at: Timestamp(5) };
    let given_up = |number| TryView { number, failed: Some(failure.clone()), ..TryView::default() };
    world.view.tasks[0].tries = (0..9).map(given_up).collect();
    assert_eq!(advance(&world.view, Timestamp(6)), [invoke(0, 9, 0)]);
}

#[test]
fn a_worker_that_shows_no_sign_is_lost_and_one_that_does_is_not() {
    let mut world = World::new(1, 1, FINE);
    world.view.job.timeout_ms = 900_000;
    let (start, now) = (Timestamp(1_000), |ms| Timestamp(1_000 + ms));
    world.view.tasks[0].tries = vec![TryView { started_at: Some(start), ..TryView::default() }];
    assert_eq!(advance(&world.view, now(SILENCE_MS)), []);
    assert_eq!(advance(&world.view, now(SILENCE_MS + 1)), [invoke(0, 1, 0)]);
    world.view.tasks[0].tries[0].alive_at = Some(now(HEARTBEAT_MS));
    assert_eq!(advance(&world.view, now(SILENCE_MS + HEARTBEAT_MS)), []);
    // A worker cannot have given a sign of life after its function's end.
    world.view.tasks[0].tries[0].alive_at = Some(now(900_000));
    assert_eq!(advance(&world.view, now(900_000 + LOST_GRACE_MS)), []);
    assert_eq!(advance(&world.view, now(900_000 + LOST_GRACE_MS + 1)), [invoke(0, 1, 0)]);
}

#[test]
fn a_piece_that_runs_out_of_time_twice_is_the_end() {
    let mut world = World::new(1, 1, FINE);
    let timed_out = |number| {
        let failed = Some(Failure { error: Error::new(Code::TimedOut, "after 900 s"), at: Timestamp(5) });
        TryView { number, started_at: Some(Timestamp(0)), failed, ..TryView::default() }
    };
    world.view.tasks[0].tries = vec![timed_out(0)];
    let relief = Relief { timed_out: true, ..Relief::default() };
    let again = Invoke { of: first_piece(0), number: 1, sends: 0, relief };
    assert_eq!(advance(&world.view, Timestamp(6)), [Command::Invoke(again)]);
    world.view.tasks[0].tries = vec![timed_out(0), timed_out(1)];
    let commands = advance(&world.view, Timestamp(6));
    assert!(matches!(&commands[..], [Command::Fail(error)] if error.code() == "timed-out"), "{commands:?}");
}

#[test]
fn a_job_that_takes_too_long_is_given_up_but_not_once_it_publishes() {
    let mut world = World::new(1, 1, FINE);
    world.view.job.ms_max = 1_000;
    assert_eq!(advance(&world.view, Timestamp(1_000)), []);
    let commands = advance(&world.view, Timestamp(1_001));
    assert!(matches!(&commands[..], [Command::Fail(error)] if error.code() == "job-too-long"), "{commands:?}");
    world.view.job.phase = Phase::Publishing;
    assert_eq!(advance(&world.view, Timestamp(1_001)), []);
}

#[test]
fn a_turn_that_falls_silent_is_taken_by_another() {
    let mut world = World::new(5, 1, FINE);
    (world.view.job.turn, world.view.job.turn_at, world.view.job.sent) = (3, Timestamp(7), 2);
    assert_eq!(advance(&world.view, Timestamp(7 + TURN_MS - 1)), []);
    assert_eq!(advance(&world.view, Timestamp(7 + TURN_MS)), [Command::TakeTurn { turn: 3 }]);
    world.view.job.sent = 5;
    assert_eq!(advance(&world.view, Timestamp(7 + TURN_MS)), []);
    for phase in [Phase::Publishing, Phase::Undoing] {
        world.view.job.phase = phase;
        assert_eq!(advance(&world.view, Timestamp(7 + TURN_MS - 1)), []);
        assert_eq!(advance(&world.view, Timestamp(7 + TURN_MS)), [Command::TakeTurn { turn: 3 }]);
    }
}
