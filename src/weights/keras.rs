//! Keras's `.h5`, the whole-model file of Keras 2 that Keras 3 still writes, and Keras 3's
//! `.keras`: a zip archive of such a file in another layout, with the model's configuration beside
//! it. Both keep kernels as `[inputs, outputs]`.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Write};

use anyhow::{Context, Result, ensure};
use hdf5_pure::{AttrValue, FileBuilder, GroupBuilder};
use serde_json::json;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::archive::Archive;
use super::contents::{Contents, MAX_WEIGHTS_BYTES, transposed};
use super::format::MAX_TEXT;
use super::{hdf5, keras_config};
use crate::PIXELS;
use crate::network::arrays::{Arrays, LAYERS};

/// The versions of Keras whose layouts are written.
const H5_VERSION: &str = "2.15.0";
const KERAS_VERSION: &str = "3.15.1";

/// Groups of what is not the model's.
const OTHERS: [&str; 3] = ["optimizer_weights/", "optimizer/", "metrics/"];

/// Reads a `.h5`; one of weights alone says nothing of activations and is believed.
pub fn read_h5(bytes: Vec<u8>) -> Result<Contents> {
    let file = hdf5::Reader::open(bytes)?;
    let config = file.attribute("model_config")?;
    let units = config.map(|config| keras_config::check(&config)).transpose()?;
    contents(file, units.flatten())
}

/// Reads a `.keras`.
pub fn read_keras(mut archive: Archive) -> Result<Contents> {
    let config = archive.entry("config.json", MAX_TEXT)?;
    let config = std::str::from_utf8(&config).context("its config.json is not UTF-8")?;
    let units = keras_config::check(config)?;
    contents(hdf5::Reader::open(archive.entry("model.weights.h5", MAX_WEIGHTS_BYTES)?)?, units)
}

/// The arrays in `file`, of which one is to be the kernel of as many hidden `units`, where those
/// are told.
fn contents(file: hdf5::Reader, units: Option<u64>) -> Result<Contents> {
    let (mut shapes, mut arrays) = (BTreeMap::new(), HashMap::new());
    for (path, name, array) in file.arrays(&OTHERS)? {
        let name = array_name(&path, &name);
        let shape = array.shape()?.into_iter().map(|d| usize::try_from(d).unwrap_or(usize::MAX));
        let shape: Vec<_> =
            if name.ends_with(".weight") { shape.rev().collect() } else { shape.collect() };
        arrays.insert(name.clone(), (array, shape.first().copied().unwrap_or_default()));
        shapes.insert(name, shape);
    }
    if let Some(units) = units {
        let fits = |shape: &Vec<usize>| shape[..] == [units as usize, PIXELS];
        ensure!(
            shapes.values().any(fits),
            "its configuration has {units} hidden units, but its arrays do not: they come from different models"
        );
    }
    let read = move |name: &str| {
        let (array, outputs) = &arrays[name];
        let values = file.values(array)?;
        Ok(if name.ends_with(".weight") { transposed(&values, *outputs) } else { values })
    };
    Ok(Contents { shapes, read: Box::new(read) })
}

/// The name, as [`Contents`] has it, of the array `name` in the group at `path`, in which Keras 2
/// calls kernels `kernel:0`, Keras 3 `kernel`, and a `.keras` only numbers what a layer has.
fn array_name(path: &str, name: &str) -> String {
    let layer = path.strip_suffix('/').unwrap_or(path);
    match name {
        "kernel:0" | "kernel" | "0" => format!("{layer}.weight"),
        "bias:0" | "bias" | "1" => format!("{layer}.bias"),
        _ => format!("{path}{name}"),
    }
}

/// A `.h5` in the layout of Keras 2, which Keras 3 reads as well.
pub fn h5(arrays: &Arrays) -> Result<Vec<u8>> {
    let text = |text: &str| AttrValue::VarLenString(text.into());
    let mut file = FileBuilder::new();
    file.set_attr("keras_version", text(H5_VERSION));
    file.set_attr("backend", text("tensorflow"));
    file.set_attr("model_config", text(&keras_config::of(arrays.hidden).to_string()));
    let mut weights = file.create_group("model_weights");
    weights.set_attr("keras_version", text(H5_VERSION));
    weights.set_attr("backend", text("tensorflow"));
    let names = |names: &[String]| AttrValue::StringArray(names.to_vec());
    weights.set_attr("layer_names", names(&LAYERS.map(String::from)));
    for (at, layer) in LAYERS.iter().enumerate() {
        let mut group = weights.create_group(layer);
        let paths = ["kernel:0", "bias:0"].map(|name| format!("{layer}/{name}"));
        group.set_attr("weight_names", names(&paths));
        let mut inner = group.create_group(layer);
        put(&mut inner, ["kernel:0", "bias:0"], arrays, at);
        group.add_group(inner.finish());
        weights.add_group(group.finish());
    }
    file.add_group(weights.finish());
    Ok(file.finish()?)
}

/// A `.keras`.
pub fn keras(arrays: &Arrays) -> Result<Vec<u8>> {
    let mut file = FileBuilder::new();
    let mut layers = file.create_group("layers");
    // Keras numbers the layers of a class, whatever their names.
    for (at, layer) in ["dense", "dense_1"].iter().enumerate() {
        let mut group = layers.create_group(layer);
        let mut vars = group.create_group("vars");
        put(&mut vars, ["0", "1"], arrays, at);
        group.add_group(vars.finish());
        layers.add_group(group.finish());
    }
    file.add_group(layers.finish());
    let vars = file.create_group("vars").finish(); // of the model itself: Keras 2 wants to see it
    file.add_group(vars);

    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [
        ("metadata.json", json!({"keras_version": KERAS_VERSION}).to_string().into_bytes()),
        ("config.json", keras_config::of(arrays.hidden).to_string().into_bytes()),
        ("model.weights.h5", file.finish()?),
    ] {
        archive.start_file(name, stored)?;
        archive.write_all(&bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}

/// Puts the kernel and the bias of a layer, the first or the second, into a group.
fn put(group: &mut GroupBuilder, [kernel, bias]: [&str; 2], arrays: &Arrays, layer: usize) {
    let (values, shapes) = (&arrays.values[2 * layer..], &arrays.shapes()[2 * layer..]);
    let [outputs, inputs] = shapes[0][..] else { unreachable!("kernels have two dimensions") };
    let transposed = transposed(&values[0], inputs);
    let shape = [inputs as u64, outputs as u64];
    group.create_dataset(kernel).with_f32_data(&transposed).with_shape(&shape);
    group.create_dataset(bias).with_f32_data(&values[1]).with_shape(&shape[1..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::arrays::tests::arrays;

    #[test]
    fn what_is_written_is_read() {
        let h5 = h5(&arrays()).unwrap();
        let length = h5.len() as u64;
        assert_eq!(read_h5(h5).unwrap().take(length).unwrap(), arrays());
        let keras = keras(&arrays()).unwrap();
        let length = keras.len() as u64;
        let archive = Archive::open(keras).unwrap();
        assert_eq!(read_keras(archive).unwrap().take(length).unwrap(), arrays());
    }

    #[test]
    fn arrays_of_all_layouts_have_our_names() {
        for (path, name, expected) in [
            ("model_weights/a/a/", "kernel:0", "model_weights/a/a.weight"),
            ("layers/dense/vars/", "1", "layers/dense/vars.bias"),
            ("", "gamma", "gamma"),
        ] {
            assert_eq!(array_name(path, name), expected);
        }
    }
}
