//! Monte Carlo π: points thrown at a square, a call for each lot of them, and one more call that adds up how many met the circle.

use kinglet::{Code, Driver, Error, Registry, Result};

/// How many points a call throws: some milliseconds of work.
const LOT: u64 = 250_000;

/// Throws points at the unit square: how many of them lie in the quarter circle.
fn throw((seed, points): (u64, u64)) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut point = || (random.f64(), random.f64());
    (0..points).map(|_| point()).filter(|(x, y)| x * x + y * y < 1.0).count() as u64
}

fn sum(inside: Vec<u64>) -> u64 {
    inside.iter().sum()
}

/// The lots: a seed for each, all drawn from one, and how many points it is.
fn lots(points: u64, seed: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut seeds = fastrand::Rng::with_seed(seed);
    (0..points.div_ceil(LOT)).map(move |lot| (seeds.u64(..), LOT.min(points - lot * LOT)))
}

async fn program() -> Result<()> {
    let (points, seed) = (argument(1, 20_000_000)?, argument(2, 1)?);
    let driver = driver().await?;
    let inside = driver.map_reduce(throw, lots(points, seed), sum).await?.await?;

    let share = inside as f64 / points as f64;
    let deviation = 4.0 * (share * (1.0 - share) / points as f64).sqrt();
    println!("π is {:.6}, with a standard deviation of {deviation:.6}: {inside} of {points} points", 4.0 * share);
    Ok(())
}

/// The embedded runtime, or the stack on AWS that `STACK` names.
async fn driver() -> Result<Driver> {
    match std::env::var("STACK") {
        Ok(stack) => Driver::aws(stack).await,
        Err(_) => Driver::local().await,
    }
}

/// An argument of the program that is a number.
fn argument(nth: usize, default: u64) -> Result<u64> {
    let Some(text) = std::env::args().nth(nth) else { return Ok(default) };
    let wrong =
        |e| Error::new(Code::ProgramFailed, format!("{text:?} is no number: {e}")).with_hint("give it POINTS SEED");
    text.parse().map_err(wrong)
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::new().function(throw).function(sum), program)
}
