//! How code that computes runs beside code that waits for services.
//!
//! An engine is synchronous: it takes blocks from a channel, computes, and hands blocks on. In a function it has a thread of
//! its own, while Tokio's threads fetch what it takes and send what it makes. In a simulation there is one thread, and time
//! stands still while code computes, so an engine that waited for a block would wait for ever. There the three steps follow
//! each other: all is fetched, the engine runs to its end, all is sent.
//!
//! ```text
//! Threads   fetch ──blocks──▶ engine ──blocks──▶ send          all at once
//! InTurn    fetch, then engine, then send                      on one thread; channels hold everything
//! ```

use kinglet_core::{Code, Error, Result};
use std::future::Future;
use tokio::sync::mpsc;

/// How an engine runs beside requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beside {
    /// On a thread of its own.
    #[default]
    Threads,
    /// In turn with them, on the same thread.
    InTurn,
}

/// How many blocks a channel holds where nobody takes any before all are there: more than any simulated task has.
const ALL: usize = 1 << 24;

impl Beside {
    /// Returns a channel that holds `room` blocks, or all of them if nobody can take one meanwhile.
    pub fn channel<T>(self, room: usize) -> (Outbox<T>, Inbox<T>) {
        let (sender, receiver) = mpsc::channel(if self == Beside::Threads { room } else { ALL });
        (Outbox { sender, beside: self }, Inbox { receiver, beside: self })
    }

    /// Runs an engine on what `fetching` puts into a channel.
    ///
    /// # Errors
    /// The engine's part is `engine` when its thread panicked.
    pub async fn after<F, T>(self, fetching: F, engine: impl FnOnce() -> T + Send + 'static) -> (F::Output, Result<T>)
    where
        F: Future,
        T: Send + 'static,
    {
        match self {
            Beside::Threads => {
                let (fetched, ran) = tokio::join!(fetching, tokio::task::spawn_blocking(engine));
                (fetched, ran.map_err(stopped))
            }
            Beside::InTurn => (fetching.await, Ok(engine())),
        }
    }

    /// Runs an engine, and `sending` on what the engine puts into a channel.
    ///
    /// # Errors
    /// The engine's part is `engine` when its thread panicked.
    pub async fn before<F, T>(self, engine: impl FnOnce() -> T + Send + 'static, sending: F) -> (Result<T>, F::Output)
    where
        F: Future,
        T: Send + 'static,
    {
        match self {
            Beside::Threads => {
                let (ran, sent) = tokio::join!(tokio::task::spawn_blocking(engine), sending);
                (ran.map_err(stopped), sent)
            }
            Beside::InTurn => {
                let ran = engine();
                (Ok(ran), sending.await)
            }
        }
    }
}

fn stopped(error: tokio::task::JoinError) -> Error {
    Error::new(Code::Engine, format!("the engine stopped: {error}"))
}

/// The end of a channel that blocks are put into.
pub struct Outbox<T> {
    sender: mpsc::Sender<T>,
    beside: Beside,
}

/// The other end is gone: nobody takes blocks any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

impl<T> Outbox<T> {
    /// Waits until there is room for a block.
    ///
    /// # Errors
    /// Returns [`Gone`] when nobody takes blocks any more.
    pub async fn room(&self) -> Result<(), Gone> {
        self.sender.reserve().await.map(drop).map_err(|_| Gone)
    }

    /// Puts a block in, from code that waits for services.
    ///
    /// # Errors
    /// Returns [`Gone`] when nobody takes blocks any more.
    pub async fn send(&self, block: T) -> Result<(), Gone> {
        self.sender.send(block).await.map_err(|_| Gone)
    }

    /// Puts a block in, from an engine.
    ///
    /// # Errors
    /// Returns [`Gone`] when nobody takes blocks any more.
    pub fn push(&self, block: T) -> Result<(), Gone> {
        match self.beside {
            Beside::Threads => self.sender.blocking_send(block).map_err(|_| Gone),
            Beside::InTurn => self.sender.try_send(block).map_err(|_| Gone),
        }
    }
}

/// The end of a channel that blocks are taken from.
pub struct Inbox<T> {
    receiver: mpsc::Receiver<T>,
    beside: Beside,
}

impl<T> Inbox<T> {
    /// Takes a block, from code that waits for services; `None` at the end.
    pub async fn recv(&mut self) -> Option<T> {
        self.receiver.recv().await
    }

    /// Takes a block, from an engine; `None` at the end.
    pub fn take(&mut self) -> Option<T> {
        match self.beside {
            Beside::Threads => self.receiver.blocking_recv(),
            Beside::InTurn => self.receiver.try_recv().ok(),
        }
    }
}
