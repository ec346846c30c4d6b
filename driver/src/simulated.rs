//! A driver in a simulation, whose stack and clients were made by others.

use crate::Result;
use crate::driver::Driver;
use crate::place::Place;
use crate::program::{Architecture, Program, Shipping};
use kinglet_aws::Conductor;

impl Driver {
    /// Connects to the stack of a simulation. Not part of this API.
    ///
    /// # Errors
    /// `no-jobs` when nothing is registered; `driver-in-worker` inside a function.
    #[doc(hidden)]
    pub fn simulated(conductor: Conductor, concurrency: u32) -> Result<Self> {
        let jobs = crate::entry::registry()?;
        let shipping = Shipping::new(Program::Linked, Architecture::here(), false);
        Ok(Driver::new(conductor, jobs, Place::Simulated { concurrency }, shipping))
    }
}
