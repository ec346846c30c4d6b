//! The ledger's own promises, kept on a real DynamoDB: of hands that race for the same write, one is told that it did it, also when
//! replies are lost on the way; and no stage is complete before all of its tasks are committed.

use crate::gate::Rig;
use crate::rig::{CLAIM, COMMIT, START, into_phase, refuse};
use crate::support::spec;
use kinglet_aws::ledger::{Commit, Planned, Reduced, Run, Says, Started};
use kinglet_aws::{Clock, Ledger};
use kinglet_core::grid::{Grid, GridSizes};
use kinglet_core::ids::{AttemptId, JobId, Piece, Stage, TaskIdx, Timestamp, TryKey};
use kinglet_core::ledger::{InputSize, JobView, Phase, SILENCE_MS, TryView};
use kinglet_core::limits::TASKS_PER_GROUP;
use kinglet_core::wire::index::IndexAt;
use kinglet_core::wire::record::{MapRecord, Placement, Position, Usage};
use kinglet_core::{Code, Error};
use kinglet_local::gate::{Matching, Rule, Strike};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How many race.
const HANDS: u32 = 8;

/// How many of the first replies are lost in a race: none, perhaps the winner's, surely the winner's.
const LOST: [u64; 3] = [0, 1, HANDS as u64];

/// What a request says that adds a group to those that are complete.
const ROOT: &str = "ADD #groups";

fn update(text: impl Into<String>) -> Matching {
    Rule::dynamodb("UpdateItem").containing(text)
}

fn transact(text: &str) -> Matching {
    Rule::dynamodb("TransactWriteItems").containing(text)
}

impl Rig {
    fn ledger(&self) -> Ledger {
        self.conductor.ledger.clone()
    }

    /// The ledger for hands whose time is so long ago.
    fn ledger_ago(&self, ms: u64) -> Ledger {
        let (clients, table) = (&self.conductor.clients, &self.conductor.stack.table);
        let clock = Clock::of_machine(Timestamp(Timestamp::now().0 - ms));
        Ledger::new(clients.dynamodb.clone(), table, clients.meter.clone(), clock)
    }

    /// A new job in the ledger, of which nothing is sent.
    async fn job(&self) -> JobId {
        let job = new_id();
        self.ledger().create_job(&job, &spec("raced", None), 60_000).await.unwrap();
        job
    }

    /// A job whose map tasks are planned.
    async fn planned_job(&self) -> JobId {
        let job = self.job().await;
        assert!(self.ledger().plan(&job, &planned("plan")).await.unwrap());
        job
    }

    async fn view(&self, job: &JobId) -> JobView {
        self.ledger().job(job).await.unwrap()
    }

    /// What lists say of a job, which has to be what its own item says.
    async fn assert_listed_as(&self, job: &JobId, phase: Phase) {
        assert_eq!(self.view(job).await.phase, phase);
        let listed = self.ledger().jobs().await.unwrap().into_iter().find(|entry| entry.job == *job).unwrap();
        assert_eq!((listed.phase, listed.ended_at.is_some()), (phase, phase.is_final()));
    }

    /// Runs this for all hands at once, while so many replies to what matches are lost. Returns what each hand was told.
    async fn race<T, F>(&self, lost: u64, of: Matching, run: impl Fn(u32) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.gates().set_rules(vec![of.times(lost).does(Strike::LoseReply)]);
        let told = all(HANDS, run).await;
        let (seen, struck) = self.gates().counts()[0];
        assert_eq!((struck, seen >= HANDS.into()), (lost, true), "{seen} requests of {HANDS} hands");
        self.gates().set_rules(vec![]);
        told
    }

    /// As [`Rig::race`], of what returns whether this hand did it. Returns the one that did.
    async fn winner<F>(&self, lost: u64, of: Matching, run: impl Fn(u32) -> F) -> u32
    where
        F: Future<Output = bool> + Send + 'static,
    {
        only(&self.race(lost, of, run).await, |did| *did)
    }
}

