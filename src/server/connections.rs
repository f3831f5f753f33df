//! Connections: taken up, bounded in number and time, and ended in order.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;

use super::Shared;

/// How long the headers of a request may take, and a connection be idle.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// How long a client may take nothing of an answer.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// Bytes of the headers of a request, at most, which each connection may hold.
const MAX_HEADERS: usize = 32 * 1024;
/// How long what was asked before the end may take.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// How often it is looked whether to end.
const POLL: Duration = Duration::from_millis(50);
/// How long to wait when no connection can be taken up, as without file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers by `router` until `stop` is no longer 0.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    common: &Shared,
    stop: &AtomicUsize,
) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener).context("cannot listen")?;
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIME).max_buf_size(MAX_HEADERS);
    let graceful = GracefulShutdown::new();
    let take_up = async {
        loop {
            let place = Arc::clone(&common.connections).acquire_owned();
            let place = place.await.expect("it is never closed");
            let mut stream = TimeoutStream::new(accept(&listener).await);
            stream.set_write_timeout(Some(WRITE_TIME));
            let service = TowerToHyperService::new(router.clone());
            let connection = builder.serve_connection(TokioIo::new(Box::pin(stream)), service);
            let connection = graceful.watch(connection);
            let open = common.metrics.connections.clone();
            open.inc();
            tokio::spawn(async move {
                let _ = connection.await; // whoever broke it off knows
                open.dec();
                drop(place);
            });
        }
    };
    tokio::select! {
        () = take_up => {}
        () = ended(stop) => {}
    }
    drop(listener);
    let _ = timeout(DRAIN_TIME, graceful.shutdown()).await;
    Ok(())
}

async fn accept(listener: &tokio::net::TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                return stream;
            }
            // Of one connection, or of all for a while: there is nobody to tell.
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn ended(stop: &AtomicUsize) {
    while stop.load(Ordering::Relaxed) == 0 {
        sleep(POLL).await;
    }
}
