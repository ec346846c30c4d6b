//! Machines: the processes of drivers and functions, and the wire over which their requests go.
//!
//! A process that died sends nothing any more and hears nothing: its wire is dead. So what it had spawned need not be found
//! and ended; it can change nothing. What it had sent before is served all the same.

use crate::chance::Chance;
use crate::faults::{Fault, Kind};
use crate::region::Region;
use crate::services::{self, Asked, Service};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use kinglet_aws::{Clients, Clock, Endpoints, Wire};
use kinglet_core::ids::Timestamp;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// What a process is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Runs,
    /// It stands still until somebody thaws it: an environment between invocations.
    Frozen,
    /// It has ended.
    Dead,
}

/// A process on a machine of its own.
pub struct Machine {
    /// The region that it is in.
    pub region: Arc<Region>,
    /// What it is: `driver`, `mapper`, …
    pub role: String,
    /// Its number among all machines of the run.
    pub number: u32,
    /// By how much its wall clock is ahead of the services', in milliseconds.
    skew_ms: i64,
    /// How many times slower it is than others.
    slower: f64,
    /// Whether faults strike it.
    faulty: bool,
    life: watch::Sender<Life>,
    chance: Chance,
}

/// What a machine is like.
#[derive(Clone, Copy, Debug)]
pub struct Nature {
    pub skew_ms: i64,
    pub slower: f64,
    pub faulty: bool,
}

impl Nature {
    /// A machine of which nothing bad is known.
    pub const GOOD: Nature = Nature { skew_ms: 0, slower: 1.0, faulty: true };
    /// One that no fault strikes.
    pub const SAFE: Nature = Nature { faulty: false, ..Nature::GOOD };
}

impl Machine {
    /// Starts a machine.
    pub fn start(region: &Arc<Region>, role: &str, nature: Nature) -> Arc<Self> {
        let number = region.next_machine();
        Arc::new(Machine {
            region: region.clone(),
            role: role.to_owned(),
            number,
            skew_ms: nature.skew_ms,
            slower: nature.slower,
            faulty: nature.faulty,
            life: watch::Sender::new(Life::Runs),
            chance: Chance::of(region.seed, &format!("{role} {number}")),
        })
    }

    /// Returns what its own clock shows.
    pub fn wall(&self) -> SystemTime {
        let (now, by) = (self.region.wall(), Duration::from_millis(self.skew_ms.unsigned_abs()));
        if self.skew_ms < 0 { now - by } else { now + by }
    }

    /// Makes the SDK's clients in this process.
    pub fn clients(self: &Arc<Self>) -> Clients {
        let url = |service: &str| format!("http://{service}.sim");
        let endpoints = Endpoints {
            s3: url("s3"),
            dynamodb: url("dynamodb"),
            lambda: url("lambda"),
            region: "us-east-1".to_owned(),
            keys: (services::ACCESS_KEY.to_owned(), services::SECRET_KEY.to_owned()),
        };
        let wall = self.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let clock = Clock::of_machine(Timestamp(wall.as_millis() as u64));
        let wire = OfMachine(self.clone());
        Clients::over(
            &endpoints,
            clock,
            Wire { http: SharedHttpClient::new(wire.clone()), time: SharedTimeSource::new(wire) },
        )
    }

    /// Ends the process.
    pub fn die(&self) {
        if self.life.send_replace(Life::Dead) != Life::Dead {
            self.says("dies");
        }
    }

    /// Returns whether it has ended.
    pub fn is_dead(&self) -> bool {
        *self.life.borrow() == Life::Dead
    }

    /// Waits until it ends.
    pub async fn died(&self) {
        let mut life = self.life.subscribe();
        // The sender is this machine's own.
        let _ = life.wait_for(|life| *life == Life::Dead).await;
    }

    /// Freezes it, or lets it go on.
    pub fn set_frozen(&self, frozen: bool) {
        self.life.send_if_modified(|life| {
            let next = if frozen { Life::Frozen } else { Life::Runs };
            let changes = *life != Life::Dead && *life != next;
            if changes {
                *life = next;
            }
            changes
        });
    }

    /// Waits until it can do something: while it is frozen, and for ever once it has ended.
    async fn acts(&self) {
        let mut life = self.life.subscribe();
        let _ = life.wait_for(|life| *life == Life::Runs).await;
    }

    /// Writes a line about it into the trace.
    pub fn says(&self, what: &str) {
        self.region.says(&format!("{}-{} {what}", self.role, self.number));
    }

    fn half_way(&self, asked: &Asked) -> Duration {
        (self.chance.latency(asked.latency()) / 2).mul_f64(self.slower)
    }

