//! Gates: proxies in front of S3 and DynamoDB that let requests through or not, as a test says.
//!
//! The interesting moments of a protocol are those between a request and its reply: the work is done and nobody knows, or a
//! reply is late until the world has moved on. A runtime started with [`Options::gates`](crate::Options) puts one gate before
//! each of the two servers, and gives the gates' URLs to the driver and the functions. Each request is then compared with a
//! list of [`Rule`]s; the first rule that strikes decides what becomes of it.
//!
//! ```no_run
//! # async fn show(runtime: kinglet_local::Runtime) -> Option<()> {
//! use kinglet_local::gate::{Rule, Strike};
//! let gates = runtime.gates()?;
//! gates.set_rules(vec![
//!     Rule::s3("PutObject").containing("_manifest.json").does(Strike::LoseReply),
//!     Rule::dynamodb("UpdateItem").after(1).times(2).does(Strike::HoldAfter),
//! ]);
//! let held = gates.next_held().await;
//! println!("{:?} is done and nobody knows", held.request());
//! held.go_on();
//! assert_eq!(gates.counts()[1], (2, 1));
//! # Some(()) }
//! ```
//!
//! In reading order: `plan` counts and chooses, `operation` names what is asked for, `proxy` moves the bytes. A gate passes
//! every header on unchanged, even `Host`, which is signed: the servers see what the client sent.
//!
//! **Absent on purpose:** TLS, and a gate before Lambda, whose host has [faults](crate::lambda::faults) of its own.

mod operation;
mod plan;
mod proxy;

use plan::Plan;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The service behind a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// S3.
    S3,
    /// DynamoDB.
    DynamoDb,
}

/// What is done to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strike {
    /// The reply is an error, in the service's own format. The server is not asked.
    Refuse {
        /// The status, 400 to 599.
        status: u16,
        /// The error's code, such as `SlowDown` or `ProvisionedThroughputExceededException`.
        code: String,
    },
    /// The connection is closed, and the server never sees the request.
    LoseRequest,
    /// The server does the work, then the connection is closed without a byte of the reply.
    LoseReply,
    /// The reply's headers and half of its body arrive, then the connection is closed. A reply without a body is lost.
    HalfBody,
    /// The reply's headers and half of its body arrive, and then nothing more, with the connection open. A reply without a body is
    /// lost.
    StallBody,
    /// The request is passed on after this time.
    Delay(Duration),
    /// The request waits for the test's decision before the server sees it. Its whole body waits in memory.
    HoldBefore,
    /// The reply waits for the test's decision: the server has done the work.
    HoldAfter,
    /// The reply is passed on, and its bytes are added up ([`Gates::measured_bytes`]).
    Measure,
}

/// Which requests are struck, how often, and how.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The service.
    pub service: Service,
    /// The operation, as the service's reference names it; any operation, if none is named.
    pub operation: Option<String>,
    /// A text that must occur in the path or query, as sent or decoded, or in a body of up to 1 MB.
    pub contains: Option<String>,
    /// How many matches pass before the rule strikes.
    pub skip: u64,
    /// The most strikes of the rule.
    pub budget: u64,
    /// What is done.
    pub strike: Strike,
}

impl Rule {
    /// Begins a rule for an operation of S3, such as `PutObject`.
    pub fn s3(operation: impl Into<String>) -> Matching {
        Matching { operation: Some(operation.into()), ..Self::any(Service::S3) }
    }

    /// Begins a rule for an operation of DynamoDB, such as `UpdateItem`.
    pub fn dynamodb(operation: impl Into<String>) -> Matching {
        Matching { operation: Some(operation.into()), ..Self::any(Service::DynamoDb) }
    }

    /// Begins a rule for all operations of a service.
    pub fn any(service: Service) -> Matching {
        Matching { service, operation: None, contains: None, skip: 0, budget: 1 }
    }
}

/// A [`Rule`] that does not say yet what it does. It strikes at its first match, once.
#[derive(Clone, Debug)]
#[must_use = "a rule needs `does`"]
pub struct Matching {
    service: Service,
    operation: Option<String>,
    contains: Option<String>,
    skip: u64,
    budget: u64,
}

