//! The body of a request, in bounded time and memory, and the image in it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Shared;
use super::failure::{Failure, Outcome};

/// Bytes of a body, at most.
pub const MAX_BODY: usize = 20_000_000;
/// How long all of a body may take.
const BODY_TIME: Duration = Duration::from_secs(30);
/// The unit in which the memory of bodies is counted.
const KIB: usize = 1024;
/// KiB of all bodies that are held at a time.
pub const MAX_BODIES: usize = 256 * KIB;
/// The path of an image that came without a name, as the commands have standard input.
const UNNAMED: &str = "-";

/// A body, whose memory is accounted for until it is dropped.
#[derive(Debug)]
pub struct Whole {
    pub bytes: Bytes,
    _held: OwnedSemaphorePermit,
}

/// An image that was sent, not decoded yet: as the body itself, or in a form.
#[derive(Debug)]
pub struct Upload {
    pub whole: Whole,
    /// The name of the file, from the form.
    pub name: String,
}

impl FromRequest<Shared> for Whole {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &Shared) -> Outcome<Whole> {
        let too_large =
            || Failure::too_large(format!("More than {} MB cannot be sent.", MAX_BODY / 1_000_000));
        if length(request.headers()).is_some_and(|length| length > MAX_BODY as u64) {
            return Err(too_large());
        }
        let reading = read(request.into_body(), &state.bodies, too_large);
        timeout(BODY_TIME, reading).await.unwrap_or_else(|_| {
            let seconds = BODY_TIME.as_secs();
            let sentence = format!("The body did not arrive within {seconds} seconds.");
            Err(Failure::new(StatusCode::REQUEST_TIMEOUT, sentence))
        })
    }
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body to its end. Memory is taken for what has come, not for what is announced.
async fn read(
    mut body: Body,
    budget: &Arc<Semaphore>,
    too_large: impl Fn() -> Failure,
) -> Outcome<Whole> {
    let hold = |kib: usize| {
        let permits = u32::try_from(kib).map_err(|_| too_large())?;
        Arc::clone(budget).try_acquire_many_owned(permits).map_err(|_| Failure::overloaded())
    };
    let (mut bytes, mut held) = (Vec::new(), hold(0)?);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::bad("The body broke off."))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > MAX_BODY {
            return Err(too_large());
        }
        held.merge(hold(length.div_ceil(KIB) - held.num_permits())?);
        bytes.extend_from_slice(&data);
    }
    Ok(Whole { bytes: bytes.into(), _held: held })
}

impl FromRequest<Shared> for Upload {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &Shared) -> Outcome<Upload> {
        let media = request.headers().get(CONTENT_TYPE).and_then(|media| media.to_str().ok());
        let is_form = media.is_some_and(|media| media.starts_with("multipart/form-data"));
        let (parts, body) = request.into_parts();
        let whole = Whole::from_request(Request::from_parts(parts.clone(), body), state).await?;
        if !is_form {
            return Ok(Upload { whole, name: UNNAMED.into() });
        }
        let form = Request::from_parts(parts, Body::from(whole.bytes.clone()));
        let mut form = Multipart::from_request(form, state)
            .await
            .map_err(|rejection| Failure::bad(format!("{}.", rejection.body_text())))?;
        while let Some(field) = form.next_field().await? {
            if field.name() == Some("image") {
                let name = field.file_name().unwrap_or(UNNAMED).to_string();
                let whole = Whole { bytes: field.bytes().await?, _held: whole._held };
                return Ok(Upload { whole, name });
            }
        }
        Err(Failure::bad("The form has no field named image."))
    }
}
