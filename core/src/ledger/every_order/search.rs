//! Explores all worlds that can follow from a job's beginning, nearest first.
//!
//! A world is known by 128 bits of its hash, so that a million of them fit into memory: only those on the border are kept.

use super::super::Phase;
use super::happens::Step;
use super::laws;
use super::world::{Age, Job, World};
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};

/// What was found.
pub(super) struct Explored {
    pub(super) worlds: usize,
    pub(super) steps: usize,
    /// The longest that a healthy world takes to the job's end, from any world.
    pub(super) to_the_end_ms: Age,
    /// The phases in which jobs ended.
    pub(super) ends: Vec<Phase>,
}

/// How a world was first reached, and what a healthy world does next in it.
struct Seen {
    from: Option<(usize, Step)>,
    goes_on: Option<(u128, Age)>,
}

/// Gathers what a world would give to a hasher.
#[derive(Default)]
struct Gathered(Vec<u8>);

impl Hasher for Gathered {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        rapidhash::v3::rapidhash_v3(&self.0)
    }
}

fn key(world: &World) -> u128 {
    let mut gathered = Gathered::default();
    world.hash(&mut gathered);
    let first = gathered.finish();
    gathered.write_u8(0);
    u128::from(first) << 64 | u128::from(gathered.finish())
}

/// Explores all worlds of a job.
///
/// # Errors
/// Returns the first law that is broken, with the steps that lead there.
pub(super) fn explore(job: &Job) -> Result<Explored, String> {
    let first = World::begin(job);
    let mut places = HashMap::from([(key(&first), 0)]);
    let mut seen = vec![Seen { from: None, goes_on: None }];
    let mut border = VecDeque::from([(0, first)]);
    let (mut steps, mut ends) = (0, vec![]);
    while let Some((place, world)) = border.pop_front() {
        let commands = world.commands(job);
        let told = |broken: String| format!("{}: {broken}\n{}", job.name, story(job, &seen, place));
        laws::of_world(&world, job, &commands).map_err(told)?;
        laws::of_command(&world, job, &commands).map_err(told)?;
        let healthy = world.healthy(job, &commands);
        let mut goes_on = None;
        for step in world.steps(job, &commands) {
            steps += 1;
            let next = world.after(job, &commands, step);
            let told = |broken: String| format!("{}: {broken}, by {step:?}\n{}", job.name, story(job, &seen, place));
            laws::of_step(&world, &next).map_err(told)?;
            let key = key(&next);
            if Some(step) == healthy {
                let ms = if let Step::Wait(ms) = step { ms } else { 0 };
                goes_on = Some((key, ms));
            }
            places.entry(key).or_insert_with(|| {
                seen.push(Seen { from: Some((place, step)), goes_on: None });
                border.push_back((seen.len() - 1, next));
                seen.len() - 1
            });
        }
        if world.phase.is_final() {
            if !ends.contains(&world.phase) {
                ends.push(world.phase);
            }
        } else if goes_on.is_none() {
            return Err(format!("{}: nothing goes on\n{}", job.name, story(job, &seen, place)));
        }
        seen[place].goes_on = if world.phase.is_final() { None } else { goes_on };
    }
    let to_the_end_ms = longest(job, &seen, &places)?;
    ends.sort_unstable();
    Ok(Explored { worlds: seen.len(), steps, to_the_end_ms, ends })
}

/// Returns how long a healthy world takes to the end at most.
fn longest(job: &Job, seen: &[Seen], places: &HashMap<u128, usize>) -> Result<Age, String> {
    let mut to_the_end: Vec<Option<Age>> = vec![None; seen.len()];
    for start in 0..seen.len() {
        let (mut way, mut place) = (vec![], start);
        let mut left = loop {
            if let Some(known) = to_the_end[place] {
                break known;
            }
            let Some((next, ms)) = seen[place].goes_on else {
                to_the_end[place] = Some(0);
                break 0;
            };
            way.push((place, ms));
            if way.len() > seen.len() {
                return Err(format!("{}: it goes round for ever\n{}", job.name, story(job, seen, start)));
            }
            place = places[&next];
        };
        for (place, ms) in way.into_iter().rev() {
            left += ms;
            to_the_end[place] = Some(left);
        }
    }
    Ok(to_the_end.into_iter().flatten().max().unwrap_or(0))
}

/// Tells how a world came about.
fn story(job: &Job, seen: &[Seen], mut place: usize) -> String {
    let mut steps = vec![];
    while let Some((from, step)) = seen[place].from {
        steps.push(step);
        place = from;
    }
    let mut world = World::begin(job);
    let mut told = format!("{world:?}\n");
    for step in steps.into_iter().rev() {
        let commands = world.commands(job);
        if let Step::Look(n, _) | Step::LookSlowly(n) = step {
            told += &format!("    {:?}\n", commands[n]);
        }
        world = world.after(job, &commands, step);
        told += &format!("{step:?}\n");
    }
    format!("{told}{world:?}\nand then: {:?}", world.commands(job))
}
