//! What goes wrong with a request, as a status and a sentence.

use axum::extract::multipart::MultipartError;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::reply;
use crate::output::text;
use mnist_image::Error;

/// Seconds after which a request that was turned away may come again.
const RETRY_SECONDS: u64 = 1;

/// Why a request was not answered.
#[derive(Clone, Debug)]
pub struct Failure {
    status: StatusCode,
    sentence: String,
}

/// What may fail with a [`Failure`].
pub type Outcome<T> = Result<T, Failure>;

/// Why a request was not answered.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub struct Body<'a> {
    /// A sentence.
    #[schema(example = "Cannot read the image: it is truncated; download or copy it again.")]
    error: &'a str,
}

/// The kind of a failure, kept with its response to be counted.
#[derive(Clone, Copy, Debug)]
pub struct Kind(pub &'static str);

impl Failure {
    pub fn new(status: StatusCode, sentence: impl Into<String>) -> Failure {
        Failure { status, sentence: sentence.into() }
    }

    pub fn bad(sentence: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, sentence)
    }

    pub fn too_large(sentence: impl Into<String>) -> Failure {
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, sentence)
    }

    /// There is more to do than can be done.
    pub fn overloaded() -> Failure {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "The server is busy: try again in a moment.")
    }

    /// Nobody computes any more.
    pub fn ending() -> Failure {
        Failure::new(StatusCode::SERVICE_UNAVAILABLE, "The server is ending.")
    }

    /// The server's own fault.
    pub fn internal(sentence: impl Into<String>) -> Failure {
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, sentence)
    }

    /// What must not happen.
    pub fn bug() -> Failure {
        Failure::internal("The request met a bug in the server.")
    }

    /// What an error of the program says, as a sentence.
    pub fn of(status: StatusCode, error: &anyhow::Error) -> Failure {
        let text = text::plain_error(error);
        let mut rest = text.chars();
        let first = rest.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
        Failure::new(status, format!("{first}{}.", rest.as_str()))
    }

    fn kind(&self) -> &'static str {
        match self.status {
            StatusCode::BAD_REQUEST => "bad_request",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            StatusCode::REQUEST_TIMEOUT => "timeout",
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::UNSUPPORTED_MEDIA_TYPE => "not_an_image",
            StatusCode::UNPROCESSABLE_ENTITY => "unreadable_image",
            StatusCode::SERVICE_UNAVAILABLE => "overloaded",
            StatusCode::INSUFFICIENT_STORAGE => "collection_full",
            _ => "internal",
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let status = match error {
            Error::UnknownFormat | Error::NotSupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::TooManyBytes { .. } | Error::TooManyPixels { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Error::OutOfBudget => return Failure::overloaded(),
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Failure::of(status, &anyhow::Error::from(error).context("cannot read the image"))
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Failure {
        Failure::bad(format!("The query cannot be read: {rejection}."))
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Failure {
        Failure::bad(format!("The path cannot be read: {}.", rejection.body_text()))
    }
}

impl From<MultipartError> for Failure {
    fn from(error: MultipartError) -> Failure {
        Failure::bad(format!("The form cannot be read: {}.", error.body_text()))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response =
            (self.status, reply::json(&Body { error: &self.sentence })).into_response();
        response.extensions_mut().insert(Kind(self.kind()));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS.into());
        }
        response
    }
}