fn new_id() -> JobId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    JobId::new(Timestamp::now(), NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn all<T, F>(hands: u32, run: impl Fn(u32) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let running: Vec<_> = (0..hands).map(|hand| tokio::spawn(run(hand))).collect();
    let mut told = Vec::new();
    for one in running {
        told.push(one.await.unwrap());
    }
    told
}

/// The one hand that was told this.
#[track_caller]
fn only<T: std::fmt::Debug>(told: &[T], is_it: impl Fn(&T) -> bool) -> u32 {
    let found: Vec<u32> = (0..).zip(told).filter(|(_, one)| is_it(one)).map(|(hand, _)| hand).collect();
    assert_eq!(found.len(), 1, "{told:?}");
    found[0]
}

fn planned(id: &str) -> Planned<'_> {
    let input = InputSize { objects: 1, bytes: 1, skipped: 0 };
    Planned { id, map_tasks: 2, partitions: 1, merging: None, input, calls: None, usage: None }
}

fn attempt(hand: u32) -> AttemptId {
    AttemptId { number: 0, nonce: hand }
}

/// The record of a hand's attempt, which hands back the rest if it says so.
fn record(hand: u32, remainder: Option<Position>) -> MapRecord {
    MapRecord {
        attempt: attempt(hand),
        bytes_assigned: 1,
        taken: None,
        bytes_read: 1,
        crc32: 0,
        records: hand.into(),
        rejected: 0,
        pairs_emitted: 0,
        pairs_out: 0,
        run_bytes: 0,
        placement: Placement::Nowhere,
        spills: 0,
        remainder,
        usage: Usage::default(),
    }
}

fn run(hand: u32) -> Run {
    Run { nonce: hand, request_id: format!("request-{hand}"), memory_mb: 128, larger: false, calls_max: None }
}

const FIRST_TRY: TryKey = TryKey { stage: Stage::Map, task: TaskIdx(0), piece: Piece(0), number: 0 };

/// A job of one map task, without a ceiling.
fn one_task() -> JobView {
    JobView { map_tasks: 1, ..JobView::new(Phase::Mapping) }
}

