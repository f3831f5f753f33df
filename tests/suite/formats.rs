//! Weights of other programs. `make interop` has those programs themselves read and write them;
//! `tests/fixtures/interop` holds what they wrote (`scripts/interop.py --fixtures`).

use std::fs;
use std::io::{Cursor, Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};

use crate::common::{Place, arrays, mnist_digits};
use tch_mnist::network::arrays::Arrays;
use tch_mnist::network::classifier::Classifier;
use tch_mnist::network::plain::Plain;
use tch_mnist::weights;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

const WRITTEN: [&str; 4] = ["safetensors", "ot", "h5", "keras"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/interop").join(name)
}

fn load(path: &Path) -> Arrays {
    weights::load(path).unwrap()
}

fn refusal(path: &Path) -> String {
    let error = format!("{:#}", weights::load(path).unwrap_err());
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
    error
}

/// Rewrites a zip archive, each entry's bytes by way of `change`.
fn rezip(bytes: &[u8], change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut out = ZipWriter::new(Cursor::new(Vec::new()));
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let name = entry.name().unwrap().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        out.start_file(&name, SimpleFileOptions::default()).unwrap();
        out.write_all(&change(&name, bytes)).unwrap();
    }
    out.finish().unwrap().into_inner()
}

#[test]
fn what_other_programs_saved_gives_their_probabilities() {
    let expected: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(&fs::read(fixture("expected.json")).unwrap()).unwrap();
    assert_eq!(expected.len(), 13);
    let digits = mnist_digits(8);
    for (name, expected) in expected {
        let expected: Vec<Vec<f32>> = serde_json::from_value(expected).unwrap();
        let model = Plain::new(load(&fixture(&name)), NonZero::<usize>::MIN);
        let found = model.probabilities(&digits).unwrap();
        let pairs = found.as_flattened().iter().zip(expected.concat());
        let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0., f32::max);
        assert!(difference < 1e-5, "{name}: {difference}");
    }
}

#[test]
fn weights_are_the_same_to_the_bit_after_any_conversion() {
    let place = Place::new();
    let model = arrays(5, 1);
    for from in WRITTEN {
        let first = place.path(&format!("a.{from}"));
        weights::save(&model, &first).unwrap();
        for to in WRITTEN {
            let second = place.path(&format!("b.{to}"));
            weights::save(&load(&first), &second).unwrap();
            assert_eq!(load(&second), model, "{from} → {to}");
        }
    }
}

