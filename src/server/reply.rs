//! Answers in JSON.

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::output::text;

/// The media type of JSON.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A value as one line of JSON, as the commands print it.
pub fn json(value: &impl Serialize) -> Response {
    let mut line = text::json(value).expect("what is answered has names for keys");
    line.push('\n');
    ([(CONTENT_TYPE, JSON)], line).into_response()
}
