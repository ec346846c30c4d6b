//! What must be true in every world, of every decision, and of every step.

use super::super::calls::HALVINGS_MAX;
use super::super::{Command, FindRuns, INDEX_TRIES_MAX, Phase, SILENCE_MS, SPLIT_SILENCE_MS};
use super::happens::Step;
use super::rules::Comes;
use super::world::{Age, Job, Task, Try, World};
use crate::budget::{ALONE_TRIES_MAX, TIMED_OUT_TRIES_MAX};
use crate::error::{Code, Error};
use crate::ledger::failures::is_death;

/// What is broken, in words.
type Broken = Result<(), String>;

fn law(holds: bool, broken: impl FnOnce() -> String) -> Broken {
    if holds { Ok(()) } else { Err(broken()) }
}

/// Checks a world, and what `advance` says of it.
pub(super) fn of_world(world: &World, job: &Job, commands: &[Command]) -> Broken {
    if world.phase.is_final() {
        law(commands.is_empty(), || format!("the job has ended, and there is more to do: {commands:?}"))?;
    }
    match world.phase {
        Phase::Failed => {
            law(world.cause.is_some_and(|code| code != Code::Cancelled), || "it failed without a cause".into())?
        }
        Phase::Cancelled => law(world.cancelled, || "nobody has cancelled it".into())?,
        Phase::Succeeded => {
            let all = world.maps.iter().chain(&world.merges).chain(&world.reduces).all(|task| task.done);
            law(all, || "it succeeded without all tasks".into())?;
            settled(world, job)?;
        }
        _ => {}
    }
    let to_index = u64::from(world.is_indexing());
    let to_reread = if world.phase == Phase::Mapping { world.rereads.len() as u64 } else { 0 };
    law(world.turn <= 1 + to_index + to_reread + u64::from(used(world, job)), || {
        format!("turn {} after {} faults", world.turn, used(world, job))
    })?;
    if matches!(world.phase, Phase::Reducing | Phase::Publishing | Phase::Succeeded) && job.from != Phase::Reducing {
        law(world.first_wrong(job).is_none(), || "it reduces what was begun at a wrong place".into())?;
    }
    let planned: Vec<_> = world.rereads.iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    law(planned.len() == world.rereads.len(), || format!("a task is read again twice: {:?}", world.rereads))?;
    if let Some(stage) = world.stage() {
        world.tasks(stage).iter().filter(|task| !task.done).try_for_each(|task| tries(world, job, stage, task))?;
    }
    commands.iter().try_for_each(|command| decision(world, job, command))?;
    ceiling(world, job, commands)?;
    overdue(world, job, commands)
}

/// A job that has spent what it may begins nothing any more, and ends. Far below its ceiling, it does what it would do without.
fn ceiling(world: &World, job: &Job, commands: &[Command]) -> Broken {
    let Some(most) = job.spent_max else {
        let below = world.commands_below(job, 1e12);
        return law(below == commands, || format!("with a ceiling, it would do {below:?}"));
    };
    if world.stage().is_some() && world.known_spent(job) >= most {
        let ends = matches!(commands, [Command::Fail(_) | Command::Finish]);
        law(ends, || format!("it has spent what it may, and goes on: {commands:?}"))?;
    }
    let begins = |c: &&Command| matches!(c, Command::Invoke(i) if i.number > 0 && i.sends == 0);
    let further = commands.iter().filter(begins).count() as u64;
    let at_most = least_after(world, job, further);
    law(further == 0 || at_most < most, || format!("after {further} further tries, it could have spent {at_most} ms"))
}

/// What a job will have spent at least, if so many further tries, and those under way, take as long as the longest of the stage.
fn least_after(world: &World, job: &Job, further: u64) -> Age {
    let ran = |t: &Try| t.started.unwrap_or(0).min(job.timeout_ms);
    let longest = world.open_tries().map(ran).fold(world.dearest, Age::max);
    let under_way = world.open_tries().filter(|t| t.number > 0 && t.failed.is_none());
    world.known_spent(job) + under_way.map(|t| longest - ran(t)).sum::<Age>() + further * longest
}

/// Checks that nothing is left undone that is due.
fn overdue(world: &World, job: &Job, commands: &[Command]) -> Broken {
    let Some(stage) = world.stage() else { return Ok(()) };
    let is_given_up = commands.iter().any(|command| matches!(command, Command::Fail(_)));
    if is_given_up {
        return Ok(());
    }
    law(job.ms_max.is_none_or(|most| world.age <= most), || "it may go on beyond its deadline".into())?;
    let silence_ms = if stage == 0 { SPLIT_SILENCE_MS } else { SILENCE_MS };
    for (task, n) in world.tasks(stage).iter().zip(0..).filter(|(task, _)| !task.done) {
        let is_fatal = task.tries.iter().any(|t| code_is(t, |error| ends(job, stage, error)));
        law(!is_fatal, || "a failure that will come again is tried again".into())?;
        let is_gone = |t: &Try| t.failed.is_some() || t.silence().is_some_and(|silence| silence > silence_ms);
        let is_cared_for = commands.iter().any(|command| match command {
            Command::Invoke(invoke) => invoke.of.task.0 == n,
            Command::Settle(settle) => settle.of.task.0 == n,
            _ => false,
        });
        let is_left = !task.tries.is_empty() && task.tries.iter().all(is_gone) && !is_cared_for;
        law(!is_left, || format!("task {n} is left alone"))?;
    }
    Ok(())
}

