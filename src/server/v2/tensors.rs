//! Tensors in requests and answers: as JSON, or as bytes behind it.

use std::fmt;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::failure::{Failure, Outcome};
use super::super::inference::Pixels;
use super::super::reply;
use super::{FP32, MODEL_VERSION};
use crate::network::classifier::softmax;
use crate::{CLASSES, PIXELS};

/// Says how long the JSON is before the bytes.
pub const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");
/// The media type of JSON with bytes behind it.
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// A request for inference.
#[derive(Deserialize, ToSchema)]
pub struct Infer {
    /// Comes back with the answer.
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    /// One tensor, `images`.
    #[schema(min_items = 1, max_items = 1)]
    inputs: Vec<Input>,
    /// Which outputs are wanted; all, if none is named.
    #[serde(default)]
    outputs: Vec<Wanted>,
}

/// The parts of a request or a tensor that have to do with bytes.
#[derive(Default, Deserialize, ToSchema)]
struct Parameters {
    /// How many bytes behind the JSON are of this tensor.
    binary_data_size: Option<usize>,
    /// Whether this output is wanted as bytes.
    binary_data: Option<bool>,
    /// Whether all outputs are.
    binary_data_output: Option<bool>,
}

/// A tensor of images, from 0 for paper to 1 for ink.
#[derive(Deserialize, ToSchema)]
struct Input {
    #[schema(example = "images")]
    name: String,
    #[schema(example = "FP32")]
    datatype: String,
    /// The number of images, and 784.
    #[schema(example = json!([1, 784]))]
    shape: Vec<i64>,
    #[serde(default)]
    parameters: Parameters,
    /// The values, row by row, flat or nested.
    #[schema(value_type = Option<Vec<f32>>)]
    data: Option<Flat>,
}

#[derive(Deserialize, ToSchema)]
struct Wanted {
    /// `logits` or `probabilities`.
    name: String,
    #[serde(default)]
    parameters: Parameters,
}

/// The answer to a request for inference.
#[derive(Serialize, ToSchema)]
pub struct Inferred<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<Output<'a>>,
}

/// `logits` or `probabilities`.
#[derive(Serialize, ToSchema)]
struct Output<'a> {
    name: &'a str,
    datatype: &'a str,
    /// The number of images, and 10.
    shape: [usize; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Size>,
    /// The values, row by row.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a [f32]>,
}

#[derive(Serialize, ToSchema)]
struct Size {
    /// How many bytes behind the JSON are of this tensor.
    binary_data_size: usize,
}

/// What an answer is to have.
#[derive(Debug)]
pub struct Asked {
    id: Option<String>,
    /// Each output, and whether it is wanted as bytes.
    outputs: Vec<(Kind, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Logits,
    Probabilities,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Logits, Kind::Probabilities];

    fn name(self) -> &'static str {
        match self {
            Kind::Logits => "logits",
            Kind::Probabilities => "probabilities",
        }
    }
}

/// The images of a request, and what is asked of them; `header` is how many of its bytes are JSON,
/// if not all are.
pub fn parse(body: &[u8], header: Option<usize>) -> Outcome<(Vec<Pixels>, Asked)> {
    let (json, bytes) = body
        .split_at_checked(header.unwrap_or(body.len()))
        .ok_or_else(|| Failure::bad("The body is shorter than Inference-Header-Content-Length."))?;
    let mut request: Infer = serde_json::from_slice(json)
        .map_err(|error| Failure::bad(format!("The request cannot be read: {error}.")))?;
    let [input] = &mut request.inputs[..] else {
        return Err(Failure::bad("A request has one input, named images."));
    };
    if input.name != "images" || input.datatype != FP32 {
        return Err(Failure::bad("The input must be named images and be of the datatype FP32."));
    }
    let values = match (input.data.take(), input.parameters.binary_data_size) {
        (Some(Flat(values)), None) if bytes.is_empty() => values,
        (None, Some(size)) if size == bytes.len() && size.is_multiple_of(size_of::<f32>()) => {
            bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
        }
        _ => {
            return Err(Failure::bad(
                "The input must have either data, or as many bytes behind the JSON as its \
                 binary_data_size says.",
            ));
        }
    };
    let count = values.len() / PIXELS;
    if count == 0 || input.shape != [count as i64, PIXELS as i64] || count * PIXELS != values.len()
    {
        return Err(Failure::bad(format!(
            "The input must have the shape [N, {PIXELS}], N at least 1, and as many values."
        )));
    }
    if !values.iter().all(|value| value.is_finite()) {
        return Err(Failure::bad("The input has values that are infinite or not a number."));
    }
    let images = values.as_chunks().0.to_vec();
    let outputs = outputs(&request)?;
    Ok((images, Asked { id: request.id, outputs }))
}

