//! The server: a page to draw on and photograph for, and an interface for programs, over HTTP.
//!
//! A request goes through few stages. `guard` lets it in, `upload` reads its body, `pool`
//! decodes the image and finds what is written on it, `inference` computes the networks on the
//! one thread that has them, and `reply` answers with what the commands print. How many requests
//! are past their body is bounded; those above that are turned away at once.

mod collection;
mod connections;
mod failure;
mod guard;
mod images;
mod inference;
mod metrics;
mod openapi;
mod page;
mod pool;
mod reply;
mod status;
mod upload;
mod v2;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::{self, available_parallelism};

use anyhow::{Context, Result, anyhow};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use mnist_image::decode::Budget;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

pub use collection::Collection;
use failure::{Failure, Outcome};
use guard::Hosts;
pub use guard::host;
use inference::Inference;
use metrics::Metrics;

use crate::network::arrays::Arrays;
use crate::network::classifier::Classifier;

/// Requests that are computed or wait for that, at most. Those that wait longest wait some tenths
/// of a second for single digits.
const MAX_WAITING: usize = 256;
/// Pixels of an image, at most: any phone's photograph.
const MAX_PIXELS: u64 = 25_000_000;
/// Connections at a time; more wait until one ends.
const MAX_CONNECTIONS: usize = 4096;
/// Bytes that images may take while they are decoded and read.
const IMAGE_BYTES: u64 = 300_000_000;

/// Weights that are served.
#[derive(Debug)]
pub struct Weights {
    /// What they are asked for by.
    pub name: String,
    /// The weights.
    pub arrays: Arrays,
    /// The record of their training.
    pub record: Option<Value>,
}

/// What a server computes with. Others may wait for it: it stays on the thread that runs the
/// server.
#[derive(Debug)]
pub struct Networks {
    /// The networks that classify, of which the first is used unless another is asked for.
    pub classifiers: Vec<(Weights, Box<dyn Classifier>)>,
    /// The network that says what is no digit.
    pub verifier: Box<dyn Classifier>,
}

/// What all requests share.
#[derive(Debug)]
struct Common {
    weights: Vec<Weights>,
    inference: Inference,
    collection: Option<Arc<Collection>>,
    hosts: Hosts,
    budget: Budget,
    connections: Arc<Semaphore>,
    /// Places for requests that are computed, or wait for that.
    places: Arc<Semaphore>,
    /// Memory for bodies, in KiB.
    bodies: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

type Shared = Arc<Common>;

impl Common {
    /// The number of the weights of this name; without one, of the first.
    fn network(&self, name: Option<&str>) -> Outcome<usize> {
        let Some(name) = name else { return Ok(0) };
        self.weights.iter().position(|weights| weights.name == name).ok_or_else(|| {
            let sentence = "There are no weights of this name: /weights lists those there are.";
            Failure::new(StatusCode::NOT_FOUND, sentence)
        })
    }

    /// A place among the requests that are computed, if there is one.
    fn place(&self) -> Outcome<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| Failure::overloaded())
    }
}

/// A server that listens, but does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    hosts: Hosts,
}

impl Server {
    /// Listens at `listen`, as `127.0.0.1:8080`; at port 0, at any that is free. It may be asked
    /// for by the names `allowed` as well.
    ///
    /// # Errors
    ///
    /// If there is no such address here, or the port is taken.
    pub fn bind(listen: &str, allowed: &[String]) -> Result<Server> {
        let cannot = || format!("cannot listen at {listen}");
        let listener = TcpListener::bind(listen).with_context(cannot)?;
        listener.set_nonblocking(true).with_context(cannot)?;
        let address = listener.local_addr().with_context(cannot)?;
        Ok(Server { listener, address, hosts: Hosts::new(listen, address, allowed) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is no longer 0, and then for up to ten seconds what has been asked
    /// before. This thread computes the networks.
    ///
    /// # Errors
    ///
    /// If no threads can be started.
    pub fn run(
        self,
        networks: Networks,
        collection: Option<Collection>,
        stop: Arc<AtomicUsize>,
    ) -> Result<()> {
        let (inference, jobs) = inference::queue();
        let metrics = Arc::new(Metrics::default());
        let (weights, classifiers): (Vec<_>, Vec<_>) = networks.classifiers.into_iter().unzip();
        let common = Common {
            weights,
            inference,
            collection: collection.map(Arc::new),
            hosts: self.hosts,
            budget: Budget::new(IMAGE_BYTES).with_most_pixels(MAX_PIXELS),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            places: Arc::new(Semaphore::new(MAX_WAITING)),
            bodies: Arc::new(Semaphore::new(upload::MAX_BODIES)),
            metrics: Arc::clone(&metrics),
        };
        let cannot = "cannot start the threads of the server";
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(available_parallelism()?.get())
            .build()
            .context(cannot)?;
        let answering = thread::Builder::new().name("answering".into()).spawn(move || {
            let common = Arc::new(common);
            let router = router(&common);
            let served =
                runtime.block_on(connections::serve(self.listener, router, &common, &stop));
            runtime.shutdown_background();
            common.inference.end(); // what is decoded still is for nobody
            served
        });
        let answering = answering.context(cannot)?;
        jobs.work(&classifiers, &*networks.verifier, &metrics);
        answering.join().unwrap_or_else(|_| Err(anyhow!("the thread that answers has failed")))
    }
}

/// All routes.
fn router(common: &Shared) -> Router {
    let routes = OpenApiRouter::with_openapi(openapi::document())
        .merge(images::routes())
        .merge(status::routes())
        .merge(v2::routes());
    let (routes, document) = routes.split_for_parts();
    guarded(routes.merge(openapi::route(&document)).merge(page::routes()), common)
}

/// Routes, with what holds for each.
fn guarded(routes: Router<Shared>, common: &Shared) -> Router {
    let not_found = async || Failure::new(StatusCode::NOT_FOUND, "There is nothing at this path.");
    let not_allowed = async || {
        let sentence = "This path does not take this method.";
        Failure::new(StatusCode::METHOD_NOT_ALLOWED, sentence)
    };
    let panicked = |_| Failure::bug().into_response();
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(DefaultBodyLimit::disable()) // bodies are bounded where they are read
        .layer(from_fn_with_state(Arc::clone(common), guard::guard))
        .with_state(Arc::clone(common))
}

#[cfg(test)]
mod tests;
