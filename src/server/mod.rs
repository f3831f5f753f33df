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
use std::sync::atomic::{AtomicBool, AtomicUsize};
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
use inference::Inference;
use metrics::Metrics;

use crate::network::arrays::Arrays;
use crate::network::classifier::Classifier;

/// Requests that are computed or wait for that, at most. Those that wait longest wait some tenths
/// of a second for single digits.
const MAX_WAITING: usize = 256;
/// Pixels of an image, at most: any phone's photograph.
const MAX_PIXELS: u64 = 25_000_000;
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
    collection: Option<Collection>,
    hosts: Hosts,
    budget: Budget,
    /// Places for requests that are computed, or wait for that.
    places: Arc<Semaphore>,
    /// Memory for bodies, in KiB.
    bodies: Arc<Semaphore>,
    metrics: Arc<Metrics>,
    ending: AtomicBool,
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
    /// Listens at `listen`, as `127.0.0.1:8080`; at port 0, at any that is free.
    ///
    /// # Errors
    ///
    /// If there is no such address here, or the port is taken.
    pub fn bind(listen: &str) -> Result<Server> {
        let cannot = || format!("cannot listen at {listen}");
        let listener = TcpListener::bind(listen).with_context(cannot)?;
        listener.set_nonblocking(true).with_context(cannot)?;
        let address = listener.local_addr().with_context(cannot)?;
        Ok(Server { listener, address, hosts: Hosts::new(listen, address) })
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
            collection,
            hosts: self.hosts,
            budget: Budget::new(IMAGE_BYTES).with_most_pixels(MAX_PIXELS),
            places: Arc::new(Semaphore::new(MAX_WAITING)),
            bodies: Arc::new(Semaphore::new(upload::MAX_BODIES)),
            metrics: Arc::clone(&metrics),
            ending: AtomicBool::new(false),
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
    let panicked = |_| Failure::internal("The request met a bug in the server.").into_response();
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(DefaultBodyLimit::disable()) // bodies are bounded where they are read
        .layer(from_fn_with_state(Arc::clone(common), guard::guard))
        .with_state(Arc::clone(common))
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;
    use std::time::Duration;

    use axum::body::{Body, Bytes, to_bytes};
    use axum::http::header::{HOST, RETRY_AFTER};
    use axum::http::{Method, Request, Response};
    use axum::routing::get;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::network::plain::Plain;
    use crate::weights;

    /// What requests share, with the released weights.
    fn common(inference: Inference) -> Common {
        let arrays = weights::released().unwrap();
        Common {
            weights: vec![Weights { name: "released".into(), arrays, record: None }],
            inference,
            collection: None,
            hosts: Hosts::new("127.0.0.1:0", ([127, 0, 0, 1], 0).into()),
            budget: Budget::new(IMAGE_BYTES).with_most_pixels(10_000),
            places: Arc::new(Semaphore::new(1)),
            bodies: Arc::new(Semaphore::new(100)),
            metrics: Arc::default(),
            ending: AtomicBool::new(false),
        }
    }

    /// Does `ask` with the routes of a server that computes, on a clock that jumps to the next
    /// event when nothing else happens.
    fn on_server(ask: impl AsyncFnOnce(&Shared, Router)) {
        let (inference, jobs) = inference::queue();
        let network = || Box::new(Plain::new(weights::released().unwrap(), NonZero::<usize>::MIN));
        let worker = thread::spawn(move || {
            jobs.work(&[network()], &*network(), &Metrics::default());
        });
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        let common = Arc::new(common(inference));
        runtime.unwrap().block_on(ask(&common, router(&common)));
        drop(common);
        worker.join().unwrap();
    }

    async fn send(router: &Router, method: Method, path: &str, body: Body) -> Response<Body> {
        let request = Request::builder().method(method).uri(path).header(HOST, "localhost");
        let service = TowerToHyperService::new(router.clone());
        service.call(request.body(body).unwrap()).await.unwrap()
    }

    /// The status of a failure, and its sentence.
    async fn failure(response: Response<Body>) -> (u16, String) {
        let status = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 10_000).await.unwrap();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        (status, body["error"].as_str().unwrap().to_string())
    }

    /// An image of this size with a stroke on it, as a PNM file.
    fn image(width: usize, height: usize) -> Vec<u8> {
        let mut file = format!("P5 {width} {height} 255\n").into_bytes();
        let ink = |at: usize| {
            let (x, y) = (at % width, at / width);
            x.abs_diff(width / 2) < 3 && y > height / 8 && y < height * 7 / 8
        };
        file.extend((0..width * height).map(|at| if ink(at) { 30 } else { 220 }));
        file
    }

    #[test]
    fn a_full_queue_turns_requests_away_until_there_is_room() {
        on_server(async |common, router| {
            let held = common.place().unwrap();
            for path in ["/predict", "/read", "/explain"] {
                let busy = send(&router, Method::POST, path, image(60, 90).into()).await;
                assert_eq!(busy.headers()[RETRY_AFTER], "1");
                assert_eq!(failure(busy).await.0, 503, "{path}");
            }
            drop(held);
            let answered = send(&router, Method::POST, "/predict", image(60, 90).into()).await;
            assert_eq!(answered.status(), 200);
            let counted = common.metrics.text();
            assert!(counted.contains("mnist_errors_total{kind=\"overloaded\"} 3"), "{counted}");
        });
    }

    #[test]
    fn bodies_that_are_held_are_bounded_together() {
        on_server(async |common, router| {
            let held = Arc::clone(&common.bodies).try_acquire_many_owned(98).unwrap();
            let busy = send(&router, Method::POST, "/predict", image(60, 90).into()).await;
            assert_eq!(failure(busy).await.0, 503);
            drop(held);
            for _ in 0..50 {
                let answered = send(&router, Method::POST, "/predict", image(60, 90).into()).await;
                assert_eq!(answered.status(), 200, "what was held is given back");
            }
        });
    }

    #[test]
    fn images_of_too_many_pixels_are_refused() {
        on_server(async |_, router| {
            let refused = send(&router, Method::POST, "/read", image(101, 100).into()).await;
            let (status, sentence) = failure(refused).await;
            assert_eq!(status, 413);
            assert!(sentence.contains("101×100 pixels, more than the 10000"), "{sentence}");
        });
    }

    #[test]
    fn a_body_that_never_ends_is_given_up() {
        /// Has come in part.
        struct Unfinished;
        impl hyper::body::Body for Unfinished {
            type Data = Bytes;
            type Error = std::convert::Infallible;
            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>>
            {
                std::task::Poll::Pending
            }
        }
        on_server(async |_, router| {
            let body = Body::new(Unfinished);
            let (status, sentence) =
                failure(send(&router, Method::POST, "/predict", body).await).await;
            assert_eq!((status, &*sentence), (408, "The body did not arrive within 30 seconds."));
        });
    }

    #[test]
    fn a_bug_costs_one_request() {
        on_server(async |common, _| {
            let routes = Router::new()
                .route("/bug", get(async || -> Response<Body> { panic!("as a bug would") }));
            let router = guarded(routes, common);
            let (status, sentence) =
                failure(send(&router, Method::GET, "/bug", Body::empty()).await).await;
            assert_eq!((status, &*sentence), (500, "The request met a bug in the server."));
        });
    }

    #[test]
    fn connections_that_say_nothing_are_closed_and_not_waited_for() {
        use std::io::{Read, Write};
        on_server(async |common, router| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.set_nonblocking(true).unwrap();
            let address = listener.local_addr().unwrap();
            let stop = Arc::new(AtomicUsize::new(0));
            let also_stop = Arc::clone(&stop);
            // What is sent, and whether the server closes the connection before it ends.
            let client = thread::spawn(move || {
                let mut slow = std::net::TcpStream::connect(address).unwrap();
                slow.write_all(b"GET / HTTP/1.1\r\nHost: local").unwrap();
                let mut rest = Vec::new();
                let _ = slow.read_to_end(&mut rest); // comes to an end
                let mut unfinished = std::net::TcpStream::connect(address).unwrap();
                let head =
                    b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1";
                let _ = unfinished.write_all(head); // its time may be over, too
                also_stop.store(15, std::sync::atomic::Ordering::Relaxed);
                unfinished
            });
            let served = connections::serve(listener, router, common, &stop);
            tokio::time::timeout(Duration::from_secs(3600), served).await.unwrap().unwrap();
            client.join().unwrap();
        });
    }
}