/// The outputs that are wanted, each at most once, and which of them as bytes.
fn outputs(request: &Infer) -> Outcome<Vec<(Kind, bool)>> {
    let all = request.parameters.binary_data_output.unwrap_or(false);
    if request.outputs.is_empty() {
        return Ok(Kind::ALL.map(|kind| (kind, all)).to_vec());
    }
    let mut outputs: Vec<(Kind, bool)> = Vec::new();
    for wanted in &request.outputs {
        let kind = Kind::ALL.into_iter().find(|kind| {
            kind.name() == wanted.name && !outputs.iter().any(|(other, _)| other == kind)
        });
        let kind = kind.ok_or_else(|| {
            Failure::bad("The outputs are named logits and probabilities, each once at most.")
        })?;
        outputs.push((kind, wanted.parameters.binary_data.unwrap_or(all)));
    }
    Ok(outputs)
}

/// The answer to a request.
pub fn respond(model: &str, asked: &Asked, logits: &[[f32; CLASSES]]) -> Outcome<Response> {
    if !logits.as_flattened().iter().all(|logit| logit.is_finite()) {
        return Err(Failure::bad("The values are too large to compute with."));
    }
    let probabilities: Vec<_> = logits.iter().copied().map(softmax).collect();
    let mut bytes = Vec::new();
    let mut outputs = Vec::new();
    for &(kind, as_bytes) in &asked.outputs {
        let values = match kind {
            Kind::Logits => logits.as_flattened(),
            Kind::Probabilities => probabilities.as_flattened(),
        };
        if as_bytes {
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        let parameters = as_bytes.then(|| Size { binary_data_size: size_of_val(values) });
        let data = (!as_bytes).then_some(values);
        let (name, datatype, shape) = (kind.name(), FP32, [logits.len(), CLASSES]);
        outputs.push(Output { name, datatype, shape, parameters, data });
    }
    let (id, model_version) = (asked.id.as_deref(), MODEL_VERSION);
    let answer = Inferred { model_name: model, model_version, id, outputs };
    if bytes.is_empty() {
        return Ok(reply::json(&answer));
    }
    let mut body = serde_json::to_vec(&answer)
        .map_err(|error| Failure::internal(format!("The answer cannot be written: {error}.")))?;
    let headers = [(HEADER_LENGTH, HeaderValue::from(body.len())), (CONTENT_TYPE, BYTES)];
    body.append(&mut bytes);
    Ok((headers, body).into_response())
}

/// Numbers of an array, or of arrays nested in each other, one after the other.
#[derive(Default)]
struct Flat(Vec<f32>);

impl<'de> Deserialize<'de> for Flat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Flat, D::Error> {
        let mut values = Flat::default();
        deserializer.deserialize_seq(Into(&mut values.0))?;
        Ok(values)
    }
}

/// Adds a number, or those of an array.
struct Into<'a>(&'a mut Vec<f32>);

impl<'de> DeserializeSeed<'de> for Into<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Into<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("numbers, or arrays of them")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while array.next_element_seed(Into(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.0.push(value as f32);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(shape: &[i64], data: &Value) -> Value {
        json!({"inputs": [{"name": "images", "datatype": "FP32", "shape": shape, "data": data}]})
    }

    fn refusal(request: &Value, header: Option<usize>) -> String {
        format!("{:?}", parse(request.to_string().as_bytes(), header).unwrap_err())
    }

    #[test]
    fn images_may_be_flat_nested_or_bytes() {
        let values: Vec<f32> = (0..2 * PIXELS).map(|at| at as f32 / 255.).collect();
        let nested: Vec<_> = values.chunks(28).map(<[f32]>::to_vec).collect();
        let mut binary = request(&[2, 784], &Value::Null);
        binary["inputs"][0]["parameters"] = json!({"binary_data_size": 4 * values.len()});
        let mut bytes = binary.to_string().into_bytes();
        let header = bytes.len();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        for (body, header) in [
            (request(&[2, 784], &json!(values)).to_string().into_bytes(), None),
            (request(&[2, 784], &json!(nested)).to_string().into_bytes(), None),
            (bytes, Some(header)),
        ] {
            let (images, asked) = parse(&body, header).unwrap();
            assert_eq!(images.as_flattened(), values);
            assert_eq!(asked.outputs, Kind::ALL.map(|kind| (kind, false)));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let row = json!([vec![0; PIXELS]]);
        for (shape, data) in [
            (&[1, 784][..], json!([vec![0; PIXELS - 1]])),
            (&[2, 784], row.clone()),
            (&[784, 1], row.clone()),
            (&[-1, 784], row.clone()),
            (&[0, 784], json!([])),
            (&[1, 784], json!("zero")),
            (&[1, 784], Value::Null),
            (&[1, 784], json!([vec![1e39; PIXELS]])),
        ] {
            assert!(refusal(&request(shape, &data), None).contains("400"), "{shape:?} {data}");
        }
        let fits = request(&[1, 784], &row);
        assert!(refusal(&fits, Some(usize::MAX)).contains("shorter"));
        assert!(refusal(&fits, Some(5)).contains("cannot be read"));
        for names in
            [&["labels"][..], &["logits", "logits"], &["logits", "probabilities", "logits"]]
        {
            let mut other = fits.clone();
            other["outputs"] = names.iter().map(|name| json!({"name": name})).collect();
            assert!(refusal(&other, None).contains("each once at most"), "{names:?}");
        }
        let deep = "[".repeat(10_000);
        assert!(parse(deep.as_bytes(), None).is_err());
    }
}
