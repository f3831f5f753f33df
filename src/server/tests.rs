//! The routes, within what bounds them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZero;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{HOST, RETRY_AFTER};
use axum::http::{Method, Request, Response};
use axum::routing::get;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::inference::Jobs;
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
        hosts: Hosts::new("127.0.0.1:0", ([127, 0, 0, 1], 0).into(), &[]),
        budget: Budget::new(IMAGE_BYTES).with_most_pixels(10_000),
        places: Arc::new(Semaphore::new(1)),
        bodies: Arc::new(Semaphore::new(100)),
        connections: Arc::new(Semaphore::new(1)),
        metrics: Arc::default(),
    }
}

/// Does `ask` with the routes of a server that computes, on a clock that jumps to the next
/// event when nothing else happens.
fn on_server(ask: impl AsyncFnOnce(&Shared, Router)) {
    let (inference, jobs) = inference::queue();
    let worker = computing(jobs);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let common = Arc::new(common(inference));
    runtime.unwrap().block_on(ask(&common, router(&common)));
    drop(common);
    worker.join().unwrap();
}

/// The thread that computes.
fn computing(jobs: Jobs) -> thread::JoinHandle<()> {
    let network = || Box::new(Plain::new(weights::released().unwrap(), NonZero::<usize>::MIN));
    thread::spawn(move || jobs.work(&[network()], &*network(), &Metrics::default()))
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
fn what_waits_to_be_computed_fills_the_queue() {
    let (inference, jobs) = inference::queue();
    let common = Arc::new(common(inference));
    let router = router(&common);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ask = || send(&router, Method::POST, "/predict", image(60, 90).into());
        let second = async {
            while common.places.available_permits() > 0 {
                tokio::task::yield_now().await;
            }
            assert_eq!(failure(ask().await).await.0, 503);
            computing(jobs)
        };
        let (first, worker) = tokio::join!(ask(), second);
        assert_eq!(first.status(), 200);
        common.inference.end();
        worker.join().unwrap();
    });
}

#[test]
fn a_path_that_is_no_text_gets_a_sentence() {
    on_server(async |_, router| {
        for path in ["/v2/models/%FF", "/v2/models/%FF/ready"] {
            let (status, sentence) =
                failure(send(&router, Method::GET, path, Body::empty()).await).await;
            assert_eq!(status, 400);
            assert!(sentence.starts_with("The path cannot be read: "), "{sentence}");
        }
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
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }
    on_server(async |_, router| {
        let body = Body::new(Unfinished);
        let (status, sentence) = failure(send(&router, Method::POST, "/predict", body).await).await;
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

/// A listener, as the server uses it, and where it listens.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn connections_that_say_nothing_are_closed_and_not_waited_for() {
    on_server(async |common, router| {
        let (listener, address) = listener();
        let stop = Arc::new(AtomicUsize::new(0));
        let also_stop = Arc::clone(&stop);
        // What is sent, and whether the server closes the connection before it ends.
        let client = thread::spawn(move || {
            let mut slow = TcpStream::connect(address).unwrap();
            slow.write_all(b"GET / HTTP/1.1\r\nHost: local").unwrap();
            let mut rest = Vec::new();
            let _ = slow.read_to_end(&mut rest); // comes to an end
            let mut unfinished = TcpStream::connect(address).unwrap();
            let head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1";
            let _ = unfinished.write_all(head); // its time may be over, too
            also_stop.store(15, Ordering::Relaxed);
            unfinished
        });
        let served = connections::serve(listener, router, common, &stop);
        tokio::time::timeout(Duration::from_secs(3600), served).await.unwrap().unwrap();
        client.join().unwrap();
    });
}

#[test]
fn connections_above_the_limit_wait_until_one_ends() {
    let (inference, _jobs) = inference::queue();
    let common = Arc::new(common(inference));
    let (listener, address) = listener();
    let stop = Arc::new(AtomicUsize::new(0));
    let also_stop = Arc::clone(&stop);
    let client = thread::spawn(move || {
        let first = TcpStream::connect(address).unwrap();
        let mut second = TcpStream::connect(address).unwrap();
        let request = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        second.write_all(request).unwrap();
        second.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let waits = second.read(&mut [0]).is_err();
        drop(first);
        second.set_read_timeout(None).unwrap();
        let mut answer = String::new();
        second.read_to_string(&mut answer).unwrap();
        also_stop.store(15, Ordering::Relaxed);
        (waits, answer)
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let served = connections::serve(listener, router(&common), &common, &stop);
    runtime.block_on(served).unwrap();
    let (waits, answer) = client.join().unwrap();
    assert!(waits && answer.starts_with("HTTP/1.1 200"), "{waits} {answer}");
}
