//! PyTorch's `.pt`, as `torch.save(model.state_dict(), …)` writes it, and the `.ot` of libtorch's C++
//! API: zip archives of a pickle and of the storages that it names. Read here, not written.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::archive::Archive;
use super::arrays::{Contents, MAX_BYTES, NO_FLOAT};
use super::format::MAX_TEXT;
use super::pickle::{Stored, unpickle};

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
            format!("its {name:?} is no tensor; save with torch.save(model.state_dict(), …)")
        })?;
        tensors.insert(name.replace('|', "."), tensor); // as the C++ API writes dots
    }
    Ok(Contents {
        shapes: tensors.iter().map(|(name, tensor)| (name.clone(), tensor.size.clone())).collect(),
        read: Box::new(move |name| {
            let stored = &*tensors[name];
            let number = stored.number.with_context(|| format!("it is of integers, {NO_FLOAT}"))?;
            let storage = archive.entry(&format!("{prefix}data/{}", stored.key), MAX_BYTES)?;
            view(&number.decode(&storage), stored)
        }),
    })
}

/// The values of a tensor, row by row, from those of its storage. Its shape was checked.
fn view(storage: &[f32], Stored { offset, size, stride, .. }: &Stored) -> Result<Vec<f32>> {
    ensure!(
        size.len() == stride.len(),
        "it has {} sides, but {} strides",
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

#[cfg(test)]
mod tests {
    use super::*;

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
