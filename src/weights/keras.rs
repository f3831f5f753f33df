//! Keras's `.h5`, the whole-model file of Keras 2 that Keras 3 still writes, and Keras 3's `.keras`:
//! a zip archive of such a file in another layout, with the model's configuration beside it. Both
//! keep kernels as `[inputs, outputs]`.

use std::collections::HashMap;
use std::fs::File as DiskFile;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use hdf5_pure::{AttrValue, Dataset, Datatype, File, FileBuilder, GroupBuilder};
use serde_json::{Value, json};
use tch::Tensor;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::{Archive, Contents, LAYERS, MAX_BYTES, MAX_HEADER, entry};
use crate::CLASSES;
use crate::PIXELS;

/// The most groups and arrays that a file may have; those of two layers and an optimizer are few.
const MAX_OBJECTS: usize = 1000;
/// The most bytes of the path to a group.
const MAX_PATH: usize = 1000;
/// The versions of Keras whose layouts are written.
const H5_VERSION: &str = "2.15.0";
const KERAS_VERSION: &str = "3.15.1";

/// Reads a `.h5`; one of weights alone says nothing of activations and is believed.
pub fn read_h5(file: File) -> Result<Contents> {
    if let Some(config) = file.root().attrs()?.get("model_config") {
        check_config(config.as_str().context("its model_config is no text")?)?;
    }
    contents(&file)
}

/// Reads a `.keras`.
pub fn read_keras(mut archive: Archive) -> Result<Contents> {
    let config = entry(&mut archive, "config.json", MAX_HEADER)?;
    check_config(std::str::from_utf8(&config).context("its config.json is not UTF-8")?)?;
    let weights = entry(&mut archive, "model.weights.h5", MAX_BYTES)?;
    contents(&File::from_bytes(weights)?)
}

