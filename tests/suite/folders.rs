//! Folders of images as data sets, alone and mixed with others.

use std::fs;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tch_mnist::files::sha256_hex;

use crate::common::{Place, mnist_images, mnist_labels, one};

/// MNIST's test images from `from` to `to`, in folders 0 to 9 of `name`.
fn folders(place: &Place, name: &str, from: usize, to: usize) {
    let (images, labels) = (mnist_images(to), mnist_labels(to));
    for at in from..to {
        let folder = place.path(&format!("{name}/{}", labels[at]));
        fs::create_dir_all(&folder).unwrap();
        images[at].save(folder.join(format!("{at}.png"))).unwrap();
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

const TRAIN: [&str; 5] = ["train", "--hidden=16", "--threads=1", "--batch-size=20", "--epochs=2"];

#[test]
fn a_folder_of_images_is_trained_on_and_what_is_in_it_is_said() {
    let place = Place::new();
    folders(&place, "mine", 0, 120);
    fs::create_dir(place.path("mine/none")).unwrap();
    one(60, 90).save(place.path("mine/1/photo.png")).unwrap();
    let train = |more: &[&str]| place.run(&[&TRAIN, more].concat());

    fs::write(place.path("mine/3/bad.png"), "no image").unwrap();
    let (code, out, err) = train(&["--data", "mine"]);
    assert_eq!((code, out.as_str()), (1, ""));
    for part in [
        "passed over: mine/none: it holds what is no digit\n",
        "error: cannot read the image mine/3/bad.png: ",
        "error: 1 of the 122 images in mine cannot be read; ",
        "--skip-bad",
    ] {
        assert!(err.contains(part), "{part}: {err}");
    }

    let (code, out, err) = train(&["--data", "mine", "--skip-bad"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("Saved: models/mnist.safetensors"), "{out}");
    assert!(err.contains("passed over: cannot read the image mine/3/bad.png: "), "{err}");
    assert!(err.contains("mine: ") && err.contains(" to test on\n"), "{err}");
    let record = json(&fs::read_to_string(place.path("models/mnist.json")).unwrap());
    assert_eq!(record["configuration"]["data"], "mine");
    assert_eq!(record["configuration"]["data_sha256"].as_str().unwrap().len(), 64);
    assert!(record["configuration"].get("mixture").is_none() && record.get("sets").is_none());

    // What was read is kept, by content: under other names it gives the same weights.
    let weights = fs::read(place.path("models/mnist.safetensors")).unwrap();
    fs::remove_file(place.path("mine/3/bad.png")).unwrap();
    fs::rename(place.path("mine/1/photo.png"), place.path("mine/1/a.png")).unwrap();
    let (code, _, err) = train(&["--data", "mine", "--force"]);
    assert_eq!(code, 0, "{err}");
    assert!(weights == fs::read(place.path("models/mnist.safetensors")).unwrap());

    fs::remove_dir_all(place.path("mine/7")).unwrap();
    let (_, _, err) = train(&["--data", "mine", "--force"]);
    assert!(err.contains(" to test on; none of 7\n"), "{err}");
    let (code, _, err) = train(&["--data", "mine", "--test-split", "0"]);
    assert!(code == 1 && err.contains("no images to test on; raise --test-split"), "{err}");
    let (code, _, err) = train(&["--data", "models"]);
    assert!(code == 1 && err.contains("neither the four files of MNIST's layout nor"), "{err}");
}

#[cfg(target_os = "linux")] // the cache is in another folder elsewhere
#[test]
fn what_was_read_of_images_is_kept_and_used() {
    let place = Place::new();
    folders(&place, "mine", 0, 60);
    let train = || {
        let (code, _, err) = place.run(&[&TRAIN[..], &["--data=mine", "--force"]].concat());
        assert_eq!(code, 0, "{err}");
        fs::read(place.path("models/mnist.safetensors")).unwrap()
    };
    let weights = train();
    let mine = fs::canonicalize(place.path("mine")).unwrap();
    let name = sha256_hex(mine.as_os_str().as_encoded_bytes());
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache/tch-mnist/images").join(name);
    let whole = fs::read(&kept).unwrap();
    // Other pixels of the last image, which is one to train on, give other weights.
    let mut other = whole[..whole.len() - 32].to_vec();
    other.iter_mut().rev().take(784).for_each(|ink| *ink = 255 - *ink);
    let sum = Sha256::digest(&other);
    fs::write(&kept, [&other[..], &sum].concat()).unwrap();
    assert!(train() != weights);
    // What is damaged is read anew, and kept again.
    fs::write(&kept, &other).unwrap();
    assert!(train() == weights && fs::read(&kept).unwrap() == whole);
}

#[test]
fn mixed_sets_are_kept_apart_in_the_record_and_in_evaluate() {
    let place = Place::new();
    folders(&place, "mine/train", 0, 60);
    folders(&place, "mine/test", 60, 90);
    place.data_set("data", 200, 50);
    let mixed = ["--data", "mine:2.5", "--data", "data"];
    let (code, out, err) = place.run(&[&TRAIN[..], &mixed, &["--validation-split=0.1"]].concat());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("\nTest of mine: loss: ") && out.contains("\nTest of data: "), "{out}");
    let record = json(&fs::read_to_string(place.path("models/mnist.json")).unwrap());
    let configuration = &record["configuration"];
    assert_eq!(configuration["data"], "mine + data");
    let parts = configuration["mixture"].as_array().unwrap();
    assert_eq!((&parts[0]["data"], parts[0]["weight"].as_f64()), (&"mine".into(), Some(2.5)));
    assert_eq!((&parts[0]["train"], &parts[1]["train"]), (&60.into(), &200.into()));

    let (code, out, _) = place.run(&[&["evaluate", "--json", "--threads=1"], &mixed[..]].concat());
    let evaluation = json(&out);
    assert_eq!((code, &evaluation["sets"]), (0, &record["sets"]));
    assert_eq!(evaluation["samples"], 80);
    assert_eq!(
        (&record["sets"][0]["samples"], &record["sets"][1]["samples"]),
        (&30.into(), &50.into())
    );
    let (_, out, _) = place.run(&[&["evaluate"], &mixed[..]].concat());
    assert!(out.contains("mine") && out.contains("\nAll of them:\nloss: "), "{out}");

    for (weight, word) in [("mine:0", "choose a weight"), ("mine:2000", "choose a weight")] {
        let (code, _, err) = place.run(&["train", "--data", weight]);
        assert!(code == 2 && err.contains(word), "{err}");
    }
}

#[test]
fn adapting_starts_from_the_released_weights_and_mixes_mnist_in() {
    let place = Place::new();
    folders(&place, "mine", 0, 60);
    let adapt = ["train", "--adapt", "--data=mine", "--json"];
    let (code, out, err) =
        place.run(&[&adapt[..], &["--data=mnist:0.01", "--epochs=1", "--threads=1"]].concat());
    assert_eq!(code, 0, "{err}");
    let record = json(&out);
    let configuration = &record["configuration"];
    for (name, value) in [
        ("init", Value::from("released")),
        ("optimizer", "adam".into()),
        ("schedule", "cosine".into()),
        ("learning_rate", 3e-4.into()),
        ("epochs", 1.into()),
    ] {
        assert_eq!(configuration[name], value, "{name}");
    }
    let [mine, mnist] = [0, 1].map(|at| &configuration["mixture"][at]);
    let shown = mine["weight"].as_f64().unwrap() * mine["train"].as_f64().unwrap();
    assert!((shown - 2000.).abs() < 1e-6 && mnist["weight"] == 0.01, "{configuration}");
    assert!(record["sets"][1]["accuracy"].as_f64().unwrap() > 0.98, "{}", record["sets"]);
    assert!(place.path("models/adapted.safetensors").exists());
    assert_eq!(place.run(&["train", "--adapt"]).0, 2);
}