#[test]
fn convert_writes_what_the_extension_says() {
    let place = Place::new();
    fs::copy(fixture("keras3.h5"), place.path("keras_mnist_trained_model.h5")).unwrap();
    let (code, out, err) = place.run(&[
        "convert",
        "keras_mnist_trained_model.h5",
        "new/a.safetensors",
        "--names",
        "0,2",
    ]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "Saved: new/a.safetensors\n", ""));
    let bytes = fs::read(place.path("new/a.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut names: Vec<_> = tensors.iter().map(|(name, t)| (name, t.shape().to_vec())).collect();
    names.sort();
    let expected = [
        ("0.bias", vec![4]),
        ("0.weight", vec![4, 784]),
        ("2.bias", vec![10]),
        ("2.weight", vec![10, 4]),
    ];
    assert_eq!(names, expected);
    // Whatever a file is called, its content says what it is.
    fs::rename(place.path("new/a.safetensors"), place.path("a.bin")).unwrap();
    for (input, output) in
        [("a.bin", "b.keras"), ("b.keras", "c.ot"), ("c.ot", "d.h5"), ("d.h5", "e.onnx")]
    {
        assert_eq!(place.run(&["convert", input, output]).0, 0);
    }
    crate::common::one(60, 90).save(place.path("1.png")).unwrap();
    let predict = |weights| place.run(&["predict", "--json", "--weights", weights, "1.png"]);
    let (code, out, _) = predict("keras_mnist_trained_model.h5");
    assert_eq!((code, &predict("d.h5").1), (0, &out));

    let before = fs::read(place.path("d.h5")).unwrap();
    for (arguments, code, fault) in [
        (&["convert", "d.h5", "./d.h5"][..], 1, "is d.h5 itself"),
        (&["convert", "none.h5", "d.h5"], 1, "none.h5: No such file"),
        (&["convert", "1.png", "d.h5"], 1, "1.png: its format is unknown"),
        (&["convert", "e.onnx", "d.h5"], 1, "ONNX is written, not read"),
        (&["convert", "c.ot", "d.h5", "--names", "0,2"], 2, "only layers in a .safetensors"),
        (&["convert", "d.h5", "x.pt"], 2, "for PyTorch, .safetensors"),
        (
            &["convert", "d.h5", "x.safetensors", "--names", "a"],
            2,
            "two names separated by a comma",
        ),
        (
            &["convert", "d.h5", "x.safetensors", "--names", "a,b,c"],
            2,
            "two names separated by a comma",
        ),
        (&["convert", "d.h5", "x.safetensors", "--names", "a,a"], 2, "both layers have the name"),
        (&["convert", "d.h5", "x.safetensors", "--names", "a,"], 2, "a layer's name is empty"),
        (&["convert", "d.h5"], 2, "OUT"),
    ] {
        let (found, _, err) = place.run(arguments);
        assert!(found == code && err.contains(fault), "{arguments:?}: {found} {err}");
        assert_eq!(err.contains("--help"), code == 2, "{arguments:?}: {err}");
    }
    assert_eq!(fs::read(place.path("d.h5")).unwrap(), before);
    assert!(!place.path("x.safetensors").exists());
}

#[cfg(feature = "torch")]
#[test]
fn convert_keeps_the_record() {
    let place = Place::new();
    place.data_set("data", 100, 20);
    let train = ["train", "--data", "data", "--hidden", "4", "--epochs", "1", "--output"];
    assert_eq!(place.run(&[&train[..], &["a.safetensors"]].concat()).0, 0);
    let record = |name: &str| weights::open(&place.path(name)).unwrap().record;
    let first = record("a.safetensors").unwrap();
    assert_eq!(first["configuration"]["hidden"], 4);
    for (input, output) in [("a.safetensors", "b.h5"), ("b.h5", "c.ot"), ("c.ot", "d.safetensors")]
    {
        let (code, _, err) = place.run(&["convert", input, output]);
        assert_eq!((code, err.as_str()), (0, ""), "{output}");
        for key in ["configuration", "history", "test"] {
            assert_eq!(record(output).unwrap()[key], first[key], "{output}");
        }
    }
    // The place of the record beside it is taken by that of the first.
    let (code, _, err) = place.run(&["convert", "a.safetensors", "a.h5"]);
    assert!(code == 0 && err.contains("the training record is not kept"), "{err}");
    assert!(record("a.h5").is_none() && record("a.safetensors").is_some());
    // In a .safetensors it needs none.
    let names = ["convert", "b.h5", "a.safetensors", "--names", "0,2"];
    assert_eq!(place.run(&names).0, 0);
    assert_eq!(record("a.safetensors").unwrap()["test"], first["test"]);
}

#[cfg(feature = "torch")]
#[test]
fn training_starts_from_keras_weights_and_saves_for_keras() {
    let place = Place::new();
    place.data_set("data", 100, 20);
    let init = fixture("keras2.h5");
    let train = ["train", "--data", "data", "--epochs", "1", "--init", init.to_str().unwrap()];
    let (code, _, err) = place.run(&[&train[..], &["--output", "a.keras"]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(load(&place.path("a.keras")).hidden, 4);
    assert!(place.path("a.json").exists());
}

#[test]
fn models_of_another_kind_are_refused_with_what_they_are() {
    let place = Place::new();
    let path = place.path("bad.keras");
    let keras = fs::read(fixture("keras3.keras")).unwrap();
    for (from, to, fault) in [
        (
            r#""activation": "relu""#,
            r#""activation": "tanh""#,
            "first dense layer is \"tanh\", expected relu",
        ),
        (r#""activation": "relu""#, r#""activation": "linear""#, "first dense layer is \"linear\""),
        (
            r#""activation": "softmax""#,
            r#""activation": "relu""#,
            "last dense layer is \"relu\", expected softmax",
        ),
        (
            r#""class_name": "Dropout""#,
            r#""class_name": "GaussianNoise""#,
            "a layer \"GaussianNoise\"",
        ),
        (
            r#""class_name": "Dropout""#,
            r#""class_name": "Softmax""#,
            "relu and softmax\", expected relu",
        ),
        (r#""class_name": "Dropout""#, r#""class_name": "Dense""#, "3 dense layers, expected 2"),
        (
            r#""class_name": "Flatten""#,
            r#""class_name": "ReLU""#,
            "applies [\"relu\"] to the images",
        ),
        ("channels_last", "channels_first", "a layer \"Flatten\""),
        (r#""units": 4"#, r#""units": 99"#, "its configuration has 99 hidden units"),
        (r#""units": 10"#, r#""units": 9"#, "its last dense layer has 9 units, expected 10"),
        (r#""use_bias": true"#, r#""use_bias": false"#, "has no bias"),
        (
            r#""batch_shape": [null, 28, 28"#,
            r#""batch_shape": [null, 28, 27"#,
            "images of the shape [28, 27",
        ),
        (r#""layers""#, r#""leyers""#, "no list of layers"),
        ("{", "{{", "in its configuration"),
    ] {
        let changed = rezip(&keras, |name, bytes| match name {
            "config.json" => {
                let config = String::from_utf8(bytes).unwrap();
                assert!(config.contains(from), "{from} is not in it");
                config.replacen(from, to, 1).into_bytes()
            }
            _ => bytes,
        });
        fs::write(&path, changed).unwrap();
        let error = refusal(&path);
        assert!(error.contains(fault), "{fault}: {error}");
    }
    // A .h5 says it as well: the same length leaves the rest of the file as it is.
    let mut h5 = fs::read(fixture("keras2.h5")).unwrap();
    let at = h5.windows(6).position(|bytes| bytes == b"\"relu\"").unwrap();
    h5[at + 1..at + 5].copy_from_slice(b"tanh");
    fs::write(place.path("bad.h5"), &h5).unwrap();
    assert!(refusal(&place.path("bad.h5")).contains("is \"tanh\", expected relu"));

    // Keras before 2.2.3 has the layers themselves as the configuration.
    let old = rezip(&keras, |name, bytes| match name {
        "config.json" => {
            let config: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let layers = &config["config"]["layers"];
            serde_json::json!({"class_name": "Sequential", "config": layers}).to_string().into()
        }
        _ => bytes,
    });
    fs::write(&path, old).unwrap();
    assert_eq!(load(&path).hidden, 4);
}

/// What Python's pickle makes of a call of `os.system`.
const COMMAND: &[u8] = b"\x80\x02cos\nsystem\n(X\x10\x00\x00\x00touch /tmp/owned!tR.";

#[test]
fn a_pickle_is_not_executed_and_a_bomb_does_not_go_off() {
    let place = Place::new();
    let path = place.path("bad.pt");
    let torch = fs::read(fixture("torch.pt")).unwrap();
    let nested = [&b"\x80\x02"[..], b")", &b"\x85".repeat(500_000), b"."].concat();
    let doubled = [&b"\x80\x02)"[..], &b"q\x00h\x00\x86".repeat(1000), b"."].concat();
    let dimensions = [
        &b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000tQK\x00("[..],
        &b"K\x01".repeat(400_000),
        b"t(K\x01ttR.",
    ]
    .concat();
    // The same long name, fetched from the memo again and again.
    let named = [
        &b"\x80\x02}(X\x40\x0d\x03\x00"[..],
        &vec![b'a'; 200_000],
        b"q\x00K\x01",
        &b"h\x00K\x01".repeat(100_000),
        b"u.",
    ]
    .concat();
    for (pickle, fault) in [
        (&named[..], "holds more names, or longer ones"),
        (COMMAND, "it refers to \"os.system\", which no state_dict needs; save with torch.save("),
        (b"\x80\x02cbuiltins\neval\n.", "builtins.eval"),
        (b"\x80\x02ctorch\nIntStorage\n.", "torch.IntStorage"),
        (b"\x80\x02}X\x05\x00\x00\x00epochK\x03s.", "\"epoch\" is not a tensor"),
        (b"\x80\x02]q\x00.", "the operation 0x5d"),
        (b"\x80\x02K\x01.", "not hold a dictionary of tensors"),
        (b"\x80\x02}.", "expected two dense layers"),
        (b"\x80\x02h\x07.", "unknown memo key"),
        (b"\x80\x02X\xff\xff\xff\xffab", "is truncated"),
        (b"", "is truncated"),
        (b"\x80\x02u.", "the stack is empty"),
        (b"\x80\x02\x87.", "the stack is empty"),
        (&nested, "nests tuples"),
        (&doubled, "nests tuples"),
        (&dimensions, "calls a function that no state_dict needs"),
    ] {
        let replace =
            |name: &str, bytes| if name.ends_with("data.pkl") { pickle.to_vec() } else { bytes };
        fs::write(&path, rezip(&torch, replace)).unwrap();
        let error = refusal(&path);
        assert!(error.contains(fault), "{fault}: {error}");
    }
    assert!(!Path::new("/tmp/owned!").exists());

    // A storage that is too short for its tensor, or that decompresses to a thousand times its
    // size.
    for (size, fault) in [(100, "out of bounds"), (8 << 20, "claims 8388608 bytes")] {
        let replace =
            |name: &str, bytes| if name.contains("/data/") { vec![0; size] } else { bytes };
        fs::write(&path, rezip(&torch, replace)).unwrap();
        let error = refusal(&path);
        assert!(error.contains(fault), "{fault}: {error}");
    }
    fs::write(
        &path,
        rezip(
            &torch,
            |name, bytes| if name.ends_with("byteorder") { b"big".into() } else { bytes },
        ),
    )
    .unwrap();
    assert!(refusal(&path).contains("not little-endian"));
    fs::write(&path, &torch[torch.len() / 2..]).unwrap();
    refusal(&path);
    assert!(refusal(&place.path("")).contains("it is a folder"));
}
