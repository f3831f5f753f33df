//! Between weights and libtorch: the only file here that knows tensors.
//!
//! Our own files, `.safetensors` with our names in float32, are written by [`VarStore::save`] and
//! read by [`VarStore::load`]; other ones pass through plain arrays.
//!
//! [`VarStore::save`]: tch::nn::VarStore::save
//! [`VarStore::load`]: tch::nn::VarStore::load

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use tch::{Device, Tensor, no_grad};

use super::arrays::{Arrays, NAMES};
use crate::network::model::Model;

/// A network with the weights `arrays`.
pub fn from_arrays(arrays: &Arrays, device: Device) -> Result<Model> {
    let model = Model::zeros(arrays.hidden as i64, device)?;
    let variables = model.variables();
    for (name, shape, values) in arrays.named() {
        let shape: Vec<_> = shape.into_iter().map(|side| side as i64).collect();
        let values = Tensor::from_slice(values).f_view(&shape[..])?;
        no_grad(|| variables[name].shallow_clone().f_copy_(&values))?;
    }
    Ok(model)
}

/// A network with the weights in one of our own files, which holds `arrays`.
///
/// [`VarStore::load`](tch::nn::VarStore::load) takes a path, broadcasts what does not fit and takes
/// over any type. So the file was checked before, in memory; it is loaded from a copy of that in a
/// folder that only this user can open; and what was loaded is compared.
pub fn from_own_file(bytes: &[u8], arrays: &Arrays, device: Device) -> Result<Model> {
    let copy = || {
        let folder = tempfile::Builder::new().prefix("tch-mnist-").tempdir()?;
        let path = folder.path().join("weights.safetensors");
        fs::write(&path, bytes)?;
        Ok::<_, std::io::Error>((folder, path))
    };
    // A disk that is full or read-only keeps nobody from predicting.
    let Ok((_folder, path)) = copy() else { return from_arrays(arrays, device) };
    let mut model = Model::zeros(arrays.hidden as i64, device)?;
    model.vs.load(path)?;
    ensure!(to_arrays(&model)? == *arrays, "it was changed while it was loaded; load it again");
    Ok(model)
}

/// The weights of `model`.
pub fn to_arrays(model: &Model) -> Result<Arrays> {
    let variables = model.variables();
    let mut values = <[Vec<f32>; 4]>::default();
    for (values, name) in values.iter_mut().zip(NAMES) {
        let tensor = variables[name].detach().f_to_device(Device::Cpu)?;
        *values = tensor.f_contiguous()?.f_view([-1])?.try_into()?;
    }
    Ok(Arrays { hidden: model.hidden() as usize, values })
}

/// Writes one of our own files.
pub fn write_own_file(model: &Model, path: &Path) -> Result<()> {
    Ok(model.vs.save(path)?)
}

/// Writes a `.ot`, by way of memory: where libtorch cannot write, it ends the program.
pub fn write_ot(model: &Model, path: &Path) -> Result<()> {
    let mut bytes = Vec::new();
    model.vs.save_to_stream(&mut bytes)?;
    Ok(fs::write(path, bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::safetensors;

    #[test]
    fn a_network_is_the_same_after_any_way_through() {
        let model = Model::new(3, 1, Device::Cpu).unwrap();
        let arrays = to_arrays(&model).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        write_own_file(&model, &path).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert!(safetensors::is_own(&bytes));
        for copy in [from_arrays(&arrays, Device::Cpu), from_own_file(&bytes, &arrays, Device::Cpu)]
        {
            assert_eq!(copy.unwrap().variables(), model.variables());
        }
    }

    #[test]
    fn another_file_than_the_one_checked_is_refused() {
        let [a, b] =
            [1, 2].map(|seed| to_arrays(&Model::new(3, seed, Device::Cpu).unwrap()).unwrap());
        let bytes = safetensors::write(&b, ["dense_1", "dense_2"]).unwrap();
        let error = from_own_file(&bytes, &a, Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("was changed while it was loaded"), "{error}");
    }
}
