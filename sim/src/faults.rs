//! Faults: what goes wrong, at which step, from a seed.
//!
//! Every request is a step. Whether a fault strikes it is decided by the seed, the step's name and how often a step of this
//! name was taken before, so taking one fault out leaves the others where they are, as far as the run stays the same: that is
//! what makes shrinking work. A plan has a budget, so that every run comes to an end.

use crate::chance::{Chance, extend, hash};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What goes wrong at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The process ends before it sends the request.
    DieBefore,
    /// The process ends when the request was served, before it learns of it.
    DieAfter,
    /// The process stands still before it sends the request, and then goes on.
    Stall,
    /// The request never arrives; its sender sees a broken connection.
    LoseRequest,
    /// The request is served, and the reply is lost; its sender sees a broken connection.
    LoseReply,
    /// The sender sees a broken connection, and the request is served much later.
    LateRequest,
    /// The reply takes long.
    LateReply,
    /// The service refuses for now.
    Refuse,
    /// The reply's body breaks off.
    BreakBody,
    /// A byte of the reply's body is another: of a run, as S3 gives no checksum of a range.
    FlipByte,
    /// Only the first half of a batch is served.
    Partial,
    /// An event is delivered twice.
    TwiceSoon,
    /// An event is delivered once more after hours.
    TwiceLate,
    /// The record of a failed invocation is lost.
    LoseRecord,
}

impl Kind {
    /// The kinds that strike requests: first what only batches suffer, then what all do, then reads of objects, then reads of
    /// runs.
    const OF_REQUESTS: [Kind; 11] = [
        Kind::Partial,
        Kind::DieBefore,
        Kind::DieAfter,
        Kind::Stall,
        Kind::LoseRequest,
        Kind::LoseReply,
        Kind::LateRequest,
        Kind::LateReply,
        Kind::Refuse,
        Kind::BreakBody,
        Kind::FlipByte,
    ];
    /// The kinds that strike any request.
    pub const OF_ANY: &[Kind] = Self::OF_REQUESTS.split_at(9).0.split_at(1).1;
    /// The kinds that strike batches.
    pub const OF_BATCHES: &[Kind] = Self::OF_REQUESTS.split_at(9).0;
    /// The kinds that strike reads of objects.
    pub const OF_READS: &[Kind] = Self::OF_REQUESTS.split_at(10).0.split_at(1).1;
    /// The kinds that strike reads of runs.
    pub const OF_RUNS: &[Kind] = Self::OF_REQUESTS.split_at(1).1;

    /// Returns whether it may end a process.
    pub fn may_kill(self) -> bool {
        matches!(self, Kind::DieBefore | Kind::DieAfter | Kind::Stall)
    }
}

/// A fault that strikes, and how it plays out.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Where and what.
    pub struck: Struck,
    /// How long it lasts, where it lasts.
    pub lasts: Duration,
    /// A number for choices within the kind.
    pub pick: u64,
}

impl Fault {
    /// Returns whether it makes a request older than S3 and DynamoDB accept.
    pub fn is_long(&self) -> bool {
        self.struck.kind == Kind::Stall && self.lasts.as_millis() as u64 >= kinglet_core::model::dynamodb::SKEW_MS_MAX
    }

    /// Returns by how much the fault may delay a job's end at most: the time until somebody notices, and until what was lost is
    /// done again. [`kinglet_core::ledger`] has the times of silence behind these.
    pub fn costs(&self) -> Duration {
        // A silent splitter or mapper is noticed after 130 s at most, by whoever looks next: a driver within seconds, the sweeper
        // within a minute; and then the task runs again. A process that died while it had a turn is replaced sooner. The event
        // of a mapper that was never sent is sent again after 15 minutes if nothing else runs.
        let replaced = Duration::from_secs(1_200);
        match self.struck.kind {
            Kind::DieBefore | Kind::DieAfter => replaced,
            Kind::Stall => replaced.min(self.lasts + AGAIN),
            Kind::LateReply => replaced.min(self.lasts + AGAIN),
            // Its sender tries again at once.
            Kind::LoseRequest | Kind::LoseReply | Kind::LateRequest => AGAIN,
            Kind::Refuse | Kind::BreakBody | Kind::Partial => AGAIN,
            // The task that read it is tried again.
            Kind::FlipByte => Duration::from_secs(120),
            Kind::TwiceSoon | Kind::TwiceLate => Duration::from_secs(60),
            Kind::LoseRecord => Duration::from_secs(600),
        }
    }
}

/// How long a request takes that is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// Where a fault has struck.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Struck {
    /// The name of the step.
    pub step: String,
    /// How often a step of this name had been taken before.
    pub nth: u32,
    /// What went wrong.
    pub kind: Kind,
}

impl fmt::Display for Struck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} #{}", self.kind, self.step, self.nth)
    }
}

/// What all faults of a run are about.
///
/// An even spread of faults seldom strikes two of the few steps at a job's end, one soon after the other. Runs of which each
/// has faults of its own kind at its own steps do (Groce, Zhang, Eide, Chen and Regehr, "Swarm testing", 2012).
struct Focus {
    /// What the name of a step has in it, if faults strike there.
    steps: Vec<String>,
    /// Who takes the step, where only one role is struck.
    role: Option<&'static str>,
    /// The kind of all faults that strike steps which can suffer it, where it is one.
    kind: Option<Kind>,
}

