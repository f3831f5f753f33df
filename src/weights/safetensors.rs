//! `.safetensors` (<https://huggingface.co/docs/safetensors>): the length of a header in JSON, the
//! header, the values.

use ::safetensors::tensor::{Metadata, TensorView};
use ::safetensors::{Dtype, SafeTensors, serialize};
use anyhow::{Context, Result, bail, ensure};

use super::arrays::{Arrays, Contents, NAMES, NO_FLOAT, Number, bytes_of};
use super::format::{DAMAGED, MAX_TEXT};

/// Whether a file begins as these do.
pub fn is(bytes: &[u8]) -> bool {
    matches!(bytes.split_first_chunk::<8>(), Some((_, [b'{', ..])))
}

fn header(bytes: &[u8]) -> Result<Metadata> {
    let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    ensure!(length <= MAX_TEXT, "its header claims {length} bytes, more than there can be");
    Ok(SafeTensors::read_metadata(bytes).context(DAMAGED)?.1)
}

/// Reads a file, whatever its arrays are called.
pub fn read(bytes: Vec<u8>) -> Result<Contents> {
    let header = header(&bytes)?;
    Ok(Contents {
        shapes: header.tensors().into_iter().map(|(name, t)| (name, t.shape.clone())).collect(),
        read: Box::new(move |name| {
            let tensors = SafeTensors::deserialize(&bytes)?;
            let tensor = tensors.tensor(name)?;
            let number = match tensor.dtype() {
                Dtype::F16 => Number::F16,
                Dtype::BF16 => Number::Bf16,
                Dtype::F32 => Number::F32,
                Dtype::F64 => Number::F64,
                other => bail!("it is of type {other:?}, {NO_FLOAT}"),
            };
            Ok(number.decode(tensor.data()))
        }),
    })
}

/// Whether the arrays of a file have our names, and are of the one type that libtorch has ours in.
pub fn is_own(bytes: &[u8]) -> bool {
    is(bytes)
        && header(bytes).is_ok_and(|header| {
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

    fn arrays() -> Arrays {
        let values = [3 * 784, 3, 30, 10].map(|count| (0..count).map(|at| at as f32).collect());
        Arrays { hidden: 3, values }
    }

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
    fn a_header_may_not_be_longer_than_any_is() {
        let mut bytes = write(&arrays(), ["a", "b"]).unwrap();
        bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(is(&bytes) && !is_own(&bytes));
        assert!(read(bytes).err().unwrap().to_string().contains("more than there can be"));
    }
}
