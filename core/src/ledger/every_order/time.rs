//! Time in a world: how it passes, what its next moment is, and what is too old to matter.

use super::super::advance::LOST_GRACE_MS;
use super::super::{
    CLAIM_MS, Command, HANDOVER_MS, HEARTBEAT_MS, Phase, RESEND_MS, SILENCE_MS, SPLIT_HEARTBEAT_MS, SPLIT_SILENCE_MS,
    TURN_MS,
};
use super::world::{AGE_MAX, Age, Job, STAGES, Task, Try, Which, World};
use crate::budget::{STRAGGLER_FACTOR, STRAGGLER_MS_MIN};

impl World {
    /// Lets time pass. Who lives gives signs of life meanwhile.
    pub(super) fn pass(&mut self, job: &Job, ms: Age) {
        let add = |age: &mut Age| *age = (*age + ms).min(AGE_MAX);
        add(&mut self.turn_age);
        if self.is_held() {
            self.turn_age = 0;
        }
        if let Some(late) = &mut self.late {
            add(&mut late.turn_age);
        }
        if job.ms_max.is_some() {
            add(&mut self.age);
        }
        let alive = self.clone();
        for stage in 0..STAGES {
            let beat_ms = if stage == 0 { SPLIT_HEARTBEAT_MS } else { HEARTBEAT_MS };
            for (task, n) in self.tasks_mut(stage).iter_mut().zip(0..) {
                add(&mut task.since);
                for tried in &mut task.tries {
                    let silence = tried.silence();
                    let lives = alive.lives(stage, n, tried);
                    let started = if tried.failed.is_none() { tried.started.as_mut() } else { None };
                    [tried.sent.as_mut(), started, tried.alive.as_mut()].into_iter().flatten().for_each(add);
                    if let Some(silence) = silence.filter(|silence| lives && silence + ms >= beat_ms) {
                        tried.alive = Some((silence + ms) % beat_ms);
                    }
                }
            }
        }
        self.runs.iter_mut().filter(|run| !run.still).for_each(|run| add(&mut run.age));
    }

    /// How long it is until something may count as silent or late. There is no such time while a worker would have to run
    /// longer than it may.
    pub(super) fn wait(&self, job: &Job) -> Option<Age> {
        if self.phase.is_final() {
            return None;
        }
        let mut next: Option<Age> = None;
        let mut until = |age: Age, border: Age| {
            if age < border && border <= AGE_MAX {
                next = Some(next.unwrap_or(Age::MAX).min(border - age));
            }
        };
        if !self.is_held() && self.is_turn_due() {
            until(self.turn_age, TURN_MS);
        }
        job.ms_max.into_iter().for_each(|most| until(self.age, most + 1));
        let Some(stage) = self.stage() else { return next };
        if let Some(most) = job.spent_max {
            let running =
                self.open_tries().filter(|t| t.failed.is_none() && t.started.is_some_and(|ran| ran < job.timeout_ms));
            let running = running.count() as Age;
            let left = most.saturating_sub(self.known_spent(job));
            until(0, if running > 0 { left.div_ceil(running) } else { 0 });
        }
        let is_straggled = self.tasks(stage).iter().any(|task| task.done);
        for (task, n) in self.tasks(stage).iter().zip(0..).filter(|(task, _)| !task.done) {
            let since = task.since.min(self.turn_age);
            if task.tries.is_empty() {
                match (stage, task.piece) {
                    (0, _) => until(task.since, CLAIM_MS),
                    (_, 0) => until(since, RESEND_MS),
                    _ => until(task.since, HANDOVER_MS),
                }
            }
            for tried in task.tries.iter().filter(|t| t.failed.is_none()) {
                if let Some(started) = tried.started {
                    let silence_ms = if stage == 0 { SPLIT_SILENCE_MS } else { SILENCE_MS };
                    if !self.lives(stage, n, tried) {
                        until(tried.silence().unwrap_or(started), silence_ms + 1);
                        until(started, job.timeout_ms + LOST_GRACE_MS + 1);
                    } else if is_straggled {
                        until(started, (1_000 * STRAGGLER_FACTOR).max(STRAGGLER_MS_MIN) + 1);
                    }
                } else {
                    let sent = tried.sent.unwrap_or(since);
                    match tried.accepted {
                        false => until(sent, CLAIM_MS),
                        true => until(sent, RESEND_MS << tried.sends.saturating_sub(1).min(5)),
                    }
                }
            }
        }
        let lasts = |ms: &Age| self.runs.iter().all(|run| run.still || run.age + ms <= job.timeout_ms);
        next.filter(lasts)
    }

