//! Injected faults: which invocation is hurt, and how, is a pure function of a seed and a sequence number.
//!
//! A plan is a list of rules. A rule names a fault, the function that it applies to, when it fires and how often at most (its
//! budget). Every rule counts the invocations that it could apply to; that count and the plan's seed alone decide, so a plan
//! makes the same decisions in each run, whatever the clock does. Which *task* meets the n-th invocation may still differ
//! between runs, as threads race. [`FaultCount`] tells what fired, so that a test can assert that it tested something.
//!
//! The faults are those that Lambda has: a request that is throttled or fails before any work was done; a worker that dies at
//! its start, in the middle, or with its work done and its answer unsent; a worker that stalls; an event that is delivered
//! twice (*Asynchronous invocation*: "it's possible for it to receive the same event from Lambda multiple times").

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What is done to an invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The worker is killed this long after it got the invocation.
    KillWorker {
        /// Time from delivery to the kill.
        after: Duration,
    },
    /// The worker finishes, but it is killed and its answer dropped: the work is done and nobody hears of it.
    LoseReply,
    /// The worker is stopped this long after it got the invocation, and continued later.
    FreezeWorker {
        /// Time from delivery to the stop.
        after: Duration,
        /// Time from the stop to the continuation.
        pause: Duration,
    },
    /// The invocation is run a second time under the same request id; the second answer is dropped.
    RunTwice,
    /// The Invoke call is answered with 429 (`Event` calls too, as Lambda does above its request rate).
    Throttle,
    /// The Invoke call is answered with 500 and nothing has run.
    ErrorBefore,
}

impl Fault {
    /// Returns whether the fault belongs to the Invoke call rather than to the run in a worker.
    fn is_of_the_call(self) -> bool {
        matches!(self, Fault::Throttle | Fault::ErrorBefore)
    }
}

/// When a rule fires, by the count of the invocations that it could apply to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    /// At the n-th, counted from zero.
    Nth(u64),
    /// At each, with this probability.
    Probability(f64),
}

/// A rule of a plan.
#[derive(Clone, Debug)]
pub struct FaultRule {
    /// What is done.
    pub fault: Fault,
    /// The function that it applies to; any, if none is named.
    pub function: Option<String>,
    /// When it is done.
    pub when: When,
    /// The most times that it is done.
    pub budget: u64,
}

impl FaultRule {
    /// Returns a rule for the n-th invocation (from zero) of a function, once.
    #[must_use]
    pub fn nth(function: impl Into<String>, nth: u64, fault: Fault) -> Self {
        Self { fault, function: Some(function.into()), when: When::Nth(nth), budget: 1 }
    }

    /// Returns a rule for each invocation of any function, with a probability and a budget.
    #[must_use]
    pub fn randomly(probability: f64, budget: u64, fault: Fault) -> Self {
        Self { fault, function: None, when: When::Probability(probability), budget }
    }
}

/// Rules, and the seed of their choices. Of several rules that could fire, the first does.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    /// The seed of the probabilities; print it in a test.
    pub seed: u64,
    /// The rules, in order.
    pub rules: Vec<FaultRule>,
}

/// What a rule has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultCount {
    /// The rule's fault.
    pub fault: Fault,
    /// Invocations that the rule could have applied to.
    pub seen: u64,
    /// Invocations that it was applied to.
    pub fired: u64,
}

/// Returns whether the rule at `rule_idx` fires at its `sequence`-th chance. Pure.
#[must_use]
pub fn fires(seed: u64, rule_idx: usize, sequence: u64, when: When) -> bool {
    match when {
        When::Nth(nth) => sequence == nth,
        When::Probability(probability) => {
            let bits = mix(mix(seed ^ mix(rule_idx as u64)) ^ sequence);
            // The 53 bits that a double holds exactly, as a number in [0, 1).
            ((bits >> 11) as f64) < probability * (1u64 << 53) as f64
        }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A plan in force, with its counters.
#[derive(Debug, Default)]
pub(super) struct Faults {
    plan: FaultPlan,
    counts: Vec<(AtomicU64, AtomicU64)>,
}

impl Faults {
    pub(super) fn new(plan: FaultPlan) -> Self {
        let counts = plan.rules.iter().map(|_| Default::default()).collect();
        Self { plan, counts }
    }

    /// Returns the fault of an Invoke call, if any.
    pub(super) fn at_call(&self, function: &str) -> Option<Fault> {
        self.decide(function, true)
    }

    /// Returns the fault of a run in a worker, if any.
    pub(super) fn at_run(&self, function: &str) -> Option<Fault> {
        self.decide(function, false)
    }

    fn decide(&self, function: &str, of_the_call: bool) -> Option<Fault> {
        let mut chosen = None;
        for (rule_idx, (rule, (seen, fired))) in self.plan.rules.iter().zip(&self.counts).enumerate() {
            let applies = rule.function.as_deref().is_none_or(|name| name == function);
            if !applies || rule.fault.is_of_the_call() != of_the_call {
                continue;
            }
            // Every rule counts every invocation, even one that an earlier rule has taken, so that its sequence depends on no
            // other rule.
            let sequence = seen.fetch_add(1, Relaxed);
            if chosen.is_none()
                && fires(self.plan.seed, rule_idx, sequence, rule.when)
                && fired.fetch_update(Relaxed, Relaxed, |n| (n < rule.budget).then_some(n + 1)).is_ok()
            {
                chosen = Some(rule.fault);
            }
        }
        chosen
    }

    pub(super) fn counts(&self) -> Vec<FaultCount> {
        let count = |(rule, (seen, fired)): (&FaultRule, &(AtomicU64, AtomicU64))| FaultCount {
            fault: rule.fault,
            seen: seen.load(Relaxed),
            fired: fired.load(Relaxed),
        };
        self.plan.rules.iter().zip(&self.counts).map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_decides_the_same() {
        let pattern = |seed| (0..1000).map(|n| fires(seed, 0, n, When::Probability(0.3))).collect::<Vec<_>>();
        assert_eq!(pattern(7), pattern(7));
        assert_ne!(pattern(7), pattern(8));
        let hits = pattern(7).iter().filter(|hit| **hit).count();
        assert!((230..370).contains(&hits), "{hits} of 1000 at a probability of 0.3");
        assert!((0..1000).all(|n| fires(7, 0, n, When::Probability(1.0))));
        assert!(!(0..1000).any(|n| fires(7, 0, n, When::Probability(0.0))));
    }

    #[test]
    fn a_rule_keeps_to_its_function_its_place_and_its_budget() {
        let rules = vec![
            FaultRule::nth("mapper", 1, Fault::RunTwice),
            FaultRule::randomly(1.0, 2, Fault::LoseReply),
            FaultRule::randomly(1.0, 1, Fault::Throttle),
        ];
        let faults = Faults::new(FaultPlan { seed: 1, rules });
        assert_eq!(faults.at_run("reducer"), Some(Fault::LoseReply));
        assert_eq!(faults.at_run("mapper"), Some(Fault::LoseReply));
        assert_eq!(faults.at_run("mapper"), Some(Fault::RunTwice));
        assert_eq!(faults.at_run("mapper"), None);
        assert_eq!(faults.at_call("mapper"), Some(Fault::Throttle));
        assert_eq!(faults.at_call("mapper"), None);
        let fired: Vec<_> = faults.counts().iter().map(|count| (count.seen, count.fired)).collect();
        assert_eq!(fired, [(3, 1), (4, 2), (2, 1)]);
    }
}
