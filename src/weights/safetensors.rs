//! `.safetensors` (<https://huggingface.co/docs/safetensors>): the length of a header in JSON, the
//! header, the values.
//!
//! Ours are sealed: the header's `__metadata__`, which other programs ignore, has the SHA-256 of
//! the values and the training record, so that no copy or new name parts them.

use std::collections::HashMap;

use ::safetensors::tensor::{Metadata, TensorView};
use ::safetensors::{Dtype, SafeTensors, serialize};
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::contents::{Contents, NO_FLOAT, Number, bytes_of};
use super::format::{DAMAGED, MAX_TEXT};
use crate::files::sha256_hex;
use crate::network::arrays::{Arrays, NAMES};

/// The name in `__metadata__` of what is ours.
const SEAL: &str = "tch-mnist";
/// The most bytes of a header: a sealed record, its quotation marks escaped, and the arrays'
/// places.
const MAX_HEADER: u64 = 2 * MAX_TEXT;

/// What a file says of itself.
#[derive(Serialize, Deserialize)]
pub struct Seal {
    /// The SHA-256 of all values, the bytes after the header, in hexadecimal.
    sha256: String,
    /// What is known of the weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Value>,
}

/// Whether a file begins as these do.
pub fn is(bytes: &[u8]) -> bool {
    matches!(bytes.split_first_chunk::<8>(), Some((_, [b'{', ..])))
}

/// The header of a file, and its values.
fn parts(bytes: &[u8]) -> Result<(Metadata, &[u8])> {
    let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    ensure!(length <= MAX_HEADER, "its header claims {length} bytes, more than there can be");
    let (length, header) = SafeTensors::read_metadata(bytes).context(DAMAGED)?;
    Ok((header, &bytes[8 + length..]))
}

/// The seal of a file, if it has one, to which its values fit.
pub fn seal_of(bytes: &[u8]) -> Result<Option<Seal>> {
    let (header, values) = parts(bytes)?;
    let seal = seal_in(&header)?;
    if let Some(seal) = &seal {
        ensure!(
            seal.sha256 == sha256_hex(values),
            "the SHA-256 of its values is not the one that was saved with them: {DAMAGED}"
        );
    }
    Ok(seal)
}

/// The seal of a file, if it has one, whatever its values are.
pub fn unchecked_seal_of(bytes: &[u8]) -> Result<Option<Seal>> {
    seal_in(&parts(bytes)?.0)
}

fn seal_in(header: &Metadata) -> Result<Option<Seal>> {
    let Some(text) = header.metadata().as_ref().and_then(|metadata| metadata.get(SEAL)) else {
        return Ok(None);
    };
    ensure!(text.len() as u64 <= MAX_TEXT, "the record in it is too long");
    Ok(Some(serde_json::from_str(text).context("the record in it is damaged")?))
}

/// The file `bytes`, sealed with `record`.
pub fn sealed(bytes: &[u8], record: Option<&Value>) -> Result<Vec<u8>> {
    let (_, values) = parts(bytes)?;
    let mut seal = Seal { sha256: sha256_hex(values), record: record.cloned() };
    let mut text = serde_json::to_string(&seal)?;
    // The epochs are what makes it long; the copy beside the file keeps them.
    if text.len() as u64 > MAX_TEXT
        && let Some(Value::Object(record)) = &mut seal.record
    {
        record.remove("history");
        text = serde_json::to_string(&seal)?;
    }
    let metadata = HashMap::from([(SEAL.to_string(), text)]);
    Ok(serialize(SafeTensors::deserialize(bytes)?.tensors(), Some(metadata))?)
}

/// Reads a file, whatever its arrays are called.
pub fn read(bytes: Vec<u8>) -> Result<Contents> {
    seal_of(&bytes)?;
    read_unchecked(bytes)
}

/// Like [`read`], but does not compare the values with the seal: for what is built into the
/// program.
pub fn read_unchecked(bytes: impl AsRef<[u8]> + 'static) -> Result<Contents> {
    let (header, values) = parts(bytes.as_ref())?;
    let start = bytes.as_ref().len() - values.len();
    Ok(Contents {
        shapes: header.tensors().into_iter().map(|(name, t)| (name, t.shape.clone())).collect(),
        read: Box::new(move |name| {
            let array = header.info(name).context("it is missing")?;
            let number = match array.dtype {
                Dtype::F16 => Number::F16,
                Dtype::BF16 => Number::Bf16,
                Dtype::F32 => Number::F32,
                Dtype::F64 => Number::F64,
                other => bail!("it is of type {other:?}, {NO_FLOAT}"),
            };
            let (from, to) = array.data_offsets;
            Ok(number.decode(&bytes.as_ref()[start + from..start + to]))
        }),
    })
}

/// Whether the arrays of a file have our names, and are of the one type that libtorch has ours in.
pub fn is_own(bytes: &[u8]) -> bool {
    is(bytes)
        && parts(bytes).is_ok_and(|(header, _)| {
            let own = |name: &str| header.info(name).is_some_and(|info| info.dtype == Dtype::F32);
            header.tensors().len() == NAMES.len() && NAMES.iter().all(|name| own(name))
        })
}

/// A file of `arrays` whose layers have these names.
pub fn write(arrays: &Arrays, layers: [&str; 2]) -> Result<Vec<u8>> {
    let names = layers.iter().flat_map(|l| [format!("{l}.weight"), format!("{l}.bias")]);
    let data: Vec<_> = arrays.values.iter().map(|values| bytes_of(values)).collect();
    let views = arrays.shapes().into_iter().zip(&data);
    let views = views.map(|(shape, data)| TensorView::new(Dtype::F32, shape, data));
    let views: Vec<_> =
        names.zip(views).map(|(name, view)| Ok((name, view?))).collect::<Result<_>>()?;
    Ok(serialize(views, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::arrays::tests::arrays;

    #[test]
    fn what_is_written_is_read_under_any_names() {
        for (layers, own) in [(["dense_1", "dense_2"], true), (["0", "2"], false)] {
            let bytes = write(&arrays(), layers).unwrap();
            assert_eq!(is_own(&bytes), own);
            let length = bytes.len() as u64;
            assert_eq!(read(bytes).unwrap().take(length).unwrap(), arrays());
        }
    }

    #[test]
    fn a_seal_keeps_the_record_and_notices_a_changed_value() {
        let plain = write(&arrays(), ["dense_1", "dense_2"]).unwrap();
        assert!(seal_of(&plain).unwrap().is_none());
        let record = serde_json::json!({"test": {"accuracy": 0.5}, "history": [1, 2]});
        let mut bytes = sealed(&plain, Some(&record)).unwrap();
        assert_eq!(bytes, sealed(&plain, Some(&record)).unwrap());
        assert_eq!(seal_of(&bytes).unwrap().unwrap().record, Some(record));
        *bytes.last_mut().unwrap() ^= 1;
        let error = read(bytes).err().unwrap().to_string();
        assert!(error.contains("SHA-256 of its values"), "{error}");

        let long = serde_json::json!({"history": "1".repeat(MAX_TEXT as usize), "seed": 1});
        let bytes = sealed(&plain, Some(&long)).unwrap();
        let expected = serde_json::json!({"seed": 1});
        assert_eq!(seal_of(&bytes).unwrap().unwrap().record, Some(expected));
    }

    #[test]
    fn a_header_may_not_be_longer_than_any_is() {
        let mut bytes = write(&arrays(), ["a", "b"]).unwrap();
        bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(is(&bytes));
        assert!(read(bytes).err().unwrap().to_string().contains("more than there can be"));
    }
}
