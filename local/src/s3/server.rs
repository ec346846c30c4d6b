//! Accepting connections.
//!
//! HTTP/1.1 with keep-alive, as the SDKs speak it without TLS. The server never closes idle connections: a client's pool that
//! finds its connection closed would have to retry a request that was never at fault.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::{S3Auth, SecretKey};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

pub use crate::signature::Keys;

use super::Store;
use super::service::Service;

/// More than the pools of all workers together hold; it only keeps a runaway client from taking every descriptor.
const CONNECTIONS_MAX: usize = 4_096;
/// The largest body frame of a PUT: larger frames mean fewer wake-ups per byte.
const READ_BUFFER_BYTES_MAX: usize = 1 << 20;
/// How long requests in flight may take when the server is told to stop.
const DRAIN_MS_MAX: u64 = 2_000;
/// The pause after `accept` failed, which is nearly always "too many open files".
const ACCEPT_RETRY_MS: u64 = 20;

#[async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key {
            return Ok(SecretKey::from(self.secret_key.as_str()));
        }
        // S3's own code, by which clients tell wrong credentials from wrong requests; `s3s` itself says `NotSignedUp`.
        Err(s3_error!(InvalidAccessKeyId, "The AWS Access Key Id you provided does not exist in our records."))
    }
}

/// When requests must have been signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    /// Within a quarter of an hour, by this machine's clock.
    Lately,
    /// Whenever: in a simulation, whose clock is another.
    Ever,
}

/// Returns what answers requests that are signed with `keys`, for callers that have no connections.
pub fn service(store: Arc<Store>, keys: Keys, signed: Signed) -> S3Service {
    let mut builder = S3ServiceBuilder::new(Service::new(store));
    builder.set_auth(keys);
    if signed == Signed::Ever {
        let mut config = S3Config::default();
        config.presigned_url_max_skew_time_secs = u32::MAX;
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    }
    builder.build()
}

/// Serves `store` on `listener`, path-style, until `stop` resolves; requests in flight then get two seconds to end.
///
/// Only requests signed with `keys` are answered.
pub async fn serve(
    listener: TcpListener,
    store: Arc<Store>,
    keys: Keys,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let service = service(store, keys, Signed::Lately);

    let (stopping, stopped) = watch::channel(false);
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &slots) => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            Ok((stream, slot)) => {
                let (service, stopped) = (service.clone(), stopped.clone());
                connections.spawn(async move {
                    connection(stream, service, stopped).await;
                    drop(slot);
                });
            }
            Err(err) => {
                tracing::warn!(%err, "accepting a connection to the embedded S3 server");
                tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
            }
        }
    }
    drop(listener);
    let _ = stopping.send(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_millis(DRAIN_MS_MAX), drained).await;
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

async fn connection(stream: TcpStream, service: S3Service, mut stopped: watch::Receiver<bool>) {
    let handler = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let service = service.clone();
        async move {
            let answered = service.call(request.map(s3s::Body::from)).await;
            // `s3s` returns an error only if it cannot write a response at all.
            Ok::<_, Infallible>(answered.unwrap_or_else(|err| {
                tracing::error!(?err, "writing a response of the embedded S3 server");
                let mut response = http::Response::new(s3s::Body::empty());
                *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
                response
            }))
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(READ_BUFFER_BYTES_MAX)
        .writev(true)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), handler);
    tokio::pin!(connection);
    let stopping = async { stopped.wait_for(|stopped| *stopped).await.map(|_| ()) };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        _ = stopping => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(err) = ended {
        // A client that went away, or a body that we broke off because its file changed.
        tracing::debug!(%err, "connection to the embedded S3 server");
    }
}
