//! What was read of one image, as one line of JSON.

use serde::Serialize;
use serde_json::{Value, json};

use super::text;
use crate::network::verifier::Answer;
use crate::reading::ReadDigit;

/// An image of a single digit.
#[derive(Debug, Serialize)]
pub struct Single<'a> {
    /// The image.
    pub path: &'a str,
    /// What it shows.
    #[serde(flatten)]
    pub answer: &'a Answer,
}

/// A page: its lines, with `?` in the text for digits less sure than `least`.
pub fn page(path: &str, lines: &[Vec<ReadDigit>], least: f32) -> Value {
    let lines: Vec<_> =
        lines.iter().map(|line| json!({"text": text::line(line, least), "digits": line})).collect();
    json!({"path": path, "lines": lines})
}
