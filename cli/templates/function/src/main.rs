//! Counts the steps of Collatz sequences.

use kinglet::{Driver, Registry};
use std::process::ExitCode;

/// Returns how many steps the Collatz sequence from `n` takes to 1. Called once for each input, on all threads; a panic or an
/// `Err` fails that call alone.
fn steps(n: u64) -> u32 {
    let (mut n, mut steps) = (n.max(1), 0);
    while n != 1 {
        n = if n.is_multiple_of(2) { n / 2 } else { 3 * n + 1 };
        steps += 1;
    }
    steps
}

/// Has to come first: what stands before it runs in every function as well.
fn main() -> ExitCode {
    kinglet::main(Registry::new().function(steps), async || {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let driver = match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => Driver::local().await?,
            ["--stack", stack] => Driver::aws(*stack).await?,
            _ => {
                eprintln!(concat!("usage: ", env!("CARGO_PKG_NAME"), " [--stack STACK]"));
                std::process::exit(2);
            }
        };
        let steps = driver.map(steps, 1..=100_000).await?.results().await?;
        let longest = (1_u64..).zip(steps).max_by_key(|(_, steps)| *steps);
        if let Some((n, steps)) = longest {
            println!("{n} takes the most: {steps} steps");
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted() {
        assert_eq!([1, 2, 6, 27].map(steps), [0, 1, 8, 111]);
    }
}
