//! What an event asks of a function: one try of one task.

use kinglet_core::ids::{JobId, TryKey};
use kinglet_core::wire::event::Event;

/// One try of one task of a job, and how it is to be eased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The job.
    pub job: JobId,
    /// The try's key: which try of which task.
    pub key: TryKey,
    /// Whether the larger mapper runs it.
    pub larger: bool,
    /// For a batch of calls, the most calls that it makes.
    pub calls_max: Option<u32>,
}

impl Assignment {
    /// Returns what an event asks, if the event is for a task.
    pub fn of(event: &Event) -> Option<Self> {
        let (job, key) = match event {
            Event::Split(event) => (&event.job, TryKey::split(event.number)),
            Event::Map(event) => (&event.job, TryKey::map(event.task, event.piece, event.number)),
            Event::Merge(event) => (&event.job, TryKey::merge(event.task, event.piece, event.number)),
            Event::Reduce(event) => (&event.job, TryKey::reduce(event.task, event.piece, event.number)),
            Event::Start(_) | Event::Changed(_) | Event::Sweep(_) | Event::Tell(_) | Event::Ping(_) => return None,
        };
        let (larger, calls_max) = match event {
            Event::Map(event) => (event.larger, event.calls_max),
            _ => (false, None),
        };
        Some(Assignment { job: job.clone(), key, larger, calls_max })
    }
}