/// Whether an error of a try ends the job at once.
fn ends(job: &Job, stage: u8, error: &Error) -> bool {
    let is_batch = job.calls > 0 && stage == 1;
    let is_spared = if is_batch { is_death(error) } else { error.is(Code::OutOfMemory) };
    !error.is_retryable() && !is_spared
}

/// How many faults there were.
fn used(world: &World, job: &Job) -> u8 {
    job.faults - world.faults_left
}

/// Only calls that killed their workers are settled, all of them, and each once. Deaths that are no call's doing may hit a call
/// each time that it is alone, and are faults.
fn settled(world: &World, job: &Job) -> Broken {
    let killers = job.kills.iter().all(|call| world.settled.contains(call));
    let once = world.settled.windows(2).all(|pair| pair[0] != pair[1]);
    let others = world.settled.iter().filter(|call| !job.kills.contains(call)).count();
    let excused = others <= used(world, job).into();
    law(killers && once && excused, || format!("settled are {:?}, and {:?} kill", world.settled, job.kills))
}

fn code_is(t: &Try, what: impl Fn(&Error) -> bool) -> bool {
    t.failed.is_some_and(|code| what(&Error::new(code, "")))
}

/// Whether a try counts: Lambda gave it to a worker, or may have.
fn counts(t: &Try) -> bool {
    t.failed != Some(Code::Undelivered)
}

/// A piece is not tried more often than it may be, and never without need.
fn tries(world: &World, job: &Job, stage: u8, task: &Task) -> Broken {
    let is_batch = job.calls > 0 && stage == 1;
    let most = usize::from(job.tries_max) + if is_batch { usize::from(HALVINGS_MAX) } else { 0 };
    let counted = task.tries.iter().filter(|t| counts(t)).count();
    law(counted <= most, || format!("{counted} tries of a piece, and {most} are allowed"))?;
    let backups = usize::from(job.done > 0);
    let well = task.tries.iter().filter(|t| !t.hurt).count();
    law(well <= 1 + backups, || format!("{well} tries of a piece, of which nothing has hurt any"))?;
    let sends = task.tries.iter().map(|t| t.sends).max().unwrap_or(0);
    law(sends <= 2 + used(world, job), || format!("a try was sent {sends} times"))
}

fn decision(world: &World, job: &Job, command: &Command) -> Broken {
    let done = |tasks: &[Task]| tasks.iter().all(|task| task.done);
    match command {
        Command::StartMerging => {
            law(job.merged && world.phase == Phase::Mapping && done(&world.maps), || "it merges too early".into())
        }
        Command::StartReducing(find) => {
            let before = if job.merged { Phase::Merging } else { Phase::Mapping };
            let all = done(&world.maps) && done(&world.merges);
            law(world.phase == before && all, || "it reduces too early".into())?;
            law(world.first_wrong(job).is_none(), || "it reduces what was begun at a wrong place".into())?;
            let is_last = job.merged || world.index_tries == INDEX_TRIES_MAX && !world.is_held();
            law(*find == FindRuns::Cheapest || is_last, || "it does without an index too early".into())
        }
        Command::Reread { map_tasks } => {
            law(world.phase == Phase::Mapping && done(&world.maps), || "it reads again too early".into())?;
            law(*map_tasks as usize == world.maps.len() && !job.wrong.is_empty(), || "no split may be wrong".into())
        }
        Command::Finish if job.partitions > 0 => {
            law(world.phase == Phase::Reducing && done(&world.maps) && done(&world.reduces), || {
                "it ends too early".into()
            })
        }
        Command::Finish => law(world.phase == Phase::Mapping && done(&world.maps), || "it ends too early".into()),
        Command::TakeTurn { .. } => law(!world.is_held(), || "a turn is taken from one who lives".into()),
        Command::Fail(error) => {
            law(is_due(world, job, error), || format!("nothing is a reason to fail with {error:?}"))
        }
        Command::Settle(settle) => {
            let task = &world.maps[settle.of.task.0 as usize];
            let is_alone = |t: &&Try| t.hurt && (t.calls_max == Some(1) || task.calls.1 - task.calls.0 == 1);
            let alone = task.tries.iter().filter(is_alone).count();
            let timed_out = task.tries.last().is_some_and(|t| t.failed == Some(Code::TimedOut));
            let enough = if timed_out { 1 } else { ALONE_TRIES_MAX.min(job.tries_max.into()) };
            law(alone >= enough, || format!("a call is settled of which {alone} tries alone have died"))
        }
        Command::Invoke(invoke) => {
            let Some(stage) = world.stage() else { return Err("tasks are sent when none can run".into()) };
            let task = &world.tasks(stage)[invoke.of.task.0 as usize];
            let again = task.tries.iter().find(|t| u16::from(t.number) == invoke.number);
            let fits = again.is_none_or(|t| t.started.is_none() && t.failed.is_none());
            law(fits && !task.done, || format!("{invoke:?} is sent though it began"))
        }
    }
}