impl Focus {
    /// The steps of a focus.
    const STEPS: [&[&str]; 10] = [
        // Claims, manifests, a job's own item, and all of these.
        &["/_owner.json"],
        &["/_manifest.json"],
        &["Item job#*-*/job", "Items job#*-*/job"],
        &["/_owner.json", "/_manifest.json", "Item job#*-*/job", "Items job#*-*/job"],
        // Beginnings and ends of jobs, what is made visible, and what is removed.
        &["TransactWriteItems"],
        &["POST?uploadId"],
        &["DELETE"],
        // Parts, tasks, events.
        &["/part-"],
        &["/try#", "/group"],
        &["Invoke", "begins"],
    ];

    /// Returns the focus of a seed: half of them have one. Steps may be given.
    fn of(chance: &Chance, given: Option<&str>) -> Option<Self> {
        let (has, steps) = (chance.hits(500_000), *chance.pick(&Self::STEPS));
        let kind = chance.hits(500_000).then(|| *chance.pick(Kind::OF_ANY));
        let role = chance.hits(500_000).then(|| *chance.pick(&["driver", "splitter", "mapper", "reducer"]));
        match given {
            Some(given) => Some(Focus { steps: vec![given.to_owned()], role: None, kind }),
            None => has.then(|| Focus { steps: steps.iter().map(|&step| step.to_owned()).collect(), role, kind }),
        }
    }

    fn has(&self, step: &str) -> bool {
        self.role.is_none_or(|role| step.starts_with(role)) && self.steps.iter().any(|part| step.contains(part))
    }
}

/// The faults of one run.
pub struct Faults {
    seed: u64,
    /// How many steps in a million are struck.
    ppm: u64,
    /// The only steps that are, if not all.
    focus: Option<Focus>,
    /// Only these strike, whatever else would: for shrinking.
    only: Option<BTreeSet<Struck>>,
    state: Mutex<State>,
}

struct State {
    /// Whether faults strike now.
    on: bool,
    /// How many faults there may still be.
    budget: u32,
    /// How often each step was taken, by the hash of its name.
    taken: BTreeMap<u64, u32>,
    struck: Vec<Fault>,
}

impl Faults {
    /// Returns the faults of a seed: at most `most`, only at steps whose name has `focus` in it where that is given, and none
    /// but those in `only`.
    pub fn of(seed: u64, most: u32, focus: Option<&str>, only: Option<BTreeSet<Struck>>) -> Self {
        let chance = Chance::of(seed, "faults");
        // From one fault in a thousand requests to one in ten.
        let even = *chance.pick(&[1_000, 3_000, 10_000, 30_000, 100_000]);
        let budget = if most == 0 { 0 } else { chance.between(1, u64::from(most)) as u32 };
        let focus = Focus::of(&chance, focus);
        // Few steps are in focus, so that more of them are struck.
        let ppm = if focus.is_some() { *chance.pick(&[50_000, 150_000, 400_000]) } else { even };
        let state = State { on: true, budget, taken: BTreeMap::new(), struck: vec![] };
        Faults { seed, ppm, focus, only, state: Mutex::new(state) }
    }

    /// Decides whether a step is struck, by one of these kinds.
    pub fn strike(&self, step: &str, kinds: &[Kind]) -> Option<Fault> {
        let mut state = self.lock();
        if !state.on || kinds.is_empty() {
            return None;
        }
        let name = hash(step.as_bytes());
        let count = state.taken.entry(name).or_default();
        let nth = *count;
        *count += 1;
        let chance = Chance::of(extend(name, &nth.to_le_bytes()) ^ self.seed, "strike");
        let (hits, kind, lasts) = (chance.hits(self.ppm), *chance.pick(kinds), lasts(&chance));
        let hits = hits && self.focus.as_ref().is_none_or(|focus| focus.has(step));
        let of_focus = self.focus.as_ref().and_then(|focus| focus.kind).filter(|kind| kinds.contains(kind));
        let kind = of_focus.unwrap_or(kind);
        let struck = Struck { step: step.to_owned(), nth, kind };
        let strikes = match &self.only {
            Some(only) => only.contains(&struck),
            None => hits && state.budget > 0,
        };
        if !strikes {
            return None;
        }
        state.budget = state.budget.saturating_sub(1);
        let fault = Fault { struck, lasts, pick: chance.next() };
        state.struck.push(fault.clone());
        Some(fault)
    }

    /// Lets no fault strike for a while.
    pub fn pause(&self, paused: bool) {
        self.lock().on = !paused;
    }

    /// Returns the faults that have struck so far.
    pub fn struck(&self) -> Vec<Fault> {
        self.lock().struck.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how long a fault lasts: mostly seconds, sometimes minutes, rarely hours.
fn lasts(chance: &Chance) -> Duration {
    let milliseconds = match chance.between(0, 9) {
        0..5 => chance.between(10, 3_000),
        5..8 => chance.between(3_000, 60_000),
        8 => chance.between(60_000, 600_000),
        _ => chance.between(600_000, 7_200_000),
    };
    Duration::from_millis(milliseconds)
}