impl Matching {
    /// Matches only requests with this text; see [`Rule::contains`].
    pub fn containing(self, text: impl Into<String>) -> Self {
        Self { contains: Some(text.into()), ..self }
    }

    /// Lets this many matches pass first.
    pub fn after(self, skip: u64) -> Self {
        Self { skip, ..self }
    }

    /// Strikes up to this many times; `u64::MAX` means always.
    pub fn times(self, budget: u64) -> Self {
        Self { budget, ..self }
    }

    /// Sets what is done.
    pub fn does(self, strike: Strike) -> Rule {
        let Self { service, operation, contains, skip, budget } = self;
        Rule { service, operation, contains, skip, budget, strike }
    }
}

/// A request as a gate sees it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The service.
    pub service: Service,
    /// The operation, or an empty text if the gate does not know it.
    pub operation: String,
    /// The path and query, as sent.
    pub target: String,
    /// The body, if it has up to 1 MB and is text; otherwise empty.
    pub body: String,
}

/// A request that waits at its gate. Dropping it lets it go on.
#[derive(Debug)]
#[must_use = "a held request goes on when this is dropped"]
pub struct Held {
    request: Request,
    decision: oneshot::Sender<Lost>,
}

/// The decision not to let a held request go on.
#[derive(Debug)]
struct Lost;

impl Held {
    /// Returns the request.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Lets the request go on, whether or not its client still waits: a request that was on the wire arrives, too.
    pub fn go_on(self) {}

    /// Closes the request's connection without a reply. With [`Strike::HoldBefore`] the server never sees it.
    pub fn lose(self) {
        // The runtime may have stopped meanwhile.
        let _ = self.decision.send(Lost);
    }
}

/// The gates of one runtime.
#[derive(Debug)]
pub struct Gates {
    rules: Arc<Rules>,
    held: tokio::sync::Mutex<mpsc::UnboundedReceiver<Held>>,
}

/// The state that the proxies share. The receiver of held requests is not in it: once the [`Gates`] are gone, all requests go
/// on.
#[derive(Debug)]
struct Rules {
    plan: Mutex<Arc<Plan>>,
    /// Bounded by the connections, each of which holds one request at most.
    held: mpsc::UnboundedSender<Held>,
    /// The bytes of the replies that were measured.
    measured: AtomicU64,
}

impl Rules {
    fn plan(&self) -> Arc<Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Gates {
    /// Puts a gate before each of the servers and returns the gates' URLs, in the same order.
    pub(crate) async fn open<const N: usize, F: Future<Output = ()> + Send + 'static>(
        servers: [(Service, &str); N],
        stop: impl Fn() -> F,
    ) -> std::io::Result<(Self, [String; N])> {
        let (sender, held) = mpsc::unbounded_channel();
        let rules = Arc::new(Rules { plan: Mutex::default(), held: sender, measured: AtomicU64::new(0) });
        let mut urls = [const { String::new() }; N];
        for ((service, url), gate_url) in servers.into_iter().zip(&mut urls) {
            *gate_url = proxy::open(service, url, rules.clone(), stop()).await?;
        }
        Ok((Self { rules, held: tokio::sync::Mutex::new(held) }, urls))
    }

    /// Puts rules in force, in place of the rules before. Their counts begin at zero.
    pub fn set_rules(&self, rules: Vec<Rule>) {
        *self.rules.plan.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(Plan::new(rules));
    }

    /// Returns, for each rule in force, how many requests it matched and how many it struck. A test asserts that it struck.
    #[must_use]
    pub fn counts(&self) -> Vec<(u64, u64)> {
        self.rules.plan().counts()
    }

    /// Returns how many bytes the bodies had of all replies that [`Strike::Measure`] has measured.
    #[must_use]
    pub fn measured_bytes(&self) -> u64 {
        self.rules.measured.load(Ordering::Relaxed)
    }

    /// Waits for the next held request, for ever if none comes.
    pub async fn next_held(&self) -> Held {
        match self.held.lock().await.recv().await {
            Some(held) => held,
            // The sender is ours, so it still exists.
            None => std::future::pending().await,
        }
    }
}
