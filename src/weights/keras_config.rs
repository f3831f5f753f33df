//! The configurations of Keras's models: which layers there are, with which activations.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::format::MAX_TEXT;
use crate::network::arrays::LAYERS;
use crate::{CLASSES, PIXELS};

/// Checks that a model's configuration, in JSON, is that of a network of ours.
pub fn check(config: &str) -> Result<()> {
    // In memory, JSON takes up to a hundred times its length.
    ensure!(
        config.len() as u64 <= MAX_TEXT,
        "its configuration has {} bytes, more than the {MAX_TEXT} supported",
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
                bail!(
                    "it has a layer {class:?}, {:?}; expected two dense layers and no others",
                    config["name"]
                )
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
    ensure!(before.is_empty(), "it applies {before:?} to the images");
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
pub fn of(hidden: usize) -> Value {
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
                dense(LAYERS[0], hidden, "relu", PIXELS),
                dense(LAYERS[1], CLASSES, "softmax", hidden),
            ],
        },
        "registered_name": null,
        "build_config": {"input_shape": [null, PIXELS]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_fits_and_another_is_named() {
        let ours = of(5).to_string();
        check(&ours).unwrap();
        let error = check(&ours.replace("softmax", "sigmoid")).unwrap_err().to_string();
        assert!(error.contains("last dense layer is \"sigmoid\", expected softmax"), "{error}");
        let error = check(&ours.replace("\"relu\"", "null")).unwrap_err().to_string();
        assert!(error.contains("first dense layer is \"linear\", expected relu"), "{error}");
    }
}
