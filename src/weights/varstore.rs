//! Our own weight file by libtorch's hand: the only file here that knows tensors.
//!
//! A `.safetensors` with our names in float32 is written by [`VarStore::save`] and read by
//! [`VarStore::load`]; all else passes through plain arrays.
//!
//! [`VarStore::save`]: tch::nn::VarStore::save
//! [`VarStore::load`]: tch::nn::VarStore::load

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;
use tch::Device;

use super::{LAYERS, Loaded, safetensors, save_file};
use crate::files::private::PrivateFolder;
use crate::network::model::Model;

/// The network with weights that were loaded.
///
/// [`VarStore::load`](tch::nn::VarStore::load) takes a path, broadcasts what does not fit and takes
/// over any type. So the file was checked before, in memory; it is loaded from a copy of that in a
/// folder that only this user can open; and what was loaded is compared.
///
/// # Errors
///
/// If there is no room for it on the device.
pub fn model(loaded: &Loaded, device: Device) -> Result<Model> {
    let Loaded { arrays, own_file: Some(bytes), .. } = loaded else {
        return Model::from_arrays(&loaded.arrays, device);
    };
    let copy = || {
        const NAME: &str = "weights.safetensors";
        let folder = PrivateFolder::new()?;
        folder.write(NAME, bytes)?;
        let path = folder.path().join(NAME);
        Ok::<_, anyhow::Error>((folder, path))
    };
    // A disk that is full or read-only keeps nobody from predicting.
    let Ok((_folder, path)) = copy() else { return Model::from_arrays(arrays, device) };
    let mut model = Model::zeros(arrays.hidden as i64, device)?;
    model.vs.load(path)?;
    ensure!(model.to_arrays()? == *arrays, "it was changed while it was loaded; load it again");
    Ok(model)
}

/// Saves the weights of `model` with what is to be known of them, as [`super::save_with_record`]
/// does.
///
/// # Errors
///
/// Those of [`super::save_with_record`].
pub fn save_model(model: &Model, record: &mut Value, path: &Path) -> Result<()> {
    let arrays = model.to_arrays()?;
    let plain = |temporary: &Path| match model.vs.save(temporary) {
        Ok(()) => Ok(fs::read(temporary)?),
        // Its error is of no use to people; where the bytes cannot be written, the system says why.
        Err(_) => safetensors::write(&arrays, LAYERS),
    };
    super::ensure_kept(save_file(&arrays, &plain, path, LAYERS, Some(record))?, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::open;
    use serde_json::json;

    #[test]
    fn a_network_is_the_same_after_its_own_file_and_after_others() {
        let saved = Model::new(3, 1, Device::Cpu).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, own) in [("a.safetensors", true), ("a.ot", false)] {
            let path = folder.path().join(name);
            save_model(&saved, &mut json!({}), &path).unwrap();
            let loaded = open(&path).unwrap();
            assert_eq!(loaded.own_file.is_some(), own);
            assert_eq!(model(&loaded, Device::Cpu).unwrap().variables(), saved.variables());
            fs::remove_file(path.with_extension("json")).unwrap();
        }
    }

    #[test]
    fn another_file_than_the_one_checked_is_refused() {
        let [a, b] =
            [1, 2].map(|seed| Model::new(3, seed, Device::Cpu).unwrap().to_arrays().unwrap());
        let mut loaded = Loaded::from(a);
        loaded.own_file = Some(safetensors::write(&b, LAYERS).unwrap());
        let error = model(&loaded, Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("was changed while it was loaded"), "{error}");
    }
}
