//! Where a driver's servers are: in its own process, in another program of this machine, or on AWS.

use crate::Result;
use crate::records::{Keeper, Neighbour};
use kinglet_aws::{Deployed, Session};
use kinglet_core::budget::MEMORY_MB;
use kinglet_core::limits::CONCURRENCY_DEFAULT;
use kinglet_core::prices::Prices;
use kinglet_core::wire::cost::{Host, Site};
use kinglet_local::Runtime;

/// Where the servers are that a driver uses.
pub(crate) enum Place {
    /// In this process.
    Embedded {
        runtime: Box<Runtime>,
        /// How many functions run at once.
        concurrency: u32,
        /// The memory of a function, in MB.
        memory_mb: u32,
        /// Records the driver's jobs for other programs.
        keeper: Option<Keeper>,
    },
    /// In another program of this machine, whose job this is.
    Neighbour(Neighbour),
    /// On AWS, or on what `AWS_ENDPOINT_URL` names.
    Aws(Box<Cloud>),
    /// In a simulation, which has made the conductor.
    Simulated {
        /// How many functions run at once.
        concurrency: u32,
    },
}

impl Place {
    pub(crate) fn runtime(&self) -> Option<&Runtime> {
        match self {
            Place::Embedded { runtime, .. } => Some(runtime),
            Place::Neighbour(_) | Place::Aws(_) | Place::Simulated { .. } => None,
        }
    }

    pub(crate) fn keeper(&self) -> Option<&Keeper> {
        match self {
            Place::Embedded { keeper, .. } => keeper.as_ref(),
            Place::Neighbour(_) | Place::Aws(_) | Place::Simulated { .. } => None,
        }
    }

    /// Returns how many functions of a job can run at once.
    pub(crate) async fn concurrency(&self) -> u32 {
        match self {
            Place::Embedded { concurrency, .. } | Place::Simulated { concurrency } => *concurrency,
            Place::Neighbour(_) => 1,
            Place::Aws(cloud) => cloud.concurrency().await,
        }
    }
}

impl Place {
    /// Returns where jobs run, and what is charged there: these prices, or those of the stack's region.
    ///
    /// # Errors
    /// `prices` when the region's are not known.
    pub(crate) fn site(&self, prices: Option<Prices>) -> Result<Site> {
        let site = match self {
            Place::Embedded { memory_mb, .. } => Site::embedded(*memory_mb),
            Place::Neighbour(_) => Site::embedded(MEMORY_MB),
            Place::Aws(cloud) => return cloud.site(prices),
            Place::Simulated { .. } => {
                let prices = Prices::of_us_east_1("x86_64");
                Site { host: Host::Lambda, mapper_mb: MEMORY_MB, reducer_mb: MEMORY_MB, prices }
            }
        };
        Ok(Site { prices: prices.unwrap_or_else(|| site.prices.clone()), ..site })
    }
}

/// What a driver on AWS knows about its stack.
#[derive(Clone)]
pub(crate) struct Cloud {
    pub(crate) session: Session,
    pub(crate) deployed: Deployed,
}

impl Cloud {
    fn site(&self, prices: Option<Prices>) -> Result<Site> {
        let Deployed { outputs, region, .. } = &self.deployed;
        let memory_mb = |key: &str| outputs.get(key).and_then(|mb| mb.parse().ok()).unwrap_or(MEMORY_MB);
        let prices = match prices {
            Some(prices) => prices,
            None => Prices::of(region, outputs.get("Architecture").map_or("", String::as_str))?,
        };
        let (mapper_mb, reducer_mb) = (memory_mb("MapperMemory"), memory_mb("ReducerMemory"));
        Ok(Site { host: Host::Lambda, mapper_mb, reducer_mb, prices })
    }

    /// Returns how many functions of a job can run at once: what the stack reserves, or else what the account has left, as
    /// far as this user may ask.
    pub(crate) async fn concurrency(&self) -> u32 {
        if self.deployed.reserved_concurrency > 0 {
            return self.deployed.reserved_concurrency;
        }
        match self.session.concurrency().await {
            Ok(account) if account.unreserved > 0 => account.unreserved,
            Ok(_) => CONCURRENCY_DEFAULT,
            Err(error) => {
                tracing::debug!(%error, "the account's concurrency is not known");
                CONCURRENCY_DEFAULT
            }
        }
    }
}
