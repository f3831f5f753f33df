//! Images → digits: what `mnist predict` and `mnist read` print, and how it came about.

use std::io::Cursor;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::{GrayImage, ImageFormat, Luma};
use mnist_image::decode;
use mnist_image::page::{self, Bounds};
use mnist_image::single;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::failure::{Failure, Outcome};
use super::inference::Lines;
use super::openapi::{self, Form, Full, Image, Refused, Unread};
use super::pool::on_pool;
use super::upload::{Upload, Whole};
use super::{Shared, reply};
use crate::files::input;
use crate::network::arrays::Arrays;
use crate::network::evidence::Evidence;
use crate::output::{row, text};
use crate::reading::ReadDigit;

/// The last of the stages of a page: its ink, without what is no writing.
const INK: &str = "without-lines";

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// The weights to use, by name; without it, the first of those that are served
    #[param(example = "released")]
    weights: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct AskedOfPage {
    /// The weights to use, by name; without it, the first of those that are served
    #[param(example = "released")]
    weights: Option<String>,
    /// Put `?` in the text for digits with a confidence below this
    #[param(minimum = 0, maximum = 1)]
    min_confidence: Option<f64>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Correction {
    /// The digit that the image shows, or `none`
    #[param(pattern = "^([0-9]|none)$")]
    label: String,
}

/// What a query says, or what is wrong with it.
type Queried<T> = Result<Query<T>, QueryRejection>;

/// A page that was read, with what led to it.
#[derive(Serialize, ToSchema)]
struct Explained<'a> {
    /// The name of the file, or `-`.
    path: &'a str,
    /// Width of the image, upright, in pixels.
    width: u32,
    /// Height of the image, upright, in pixels.
    height: u32,
    /// The lines, from top to bottom.
    lines: Vec<ExplainedLine<'a>>,
}

#[derive(Serialize, ToSchema)]
struct ExplainedLine<'a> {
    /// The digits as text.
    text: String,
    /// The digits, from left to right.
    digits: Vec<ExplainedDigit<'a>>,
}

/// A digit that was read, with what led to it.
#[derive(Serialize, ToSchema)]
struct ExplainedDigit<'a> {
    #[serde(flatten)]
    #[schema(value_type = openapi::Digit)]
    read: &'a ReadDigit,
    /// The most probable digit, even where it is none.
    #[schema(maximum = 9)]
    guess: usize,
    /// The 28×28 that the network saw, 784 bytes row by row, from 0 for paper to 255 for ink.
    #[schema(content_encoding = "base64")]
    seen: String,
    /// How much each of them speaks for the guess (+) or against it (−), 784 signed bytes, of which
    /// the largest is ±127.
    #[schema(content_encoding = "base64")]
    evidence: String,
    /// The ink that was found for it, dark on white.
    #[schema(content_encoding = "base64", content_media_type = "image/png")]
    ink: String,
}

/// A correction that was kept.
#[derive(Serialize, ToSchema)]
struct Saved {
    /// Where it lies in the folder.
    #[schema(example = "7/3fa94b0c2d5e6f708192.png")]
    saved: String,
}

pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(predict))
        .routes(routes!(read))
        .routes(routes!(explain))
        .routes(routes!(collect))
}

/// Classify an image of one digit, as `mnist predict --json`
#[utoipa::path(post, path = "/predict", params(Asked), request_body(content(
    (Image = "image/png"), (Image = "image/jpeg"),
    (Form = "multipart/form-data", encoding(("image" = (content_type = "image/png")))))),
    responses((status = 200, body = openapi::Single), Refused, Unread))]
async fn predict(
    State(common): State<Shared>,
    query: Queried<Asked>,
    Upload { whole, name }: Upload,
) -> Outcome<Response> {
    let network = common.network(query?.weights.as_deref())?;
    let _place = common.place()?;
    let single = on_image(&common, whole, |grey| Ok(single::find(grey)?)).await?;
    let answer = common.inference.digit(network, single.digit).await?;
    common.metrics.digits(usize::from(answer.is_digit));
    Ok(reply::json(&row::Single { path: &name, answer: &answer }))
}

/// Read the digits of a page, as `mnist read --json`
#[utoipa::path(post, path = "/read", params(AskedOfPage), request_body(content(
    (Image = "image/png"), (Image = "image/jpeg"),
    (Form = "multipart/form-data", encoding(("image" = (content_type = "image/png")))))),
    responses((status = 200, body = openapi::Page), Refused, Unread))]
async fn read(
    State(common): State<Shared>,
    query: Queried<AskedOfPage>,
    Upload { whole, name }: Upload,
) -> Outcome<Response> {
    let (network, least) = query?.of(&common)?;
    let _place = common.place()?;
    let found = on_image(&common, whole, |grey| Ok(page::find(grey))).await?;
    let lines = common.inference.page(network, found).await?;
    common.metrics.digits(digits_of(&lines));
    Ok(reply::json(&row::page(&name, &lines, least)))
}

/// Read the digits of a page, with what was seen of each, and what speaks for the answer
#[utoipa::path(post, path = "/explain", params(AskedOfPage), request_body(content(
    (Image = "image/png"), (Image = "image/jpeg"),
    (Form = "multipart/form-data", encoding(("image" = (content_type = "image/png")))))),
    responses((status = 200, body = Explained), Refused, Unread))]
