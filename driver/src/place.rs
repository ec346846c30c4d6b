//! Where a driver's servers are: in its own process, in another program of this machine, or on AWS.

use crate::records::{Keeper, Neighbour};
use kinglet_aws::{Deployed, Session};
use kinglet_core::limits::CONCURRENCY_DEFAULT;
use kinglet_local::Runtime;

/// Where the servers are that a driver uses.
pub(crate) enum Place {
    /// In this process.
    Embedded {
        runtime: Box<Runtime>,
        /// How many functions run at once.
        concurrency: u32,
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

/// What a driver on AWS knows about its stack.
#[derive(Clone)]
pub(crate) struct Cloud {
    pub(crate) session: Session,
    pub(crate) deployed: Deployed,
}

impl Cloud {
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