    /// The tries of the stage's open tasks.
    pub(super) fn open_tries(&self) -> impl Iterator<Item = &Try> {
        let tasks = self.stage().map_or(&[][..], |stage| self.tasks(stage));
        tasks.iter().filter(|task| !task.done).flat_map(|task| &task.tries)
    }

    /// How long the functions of a job with a ceiling have run, as far as the ledger tells.
    pub(super) fn known_spent(&self, job: &Job) -> Age {
        let ran = self.open_tries().filter_map(|t| t.started).map(|ran| ran.min(job.timeout_ms));
        self.spent + ran.sum::<Age>()
    }

    /// Whether it matters how long ago the turn's last sign of life was.
    fn is_turn_due(&self) -> bool {
        match self.phase {
            Phase::Publishing | Phase::Undoing => true,
            Phase::Mapping | Phase::Merging | Phase::Reducing => {
                let tasks = self.stage().map_or(&[][..], |stage| self.tasks(stage));
                let is_unseen = |task: &Task| !task.done && task.tries.is_empty();
                usize::from(self.sent) < tasks.len() || tasks.iter().any(is_unseen) || self.is_indexing()
            }
            Phase::Splitting | Phase::Succeeded | Phase::Failed | Phase::Cancelled => false,
        }
    }

    /// Drops what makes no difference any more, so that worlds which differ in nothing else are one: such as events and workers
    /// of what is committed, who can only be refused.
    pub(super) fn tidy(&mut self, job: &Job) {
        let is_next = |world: &World, which: Which| {
            let task = &world.tasks(which.stage)[which.task as usize];
            world.stage() == Some(which.stage) && !task.done && task.piece <= which.piece
        };
        let (events, runs) = (std::mem::take(&mut self.events), std::mem::take(&mut self.runs));
        self.events = events.into_iter().filter(|event| is_next(self, event.which)).collect();
        self.runs = runs.into_iter().filter(|run| is_next(self, run.which)).collect();
        self.events.sort_unstable();
        let mut same = 0;
        let mut last = None;
        // Of one event, a third copy does what the second does.
        self.events.retain(|event| {
            same = if last == Some(*event) { same + 1 } else { 0 };
            last = Some(*event);
            same < 2
        });
        self.runs.sort_unstable();
        self.holders.sort_unstable();
        let stage = self.stage();
        for n in 0..STAGES {
            let is_over = stage != Some(n);
            for task in self.tasks_mut(n) {
                if is_over || task.done {
                    task.tries.clear();
                }
                // Nobody may wait for a task that is done, however long ago that was.
                task.since = match (is_over || !task.tries.is_empty(), task.done) {
                    (true, _) => 0,
                    (false, true) => AGE_MAX,
                    (false, false) => task.since,
                };
                if is_over || !job.has_backups() {
                    task.ran_ms = 0;
                }
                task.tries.iter_mut().for_each(|tried| tried.tidy(job));
            }
        }
        if !self.is_turn_due() {
            self.turn_age = 0;
        }
        if let Some(late) = self.late.as_mut().filter(|late| !matches!(late.command.0, Command::TakeTurn { .. })) {
            late.turn_age = 0;
        }
    }
}

impl Job {
    /// Whether enough of the tasks can be done for the others to straggle.
    fn has_backups(&self) -> bool {
        self.done > 0
    }
}

impl Try {
    fn tidy(&mut self, job: &Job) {
        if self.failed.is_some() {
            self.started = self.started.map(|ran| if job.spent_max.is_some() { ran.min(job.timeout_ms) } else { 0 });
            self.alive = None;
        }
        if self.started.is_some() || self.failed.is_some() {
            (self.sends, self.sent, self.accepted) = (self.sends.min(1), self.sent.map(|_| 0), false);
        }
    }
}
