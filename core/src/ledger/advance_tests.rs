//! `advance` under a simulated clock: workers that die, fall silent, come twice or crawl; several deciders at once.

use super::super::view::{Failure, JobView};
use super::*;
use std::collections::BTreeMap;

/// A small generator, so that a seed is all a failure needs to come again (splitmix64).
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

/// How bad the luck is, in percent of attempts.
#[derive(Clone, Copy)]
struct Luck {
    crash: u64,
    silent: u64,
    undelivered: u64,
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
    commits_refused: u64,
}

const TIMEOUT_MS: u64 = 60_000;

impl World {
    fn new(tasks: u32, seed: u64, luck: Luck) -> Self {
        let at = Some(Timestamp(0));
        let job = JobView {
            phase: Phase::Mapping,
            phase_at: [at, at, None, None],
            map_tasks: tasks,
            partitions: 1,
            input: (1, 1),
            tries_max: 4,
            timeout_ms: TIMEOUT_MS,
            error: None,
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
            commits_refused: 0,
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
                match tries.iter_mut().find(|t| t.number == number) {
                    Some(there) => there.started_at = Some(now),
                    None => tries.push(TryView { number, claimed_at: None, started_at: Some(now), failed: None }),
                }
                let mut takes = 1_000 + self.dice.roll(1_000);
                if self.dice.roll(100) < self.luck.slow {
                    takes *= 30;
                }
                let fate = self.dice.roll(100);
                if fate < self.luck.crash {
                    let error = match self.dice.roll(2) {
                        0 => Error::limit("out-of-memory", "killed"),
                        _ => Error::service("crashed", "exit"),
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
                Command::StartReducing | Command::Finish => return Some(Ok(())),
                Command::Fail(error) => return Some(Err(error)),
                Command::Split { .. } => unreachable!("not splitting"),
                Command::Invoke { task, number, .. } => {
                    let tries = &mut self.view.tasks[task.0 as usize].tries;
                    if tries.iter().all(|t| t.number != number) {
                        tries.push(TryView { number, claimed_at: Some(now), started_at: None, failed: None });
                        self.deliver(task.0, number);
                    }
                }
            }
        }
        None
    }

    /// Runs until the stage ends. Panics when it never does.
    fn run(&mut self) -> Result<(), Error> {
        while self.now < 3_600_000 {
            let until = self.now + 1_000;
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

const FINE: Luck = Luck { crash: 0, silent: 0, undelivered: 0, slow: 0, twice: 0 };

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
        let luck =
            Luck { crash: percent, silent: percent / 3, undelivered: percent / 3, slow: percent, twice: percent };
        let mut world = World::new(50, seed, luck);
        match world.run() {
            Ok(()) => assert!(world.view.tasks.iter().all(|t| t.done), "seed {seed}"),
            Err(error) => {
                let tried = world.view.tasks.iter().flat_map(|t| &t.tries).map(|t| t.number + 1).max().unwrap();
                assert!(tried >= 4, "seed {seed}: given up after {tried} tries: {error}");
            }
        }
        assert!(world.invoked <= 50 * 4, "seed {seed}: {} invocations", world.invoked);
    }
}

#[test]
fn a_crashed_attempt_is_tried_again_and_one_out_of_memory_is_halved() {
    let mut world = World::new(2, 1, FINE);
    let started = |number| TryView { number, claimed_at: None, started_at: Some(Timestamp(0)), failed: None };
    let failed = |error| Some(Failure { error, at: Timestamp(5) });
    world.view.tasks[0].tries = vec![TryView { failed: failed(Error::service("crashed", "")), ..started(0) }];
    world.view.tasks[1].tries = vec![TryView { failed: failed(Error::limit("out-of-memory", "")), ..started(0) }];
    let invoke = |task, halve| Command::Invoke { task: TaskIdx(task), piece: Piece(0), start: None, number: 1, halve };
    assert_eq!(advance(&world.view, Timestamp(6)), [invoke(0, false), invoke(1, true)]);
}

#[test]
fn an_error_of_the_users_code_fails_the_job_at_once() {
    let mut world = World::new(1, 1, FINE);
    let error = Error::user_code("panic", "boom");
    let failed = Some(Failure { error: error.clone(), at: Timestamp(5) });
    world.view.tasks[0].tries = vec![TryView { number: 0, claimed_at: None, started_at: None, failed }];
    assert_eq!(advance(&world.view, Timestamp(6)), [Command::Fail(error)]);
}

#[test]
fn a_straggler_gets_one_backup() {
    let mut world = World::new(4, 1, FINE);
    for task in &mut world.view.tasks[..3] {
        task.done = true;
        task.ran_ms = 5_000;
    }
    let started = TryView { number: 0, claimed_at: None, started_at: Some(Timestamp(0)), failed: None };
    world.view.tasks[3].tries = vec![started.clone()];
    assert_eq!(advance(&world.view, Timestamp(20_000)), []);
    let backup = Command::Invoke { task: TaskIdx(3), piece: Piece(0), start: None, number: 1, halve: false };
    assert_eq!(advance(&world.view, Timestamp(20_001)), [backup]);
    world.view.tasks[3].tries.push(TryView { number: 1, ..started });
    assert_eq!(advance(&world.view, Timestamp(30_000)), []);
}

#[test]
fn a_stage_that_is_done_goes_on_and_an_empty_one_too() {
    let mut world = World::new(0, 1, FINE);
    assert_eq!(advance(&world.view, Timestamp(0)), [Command::StartReducing]);
    world.view.job.phase = Phase::Reducing;
    assert_eq!(advance(&world.view, Timestamp(0)), [Command::Finish]);
    world.view.job.phase = Phase::Succeeded;
    assert_eq!(advance(&world.view, Timestamp(0)), []);
}

#[test]
fn a_splitter_that_says_nothing_is_invoked_again_now_and_then() {
    let mut world = World::new(0, 1, FINE);
    world.view.job.phase = Phase::Splitting;
    world.view.job.timeout_ms = 900_000;
    assert_eq!(advance(&world.view, Timestamp(SPLIT_PATIENCE_MS - 1)), []);
    assert_eq!(advance(&world.view, Timestamp(SPLIT_PATIENCE_MS)), [Command::Split { number: 1 }]);
    assert_eq!(advance(&world.view, Timestamp(2 * SPLIT_PATIENCE_MS - 1)), [Command::Split { number: 1 }]);
    assert_eq!(advance(&world.view, Timestamp(2 * SPLIT_PATIENCE_MS)), [Command::Split { number: 2 }]);
}
