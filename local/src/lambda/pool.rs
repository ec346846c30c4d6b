//! Which invocation may run, and where: concurrency, warm environments and the queue of events, as plain data.
//!
//! Nothing here waits, spawns or reads a clock. Every method is a short step under one lock, and the callers act on what it
//! returns. As on Lambda, only *running* invocations count against the concurrency limits, idle environments do not. But
//! these hold a laptop's memory, so beyond twice the concurrency the longest idle ones are given up.

use super::limits::QUEUE_MAX;
use std::collections::VecDeque;

/// Why an invocation may not run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The function's reserved concurrency is used up.
    Function,
    /// The host's concurrency is used up.
    Host,
}

/// An environment as the pool sees it: something with a number.
pub(super) trait Numbered {
    fn number(&self) -> u64;
}

struct Slot<E, J> {
    concurrency_max: Option<u32>,
    running: u32,
    /// Idle environments, the longest idle first. They are taken from the back, so that the warmest is reused.
    idle: VecDeque<(u64, E)>,
    queue: VecDeque<J>,
}

/// The state of all functions; see the module.
pub(super) struct Pool<E, J> {
    slots: Vec<Slot<E, J>>,
    concurrency_max: u32,
    running: u32,
    /// The number of processes that are not known to be gone.
    processes: usize,
    queued: usize,
    /// The function whose queue is looked at first, so that none starves.
    turn: usize,
    /// The number of the next return to idleness; these numbers order idle environments by age.
    returns: u64,
}

impl<E: Numbered, J> Pool<E, J> {
    pub(super) fn new(concurrency_max: u32, functions: impl IntoIterator<Item = Option<u32>>) -> Self {
        let slot =
            |concurrency_max| Slot { concurrency_max, running: 0, idle: VecDeque::new(), queue: VecDeque::new() };
        let slots = functions.into_iter().map(slot).collect();
        Self { slots, concurrency_max, running: 0, processes: 0, queued: 0, turn: 0, returns: 0 }
    }

    /// Counts one more running invocation of a function, if the limits allow. Returns a warm environment if there is one.
    pub(super) fn admit(&mut self, function: usize) -> Result<Option<E>, Refusal> {
        let slot = &mut self.slots[function];
        if slot.concurrency_max.is_some_and(|max| slot.running >= max) {
            return Err(Refusal::Function);
        }
        if self.running >= self.concurrency_max {
            return Err(Refusal::Host);
        }
        slot.running += 1;
        self.running += 1;
        Ok(self.take_idle(function))
    }

    /// Takes the warmest idle environment of a function whose invocation is already admitted.
    pub(super) fn take_idle(&mut self, function: usize) -> Option<E> {
        self.slots[function].idle.pop_back().map(|(_, environment)| environment)
    }

    /// Ends an admitted invocation, and takes its environment back if that can serve again. Returns the environments to give
    /// up.
    #[must_use]
    pub(super) fn release(&mut self, function: usize, environment: Option<E>) -> Vec<E> {
        let slot = &mut self.slots[function];
        slot.running -= 1;
        self.running -= 1;
        if let Some(environment) = environment {
            slot.idle.push_back((self.returns, environment));
            self.returns += 1;
        }
        self.surplus()
    }

    /// Counts a process that was started. Returns the environments to give up for it.
    #[must_use]
    pub(super) fn process_started(&mut self) -> Vec<E> {
        self.processes += 1;
        self.surplus()
    }

    /// Counts a process that is gone, and removes its environment if that was idle.
    pub(super) fn process_ended(&mut self, function: usize, number: u64) {
        self.processes -= 1;
        self.slots[function].idle.retain(|(_, environment)| environment.number() != number);
    }

    /// Adds an event to its function's queue, or hands it back when the host's queues are full.
    pub(super) fn push(&mut self, function: usize, job: J) -> Result<(), J> {
        if self.queued >= QUEUE_MAX {
            return Err(job);
        }
        self.slots[function].queue.push_back(job);
        self.queued += 1;
        Ok(())
    }

