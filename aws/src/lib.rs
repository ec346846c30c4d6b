//! The only crate that names the AWS SDK: objects in S3, the ledger in DynamoDB, functions on Lambda. It carries out what the
//! ledger demands. What a function does with an event is the subject of the crate `kinglet-worker`.
//!
//! There is one path: *local* means other endpoints, given by the same environment variables that every AWS tool reads.
//! All requests are counted ([`meter`]), retries included, so that a job's report can say what the job cost.

pub mod beside;
mod bus;
mod calls;
#[cfg(feature = "driver")]
pub mod checkup;
#[cfg(feature = "driver")]
pub mod clean;
pub mod clients;
mod clock;
pub mod conduct;
mod conductor;
mod configuration;
#[cfg(feature = "driver")]
pub mod deployed;
mod errors;
pub mod functions;
mod heap;
pub mod ledger;
#[cfg(feature = "driver")]
pub mod logs;
pub mod meter;
pub mod objects;
mod one_call;
pub mod output;
mod pace;
#[cfg(feature = "driver")]
pub mod probe;
pub mod program;
mod random;
mod ranged;
mod replies;
mod request;
pub mod runs;
mod second;
#[cfg(feature = "driver")]
pub mod session;
pub mod stored;
pub mod upload;

pub use beside::Beside;
pub use clients::{Clients, Endpoints, Wire};
pub use clock::Clock;
pub use conductor::{Conductor, Stack};
#[cfg(feature = "driver")]
pub use deployed::Deployed;
pub use errors::causes;
pub use functions::{FunctionNames, Functions};
pub use heap::on_heap;
pub use ledger::Ledger;
pub use meter::Meter;
pub use objects::Objects;
pub use random::{nonce, seed_thread, token};
pub use ranged::Ranged;
#[cfg(feature = "driver")]
pub use session::Session;
