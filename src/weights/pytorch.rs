//! PyTorch's `.pt`, as `torch.save(model.state_dict(), …)` writes it, and the `.ot` of libtorch's
//! C++ API: zip archives of a pickle and of the storages that it names. Only `.ot` is written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Cursor, Write as _};

use anyhow::{Context, Result, ensure};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::archive::Archive;
use super::contents::{Contents, MAX_WEIGHTS_BYTES, NO_FLOAT, bytes_of};
use super::format::MAX_TEXT;
use super::pickle::{Stored, unpickle};
use crate::network::arrays::Arrays;

/// Reads an archive of PyTorch's.
pub fn read(mut archive: Archive) -> Result<Contents> {
    let prefix = archive.prefix_of("data.pkl").context(
        "it is a zip archive, but neither Keras's (config.json) nor PyTorch's (data.pkl)",
    )?;
    let byteorder = format!("{prefix}byteorder");
    if archive.has(&byteorder) {
        let order = archive.entry(&byteorder, 100)?;
        ensure!(order == b"little", "its numbers are not little-endian");
    }
    let pickle = archive.entry(&format!("{prefix}data.pkl"), MAX_TEXT)?;
    let mut tensors = BTreeMap::new();
    for (name, tensor) in unpickle(&pickle).context("in its pickle")? {
        let tensor = tensor.with_context(|| {
            format!("its {name:?} is not a tensor; save with torch.save(model.state_dict(), …)")
        })?;
        tensors.insert(name.replace('|', "."), tensor); // as the C++ API writes dots
    }
    Ok(Contents {
        shapes: tensors.iter().map(|(name, tensor)| (name.clone(), tensor.size.clone())).collect(),
        read: Box::new(move |name| {
            let stored = &*tensors[name];
            let number = stored.number.with_context(|| format!("it is of integers, {NO_FLOAT}"))?;
            let storage =
                archive.entry(&format!("{prefix}data/{}", stored.key), MAX_WEIGHTS_BYTES)?;
            view(&number.decode(&storage), stored)
        }),
    })
}

/// The values of a tensor, row by row, from those of its storage. Its shape was checked.
fn view(storage: &[f32], Stored { offset, size, stride, .. }: &Stored) -> Result<Vec<f32>> {
    ensure!(
        size.len() == stride.len(),
        "it has {} dimensions, but {} strides",
        size.len(),
        stride.len()
    );
    // Where the rows begin, of ever more dimensions.
    let mut places = vec![*offset];
    for (side, stride) in size.iter().zip(stride) {
        let mut next = Vec::with_capacity(places.len() * side);
        for place in places {
            for step in 0..*side {
                next.push(place.saturating_add(step.saturating_mul(*stride)));
            }
        }
        places = next;
    }
    let values = places.into_iter().map(|place| storage.get(place).copied());
    values.collect::<Option<_>>().context("it is out of bounds of its storage")
}

/// A `.ot`, as `torch::serialize::OutputArchive` writes it: a module in TorchScript that has
/// nothing but parameters, with `|` for the dots in their names.
pub fn write_ot(arrays: &Arrays) -> Result<Vec<u8>> {
    let named: Vec<_> = arrays
        .named()
        .map(|(name, shape, values)| (name.replace('.', "|"), shape, values))
        .collect();
    let mut code = String::from("class Module(Module):\n  __parameters__ = [");
    named.iter().for_each(|(name, ..)| code += &format!("{name:?}, "));
    code += "]\n  __buffers__ = []\n  __annotations__ = []\n";
    for (name, ..) in &named {
        let _ = writeln!(code, "  __annotations__[{name:?}] = Tensor");
    }
    let mut pickle = Vec::from(b"\x80\x02c__torch__\nModule\n)\x81}(");
    for (at, (name, shape, values)) in named.iter().enumerate() {
        text(&mut pickle, name);
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut pickle, "storage");
        pickle.extend(b"ctorch\nFloatStorage\n");
        text(&mut pickle, &at.to_string());
        text(&mut pickle, "cpu");
        integers(&mut pickle, &[values.len()]);
        pickle.extend(b"tQ");
        integers(&mut pickle, &[0]); // where in the storage it begins
        pickle.push(b'(');
        integers(&mut pickle, shape);
        pickle.extend(b"t(");
        let strides: Vec<_> = (1..=shape.len()).map(|at| shape[at..].iter().product()).collect();
        integers(&mut pickle, &strides);
        pickle.extend(b"t\x88ccollections\nOrderedDict\n)RtR"); // needs a gradient; has no hooks
    }
    pickle.extend(b"ub.");
    let mut entries: Vec<(String, Vec<u8>)> = named
        .iter()
        .enumerate()
        .map(|(at, (_, _, values))| (format!("data/{at}"), bytes_of(values)))
        .collect();
    entries.push(("data.pkl".into(), pickle));
    entries.push(("code/__torch__.py".into(), code.into()));
    entries.push(("constants.pkl".into(), b"\x80\x02).".into()));
    entries.push(("version".into(), b"3\n".into()));
    entries.push(("byteorder".into(), b"little".into()));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(zip::DateTime::default())
        .with_alignment(64); // as PyTorch maps storages into memory
    for (name, bytes) in entries {
        archive.start_file(format!("archive/{name}"), stored)?;
        archive.write_all(&bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}

/// Adds a string to a pickle.
fn text(pickle: &mut Vec<u8>, text: &str) {
    pickle.push(b'X');
    pickle.extend((text.len() as u32).to_le_bytes());
    pickle.extend(text.as_bytes());
}

/// Adds integers, none above that of the largest network's values, to a pickle.
fn integers(pickle: &mut Vec<u8>, values: &[usize]) {
    for value in values {
        pickle.push(b'J');
        pickle.extend((*value as i32).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::arrays::tests::arrays;

    #[test]
    fn what_is_written_is_read() {
        let bytes = write_ot(&arrays()).unwrap();
        let length = bytes.len() as u64;
        let archive = Archive::open(bytes).unwrap();
        assert_eq!(read(archive).unwrap().take(length).unwrap(), arrays());
    }

    fn stored(offset: usize, size: &[usize], stride: &[usize]) -> Stored {
        let (size, stride) = (size.to_vec(), stride.to_vec());
        Stored { number: None, key: "0".into(), offset, size, stride }
    }

    #[test]
    fn a_tensor_is_a_view_of_its_storage() {
        let storage: Vec<_> = (0..7).map(|value| value as f32).collect();
        let values = |offset, size: &[usize], stride: &[usize]| {
            view(&storage, &stored(offset, size, stride)).ok()
        };
        assert_eq!(values(1, &[2, 3], &[3, 1]), Some(vec![1., 2., 3., 4., 5., 6.]));
        assert_eq!(values(1, &[2, 3], &[1, 2]), Some(vec![1., 3., 5., 2., 4., 6.]));
        assert_eq!(values(5, &[3], &[0]), Some(vec![5.; 3]));
        assert_eq!(values(2, &[2, 3], &[3, 1]), None);
        assert_eq!(values(0, &[2], &[usize::MAX]), None);
        assert_eq!(values(0, &[2, 3], &[1]), None);
    }
}