    /// Admits the next event that may run, taking the functions in turn.
    pub(super) fn next_event(&mut self) -> Option<(J, Option<E>)> {
        for step in 0..self.slots.len() {
            let function = (self.turn + step) % self.slots.len();
            if self.slots[function].queue.is_empty() {
                continue;
            }
            let Ok(environment) = self.admit(function) else {
                continue;
            };
            self.turn = function + 1;
            self.queued -= 1;
            return self.slots[function].queue.pop_front().map(|job| (job, environment));
        }
        None
    }

    /// Returns how many invocations run or wait.
    pub(super) fn pending(&self) -> usize {
        self.running as usize + self.queued
    }

    #[cfg(test)]
    fn processes(&self) -> usize {
        self.processes
    }

    /// Removes and returns the longest-idle environments beyond those that are kept. They still count until their processes
    /// are gone, so at most one is removed for each surplus process.
    fn surplus(&mut self) -> Vec<E> {
        let keep = 2 * self.concurrency_max as usize;
        let mut surplus = Vec::new();
        while self.processes.saturating_sub(surplus.len()) > keep {
            let oldest = self.slots.iter_mut().filter(|slot| !slot.idle.is_empty()).min_by_key(|slot| slot.idle[0].0);
            let Some((_, environment)) = oldest.and_then(|slot| slot.idle.pop_front()) else {
                break;
            };
            surplus.push(environment);
        }
        surplus
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Numbered for u64 {
        fn number(&self) -> u64 {
            *self
        }
    }

    fn pool(concurrency_max: u32, functions: &[Option<u32>]) -> Pool<u64, &'static str> {
        Pool::new(concurrency_max, functions.iter().copied())
    }

    #[test]
    fn both_limits_hold_and_idle_environments_do_not_count() {
        let mut pool = pool(2, &[Some(1), None]);
        assert_eq!(pool.admit(0), Ok(None));
        assert_eq!(pool.admit(0), Err(Refusal::Function));
        assert_eq!(pool.admit(1), Ok(None));
        assert_eq!(pool.admit(1), Err(Refusal::Host));
        assert!(pool.release(0, Some(10)).is_empty());
        assert_eq!(pool.admit(1), Ok(None), "an idle environment of another function does not hold a place");
    }

    #[test]
    fn the_warmest_is_reused_and_the_longest_idle_is_given_up() {
        let mut pool = pool(2, &[None, None]);
        // Two at a time, so that the second of a pair finds nothing idle and starts a new process.
        for pair in [[(0, 1), (0, 2)], [(1, 3), (1, 4)]] {
            for (function, _) in pair {
                assert_eq!(pool.admit(function), Ok(None));
                assert!(pool.process_started().is_empty());
            }
            for (function, number) in pair {
                assert!(pool.release(function, Some(number)).is_empty());
            }
        }
        assert_eq!(pool.admit(1), Ok(Some(4)));
        assert_eq!(pool.process_started(), [1], "five processes, four are kept");
        pool.process_ended(0, 1);
        pool.process_ended(0, 2);
        assert_eq!(pool.processes(), 3);
        assert_eq!(pool.take_idle(0), None, "the process of 2 is gone");
    }

    #[test]
    fn events_wait_for_a_place_and_take_turns() {
        let mut pool = pool(1, &[None, None]);
        for (function, job) in [(0, "a"), (0, "b"), (1, "c")] {
            pool.push(function, job).unwrap();
        }
        let mut order = Vec::new();
        while let Some((job, _)) = pool.next_event() {
            assert!(pool.next_event().is_none(), "one at a time");
            order.push(job);
            let function = usize::from(job == "c");
            assert!(pool.release(function, None).is_empty());
        }
        assert_eq!(order, ["a", "c", "b"]);
        assert_eq!(pool.pending(), 0);
    }
}
