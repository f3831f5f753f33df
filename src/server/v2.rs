//! The Open Inference Protocol (<https://github.com/kserve/open-inference-protocol>), with the
//! names and shapes of our ONNX files, so that a client of theirs elsewhere works here as well; and
//! Triton's extension for tensors as bytes.

mod tensors;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::failure::{Failure, Outcome};
use super::openapi::{Refused, Unread};
use super::pool::on_pool;
use super::upload::Whole;
use super::{Shared, reply};
use crate::{CLASSES, PIXELS, VERSION};
use tensors::{HEADER_LENGTH, Infer, Inferred, parse, respond};

/// The one version that each model has.
const MODEL_VERSION: &str = "1";
/// The datatype of all tensors.
const FP32: &str = "FP32";

#[derive(Serialize, ToSchema)]
struct ServerMetadata {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; 1],
}

#[derive(Serialize, ToSchema)]
struct ModelMetadata<'a> {
    name: &'a str,
    versions: [&'static str; 1],
    platform: &'static str,
    inputs: [TensorMetadata; 1],
    outputs: [TensorMetadata; 2],
}

/// A tensor of any number of rows.
#[derive(Serialize, ToSchema)]
struct TensorMetadata {
    name: &'static str,
    datatype: &'static str,
    /// −1 stands for any number.
    shape: [i64; 2],
}

#[derive(Serialize, ToSchema)]
struct Live {
    live: bool,
}

#[derive(Serialize, ToSchema)]
struct Ready {
    ready: bool,
}

#[derive(Serialize, ToSchema)]
struct ModelReady<'a> {
    name: &'a str,
    ready: bool,
}

/// Which model.
#[derive(Deserialize)]
struct Model {
    model: String,
    version: Option<String>,
}

/// Which model the path names, or what is wrong with the path.
type Named = Result<Path<Model>, PathRejection>;

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(server))
        .routes(routes!(live))
        .routes(routes!(ready))
        .routes(routes!(model))
        .routes(routes!(model_version))
        .routes(routes!(model_ready))
        .routes(routes!(model_version_ready))
        .routes(routes!(infer))
        .routes(routes!(infer_version))
}

/// What the server is
#[utoipa::path(get, path = "/v2", responses((status = 200, body = ServerMetadata), Refused))]
async fn server() -> Response {
    let extensions = ["binary_tensor_data"];
    reply::json(&ServerMetadata { name: "tch-mnist", version: VERSION, extensions })
}

/// Whether the server runs
#[utoipa::path(get, path = "/v2/health/live", responses((status = 200, body = Live), Refused))]
async fn live() -> Response {
    reply::json(&Live { live: true })
}

/// Whether the server takes requests: once it answers, it does
#[utoipa::path(get, path = "/v2/health/ready", responses((status = 200, body = Ready), Refused))]
async fn ready() -> Response {
    reply::json(&Ready { ready: true })
}

impl Model {
    /// Its number.
    fn find(&self, common: &Shared) -> Outcome<usize> {
        if self.version.as_deref().is_some_and(|version| version != MODEL_VERSION) {
            let sentence = "A model has no version but 1.";
            return Err(Failure::new(StatusCode::NOT_FOUND, sentence));
        }
        common.network(Some(&self.model))
    }

    fn metadata(&self, common: &Shared) -> Outcome<Response> {
        let number = self.find(common)?;
        let tensor =
            |name, width: usize| TensorMetadata { name, datatype: FP32, shape: [-1, width as i64] };
        Ok(reply::json(&ModelMetadata {
            name: &common.weights[number].name,
            versions: [MODEL_VERSION],
            platform: "tch-mnist",
            inputs: [tensor("images", PIXELS)],
            outputs: [tensor("logits", CLASSES), tensor("probabilities", CLASSES)],
        }))
    }

    fn ready(&self, common: &Shared) -> Outcome<Response> {
        let name = &common.weights[self.find(common)?].name;
        Ok(reply::json(&ModelReady { name, ready: true }))
    }

    /// Computes the logits and probabilities of what a request holds.
    async fn infer(&self, common: Shared, headers: &HeaderMap, whole: Whole) -> Outcome<Response> {
        let number = self.find(&common)?;
        let _place = common.place()?;
        let header = headers.get(HEADER_LENGTH).map(|length| {
            let length = length.to_str().ok().and_then(|length| length.parse::<usize>().ok());
            length.ok_or_else(|| Failure::bad("Inference-Header-Content-Length is no number."))
        });
        let header = header.transpose()?;
        let (images, asked, _whole) = on_pool(move || {
            let (images, asked) = parse(&whole.bytes, header)?;
            Ok((images, asked, whole)) // whose memory the images have
        })
        .await?;
        let logits = common.inference.images(number, images).await?;
        common.metrics.digits(logits.len());
        on_pool(move || respond(&common.weights[number].name, &asked, &logits)).await
    }
}

/// What a model takes and gives
#[utoipa::path(get, path = "/v2/models/{model}", params(("model" = String, Path, example = "released")),
    responses((status = 200, body = ModelMetadata), Refused))]
async fn model(State(common): State<Shared>, model: Named) -> Outcome<Response> {
    model?.metadata(&common)
}

/// What a version of a model takes and gives
#[utoipa::path(get, path = "/v2/models/{model}/versions/{version}",
    params(("model" = String, Path, example = "released"), ("version" = String, Path, example = "1")),
    responses((status = 200, body = ModelMetadata), Refused))]
async fn model_version(State(common): State<Shared>, model: Named) -> Outcome<Response> {
    model?.metadata(&common)
}

/// Whether a model takes requests
#[utoipa::path(get, path = "/v2/models/{model}/ready", params(("model" = String, Path, example = "released")),
    responses((status = 200, body = ModelReady), Refused))]
async fn model_ready(State(common): State<Shared>, model: Named) -> Outcome<Response> {
    model?.ready(&common)
}

/// Whether a version of a model takes requests
#[utoipa::path(get, path = "/v2/models/{model}/versions/{version}/ready",
    params(("model" = String, Path, example = "released"), ("version" = String, Path, example = "1")),
    responses((status = 200, body = ModelReady), Refused))]
async fn model_version_ready(State(common): State<Shared>, model: Named) -> Outcome<Response> {
    model?.ready(&common)
}

/// Compute logits and probabilities of images
#[utoipa::path(post, path = "/v2/models/{model}/infer", params(("model" = String, Path, example = "released")),
    request_body = Infer, responses((status = 200, body = Inferred), Refused, Unread))]
async fn infer(
    State(common): State<Shared>,
    model: Named,
    headers: HeaderMap,
    whole: Whole,
) -> Outcome<Response> {
    model?.infer(common, &headers, whole).await
}

/// Compute logits and probabilities of images by a version of a model
#[utoipa::path(post, path = "/v2/models/{model}/versions/{version}/infer",
    params(("model" = String, Path, example = "released"), ("version" = String, Path, example = "1")),
    request_body = Infer, responses((status = 200, body = Inferred), Refused, Unread))]
async fn infer_version(
    State(common): State<Shared>,
    model: Named,
    headers: HeaderMap,
    whole: Whole,
) -> Outcome<Response> {
    model?.infer(common, &headers, whole).await
}