    async fn send(self: Arc<Self>, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        self.acts().await;
        let asked = Asked::of(request).await?;
        let step = format!("{} {}", self.role, asked.step());
        let fault = if self.faulty { self.region.faults.strike(&step, asked.faults()) } else { None };
        let kind = fault.as_ref().map(|fault| fault.struck.kind);
        match kind {
            Some(Kind::DieBefore) => {
                self.says(&format!("dies before {}", asked.step()));
                self.die();
                return std::future::pending().await;
            }
            Some(Kind::Stall) => {
                self.says(&format!("stands still before {}", asked.step()));
                tokio::time::sleep(fault.as_ref().map_or(Duration::ZERO, |fault| fault.lasts)).await;
                self.acts().await;
            }
            _ => {}
        }
        let (there, back) = (self.half_way(&asked), self.half_way(&asked));
        let (served, takes) = (asked.clone(), self.takes(&asked));
        let machine = self.clone();
        let by_service = fault.clone();
        // A task of its own: what was sent is served, whatever becomes of its sender.
        let reply = tokio::spawn(async move {
            tokio::time::sleep(there).await;
            match &by_service {
                Some(fault) if fault.struck.kind == Kind::LoseRequest => {
                    machine.says(&format!("{} is lost on its way", served.step()));
                    return None;
                }
                Some(fault) if fault.struck.kind == Kind::LateRequest => tokio::time::sleep(fault.lasts).await,
                _ => {}
            }
            Some(machine.region.serve(&machine, &served, by_service.as_ref()).await)
        });
        if matches!(kind, Some(Kind::LateRequest | Kind::LoseRequest)) {
            tokio::time::sleep(there + BROKEN).await;
            self.acts().await;
            return Err(broken("the connection was reset"));
        }
        let reply = reply.await.map_err(|e| ConnectorError::other(e.into(), None))?;
        match (kind, &fault) {
            (Some(Kind::DieAfter), _) => {
                self.says(&format!("dies after {}", asked.step()));
                self.die();
                return std::future::pending().await;
            }
            (Some(Kind::LoseReply), _) => {
                self.says(&format!("the reply to {} is lost", asked.step()));
                tokio::time::sleep(BROKEN).await;
                self.acts().await;
                return Err(broken("the connection was reset before the reply"));
            }
            (Some(Kind::LateReply), Some(Fault { lasts, .. })) => tokio::time::sleep(*lasts).await,
            _ => {}
        }
        // What takes long comes bit by bit: a function can stop in the middle.
        let at_once = if takes > SLOW { Duration::ZERO } else { takes };
        tokio::time::sleep(back + at_once).await;
        self.acts().await;
        let mut reply = reply.ok_or_else(|| broken("the connection was reset"))?;
        if let (Some(Kind::FlipByte), Some(fault)) = (kind, &fault) {
            self.says(&format!("the reply to {} has another byte", asked.step()));
            reply.flip(fault.pick);
        }
        let body = match kind {
            Some(Kind::BreakBody) if !reply.body.is_empty() => services::half(reply.body.clone()),
            _ if takes > at_once => services::slow(reply.body.clone(), takes),
            _ => services::whole(reply.body.clone()),
        };
        reply.into_response(body)
    }

    /// Returns how long the bytes of a request and its reply take, with what a function makes of them.
    fn takes(&self, asked: &Asked) -> Duration {
        if asked.service != Service::S3 {
            return Duration::ZERO;
        }
        let scale =
            if asked.reads_input() && self.role.starts_with("mapper") { self.region.conditions.scale } else { 1 };
        let bytes = asked.bytes_moved() * scale;
        Duration::from_secs_f64(bytes as f64 / self.region.conditions.bytes_per_s as f64 * self.slower)
    }
}

const BROKEN: Duration = Duration::from_millis(crate::model::BROKEN_MS);

/// A reply whose bytes take longer comes in pieces.
const SLOW: Duration = Duration::from_secs(2);

fn broken(why: &str) -> ConnectorError {
    ConnectorError::io(Box::new(std::io::Error::new(std::io::ErrorKind::ConnectionReset, why.to_owned())))
}

/// A machine, as its SDK sees it.
#[derive(Clone)]
struct OfMachine(Arc<Machine>);

impl fmt::Debug for OfMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.role, self.0.number)
    }
}

impl TimeSource for OfMachine {
    fn now(&self) -> SystemTime {
        self.0.wall()
    }
}

impl HttpClient for OfMachine {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for OfMachine {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.0.clone().send(request))
    }
}

/// A reply of a service.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// Changes one byte of the body.
    fn flip(&mut self, pick: u64) {
        let mut body = self.body.to_vec();
        let at = pick as usize % body.len().max(1);
        if let Some(byte) = body.get_mut(at) {
            *byte ^= 1 << (pick % 8);
        }
        self.body = body.into();
    }

    fn into_response(self, body: SdkBody) -> Result<HttpResponse, ConnectorError> {
        let mut response = http::Response::new(body);
        *response.status_mut() =
            http::StatusCode::from_u16(self.status).map_err(|e| ConnectorError::other(e.into(), None))?;
        *response.headers_mut() = self.headers;
        HttpResponse::try_from(response).map_err(|e| ConnectorError::other(e.into(), None))
    }
}
