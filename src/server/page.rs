//! The page in the browser: files that are built into the program.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Shared;
use crate::files::sha256_hex;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A path, its media type, and what lies there.
const FILES: [(&str, &str, &str); 10] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/style.css", CSS, include_str!("page/style.css")),
    ("/app.js", SCRIPT, include_str!("page/app.js")),
    ("/draw.js", SCRIPT, include_str!("page/draw.js")),
    ("/photo.js", SCRIPT, include_str!("page/photo.js")),
    ("/digit.js", SCRIPT, include_str!("page/digit.js")),
    ("/api.js", SCRIPT, include_str!("page/api.js")),
    ("/text.js", SCRIPT, include_str!("page/text.js")),
    ("/weights.js", SCRIPT, include_str!("page/weights.js")),
    ("/icon.svg", SVG, include_str!("page/icon.svg")),
];

/// The routes of the page.
pub fn routes() -> Router<Shared> {
    FILES.into_iter().fold(Router::new(), |routes, (path, media, text)| {
        let tag = HeaderValue::try_from(format!("\"{}\"", &sha256_hex(text.as_bytes())[..16]));
        let tag = tag.expect("it is of hexadecimal digits");
        routes.route(path, get(async move |headers| file(&headers, media, text, tag)))
    })
}

/// A file, or that it has not changed.
fn file(
    headers: &HeaderMap,
    media: &'static str,
    text: &'static str,
    tag: HeaderValue,
) -> Response {
    let known = headers.get(IF_NONE_MATCH) == Some(&tag);
    let headers = [(ETAG, tag), (CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    match known {
        true => (StatusCode::NOT_MODIFIED, headers).into_response(),
        false => (headers, [(CONTENT_TYPE, HeaderValue::from_static(media))], text).into_response(),
    }
}
