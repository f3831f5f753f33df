//! What is counted, for Prometheus.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// A route, as it is written in the documentation.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Route {
    route: String,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Request {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Kind {
    kind: &'static str,
}

/// What is counted, for Prometheus.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    seconds: Family<Route, Histogram>,
    errors: Family<Kind, Counter>,
    digits: Counter,
    batches: Histogram,
    /// Connections that are open.
    pub connections: Gauge,
    /// Requests that are being answered, or wait for that.
    pub waiting: Gauge,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let seconds = || Histogram::new(exponential_buckets(0.0005, 2., 15)); // to 8 s
        let mut metrics = Metrics {
            registry: Registry::with_prefix("mnist"),
            requests: Family::default(),
            seconds: Family::new_with_constructor(seconds),
            errors: Family::default(),
            digits: Counter::default(),
            batches: Histogram::new(exponential_buckets(1., 2., 11)), // to 1024
            connections: Gauge::default(),
            waiting: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        let requests = metrics.requests.clone();
        registry.register("requests", "Requests that were answered", requests);
        let help = "Time from a request's headers to the answer";
        let seconds = metrics.seconds.clone();
        registry.register_with_unit("request_duration", help, Unit::Seconds, seconds);
        registry.register("errors", "Requests that failed, by kind", metrics.errors.clone());
        registry.register("digits", "Digits that were read", metrics.digits.clone());
        let help = "Images and candidates that the network computed at a time";
        registry.register("batch_size", help, metrics.batches.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        let help = "Requests that are computed, or wait for it";
        registry.register("queue", help, metrics.waiting.clone());
        metrics
    }
}

impl Metrics {
    /// Counts a request that was answered.
    pub fn request(&self, route: &str, status: u16, took: Duration) {
        let route = route.to_string();
        self.seconds.get_or_create(&Route { route: route.clone() }).observe(took.as_secs_f64());
        self.requests.get_or_create(&Request { route, status }).inc();
    }

    /// Counts a failure.
    pub fn error(&self, kind: &'static str) {
        self.errors.get_or_create(&Kind { kind }).inc();
    }

    /// Counts digits that were read.
    pub fn digits(&self, count: usize) {
        self.digits.inc_by(count as u64);
    }

    /// Counts what was computed at a time.
    pub fn batch(&self, size: usize) {
        self.batches.observe(size as f64);
    }

    /// All of it, in the text format of OpenMetrics.
    pub fn text(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.registry).expect("it is written to memory");
        text
    }
}