async fn explain(
    State(common): State<Shared>,
    query: Queried<AskedOfPage>,
    Upload { whole, name }: Upload,
) -> Outcome<Response> {
    let (network, least) = query?.of(&common)?;
    let _place = common.place()?;
    let (size, found, ink) = on_image(&common, whole, |grey| {
        let mut ink = Ink::default();
        let found = page::find_and_show(grey, &mut |name, stage| {
            if name == INK {
                ink = Ink::of(stage);
            }
        });
        Ok((grey.dimensions(), found, ink))
    })
    .await?;
    let lines = common.inference.page(network, found).await?;
    common.metrics.digits(digits_of(&lines));
    on_pool(move || {
        let arrays = &common.weights[network].arrays;
        let lines = explained(&lines, arrays, &ink, least)?;
        Ok(reply::json(&Explained { path: &name, width: size.0, height: size.1, lines }))
    })
    .await
}

impl AskedOfPage {
    /// The number of the network, and the least confidence.
    fn of(&self, common: &Shared) -> Outcome<(usize, f32)> {
        let least = self.min_confidence.unwrap_or(0.);
        if !(0. ..=1.).contains(&least) {
            return Err(Failure::bad("min_confidence must be a number from 0 to 1."));
        }
        Ok((common.network(self.weights.as_deref())?, least as f32))
    }
}

/// Keep the image of a digit that was read wrong, to train on
#[utoipa::path(post, path = "/collect", params(Correction), request_body(content(
    (Image = "image/png"), (Image = "image/jpeg"),
    (Form = "multipart/form-data", encoding(("image" = (content_type = "image/png")))))),
    responses((status = 201, body = Saved), Refused, Unread, Full))]
async fn collect(
    State(common): State<Shared>,
    query: Queried<Correction>,
    Upload { whole, .. }: Upload,
) -> Outcome<Response> {
    let Query(Correction { label }) = query?;
    let Some(collection) = common.collection.clone() else {
        return Err(Failure::new(
            StatusCode::NOT_FOUND,
            "Corrections are not kept: start the server with --collect DIR to keep them in a folder.",
        ));
    };
    let _place = common.place()?;
    let saved = on_image(&common, whole, move |grey| collection.save(&label, grey)).await?;
    Ok((StatusCode::CREATED, reply::json(&Saved { saved })).into_response())
}

/// Decodes an image, upright and in grey, and looks at it. A panic of its decoder is a fault of the
/// image.
async fn on_image<T: Send + 'static>(
    common: &Shared,
    whole: Whole,
    look: impl FnOnce(&GrayImage) -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    let common = Shared::clone(common);
    on_pool(move || {
        let decode = || Ok(decode::from_reader(Cursor::new(&whole.bytes), &common.budget));
        let decoded = input::contained(decode).map_err(|error| {
            let error = error.context("cannot read the image");
            Failure::of(StatusCode::UNPROCESSABLE_ENTITY, &error)
        })??;
        look(&decode::grey(&decoded.image))
    })
    .await
}

/// The ink of a page, a bit a pixel, while it waits for the network.
#[derive(Default)]
struct Ink {
    width: u32,
    bits: Vec<u8>,
}

impl Ink {
    fn of(mask: &GrayImage) -> Ink {
        let byte = |pixels: &[u8]| {
            pixels.iter().enumerate().fold(0, |byte, (at, ink)| byte | u8::from(*ink > 0) << at)
        };
        Ink { width: mask.width(), bits: mask.chunks(8).map(byte).collect() }
    }

    /// A part of it, dark on white, as a PNG file.
    fn png(&self, part: Bounds) -> Outcome<Vec<u8>> {
        let drawn = GrayImage::from_fn(part.width, part.height, |x, y| {
            let at = (part.y + y) as usize * self.width as usize + (part.x + x) as usize;
            Luma([if self.bits[at / 8] >> (at % 8) & 1 == 1 { 0 } else { 255 }])
        });
        let mut file = Cursor::new(Vec::new());
        drawn
            .write_to(&mut file, ImageFormat::Png)
            .map_err(|error| Failure::internal(format!("The ink cannot be drawn: {error}.")))?;
        Ok(file.into_inner())
    }
}

fn digits_of(lines: &Lines) -> usize {
    lines.iter().flatten().filter(|read| read.answer.is_digit).count()
}

fn explained<'a>(
    lines: &'a Lines,
    arrays: &Arrays,
    ink: &Ink,
    least: f32,
) -> Outcome<Vec<ExplainedLine<'a>>> {
    let digit = |read: &'a ReadDigit| {
        let guess = read.answer.prediction.label;
        let parts = Evidence::new(arrays, &read.digit, guess).pixels;
        let largest = parts.iter().fold(f32::MIN_POSITIVE, |largest, part| largest.max(part.abs()));
        let evidence = parts.map(|part| (part / largest * 127.).round() as i8 as u8);
        let ink = STANDARD.encode(ink.png(read.local)?);
        let (seen, evidence) = (STANDARD.encode(read.digit), STANDARD.encode(evidence));
        Ok(ExplainedDigit { read, guess, seen, evidence, ink })
    };
    let line = |line: &'a Vec<ReadDigit>| {
        let digits = line.iter().map(digit).collect::<Outcome<_>>()?;
        Ok(ExplainedLine { text: text::line(line, least), digits })
    };
    lines.iter().map(line).collect()
}