/// The first try as the ledger has it.
async fn first_try(ledger: &Ledger, job: &JobId) -> TryView {
    let tasks = ledger.tasks::<MapRecord>(job, &mut one_task(), Timestamp(0)).await.unwrap();
    tasks[0].tries[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_attempts_that_commit_at_once_one_wins_and_the_others_are_told_which() {
    let rig = Rig::start().await;
    for lost in LOST {
        let job = rig.job().await;
        let told = rig
            .race(lost, update(COMMIT), |hand| {
                let (ledger, job) = (rig.ledger(), job.clone());
                async move { ledger.commit(&job, TaskIdx(0), Piece(0), &record(hand, None), 2).await.unwrap() }
            })
            .await;
        let won = only(&told, |commit| *commit == Commit::Won { stage_complete: false });
        let others = (0..).zip(&told).filter(|(hand, _)| *hand != won);
        assert!(others.into_iter().all(|(_, commit)| *commit == Commit::Lost(attempt(won))), "{told:?}");
        let committed = rig.ledger().committed::<MapRecord>(&job, 2).await.unwrap();
        assert_eq!(committed, [vec![record(won, None)], vec![]]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_won_is_told_so_although_another_was_refused_before_it_heard() {
    let rig = Rig::start().await;
    let job = rig.job().await;
    rig.gates().set_rules(vec![update(COMMIT).does(Strike::HoldAfter)]);
    let commit = |hand| {
        let (ledger, job) = (rig.ledger(), job.clone());
        tokio::spawn(async move { ledger.commit(&job, TaskIdx(0), Piece(0), &record(hand, None), 1).await.unwrap() })
    };
    let first = commit(1);
    let held = rig.held().await;
    assert_eq!(commit(2).await.unwrap(), Commit::Lost(attempt(1)));
    assert!(!first.is_finished());
    held.lose();
    assert_eq!(first.await.unwrap(), Commit::Won { stage_complete: true });
    // Not only its own reply: whoever commits the same once more has still won.
    assert_eq!(commit(1).await.unwrap(), Commit::Won { stage_complete: true });
    assert_eq!(rig.gates().counts(), [(4, 1)]);
}

/// How many tasks a stage has of which the barrier is tried: the last of its groups is not full.
const TASKS: u32 = 3 * TASKS_PER_GROUP + 4;

/// Commits all tasks at once, every fifth in two pieces. Returns how many committers learned that the stage is complete.
async fn commit_all(rig: &Rig) -> usize {
    let job = rig.job().await;
    let told = all(TASKS, |task| {
        let (ledger, job) = (rig.ledger(), job.clone());
        async move {
            let mut piece = Piece(0);
            if task % 5 == 0 {
                let rest = Some(Position::at(0, 1));
                let handed_back = ledger.commit(&job, TaskIdx(task), piece, &record(task, rest), TASKS).await;
                assert_eq!(handed_back.unwrap(), Commit::Won { stage_complete: false });
                piece = Piece(1);
            }
            let commit = ledger.commit(&job, TaskIdx(task), piece, &record(task, None), TASKS).await.unwrap();
            let Commit::Won { stage_complete } = commit else { panic!("{commit:?}") };
            if stage_complete {
                let committed = ledger.committed::<MapRecord>(&job, TASKS).await.unwrap();
                let is_done = |pieces: &Vec<MapRecord>| pieces.last().is_some_and(|last| last.remainder.is_none());
                assert!(committed.len() == TASKS as usize && committed.iter().all(is_done), "{committed:?}");
            }
            stage_complete
        }
    })
    .await;
    told.into_iter().filter(|complete| *complete).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_committer_learns_that_its_stage_is_complete_and_none_before_it_is() {
    let rig = Rig::start().await;
    assert_eq!(commit_all(&rig).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_committer_learns_that_its_stage_is_complete_although_replies_are_lost() {
    let rig = Rig::start().await;
    let groups = u64::from(TASKS.div_ceil(TASKS_PER_GROUP));
    for (commits, roots) in [(20, 1), (1, groups), (30, groups)] {
        let lose = |of: Matching, lost| of.times(lost).does(Strike::LoseReply);
        rig.gates().set_rules(vec![lose(update(COMMIT), commits), lose(update(ROOT), roots)]);
        // Of a group whose last reply was lost, another may have seen it complete.
        assert!(commit_all(&rig).await >= 1);
        let struck: Vec<u64> = rig.gates().counts().into_iter().map(|(_, struck)| struck).collect();
        assert_eq!(struck, [commits, roots]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_committer_learns_that_its_stage_is_complete_although_its_own_reply_is_lost() {
    let rig = Rig::start().await;
    let tasks = TASKS_PER_GROUP + 1;
    for of in [update(COMMIT).after(u64::from(tasks) - 1), update(ROOT).after(1)] {
        let (ledger, job) = (rig.ledger(), rig.job().await);
        rig.gates().set_rules(vec![of.does(Strike::LoseReply)]);
        for task in 0..tasks {
            let commit = ledger.commit(&job, TaskIdx(task), Piece(0), &record(task, None), tasks).await.unwrap();
            assert_eq!(commit, Commit::Won { stage_complete: task + 1 == tasks });
        }
        assert_eq!(rig.gates().counts()[0].1, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_would_send_a_try_one_does_each_time() {
    let rig = Rig::start().await;
    for lost in LOST {
        let (ledger, job) = (rig.ledger(), rig.job().await);
        for sends in 0..3 {
            rig.winner(lost, update(CLAIM), |_| {
                let (ledger, job) = (ledger.clone(), job.clone());
                async move { ledger.claim(&job, FIRST_TRY, sends).await.unwrap() }
            })
            .await;
            let tried = first_try(&ledger, &job).await;
            assert_eq!((tried.sends, tried.accepted), (sends + 1, false));
            ledger.accepted(&job, FIRST_TRY).await.unwrap();
            assert!(first_try(&ledger, &job).await.accepted);
        }
        // Whoever has seen it earlier comes too late, and a try that was started is not sent again.
        assert!(!ledger.claim(&job, FIRST_TRY, 1).await.unwrap());
        assert_eq!(ledger.start(&job, FIRST_TRY, &run(1)).await.unwrap(), Started::First);
        assert!(!ledger.claim(&job, FIRST_TRY, 3).await.unwrap());
    }
    // Of a job that nobody knows, nothing is made.
    let nobody = new_id();
    rig.ledger().accepted(&nobody, FIRST_TRY).await.unwrap();
    let tasks = rig.ledger().tasks::<MapRecord>(&nobody, &mut one_task(), Timestamp(0)).await.unwrap();
    assert_eq!(tasks[0].tries, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_try_that_is_over_says_when_and_nothing_is_made_of_a_job_that_is_gone() {
    let rig = Rig::start().await;
    for lost in LOST {
        let (ledger, job) = (rig.ledger(), rig.job().await);
        assert_eq!(ledger.start(&job, FIRST_TRY, &run(1)).await.unwrap(), Started::First);
        // Another execution cannot say it of this one.
        ledger.over(&job, FIRST_TRY, 2).await.unwrap();
        assert_eq!(first_try(&ledger, &job).await.ended_at(), None);
        let told = rig
            .race(lost, update("over_at"), |_| {
                let (ledger, job) = (ledger.clone(), job.clone());
                async move { ledger.over(&job, FIRST_TRY, 1).await.is_ok() }
            })
            .await;
        assert!(told.into_iter().all(|said| said));
        let tried = first_try(&ledger, &job).await;
        assert!(tried.over_at >= tried.started_at && tried.ended_at() == tried.over_at, "{tried:?}");
    }
    let nobody = new_id();
    rig.ledger().over(&nobody, FIRST_TRY, 1).await.unwrap();
    let tasks = rig.ledger().tasks::<MapRecord>(&nobody, &mut one_task(), Timestamp(0)).await.unwrap();
    assert_eq!(tasks[0].tries, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_executions_of_one_try_one_does_the_work_and_only_it_can_fail() {
    let rig = Rig::start().await;
    for lost in LOST {
        let (ledger, job) = (rig.ledger(), rig.job().await);
        let told = rig
            .race(lost, update(START), |hand| {
                let (ledger, job) = (ledger.clone(), job.clone());
                async move { ledger.start(&job, FIRST_TRY, &run(hand)).await.unwrap() }
            })
            .await;
        let at_work = only(&told, |started| *started != Started::Elsewhere);
        // Whose reply is lost cannot know whether it is the first.
        if lost == 0 {
            assert_eq!(told[at_work as usize], Started::First);
        }
        let error = Error::new(Code::Crashed, "it fell over");
        for hand in (0..HANDS).filter(|hand| *hand != at_work) {
            ledger.beat(&job, FIRST_TRY, hand).await.unwrap();
            ledger.fail(&job, FIRST_TRY, Says::Run(hand), &error).await.unwrap();
            ledger.fail(&job, FIRST_TRY, Says::Lambda(&run(hand).request_id), &error).await.unwrap();
        }
        let tried = first_try(&ledger, &job).await;
        assert_eq!((tried.alive_at, tried.failed), (None, None));
        ledger.beat(&job, FIRST_TRY, at_work).await.unwrap();
        ledger.fail(&job, FIRST_TRY, Says::Run(at_work), &error).await.unwrap();
        let tried = first_try(&ledger, &job).await;
        assert_eq!((tried.alive_at.is_some(), tried.failed.map(|failed| failed.error)), (true, Some(error)));
        assert_eq!(ledger.start(&job, FIRST_TRY, &run(HANDS)).await.unwrap(), Started::Elsewhere, "it has failed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_that_has_fallen_silent_is_replaced_and_one_that_shows_signs_of_life_is_not() {
    let rig = Rig::start().await;
    let (now, long_ago) = (rig.ledger(), rig.ledger_ago(SILENCE_MS + 60_000));
    let job = rig.job().await;
    let start = async |ledger: &Ledger, hand| ledger.start(&job, FIRST_TRY, &run(hand)).await.unwrap();
    assert_eq!(start(&long_ago, 1).await, Started::First);
    now.beat(&job, FIRST_TRY, 1).await.unwrap();
    assert_eq!(start(&now, 2).await, Started::Elsewhere, "it has given a sign of life");
    long_ago.beat(&job, FIRST_TRY, 1).await.unwrap();
    assert_eq!(start(&now, 2).await, Started::Again);
    assert_eq!(start(&now, 3).await, Started::Elsewhere, "the second has begun just now");
    // The first wakes up: it is nobody any more.
    let error = Error::new(Code::Crashed, "it fell over");
    now.beat(&job, FIRST_TRY, 1).await.unwrap();
    now.fail(&job, FIRST_TRY, Says::Run(1), &error).await.unwrap();
    now.fail(&job, FIRST_TRY, Says::Lambda("request-1"), &error).await.unwrap();
    let tried = first_try(&now, &job).await;
    assert_eq!((tried.alive_at, tried.failed), (None, None));
    now.fail(&job, FIRST_TRY, Says::Lambda("request-2"), &error).await.unwrap();
    assert_eq!(first_try(&now, &job).await.failed.unwrap().error, error);

    // One that has never given a sign is replaced as well.
    let other = TryKey { number: 1, ..FIRST_TRY };
    assert_eq!(long_ago.start(&job, other, &run(1)).await.unwrap(), Started::First);
    assert_eq!(now.start(&job, other, &run(2)).await.unwrap(), Started::Again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_created_once() {
    let rig = Rig::start().await;
    for lost in LOST {
        let job = new_id();
        let winner = rig
            .winner(lost, transact("splitting"), |hand| {
                let (ledger, job) = (rig.ledger(), job.clone());
                async move {
                    let created = ledger.create_job(&job, &spec(&format!("by {hand}"), None), 60_000).await;
                    assert!(created.as_ref().err().is_none_or(|error| error.code() == "job-exists"), "{created:?}");
                    created.is_ok()
                }
            })
            .await;
        let listed: Vec<_> = rig.ledger().jobs().await.unwrap().into_iter().filter(|entry| entry.job == job).collect();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].name, format!("by {winner}"));
        rig.assert_listed_as(&job, Phase::Splitting).await;
    }
    let open = rig.ledger().jobs().await.unwrap().into_iter().filter(|entry| !entry.phase.is_final());
    assert_eq!(open.count(), LOST.len());
}

/// A job whose runs are merged has its grid as long as it lives, and comes to reducing by way of merging alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_would_have_the_runs_merged_one_does() {
    let rig = Rig::start().await;
    for lost in LOST {
        let (job, ledger) = (rig.job().await, rig.ledger());
        let sizes = GridSizes { group_tasks: 1, band_partitions: 1 };
        assert!(ledger.plan(&job, &Planned { merging: Some(sizes), ..planned("p") }).await.unwrap());
        let winner = rig.winner(lost, update(into_phase("merging")), |n| {
            let (ledger, job) = (rig.ledger(), job.clone());
            let usage = Usage { ran_ms: n.into(), ..Usage::default() };
            async move { ledger.merge(&job, Some(&usage), None).await.unwrap() }
        });
        let winner = winner.await;
        let view = rig.view(&job).await;
        let spent: Vec<u64> = view.beside.iter().map(|usage| usage.ran_ms).collect();
        assert_eq!((view.phase, view.turn, spent), (Phase::Merging, 1, vec![winner.into()]));
        assert_eq!((view.grid, view.tasks_of(Stage::Merge)), (Grid::new(2, 1, sizes), 2));
        assert!(view.phase_at.merging.is_some() && view.phase_at.reducing.is_none());
        assert!(!ledger.reduce(&job, Phase::Mapping, &Reduced::default()).await.unwrap());
        assert!(ledger.reduce(&job, Phase::Merging, &Reduced::default()).await.unwrap());
        assert_eq!(rig.view(&job).await.phase, Phase::Reducing);
        ledger.forget(&job).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_would_move_a_job_on_one_does_and_what_it_says_stands() {
    let rig = Rig::start().await;
    for lost in LOST {
        let job = rig.job().await;
        let hand = |hand: u32| (rig.ledger(), job.clone(), format!("{hand}"));
        let winner = rig.winner(lost, update(into_phase("mapping")), |n| {
            let (ledger, job, id) = hand(n);
            async move { ledger.plan(&job, &planned(&id)).await.unwrap() }
        });
        let winner = winner.await;
        let view = rig.view(&job).await;
        assert_eq!((view.phase, view.turn, view.plan), (Phase::Mapping, 1, Some(winner.to_string())));

        let before = rig.view(&job).await;
        rig.winner(lost, update("attribute_not_exists(#index_tries)"), |n| {
            let (ledger, job, _) = hand(n);
            let view = before.clone();
            async move { ledger.begin_index(&job, &view).await.unwrap() }
        })
        .await;
        let indexing = rig.view(&job).await;
        assert_eq!((indexing.turn, indexing.index.tries), (2, 1));
        assert!(!rig.ledger().begin_index(&job, &indexing).await.unwrap(), "others take the turn, and the next number");
        assert!(rig.ledger().take_turn(&job, &indexing).await.unwrap());
        let indexing = rig.view(&job).await;
        assert_eq!((indexing.turn, indexing.index.tries, indexing.index.at), (3, 2, None));

        let winner = rig.winner(lost, update(into_phase("reducing")), |n| {
            let (ledger, job, _) = hand(n);
            let usage = Usage { ran_ms: n.into(), ..Usage::default() };
            let index = IndexAt { number: n as u16, table: (8, 9 + u64::from(n)).into() };
            let reduced = Reduced { usage: Some(usage), index: Some(index), spent: None };
            async move { ledger.reduce(&job, Phase::Mapping, &reduced).await.unwrap() }
        });
        let winner = winner.await;
        let view = rig.view(&job).await;
        let spent: Vec<u64> = view.beside.iter().map(|usage| usage.ran_ms).collect();
        assert_eq!((view.phase, spent), (Phase::Reducing, vec![winner.into()]));
        let at = view.index.at.map(|at| (u32::from(at.number), at.table.to));
        assert_eq!(at, Some((winner, 9 + u64::from(winner))));

        let winner = rig.winner(lost, update(into_phase("publishing")), |n| {
            let (ledger, job, upload) = hand(n);
            async move { ledger.publish(&job, &upload, None).await.unwrap() }
        });
        let gone = winner.await.to_string();
        assert_eq!(rig.view(&job).await.manifest_upload, Some(gone.clone()));

        let winner = rig.winner(lost, update("SET #manifest_upload"), |n| {
            let ((ledger, job, upload), gone) = (hand(n + HANDS), gone.clone());
            async move { ledger.replace_manifest_upload(&job, &gone, &upload).await.unwrap() }
        });
        let upload = (winner.await + HANDS).to_string();
        assert_eq!(rig.view(&job).await.manifest_upload, Some(upload));

        rig.winner(lost, transact("succeeded"), |n| {
            let (ledger, job, _) = hand(n);
            async move { ledger.settle(&job, Phase::Publishing, Phase::Succeeded, None).await.unwrap() }
        })
        .await;
        rig.assert_listed_as(&job, Phase::Succeeded).await;
        // It has ended: nothing moves it any more.
        let view = rig.view(&job).await;
        let error = Error::new(Code::Cancelled, "late");
        assert!(!rig.ledger().end(&job, &view, &[Phase::Publishing], Phase::Cancelled, &error).await.unwrap());
        assert!(!rig.ledger().settle(&job, Phase::Undoing, Phase::Failed, None).await.unwrap());
        rig.assert_listed_as(&job, Phase::Succeeded).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_would_end_a_job_one_does_and_its_error_stands() {
    let rig = Rig::start().await;
    for (writes_output, lost) in LOST.iter().flat_map(|lost| [(true, *lost), (false, *lost)]) {
        let job = rig.planned_job().await;
        let view = JobView { writes_output, ..rig.view(&job).await };
        let ending = |hand: u32| if hand.is_multiple_of(2) { Phase::Cancelled } else { Phase::Failed };
        let error = |hand: u32| Error::new(Code::Crashed, format!("by {hand}"));
        let of = if writes_output { update(into_phase("undoing")) } else { Rule::dynamodb("TransactWriteItems") };
        let winner = rig
            .winner(lost, of, |hand| {
                let (ledger, job, view) = (rig.ledger(), job.clone(), view.clone());
                let from = [Phase::Splitting, Phase::Mapping];
                async move { ledger.end(&job, &view, &from, ending(hand), &error(hand)).await.unwrap() }
            })
            .await;
        let ended = rig.view(&job).await;
        assert_eq!(ended.error, Some(error(winner)));
        if writes_output {
            assert_eq!((ended.phase, ended.ending), (Phase::Undoing, Some(ending(winner))));
            assert!(rig.ledger().settle(&job, Phase::Undoing, ending(winner), None).await.unwrap());
        }
        rig.assert_listed_as(&job, ending(winner)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_meets_others_is_tried_again() {
    let rig = Rig::start().await;
    let job = rig.planned_job().await;
    let conflicts = 3;
    let conflict = refuse(400, "TransactionConflictException");
    let lost = transact("succeeded").does(Strike::LoseReply);
    rig.gates().set_rules(vec![transact("succeeded").times(conflicts).does(conflict), lost]);
    assert!(rig.ledger().settle(&job, Phase::Mapping, Phase::Succeeded, None).await.unwrap());
    let struck: Vec<u64> = rig.gates().counts().into_iter().map(|(_, struck)| struck).collect();
    assert_eq!(struck, [conflicts, 1]);
    rig.assert_listed_as(&job, Phase::Succeeded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_turn_is_taken_by_one_and_kept_by_nobody_else() {
    let rig = Rig::start().await;
    for lost in LOST {
        let (ledger, job) = (rig.ledger(), rig.planned_job().await);
        let seen = rig.view(&job).await;
        rig.winner(lost, update("turn_at = :seen"), |_| {
            let (ledger, job, seen) = (ledger.clone(), job.clone(), seen.clone());
            async move { ledger.take_turn(&job, &seen).await.unwrap() }
        })
        .await;
        let taken = rig.view(&job).await;
        assert_eq!((seen.turn, taken.turn), (1, 2));

        let keep = async |turn, sent| ledger.keep_turn(&job, Phase::Mapping, turn, sent).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        rig.gates().set_rules(vec![update("SET #turn_at").does(Strike::LoseReply)]);
        assert!(keep(2, 7).await, "its reply is lost, and it is as done once");
        assert_eq!(rig.gates().counts(), [(2, 1)]);
        rig.gates().set_rules(vec![]);
        assert!(!keep(1, 9).await, "another has the turn");
        let kept = rig.view(&job).await;
        assert_eq!((kept.turn, kept.sent), (2, 7));
        assert!(kept.turn_at > taken.turn_at);
        // Who has not seen the sign of life does not take the turn from it.
        assert!(!ledger.take_turn(&job, &taken).await.unwrap());
        assert!(ledger.take_turn(&job, &kept).await.unwrap());

        assert!(ledger.reduce(&job, Phase::Mapping, &Reduced::default()).await.unwrap());
        let view = rig.view(&job).await;
        assert_eq!((view.turn, view.sent), (1, 0));
        assert!(!keep(3, 1).await && !keep(1, 1).await, "the job has gone on");
    }
}

/// A task fails, and its further try commits; another task is still to come, and then commits at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_job_with_a_ceiling_has_spent_has_every_try_while_the_group_is_open_and_after() {
    let rig = Rig::start().await;
    let (ledger, job) = (rig.ledger(), new_id());
    let mut spec = spec("capped", None);
    spec.options.ceiling.usd = Some(1.0);
    ledger.create_job(&job, &spec, 60_000).await.unwrap();
    assert!(ledger.plan(&job, &planned("plan")).await.unwrap());
    let further = TryKey { number: 1, ..FIRST_TRY };
    ledger.start(&job, FIRST_TRY, &run(1)).await.unwrap();
    ledger.fail(&job, FIRST_TRY, Says::Run(1), &Error::new(Code::Crashed, "it died")).await.unwrap();
    ledger.note_further(&job, further).await.unwrap();
    assert!(ledger.claim(&job, further, 0).await.unwrap());
    ledger.start(&job, further, &run(2)).await.unwrap();
    let usage = Usage { ran_ms: 2_000, memory_mb: 1_024, ..Usage::default() };
    let of = |hand, number| MapRecord { attempt: AttemptId { number, nonce: hand }, usage, ..record(hand, None) };
    ledger.commit(&job, TaskIdx(0), Piece(0), &of(2, 1), 2).await.unwrap();
    for open in [true, false] {
        if !open {
            ledger.commit(&job, TaskIdx(1), Piece(0), &of(3, 0), 2).await.unwrap();
        }
        let mut view = rig.view(&job).await;
        let tasks = ledger.tasks::<MapRecord>(&job, &mut view, Timestamp::now()).await.unwrap();
        let spent = view.capped.unwrap().spent;
        assert_eq!(tasks.iter().all(|task| task.done), !open);
        assert_eq!((spent.gb_seconds, spent.dearest_gb_s), (if open { 2.0 } else { 4.0 }, 2.0));
        // The splitter and those that have committed, with a write unit for each commit and for the note.
        let committed = if open { 1 } else { 2 };
        assert_eq!(spent.requests.lambda, 1 + committed);
        assert_eq!(
            (spent.requests.dynamodb, spent.requests.write_milliunits),
            (committed + 1, 1_000 * (committed + 1))
        );
        // The one that failed, and not the one that committed.
        assert_eq!(spent.overtaken.iter().map(|t| (t.number, t.failed.is_some())).collect::<Vec<_>>(), [(0, true)]);
        assert_eq!(spent.unread, 0);
    }
    // A job without a ceiling knows nothing of this.
    let other = rig.planned_job().await;
    let mut view = rig.view(&other).await;
    ledger.tasks::<MapRecord>(&other, &mut view, Timestamp::now()).await.unwrap();
    assert_eq!(view.capped, None);
}
