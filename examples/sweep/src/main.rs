//! A parameter sweep that stops early: gradient descent with many settings at once, until any of them arrives.

use kinglet::{CallOptions, Code, Context, Driver, Registry, Result, UserError, UserResult};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How the descent is done.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Settings {
    rate: f64,
    momentum: f64,
}

/// Where a descent has arrived, and in how many steps.
#[derive(Serialize, Deserialize)]
struct Arrived {
    steps: u64,
    x: f64,
    y: f64,
}

/// Looks for the lowest point of Rosenbrock's valley, (1 - x)² + 100 (y - x²)², from (-1.2, 1).
fn descend(context: &Context, settings: Settings) -> UserResult<Arrived> {
    let Settings { rate, momentum } = settings;
    let (mut x, mut y, mut dx, mut dy) = (-1.2_f64, 1.0_f64, 0.0, 0.0);
    for steps in 0_u64.. {
        let (across, along) = (y - x * x, 1.0 - x);
        let height = along * along + 100.0 * across * across;
        if height < 1e-9 {
            return Ok(Arrived { steps, x, y });
        }
        if !height.is_finite() {
            return Err(UserError::new(format!("left the valley after {steps} steps")));
        }
        // Small rates go on for hours. Once another has arrived, nobody waits for them.
        if steps % 100_000 == 0 && (context.is_cancelled() || context.time_left() < Duration::from_secs(5)) {
            return Err(UserError::new(format!("gave up after {steps} steps")));
        }
        dx = momentum * dx + rate * (2.0 * along + 400.0 * x * across);
        dy = momentum * dy - rate * 200.0 * across;
        (x, y) = (x + dx, y + dy);
    }
    Err(UserError::new("ran out of numbers"))
}

/// All settings, the bold ones first.
fn sweep() -> Vec<Settings> {
    let rates = (1..=9).map(|n| 10_f64.powi(-n));
    rates.flat_map(|rate| [0.0, 0.5, 0.9].map(|momentum| Settings { rate, momentum })).collect()
}

async fn program() -> Result<()> {
    let settings = sweep();
    let driver = driver().await?;
    // They take very different times: each is an invocation of its own.
    let one_each = CallOptions::new().with_calls_per_batch(1);
    let mut calls = driver.map_with(descend, settings.clone(), one_each).await?;

    // Waits for any to end, again and again, until one is good enough.
    while let Some((n, result)) = calls.next().await {
        let Settings { rate, momentum } = settings[n];
        match result {
            Err(error) => println!("rate {rate:e}, momentum {momentum}: {error}"),
            Ok(Arrived { steps, x, y }) => {
                calls.cancel().await?;
                println!("rate {rate:e}, momentum {momentum}: at ({x:.4}, {y:.4}) after {steps} steps");
                break;
            }
        }
    }
    let outcomes = calls.outcomes().await;
    let cancelled = outcomes.iter().filter(|outcome| outcome.as_ref().is_err_and(|e| e.is(Code::Cancelled))).count();
    println!("{cancelled} of {} were cancelled", settings.len());
    Ok(())
}

/// The embedded runtime, or the stack on AWS that `STACK` names.
async fn driver() -> Result<Driver> {
    match std::env::var("STACK") {
        Ok(stack) => Driver::aws(stack).await,
        Err(_) => Driver::local().await,
    }
}

fn main() -> std::process::ExitCode {
    kinglet::main(Registry::new().function(descend), program)
}
