//! What the server is, how it does, and with which weights.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::openapi::Refused;
use super::{MAX_WAITING, Shared, reply};
use crate::{VERSION, weights};

/// The media type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The weights that are served.
#[derive(Serialize, ToSchema)]
struct WeightsList<'a> {
    weights: Vec<Entry<'a>>,
    /// Whether corrections are kept.
    collect: bool,
    /// The version of the program.
    version: &'static str,
}

/// Weights, and what is known of them.
#[derive(Serialize, ToSchema)]
#[schema(as = Weights)]
struct Entry<'a> {
    /// What they are asked for by, in `weights`.
    name: &'a str,
    /// Whether they are used where none are asked for.
    default: bool,
    /// Number of hidden units.
    hidden: usize,
    /// Number of trainable values.
    parameters: usize,
    /// Share of MNIST's test set that they get right, if their record says it.
    test_accuracy: Option<f64>,
    /// The record of their training.
    #[schema(value_type = Option<Object>)]
    record: Option<&'a Value>,
}

/// How the server does.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `live` or `ready`.
    status: &'static str,
}

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(weights))
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(metrics))
}

/// The weights that are served
#[utoipa::path(get, path = "/weights", responses((status = 200, body = WeightsList), Refused))]
async fn weights(State(common): State<Shared>) -> Response {
    let list = common.weights.iter().enumerate().map(|(number, weights)| {
        let record = weights.record.as_ref();
        Entry {
            name: &weights.name,
            default: number == 0,
            hidden: weights.arrays.hidden,
            parameters: weights.arrays.values.iter().map(Vec::len).sum(),
            test_accuracy: record.and_then(weights::accuracy_on_mnist),
            record,
        }
    });
    reply::json(&WeightsList {
        weights: list.collect(),
        collect: common.collection.is_some(),
        version: VERSION,
    })
}

/// Whether the server runs
#[utoipa::path(get, path = "/health/live", responses((status = 200, body = Health), Refused))]
async fn live() -> Response {
    reply::json(&Health { status: "live" })
}

/// Whether the server takes requests: once it answers, it does
#[utoipa::path(get, path = "/health/ready", responses((status = 200, body = Health), Refused))]
async fn ready() -> Response {
    reply::json(&Health { status: "ready" })
}

/// Counts for Prometheus: requests, errors by kind, latencies, the queue, digits read
#[utoipa::path(get, path = "/metrics", responses(
    (status = 200, body = String, content_type = "application/openmetrics-text"), Refused))]
async fn metrics(State(common): State<Shared>) -> Response {
    let waiting = MAX_WAITING - common.places.available_permits();
    common.metrics.waiting.set(waiting as i64);
    ([(CONTENT_TYPE, OPEN_METRICS)], common.metrics.text()).into_response()
}
