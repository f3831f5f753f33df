//! The configurations of Keras's models: which layers there are, with which activations.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::format::MAX_TEXT;
use crate::network::arrays::LAYERS;
use crate::{CLASSES, PIXELS};

/// Checks that a model's configuration, in JSON, is that of a network of ours, and returns its
/// hidden units, if it tells them.
pub fn check(config: &str) -> Result<Option<u64>> {
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
    let mut units = Vec::new();
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
            "InputLayer" | "Dropout" => "linear".into(),
            "Flatten" if config["data_format"] != "channels_first" => "linear".into(),
            _ => {
                bail!(
                    "it has a layer {class:?}, {:?}; expected two dense layers and no others",
                    config["name"]
                )
            }
        };
        if units.is_empty() {
            check_inputs(layer)?;
        }
        if class == "Dense" {
            stages.push(Vec::new());
            units.push(config["units"].as_u64());
            ensure!(config["use_bias"] != false, "its layer {:?} has no bias", config["name"]);
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
    ensure!(
        units[1].is_none_or(|units| units == CLASSES as u64),
        "its last dense layer has {} units, expected {CLASSES}",
        units[1].unwrap_or_default()
    );
    Ok(units[0])
}

/// Checks the shape of the images that a layer takes, wherever it tells one: all its sides but the
/// first, the batch's, make up the pixels.
fn check_inputs(layer: &Value) -> Result<()> {
    for (of, key) in [
        ("config", "batch_input_shape"),
        ("config", "batch_shape"),
        ("build_config", "input_shape"),
    ] {
        let Some([_, sides @ ..]) = layer[of][key].as_array().map(Vec::as_slice) else { continue };
        // One that is null may be any.
        let sides: Option<Vec<u64>> = sides.iter().map(Value::as_u64).collect();
        let Some(sides) = sides else { continue };
        let pixels = sides.iter().try_fold(1, |all: u64, side| all.checked_mul(*side));
        ensure!(
            pixels == Some(PIXELS as u64),
            "its configuration takes images of the shape {sides:?}, expected {PIXELS} pixels"
        );
    }
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
        assert_eq!(check(&ours).unwrap(), Some(5));
        let error = check(&ours.replace("softmax", "sigmoid")).unwrap_err().to_string();
        assert!(error.contains("last dense layer is \"sigmoid\", expected softmax"), "{error}");
        let error = check(&ours.replace("\"relu\"", "null")).unwrap_err().to_string();
        assert!(error.contains("first dense layer is \"linear\", expected relu"), "{error}");
    }

    #[test]
    fn sizes_that_contradict_a_network_are_named() {
        let changed = |change: fn(&mut Value)| {
            let mut config = of(5);
            change(&mut config["config"]["layers"]);
            check(&config.to_string()).map_err(|error| error.to_string())
        };
        let error = changed(|layers| layers[2]["config"]["units"] = 11.into());
        assert_eq!(error.unwrap_err(), "its last dense layer has 11 units, expected 10");
        let error = changed(|layers| layers[1]["config"]["use_bias"] = false.into());
        assert!(error.unwrap_err().ends_with("has no bias"));
        for shape in [json!([null, 785]), json!([null, 28, 27]), json!([null, u64::MAX, 2])] {
            let mut config = of(5);
            config["config"]["layers"][0]["config"]["batch_input_shape"] = shape;
            let error = check(&config.to_string()).unwrap_err().to_string();
            assert!(error.contains("images of the shape"), "{error}");
        }
        let error = changed(|layers| layers[1]["build_config"]["input_shape"][1] = 783.into());
        assert!(error.unwrap_err().contains("[783]"));
        // What is not told cannot contradict.
        let unsaid = changed(|layers| {
            layers[0]["config"]["batch_input_shape"] = json!([null, null, 28]);
            layers[1]["config"]["units"].take();
        });
        assert_eq!(unsaid, Ok(None));
    }
}
