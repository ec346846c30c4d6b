//! Plans: what a job would take and cost, from a listing, before anything is started.

use crate::Result;
use crate::items::Made;
use kinglet_aws::Objects;
use kinglet_core::budget::PARTITIONS_SPREAD_MAX;
use kinglet_core::cost::{self, Cut, Plan, Recommended, Wanted};
use kinglet_core::wire::cost::Host;
use kinglet_core::wire::spec::{InputSpec, OptionsSpec};
use kinglet_splitter::list;

/// The objects of a job's input, as far as a plan needs them.
pub(crate) struct Listing {
    sizes: Vec<u64>,
}

impl Listing {
    /// Lists inputs.
    ///
    /// # Errors
    /// `input-missing` when nothing is there; `input-twice`; [a service error](crate#errors).
    pub(crate) async fn of(objects: &Objects, inputs: &[InputSpec], options: &OptionsSpec) -> Result<Self> {
        let right_from = options.right.map(|right| right.from_input);
        Ok(Listing { sizes: list::sizes(objects, inputs, right_from, &options.conditions).await? })
    }

    /// Returns the plan of a job with these options: what the splitter would choose.
    pub(crate) fn plan(&self, options: &OptionsSpec) -> Result<Plan> {
        Plan::best(cost::Input { sizes: &self.sizes }, &Wanted::of(options), &options.workload, &options.site)
    }

    /// Returns the size of functions with which the job would do best; `None` on the embedded runtime, where none is charged.
    pub(crate) fn recommend(&self, options: &OptionsSpec) -> Result<Option<Recommended>> {
        match options.site.host {
            Host::Embedded => Ok(None),
            Host::Lambda => {
                let input = cost::Input { sizes: &self.sizes };
                cost::recommend(input, &Wanted::of(options), &options.workload, &options.site)
            }
        }
    }
}

/// Returns the plan of a job of items.
pub(crate) fn plan_items(made: &Made, options: &OptionsSpec) -> Result<Plan> {
    let cut = Cut::of_ranges(made.split_bytes().map(|bytes| [(bytes, false)]));
    let splits = u32::try_from(cut.map_tasks).unwrap_or(u32::MAX);
    let chosen = options.concurrency.clamp(1, PARTITIONS_SPREAD_MAX).min(splits.max(1));
    let partitions = options.partitions.map_or(Ok(chosen), cost::checked_partitions)?;
    Ok(Plan::of_cut(cut, 1, &Wanted::of(options), partitions, &options.workload, &options.site))
}
