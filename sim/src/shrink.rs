//! Shrinking: the fewest faults with which a run still fails (delta debugging, Zeller and Hildebrandt, 2002).

use crate::faults::Struck;
use crate::run::{Ran, Run};
use std::collections::BTreeSet;

/// Returns the fewest faults with which a run that failed still fails, as far as leaving some out finds them.
pub fn shrink(run: &Run, ran: &Ran) -> Vec<Struck> {
    let fails = |faults: &[Struck]| {
        let only: BTreeSet<Struck> = faults.iter().cloned().collect();
        !Run { only: Some(only), keep_trace: false, ..run.clone() }.judged().violations.is_empty()
    };
    let mut faults: Vec<Struck> = ran.struck.iter().map(|fault| fault.struck.clone()).collect();
    if !fails(&faults) {
        return faults;
    }
    let mut pieces = 2;
    while !faults.is_empty() {
        let size = faults.len().div_ceil(pieces);
        let without = (0..faults.len()).step_by(size).map(|at| {
            let mut rest = faults.clone();
            rest.drain(at..(at + size).min(faults.len()));
            rest
        });
        match without.collect::<Vec<_>>().into_iter().find(|rest| fails(rest)) {
            Some(rest) => {
                faults = rest;
                pieces = 2.max(pieces - 1);
            }
            None if size == 1 => break,
            None => pieces = (pieces * 2).min(faults.len()),
        }
    }
    faults
}