/// Whether the world has given a reason to fail with this error.
fn is_due(world: &World, job: &Job, error: &Error) -> bool {
    if error.is(Code::JobTooLong) {
        return job.ms_max.is_some_and(|most| world.age > most);
    }
    let Some(stage) = world.stage() else { return false };
    if error.is(Code::CeilingPassed) {
        let needs_one = |task: &Task| !task.done && !task.tries.is_empty() && task.tries.iter().all(|t| t.hurt);
        let needs = world.tasks(stage).iter().filter(|task| needs_one(task)).count() as u64;
        let is_spent = |most| world.known_spent(job) >= most || needs > 0 && least_after(world, job, needs) >= most;
        return job.spent_max.is_some_and(is_spent);
    }
    let is_batch = job.calls > 0 && stage == 1;
    let open = world.tasks(stage).iter().zip(0..).filter(|(task, _)| !task.done);
    let is_reason = |(task, n): (&Task, u8)| {
        let is_fatal = |e: &Error| ends(job, stage, e) && e.code() == error.code();
        let fatal = task.tries.iter().any(|t| code_is(t, is_fatal));
        let hurt = |t: &&Try| t.hurt && counts(t) && !(is_batch && (t.failed.is_none() || code_is(t, is_death)));
        let spent = task.tries.iter().filter(hurt).count() >= job.tries_max.into();
        let timed_out = task.tries.iter().filter(|t| t.failed == Some(Code::TimedOut)).count();
        let none_lives = task.tries.iter().all(|t| t.hurt && !world.lives(stage, n, t));
        let is_last = match task.tries.iter().rev().find(|t| t.failed.is_some() && counts(t)).and_then(|t| t.failed) {
            Some(code) => error.is(code),
            None => error.is(Code::TaskLost),
        };
        fatal || none_lives && is_last && (spent || !is_batch && timed_out >= TIMED_OUT_TRIES_MAX)
    };
    open.into_iter().any(is_reason)
}

/// Checks a step: what is committed stays committed, and an end is an end.
pub(super) fn of_step(before: &World, after: &World) -> Broken {
    let ends = |w: &World| (w.phase, w.cause);
    if before.phase.is_final() {
        law(ends(before) == ends(after), || "it ended, and ended again".into())?;
    }
    law(before.phase <= after.phase, || format!("it went back to {:?}", after.phase))?;
    if before.phase == Phase::Undoing {
        law(before.cause == after.cause, || "the reason for its end changed".into())?;
    }
    let tasks =
        |w: &World| w.maps.iter().chain(&w.merges).chain(&w.reduces).map(|t| (t.piece, t.done)).collect::<Vec<_>>();
    let kept = tasks(before).into_iter().zip(tasks(after)).all(|(was, is)| was <= is && !(was.1 && was != is));
    law(kept, || "what was committed changed".into())?;
    if before.phase < Phase::Merging && after.phase == Phase::Merging {
        law(after.maps.iter().all(|task| task.done), || "it merges before all is mapped".into())?;
    }
    if before.phase < Phase::Reducing && after.phase == Phase::Reducing {
        law(after.merges.iter().all(|task| task.done), || "it reduces before all is merged".into())?;
        law(after.maps.iter().all(|task| task.done), || "it reduces before all is mapped".into())?;
    }
    if before.phase < Phase::Publishing && after.phase == Phase::Publishing {
        law(after.reduces.iter().all(|task| task.done), || "it publishes before all is reduced".into())?;
    }
    let reduces = after.events.iter().any(|event| event.which.stage == 2);
    let before = || after.maps.iter().chain(&after.merges);
    law(!reduces || before().all(|task| task.done), || "a reducer is sent before all is mapped and merged".into())?;
    let merges = after.events.iter().any(|event| event.which.stage == 3);
    law(!merges || after.maps.iter().all(|task| task.done), || "a merge task is sent before all is mapped".into())
}

/// Checks a command: who carries it out a second time changes nothing, and nobody is told to.
pub(super) fn of_command(world: &World, job: &Job, commands: &[Command]) -> Broken {
    for (n, command) in commands.iter().enumerate() {
        let once = world.after(job, commands, Step::Look(n, Comes::Through));
        let mut twice = once.clone();
        twice.carry_out(job, command, world.phase, world.turn_age, Comes::Through);
        law(once == twice, || format!("{command:?} is carried out twice"))?;
        law(!once.commands(job).contains(command), || format!("{command:?} was carried out, and is to be again"))?;
    }
    Ok(())
}