fn contents(file: &File) -> Result<Contents> {
    let mut arrays = HashMap::new();
    let mut groups = vec![(String::new(), file.root())];
    let mut objects = 0;
    while let Some((path, group)) = groups.pop() {
        // What is not the model's.
        if ["optimizer_weights/", "optimizer/", "metrics/"].contains(&&path[..]) {
            continue;
        }
        for (name, dataset) in group.iter_datasets()? {
            // Integers are a dropout's seeds, not weights.
            if matches!(dataset.datatype()?, Datatype::FloatingPoint { .. }) {
                arrays.insert(array_name(&path, &name), dataset);
            }
            objects += 1;
        }
        for (name, child) in group.iter_groups()? {
            groups.push((format!("{path}{name}/"), child));
            objects += 1;
        }
        // Groups may be in a circle.
        ensure!(
            objects <= MAX_OBJECTS && path.len() <= MAX_PATH,
            "it holds more than {MAX_OBJECTS} groups and arrays, or nests them too deeply"
        );
    }
    let shapes = arrays
        .iter()
        .map(|(name, dataset)| {
            let shape = dataset.shape()?.into_iter().map(|d| i64::try_from(d).unwrap_or(i64::MAX));
            let shape =
                if name.ends_with(".weight") { shape.rev().collect() } else { shape.collect() };
            Ok((name.clone(), shape))
        })
        .collect::<Result<_>>()?;
    Ok(Contents {
        shapes,
        read: Box::new(move |name| values(&arrays[name], name.ends_with(".weight"))),
    })
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

fn values(dataset: &Dataset, transposed: bool) -> Result<Tensor> {
    let values = dataset.read_f32()?; // converted, if of another precision
    let shape: Vec<_> = dataset.shape()?.into_iter().map(|d| d as i64).collect();
    let array = Tensor::from_slice(&values).f_view(&shape[..])?;
    Ok(if transposed { array.f_tr()? } else { array })
}

/// Checks that a model's configuration, in JSON, is that of a network of ours.
fn check_config(config: &str) -> Result<()> {
    // In memory, JSON takes up to a hundred times its length.
    ensure!(
        config.len() as u64 <= MAX_HEADER,
        "its configuration has {} bytes, more than the {MAX_HEADER} supported",
        config.len()
    );
    let model: Value = serde_json::from_str(config).context("in its configuration")?;
    // Keras before 2.2.3 has the list of layers itself in this place.
    let config = &model["config"];
    let layers = config.get("layers").unwrap_or(config).as_array();
    let layers = layers.context("its configuration has no list of layers")?;
    // The activations before, between and after the dense layers.
    let mut stages = vec![Vec::new()];
    for layer in layers {
        let (class, config) = (layer["class_name"].as_str().unwrap_or_default(), &layer["config"]);
        let plain = |keys: &[&str]| keys.iter().all(|key| config[key].as_f64().unwrap_or(0.) == 0.);
        let activation = match class {
            "Dense" | "Activation" => match &config["activation"] {
                Value::String(name) => name.clone(),
                Value::Null => "linear".into(),
                other => other.to_string(),
            },
            "ReLU" if plain(&["max_value", "negative_slope", "threshold"]) => "relu".into(),
            "Softmax" => "softmax".into(),
            "InputLayer" | "Dropout" => continue,
            "Flatten" if config["data_format"] != "channels_first" => continue,
            _ => {
                bail!("it has a layer {class:?}, {:?}, which this network has not", config["name"])
            }
        };
        if class == "Dense" {
            stages.push(Vec::new());
        }
        if activation != "linear" {
            stages.last_mut().expect("there is a first").push(activation);
        }
    }
    let [before, between, after] = &stages[..] else {
        bail!("it has {} dense layers, expected 2", stages.len() - 1)
    };
    ensure!(before.is_empty(), "it applies {before:?} to the pictures");
    ensure!(
        !between.is_empty() && between.iter().all(|activation| activation == "relu"),
        "the activation of its first dense layer is {:?}, expected relu",
        if between.is_empty() { "linear".into() } else { between.join(" and ") }
    );
    ensure!(
        after.is_empty() || after[..] == ["softmax"],
        "the activation of its last dense layer is {:?}, expected softmax or linear",
        after.join(" and ")
    );
    Ok(())
}

/// A model's configuration, in words that both Keras 2 and 3 know.
fn config(hidden: i64) -> Value {
    let dense = |name: &str, units, activation: &str, inputs| {
        json!({
            "module": "keras.layers",
            "class_name": "Dense",
            "config": {"name": name, "dtype": "float32", "units": units, "activation": activation},
            "registered_name": null,
            "build_config": {"input_shape": [null, inputs]},
        })
    };
    json!({
        "module": "keras",
        "class_name": "Sequential",
        "config": {
            "name": "sequential",
            "layers": [
                {
                    "module": "keras.layers",
                    "class_name": "InputLayer",
                    "config": {"name": "images", "dtype": "float32", "batch_input_shape": [null, PIXELS]},
                    "registered_name": null,
                },
                dense(LAYERS[0], hidden, "relu", PIXELS as i64),
                dense(LAYERS[1], CLASSES as i64, "softmax", hidden),
            ],
        },
        "registered_name": null,
        "build_config": {"input_shape": [null, PIXELS]},
    })
}

/// Writes a `.h5` in the layout of Keras 2, which Keras 3 reads as well.
pub fn write_h5(arrays: &[Tensor; 4], path: &Path) -> Result<()> {
    let text = |text: &str| AttrValue::VarLenString(text.into());
    let mut file = FileBuilder::new();
    file.set_attr("keras_version", text(H5_VERSION));
    file.set_attr("backend", text("tensorflow"));
    file.set_attr("model_config", text(&config(arrays[1].size()[0]).to_string()));
    let mut weights = file.create_group("model_weights");
    weights.set_attr("keras_version", text(H5_VERSION));
    weights.set_attr("backend", text("tensorflow"));
    let names = |names: &[String]| AttrValue::StringArray(names.to_vec());
    weights.set_attr("layer_names", names(&LAYERS.map(String::from)));
    for (layer, [kernel, bias]) in LAYERS.iter().zip(arrays.as_chunks().0) {
        let mut group = weights.create_group(layer);
        let paths = ["kernel:0", "bias:0"].map(|name| format!("{layer}/{name}"));
        group.set_attr("weight_names", names(&paths));
        let mut inner = group.create_group(layer);
        put(&mut inner, "kernel:0", &kernel.f_tr()?)?;
        put(&mut inner, "bias:0", bias)?;
        group.add_group(inner.finish());
        weights.add_group(group.finish());
    }
    file.add_group(weights.finish());
    Ok(file.write(path)?)
}

/// Writes a `.keras`.
pub fn write_keras(arrays: &[Tensor; 4], path: &Path) -> Result<()> {
    let mut file = FileBuilder::new();
    let mut layers = file.create_group("layers");
    // Keras numbers the layers of a class, whatever their names.
    for (layer, [kernel, bias]) in ["dense", "dense_1"].iter().zip(arrays.as_chunks().0) {
        let mut group = layers.create_group(layer);
        let mut vars = group.create_group("vars");
        put(&mut vars, "0", &kernel.f_tr()?)?;
        put(&mut vars, "1", bias)?;
        group.add_group(vars.finish());
        layers.add_group(group.finish());
    }
    file.add_group(layers.finish());
    let vars = file.create_group("vars").finish(); // of the model itself: Keras 2 wants to see it
    file.add_group(vars);

    let mut archive = ZipWriter::new(DiskFile::create(path)?);
    let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in [
        ("metadata.json", json!({"keras_version": KERAS_VERSION}).to_string().into_bytes()),
        ("config.json", config(arrays[1].size()[0]).to_string().into_bytes()),
        ("model.weights.h5", file.finish()?),
    ] {
        archive.start_file(name, stored)?;
        archive.write_all(&bytes)?;
    }
    archive.finish()?;
    Ok(())
}

fn put(group: &mut GroupBuilder, name: &str, array: &Tensor) -> Result<()> {
    let values = Vec::<f32>::try_from(array.f_contiguous()?.f_view([-1])?)?;
    let shape: Vec<_> = array.size().into_iter().map(|size| size as u64).collect();
    group.create_dataset(name).with_f32_data(&values).with_shape(&shape);
    Ok(())
}
