//! The description of the interface, and the forms of what the commands print.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use serde::Serialize;
use utoipa::openapi::OpenApi as Document;
use utoipa::{IntoResponses, OpenApi, ToSchema};

use super::failure::Body;
use super::{Shared, reply};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "mnist serve",
        description = "Reads handwritten digits. Images are PNG, JPEG, BMP, GIF, WebP, TIFF or PNM of \
            at most 20 MB and 25 megapixels. Below /v2 is the Open Inference Protocol.",
        version = env!("CARGO_PKG_VERSION"),
        license(name = "MIT", identifier = "MIT")
    )
)]
struct Description;

/// The description, without paths.
pub fn document() -> Document {
    Description::openapi()
}

/// The route of the description itself.
pub fn route(document: &Document) -> Router<Shared> {
    let text = document.to_json().expect("it has names for keys");
    Router::new().route("/openapi.json", get(async || ([(CONTENT_TYPE, reply::JSON)], text)))
}

/// What any request may meet.
#[derive(IntoResponses)]
#[expect(dead_code)] // it describes
pub enum Refused {
    /// The request cannot be understood.
    #[response(status = 400)]
    Bad(#[to_schema] Body<'static>),
    /// The request is for another server, or from a page of another one.
    #[response(status = 403)]
    Forbidden(#[to_schema] Body<'static>),
    /// There is no such thing.
    #[response(status = 404)]
    NotFound(#[to_schema] Body<'static>),
    /// The server has failed.
    #[response(status = 500)]
    Internal(#[to_schema] Body<'static>),
    /// The server is busy, or ending.
    #[response(status = 503)]
    Busy(#[to_schema] Body<'static>),
}

/// What a request with a body may meet.
#[derive(IntoResponses)]
#[expect(dead_code)] // it describes
pub enum Unread {
    /// The body did not arrive in time.
    #[response(status = 408)]
    Timeout(#[to_schema] Body<'static>),
    /// The body or the image is too large.
    #[response(status = 413)]
    TooLarge(#[to_schema] Body<'static>),
    /// The body is no image that can be read.
    #[response(status = 415)]
    NotAnImage(#[to_schema] Body<'static>),
    /// The image is damaged, or blank.
    #[response(status = 422)]
    Unreadable(#[to_schema] Body<'static>),
}

/// The folder for corrections is full.
#[derive(IntoResponses)]
#[expect(dead_code)] // it describes
#[response(status = 507)]
pub struct Full(#[to_schema] Body<'static>);

/// An image: PNG, JPEG, BMP, GIF, WebP, TIFF or PNM, whatever its media type says.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code)] // it describes
pub struct Image(Vec<u8>);

/// An image in a form.
#[derive(ToSchema)]
#[expect(dead_code)] // it describes
pub struct Form {
    image: Image,
}

/// What is said of a digit.
#[derive(Serialize, ToSchema)]
struct Answer {
    /// Whether it is taken for a digit.
    digit: bool,
    /// The probability that it shows a digit, whichever.
    #[schema(minimum = 0, maximum = 1)]
    score: f32,
    /// The most probable digit, null if it is taken for none.
    #[schema(maximum = 9)]
    label: Option<u32>,
    /// The probability of the most probable digit.
    #[schema(minimum = 0, maximum = 1)]
    confidence: f32,
    /// The probabilities of the digits 0 to 9.
    #[schema(min_items = 10, max_items = 10)]
    probabilities: Vec<f32>,
}

/// What is said of an image of one digit.
#[derive(Serialize, ToSchema)]
pub struct Single {
    /// The name of the file, or `-`.
    path: String,
    #[serde(flatten)]
    answer: Answer,
}

/// What was read on a page.
#[derive(Serialize, ToSchema)]
pub struct Page {
    /// The name of the file, or `-`.
    path: String,
    /// The lines, from top to bottom.
    lines: Vec<Line>,
}

/// A line of a page.
#[derive(Serialize, ToSchema)]
struct Line {
    /// The digits as text.
    text: String,
    /// The digits, from left to right.
    digits: Vec<Digit>,
}

/// A digit on a page.
#[derive(Serialize, ToSchema)]
pub struct Digit {
    r#box: Bounds,
    #[serde(flatten)]
    answer: Answer,
    /// Whether the gap to the digit before it is that of a space.
    space: bool,
}

/// Where a digit is, in pixels of the upright image.
#[derive(Serialize, ToSchema)]
struct Bounds {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}
