//! The program as its users run it: output, JSON, files, exit codes.
#![cfg_attr(not(feature = "torch"), allow(dead_code, unused_imports))] // some is for what trains

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use crate::common::{Place, arrays, finish, mnist_digits, mnist_images, one, released};
use serde_json::Value;
use tch_mnist::network::classifier::Classifier;

/// Options that train in no time on the small data set.
const SMALL: [&str; 8] =
    ["train", "--data", "data", "--hidden", "16", "--batch-size", "20", "--threads=1"];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn small_training(place: &Place, more: &[&str]) -> (i32, String, String) {
    place.data_set("data", 200, 50);
    place.run(&[&SMALL, more].concat())
}

#[cfg(feature = "torch")]
#[test]
fn training_prints_an_epoch_a_line_and_saves_weights_with_their_record() {
    let place = Place::new();
    let (code, out, err) = small_training(&place, &["--validation-split", "0.1", "--epochs", "3"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].starts_with("Device: "), "{out}");
    for (epoch, line) in (1..=3).zip(&lines[1..]) {
        assert!(line.starts_with(&format!("Epoch {epoch}/3 - ")), "{out}");
        for word in [" - loss: ", " - accuracy: ", " - val_loss: ", " - val_accuracy: "] {
            assert!(line.contains(word), "{out}");
        }
    }
    assert!(lines[4].starts_with("Kept: epoch ") && lines[5].starts_with("Test: loss: "), "{out}");
    assert_eq!(lines[6..], ["Saved: models/mnist.json", "Saved: models/mnist.safetensors"]);
    assert!(!out.contains(['\r', '\x1b']), "a log file would be garbled: {out:?}");

    let record = json(&fs::read_to_string(place.path("models/mnist.json")).unwrap());
    assert_eq!(record["format"], 1);
    assert_eq!(record["configuration"]["hidden"], 16);
    assert_eq!(record["configuration"]["optimizer"], "rmsprop");
    assert_eq!(record["configuration"]["threads"], 1);
    assert_eq!(record["history"].as_array().unwrap().len(), 3);
    assert!(record["history"][2]["validation_accuracy"].as_f64().unwrap() > 0.);
    let command =
        [&["mnist"][..], &SMALL, &["--validation-split", "0.1", "--epochs", "3"]].concat();
    assert_eq!(record["command"], Value::from(command));
    let started = record["started"].as_str().unwrap();
    assert!(
        started.starts_with("20") && started.ends_with('Z') && started.len() == 20,
        "{started}"
    );
    assert!(record["seconds"].as_f64() > record["history"][2]["seconds"].as_f64());
    let bytes = fs::read(place.path("models/mnist.safetensors")).unwrap();
    assert_eq!(record["weights"]["sha256"], tch_mnist::files::sha256_hex(&bytes));

    // The other commands find these weights by themselves, and agree.
    let (code, out, err) = place.run(&["evaluate", "--data", "data", "--json"]);
    assert_eq!(code, 0);
    assert!(err.starts_with("Weights: models/mnist.safetensors\n"), "{err}");
    let evaluation = json(&out);
    assert_eq!(evaluation["accuracy"], record["test"]["accuracy"]);
    assert_eq!(evaluation["samples"], 50);
    assert_eq!(evaluation["classes"][3]["support"], 5);
    let bins = evaluation["calibration"]["bins"].as_array().unwrap();
    assert_eq!(bins.iter().map(|bin| bin["samples"].as_u64().unwrap()).sum::<u64>(), 50);
    assert!((0. ..1.).contains(&evaluation["calibration"]["error"].as_f64().unwrap()));
    let (code, out, _) =
        place.run(&["evaluate", "--data", "data", "--plot", "new/reliability.png"]);
    assert!(code == 0 && out.contains("\nlabel ↓ predicted →\n"), "{out}");
    assert!(out.contains("\nexpected calibration error: 0."), "{out}");
    assert!(image::open(place.path("new/reliability.png")).unwrap().width() > 1000);
}

#[cfg(feature = "torch")]
#[test]
fn the_same_command_gives_the_same_weights_and_init_goes_on_from_them() {
    let place = Place::new();
    let train = |more: &[&str]| {
        let (code, out, _) = small_training(&place, &[&["--epochs", "1", "--json"], more].concat());
        assert_eq!(code, 0);
        json(&out)["weights"]["sha256"].as_str().unwrap().to_string()
    };
    let first = train(&["--output", "a.safetensors"]);
    assert_eq!(first, train(&["--output", "b.safetensors"]));
    assert_ne!(first, train(&["--output", "c.safetensors", "--seed", "1"]));
    assert_ne!(first, train(&["--output", "f.safetensors", "--optimizer", "adam"]));
    assert_ne!(first, train(&["--output", "d.ot", "--init", "a.safetensors"]));
    let released = ["--init=released", "--lr=0.001", "--output=e.ot", "--json", "--epochs=1"];
    let (code, out, _) = place.run(&[&["train", "--data", "data"], &released[..]].concat());
    let configuration = &json(&out)["configuration"];
    assert_eq!((code, configuration["learning_rate"].as_f64()), (0, Some(0.001)));
    let bytes = include_bytes!("../../models/released.safetensors");
    assert_eq!(configuration["init_sha256"], tch_mnist::files::sha256_hex(bytes));
    let (code, _, err) =
        place.run(&["train", "--data", "data", "--hidden", "17", "--init", "a.safetensors"]);
    assert_eq!(code, 2);
    assert!(err.contains("has 16 hidden units, not 17; omit --hidden"), "{err}");
}

#[cfg(feature = "torch")]
#[test]
fn a_bad_run_is_saved_beside_good_weights() {
    let place = Place::new();
    let (code, _, _) = small_training(&place, &["--epochs", "10"]);
    assert_eq!(code, 0);
    let path = place.path("models/mnist.safetensors");
    let good = fs::read(&path).unwrap();
    // As good: replaced. By one that has learned nothing: not.
    assert_eq!(small_training(&place, &["--epochs", "10"]).0, 0);
    let bad = ["--epochs", "1", "--learning-rate", "1e-9"];
    for number in ["2", "3"] {
        let (code, out, err) = small_training(&place, &bad);
        assert_eq!(code, 1, "{err}");
        let saved = format!("models/mnist-{number}.safetensors");
        assert!(out.ends_with(&format!("\nSaved: {saved}\n")), "{out}");
        assert!(err.starts_with("warning: models/mnist.safetensors is kept ("), "{err}");
        assert!(err.ends_with("is chance level); --force replaces it\n"), "{err}");
        assert_eq!(fs::read(&path).unwrap(), good);
        let loaded = tch_mnist::weights::open(&place.path(&saved)).unwrap();
        assert!(loaded.record.is_some() && loaded.doubt.is_none());
    }
    let (code, out, err) = small_training(&place, &[&bad[..], &["--force"]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.ends_with("\nSaved: models/mnist.safetensors\n"), "{out}");
    assert_ne!(fs::read(&path).unwrap(), good);
    // What lies there now is not good: nothing is lost by another bad run.
    assert_eq!(small_training(&place, &[&bad[..], &["--seed", "1"]].concat()).0, 0);
}

/// The small data set with other labels to test on: what has learned the usual ones gets all wrong.
fn relabelled(place: &Place, name: &str, train: usize) {
    place.data_set(name, train, 50);
    let labels = place.path(&format!("{name}/t10k-labels-idx1-ubyte"));
    let mut changed = fs::read(&labels).unwrap();
    changed[8..].iter_mut().for_each(|label| *label = (*label + 3) % 10);
    fs::write(&labels, changed).unwrap();
}

#[cfg(feature = "torch")]
#[test]
fn weights_are_kept_that_are_good_at_something_else_or_that_a_test_cannot_tell() {
    let place = Place::new();
    assert_eq!(small_training(&place, &["--epochs", "10"]).0, 0);
    let path = place.path("models/mnist.safetensors");
    let good = fs::read(&path).unwrap();
    let train = |data: &str, more: &[&str]| {
        let (code, out, err) =
            place.run(&[&["train", "--data", data][..], &SMALL[3..], more].concat());
        let kept = err.contains("mnist.safetensors is kept (");
        assert_eq!((kept, code), (true, 1), "{out}{err}");
        assert_eq!(fs::read(&path).unwrap(), good);
        err
    };
    relabelled(&place, "other", 200);
    assert!(train("other", &["--epochs=1", "--lr=1e-9"]).contains("is chance level"));
    // One image, of which even the most frequent digit is all.
    place.data_set("one", 200, 1);
    assert!(train("one", &["--epochs=1"]).contains("a test set of 1 images cannot tell"));

    // What is none of our files is not replaced; an empty one is, and ONNX, which is not read.
    for (name, content, expected) in
        [("a.h5", "mine", 1), ("b.safetensors", "", 0), ("c.onnx", "old", 0)]
    {
        fs::write(place.path(name), content).unwrap();
        let (code, out, err) = small_training(&place, &["--epochs=1", "--output", name]);
        assert_eq!(code, expected, "{out}{err}");
        let is_kept = fs::read(place.path(name)).unwrap() == content.as_bytes();
        assert_eq!(
            (is_kept, err.contains("is kept (it cannot be loaded: ")),
            (code == 1, code == 1)
        );
        assert_eq!(out.contains("Saved: a-2.h5"), code == 1, "{out}");
    }
}

#[cfg(all(feature = "torch", unix))]
#[test]
fn an_interrupted_training_on_other_data_keeps_good_weights() {
    let place = Place::new();
    assert_eq!(small_training(&place, &["--epochs", "10"]).0, 0);
    let good = fs::read(place.path("models/mnist.safetensors")).unwrap();
    relabelled(&place, "other", 2000);
    let long = ["train", "--data", "other", "--epochs", "100000"];
    let mut command = place.interruptible(&[&long[..], &SMALL[3..]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.starts_with("Epoch 1/")));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert!(lines.any(|line| line == "Saved: models/mnist-2.safetensors"));
    let (code, _, err) = finish(child.wait_with_output().unwrap());
    assert!(code == 130 && err.contains("is kept (training was interrupted)"), "{err}");
    assert_eq!(fs::read(place.path("models/mnist.safetensors")).unwrap(), good);
}

#[cfg(feature = "torch")]
#[test]
fn wrong_usage_gives_2_and_failure_1_and_neither_changes_a_file() {
    let place = Place::new();
    place.data_set("data", 20, 10);
    fs::create_dir(place.path("folder.safetensors")).unwrap();
    fs::create_dir(place.path("record.json")).unwrap();
    fs::write(place.path("file"), "").unwrap();
    fs::write(place.path("text.safetensors"), "text").unwrap();
    for wrong in [
        &["train", "--epochs", "0"][..],
        &["train", "--hidden", "-1"],
        &["train", "--batch-size", "0"],
        &["train", "--learning-rate", "NaN"],
        &["train", "--learning-rate", "0"],
        &["train", "--learning-rate", "-1"],
        &["train", "--learning-rate", "1e300"],
        &["train", "--optimizer", "adam", "--learning-rate", "4e37"],
        &["train", "--optimizer", "adamw", "--learning-rate", "3.4e38"],
        &["train", "--output", "a.pt"],
        &["train", "--validation-split", "1"],
        &["train", "--optimizer", "adamm"],
        &["train", "--device", "gpu"],
        &["train", "--device", "cuda:+1"],
        &["train", "--threads", "0"],
        &["predict"],
        &["predict", "--top", "11", "a.png"],
        &["no-such-command"],
        &[],
    ] {
        let (code, out, err) = place.run(wrong);
        assert_eq!((code, out.as_str()), (2, ""), "{wrong:?}");
        assert!(err.contains("Usage") || err.contains("--help"), "{err}");
    }
    for (failing, fault) in [
        (&["train", "--data", "nowhere"][..], "nowhere"),
        (&["evaluate", "--data", "file"], "cannot read data from file: it is a file, not a folder"),
        (&["train", "--data", "data", "--output", "folder.safetensors"], "it is a folder"),
        (&["train", "--data", "data", "--output", "record.ot"], "record.json: it is a folder"),
        (&["train", "--data", "data", "--output", "file/a.ot"], "cannot create the folder file"),
        (&["train", "--data", "data", "--init", "none.ot"], "none.ot"),
        (&["train", "--data", "data", "--device", "mps"], "cannot use MPS"),
        (&["evaluate", "--weights", "text.safetensors"], "text.safetensors"),
        (&["predict", "--weights", "none.safetensors", "a.png"], "none.safetensors"),
        (&["summary", "--weights", "file"], "it is empty"),
        (&["summary", "--weights", "nowhere"], "No such file"),
    ] {
        let (code, _, err) = place.run(failing);
        assert_eq!(code, 1, "{failing:?} {err}");
        assert!(err.contains(fault) && err.contains("error: "), "{failing:?}: {err}");
        assert!(!err.contains("panicked"), "{err}");
    }
    assert!(
        !place.path("models").exists() || place.path("models").read_dir().unwrap().count() == 0
    );
    assert_eq!(fs::read(place.path("text.safetensors")).unwrap(), b"text");
}

#[cfg(feature = "torch")]
#[test]
fn an_unavailable_device_is_reported_with_the_cause() {
    if tch_mnist::network::device::cuda().is_ok() {
        return; // that it works there is seen by `mnist doctor`
    }
    let place = Place::new();
    place.data_set("data", 20, 10);
    let (code, out, err) = place.run(&["train", "--data", "data", "--device", "cuda"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.starts_with("error: cannot use CUDA: "), "{err}");
    let (code, out, _) = place.run(&["doctor", "--json"]);
    assert_eq!(code, 0);
    let found = json(&out);
    assert!(found["cuda"]["error"].as_str().unwrap().contains("NVIDIA"), "{found}");
    assert_eq!(found["device"], "cpu");
    assert_eq!(found["libtorch"], tch_mnist::LIBTORCH);
    assert!(found["threads"].as_u64() >= Some(1) && found["cores"].as_u64() >= Some(1), "{found}");
    assert_eq!((&found["data"]["train"], &found["data"]["test"]), (&60_000.into(), &10_000.into()));
    assert_eq!(
        found["weights"],
        serde_json::json!({"name": "the released weights", "hidden": 512})
    );
    let (code, out, _) = place.run(&["doctor"]);
    assert_eq!(code, 0);
    for row in
        ["program   tch-mnist ", "CUDA      not available: ", "data      built-in MNIST, 60000 + "]
    {
        assert!(out.lines().any(|line| line.starts_with(row)), "{row}: {out}");
    }
}

/// Without a card, this is as far as CUDA can be followed: a driver is found, libtorch's CUDA half
/// is loaded, or what it lacks is named, and the program goes on on the CPU only when it may.
#[cfg(feature = "torch")]
#[cfg(target_os = "linux")]
#[test]
fn with_a_driver_but_no_card_cuda_is_loaded_and_the_cause_is_named() {
    if tch_mnist::network::device::cuda().is_ok() {
        return;
    }
    let place = Place::new();
    place.data_set("data", 20, 10);
    fs::write(place.path("driver.c"), "int nothing;").unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", "libcuda.so.1", "driver.c"])
        .current_dir(place.path(""))
        .status();
    assert!(compiled.unwrap().success());
    let with_driver = |arguments: &[&str]| {
        let folders = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
        let folders = format!("{}:{folders}", place.path("").display());
        finish(place.command(arguments).env("LD_LIBRARY_PATH", folders).output().unwrap())
    };
    let (code, _, err) = with_driver(&["train", "--data", "data", "--device", "cuda"]);
    assert_eq!(code, 1);
    let causes = [
        "cannot open shared object file: No such file or directory); install them with `make libtorch CUDA=1`",
        "built without CUDA (",
        "the NVIDIA driver finds no usable card",
    ];
    assert!(causes.iter().any(|cause| err.contains(cause)), "{err}");
    let (code, out, _) = with_driver(&["evaluate", "--data", "data", "--device", "auto", "--json"]);
    assert_eq!((code, json(&out)["samples"].as_u64()), (0, Some(10)));
}

#[test]
fn summary_is_keras_s() {
    let (code, out, err) = Place::new().run(&["summary"]);
    assert_eq!((code, err.as_str()), (0, "Weights: the released weights\n"));
    for line in [
        " dense_1 (Dense)             (None, 512)               401920",
        " dense_2 (Dense)             (None, 10)                5130",
        "Total params: 407,050",
        "Trainable params: 407,050",
        "Non-trainable params: 0",
    ] {
        assert!(out.lines().any(|found| found == line), "{out}");
    }
    let (_, out, _) = Place::new().run(&["summary", "--json"]);
    assert_eq!(json(&out)["parameters"], 407_050);
}

#[test]
fn predicting_the_images_of_mnist_agrees_with_evaluating_them() {
    let place = Place::new();
    let mut paths = String::new();
    for (index, image) in mnist_images(1000).iter().enumerate() {
        let path = place.path(&format!("{index}.png"));
        image.save(&path).unwrap();
        paths += &format!("{}\n", path.display());
    }
    let mut command = place.command(&["predict", "--json", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(paths.as_bytes()).unwrap());
    let (code, out, _) = finish(child.wait_with_output().unwrap());
    writer.join().unwrap();
    assert_eq!(code, 0);

    let expected = released().predict(&mnist_digits(1000)).unwrap();
    let lines: Vec<Value> = out.lines().map(json).collect();
    assert_eq!(lines.len(), 1000);
    let agree =
        lines.iter().zip(&expected).filter(|(line, digit)| line["label"] == digit.label).count();
    assert!(agree >= 995, "{agree} of 1000");
    for (index, line) in lines.iter().enumerate() {
        assert!(line["path"].as_str().unwrap().ends_with(&format!("/{index}.png")), "out of order");
        let probabilities: Vec<f64> =
            serde_json::from_value(line["probabilities"].clone()).unwrap();
        assert_eq!(probabilities.len(), 10);
        assert!((probabilities.iter().sum::<f64>() - 1.).abs() < 1e-5);
        let confidence = line["confidence"].as_f64().unwrap();
        assert!(probabilities.iter().all(|p| *p <= confidence));
        if let Some(label) = line["label"].as_u64() {
            assert_eq!(probabilities[label as usize], confidence);
        }
    }
}

#[test]
fn a_bad_image_is_reported_and_the_others_go_on() {
    let place = Place::new();
    one(60, 90).save(place.path("a.png")).unwrap();
    one(61, 91).save(place.path("b.png")).unwrap();
    image::GrayImage::from_pixel(50, 50, image::Luma([255])).save(place.path("blank.png")).unwrap();
    fs::write(place.path("text.png"), "not an image").unwrap();
    let bytes = fs::read(place.path("a.png")).unwrap();
    fs::write(place.path("cut.png"), &bytes[..bytes.len() / 2]).unwrap();
    fs::create_dir(place.path("none")).unwrap();
    let arguments = ["a.png", "blank.png", "text.png", "cut.png", "none.png", "b.png", "none"];
    let (code, out, err) = place.run(&[&["predict"][..], &arguments].concat());
    assert_eq!(code, 1);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert!(lines[0].starts_with("a.png: 1 (") && lines[0].ends_with("%)"), "{out}");
    assert!(lines[1].starts_with("b.png: 1 ("), "{out}");
    assert!(err.contains("error: there are no images in the folder none"), "{err}");
    for bad in ["blank.png", "text.png", "cut.png", "none.png"] {
        let message = format!("error: cannot read the image {bad}: ");
        assert_eq!(err.lines().filter(|line| line.starts_with(&message)).count(), 1, "{err}");
    }
    assert!(err.contains("it is blank") && err.contains("not a PNG, JPEG"), "{err}");

    let (code, out, _) = place.run(&["predict", "--top", "3", "a.png"]);
    assert_eq!((code, out.matches('%').count()), (0, 3), "{out}");
    let (code, out, err) = place.run(&["predict", "-"]); // nothing on standard input
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", "Weights: the released weights\n"));
    let (_, _, err) = place.run(&["predict", "--verbose", "a.png"]);
    assert!(err.contains("\nDevice: cpu ("), "{err}");
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_alone_is_not_an_error() {
    let place = Place::new();
    one(60, 90).save(place.path("a.png")).unwrap();
    for arguments in [&["predict", "--json", "-"][..], &["summary"]] {
        let mut command = place.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        // More than a pipe holds, so that the program must meet the closed end.
        let _ = child.stdin.take().unwrap().write_all("a.png\n".repeat(1000).as_bytes());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert!(!err.contains("error") && !err.contains("panicked"), "{err}");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    // But an image that failed before is one still.
    for name in ["predict", "read"] {
        let mut command = place.command(&[name, "none.png", "a.png"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let (code, _, err) = finish(child.wait_with_output().unwrap());
        assert!(code == 1 && err.contains("none.png"), "{name}: {err}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error_that_names_it() {
    let place = Place::new();
    one(60, 90).save(place.path("a.png")).unwrap();
    for arguments in [
        &["predict", "a.png"][..],
        &["read", "a.png"],
        &["summary"],
        &["doctor"],
        &["--version"],
        &["--help"],
        &["train", "--help"],
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, _, err) = finish(place.command(arguments).stdout(full).output().unwrap());
        let message = "error: cannot write to standard output: No space left on device";
        assert!(code == 1 && err.contains(message), "{arguments:?}: {err}");

        let inner = place.command(arguments);
        let mut closed = Command::new("sh");
        closed.args(["-c", "exec \"$0\" \"$@\" >&-"]).arg(inner.get_program()).args(arguments);
        let (code, _, err) = finish(closed.current_dir(place.path("")).output().unwrap());
        let message = "error: cannot write to standard output: it is closed";
        assert!(code == 1 && err.contains(message), "{arguments:?}: {err}");
    }
}

#[cfg(feature = "torch")]
#[cfg(unix)]
#[test]
fn names_of_files_never_reach_a_terminal_as_they_are() {
    let place = Place::new();
    let name = "a\x1b[31m\n\u{202e}.png";
    let shown = r"a\u{1b}[31m\n\u{202e}.png";
    one(60, 90).save(place.path("a.png")).unwrap();
    fs::rename(place.path("a.png"), place.path(name)).unwrap();
    tch_mnist::weights::save(&arrays(16, 0), &place.path("w\x1b\n.ot")).unwrap();
    for (arguments, code) in [
        (&["predict", name][..], 0),
        (&["predict", "none\x1b\n.png"], 1),
        (&["read", name, name], 0),
        (&["read", "none\x1b\n.png"], 1),
        (&["summary", "--weights", "w\x1b\n.ot"], 0),
        (&["summary", "--weights", "none\x1b\n.ot"], 1),
        (&["convert", "w\x1b\n.ot", "o\x1b\n.ot"], 0),
        (&["show", "--output", "o\x1b\n.png"], 0),
        (&["predict", name, "--explain", "why.svg"], 0),
        (&["predict", name, "--json"], 0),
        (&["predict", "--\x1b[2J\n.png"], 2),
        (&["read", name, "--device", "\x1b]0;\u{9b}"], 2),
    ] {
        let (found, out, err) = place.run(arguments);
        assert_eq!(found, code, "{arguments:?}: {out}{err}");
        let text = out + &err;
        assert!(
            text.lines().all(|line| !line.contains(char::is_control)),
            "{arguments:?}: {text:?}"
        );
        assert!(!text.contains('\u{202e}'), "{arguments:?}: {text:?}");
        // Half a name on a line of its own is what a newline would have left.
        assert!(!text.lines().any(|line| line.starts_with('.')), "{arguments:?}: {text:?}");
    }
    let (_, out, _) = place.run(&["predict", name]);
    assert!(out.starts_with(&format!("{shown}: 1 (")), "{out}");
    let (_, out, _) = place.run(&["predict", name, "--json"]);
    assert_eq!(json(&out)["path"], name, "JSON is exact");
    // What is not written to a terminal, colours are left out of: this is what shows the escape.
    let (_, _, err) = place.run(&["predict", "--\x1b[2Ja"]);
    assert!(err.contains(r"--\u{1b}[2Ja"), "{err}");
    let svg = fs::read_to_string(place.path("why.svg")).unwrap();
    assert!(svg.contains(r"a\u{1b}[31m\n") && !svg.contains('\x1b'), "{svg}");
}

/// From names of files, from what weights hold, and from their records.
#[cfg(feature = "torch")]
#[cfg(unix)]
#[test]
fn what_files_hold_never_reaches_a_terminal_as_it_is() {
    let place = Place::new();
    one(60, 90).save(place.path("a.png")).unwrap();
    place.data_set("data", 40, 20);
    place.data_set("d\x1b\n", 40, 20);
    let evil = "w\x1b[2J\n\u{202e}";
    let named = ["a\x1b[2J\n\u{202e}", "b\x1b[2J\n\u{202e}"];
    fs::create_dir(place.path("models")).unwrap();
    let path = place.path("models/mnist.safetensors");
    let mut record =
        serde_json::json!({"program": evil, "weights": {"file": evil, "sha256": evil}});
    tch_mnist::weights::save_as(&arrays(16, 0), &path, named, Some(&mut record)).unwrap();
    let record = serde_json::json!({"weights": {"file": evil, "sha256": evil}, evil: evil});
    let clean = |arguments: &[&str], expected: i32| {
        let (code, out, err) = place.run(arguments);
        assert_eq!(code, expected, "{arguments:?}: {out}{err}");
        for line in (out + &err).lines() {
            let foreign = |c: char| c.is_control() || c == '\u{202e}';
            assert!(!line.contains(foreign), "{arguments:?}: {line:?}");
            assert!(
                !line.starts_with('.') && !line.starts_with("\u{202e}"),
                "{arguments:?}: {line:?}"
            );
        }
    };
    let output = ["train", "--data", "data", "--epochs", "1", "--hidden", "16", "--output"];
    for record in [None, Some(record)] {
        if let Some(record) = record {
            fs::write(place.path("models/mnist.json"), record.to_string()).unwrap();
        }
        clean(&["doctor"], 0);
        clean(&["summary"], 0);
        clean(&["predict", "a.png"], 0);
        clean(&["evaluate", "--data", "d\x1b\n"], 0);
        clean(&["convert", "models/mnist.safetensors", "c\x1b\n.ot"], 0);
    }
    clean(&[&output[..], &["o\x1b\n.ot"]].concat(), 0);
    // Names within weights that are not ours.
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(6).position(|name| name == b".weigh").unwrap();
    bytes[at..at + 6].copy_from_slice(b".wight");
    fs::write(place.path("models/mnist.safetensors"), bytes).unwrap();
    clean(&["summary"], 1);
    clean(&["evaluate", "--data", "data"], 1);
    clean(&["doctor"], 1);
}

/// A pipe that is open and silent holds back what comes after it, and is given up.
#[cfg(target_os = "linux")] // elsewhere a pipe cannot be opened to read and write
#[test]
fn a_silent_pipe_among_images_costs_that_image_only() {
    let place = Place::new();
    for name in ["a.png", "b.png"] {
        one(60, 90).save(place.path(name)).unwrap();
    }
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    let pipe = fs::File::options().read(true).write(true).open(place.path("pipe")).unwrap();
    let children = ["predict", "read"].map(|verb| {
        let mut command = place.command(&[verb, "a.png", "pipe", "b.png"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    });
    for (child, expected) in
        children.into_iter().zip([["a.png: 1 (", "b.png: 1 ("], ["a.png:", "b.png:"]])
    {
        let (code, out, err) = finish(child.wait_with_output().unwrap());
        let found: Vec<_> = out.lines().filter(|line| line.contains("png")).collect();
        assert_eq!((code, found.len()), (1, 2), "{out}{err}");
        assert!(found.iter().zip(expected).all(|(line, start)| line.starts_with(start)), "{out}");
        let error = "error: cannot read the image pipe: nothing more came through the pipe";
        assert_eq!(
            err.lines().filter(|line| line.starts_with("error: ")).collect::<Vec<_>>(),
            [error]
        );
    }
    drop(pipe);
}

#[test]
fn a_folder_is_its_images_and_csv_has_what_json_has() {
    let place = Place::new();
    fs::create_dir(place.path("in")).unwrap();
    one(60, 90).save(place.path("in/b.png")).unwrap();
    one(61, 91).save(place.path("in/a,\"1.png")).unwrap();
    fs::write(place.path("in/notes.txt"), "no image").unwrap();
    let (code, out, err) = place.run(&["predict", "in"]);
    assert_eq!((code, err.as_str()), (0, "Weights: the released weights\n"));
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].starts_with("in/a,\"1.png: 1 ("), "{out}");
    assert!(lines[1].starts_with("in/b.png: 1 (") && lines.len() == 2, "{out}");

    let (code, out, _) = place.run(&["predict", "--csv", "in"]);
    let lines: Vec<_> = out.lines().collect();
    assert_eq!((code, lines.len()), (0, 3), "{out}");
    assert_eq!(lines[0], "path,digit,score,label,confidence,0,1,2,3,4,5,6,7,8,9");
    assert!(
        lines[1].starts_with("\"in/a,\"\"1.png\",true,") && lines[2].starts_with("in/b.png,true,")
    );
    let columns: Vec<_> = lines[2].split(',').collect();
    let (_, out, _) = place.run(&["predict", "--json", "in/b.png"]);
    let answer = json(&out);
    assert_eq!((columns.len(), columns[3]), (15, "1"));
    for (column, value) in [(2, &answer["score"]), (4, &answer["confidence"])] {
        assert_eq!(columns[column].parse::<f32>().unwrap(), value.as_f64().unwrap() as f32);
    }
    assert_eq!(place.run(&["predict", "--csv", "--json", "in"]).0, 2);

    // One is less sure than that; JSON and CSV say so by themselves.
    let (code, out, _) = place.run(&["predict", "--min-confidence", "1", "in/b.png"]);
    assert!(code == 0 && (out == "in/b.png: ?\n" || out.contains("(100.0%)")), "{out}");

    let mut command = place.command(&["read", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"in/b.png\nin/a,\"1.png\n").unwrap();
    let (code, out, _) = finish(child.wait_with_output().unwrap());
    assert_eq!((code, out.as_str()), (0, "in/b.png:\n1\nin/a,\"1.png:\n1\n"));
    assert_eq!(place.run(&["read", "in"]).1, "in/a,\"1.png:\n1\nin/b.png:\n1\n");
    assert_eq!(place.run(&["read", "in", "--annotate", "a.png"]).0, 2);
}

#[test]
fn released_names_the_built_in_weights_and_reading_takes_the_better_ones() {
    let place = Place::new();
    one(60, 90).save(place.path("a.png")).unwrap();
    let save = |data: &str, accuracy: f64| {
        let mut record = serde_json::json!({
            "configuration": {"data": data, "data_sha256": null},
            "test": {"accuracy": accuracy},
        });
        let path = place.path("models/mnist.safetensors");
        fs::create_dir_all(place.path("models")).unwrap();
        tch_mnist::weights::save_with_record(&arrays(16, 0), &mut record, &path).unwrap();
    };
    let released = "Weights: the released weights\n";
    for (data, accuracy, why) in [
        ("built-in MNIST", 0.98, "(98.00% of MNIST's test set right, the released weights 99.50%)"),
        ("mine", 1., "(no record says how well they do on MNIST's test set)"),
    ] {
        save(data, accuracy);
        for verb in ["predict", "read"] {
            let (code, _, err) = place.run(&[verb, "a.png"]);
            let passed = format!(
                "models/mnist.safetensors is passed over {why}; --weights models/mnist.safetensors \
                 takes it\n{released}"
            );
            assert_eq!((code, err), (0, passed));
        }
        let (_, _, err) = place.run(&["predict", "--weights", "released", "a.png"]);
        assert_eq!(err, released);
        let (_, _, err) = place.run(&["summary"]); // of what was trained
        assert_eq!(err, "Weights: models/mnist.safetensors\n");
        assert_eq!(place.run(&["summary", "--weights", "released"]).2, released);
    }
    save("built-in MNIST", 0.9999);
    let (_, _, err) = place.run(&["predict", "a.png"]);
    assert_eq!(
        err,
        "the released weights are passed over (99.50% of MNIST's test set right, \
         models/mnist.safetensors 99.99%); --weights released takes them\n\
         Weights: models/mnist.safetensors\n"
    );

    assert_eq!(place.run(&["convert", "released", "a.ot"]).0, 0);
    let loaded = tch_mnist::weights::open(&place.path("a.ot")).unwrap();
    assert_eq!(loaded.arrays, tch_mnist::weights::released().unwrap());
    assert_eq!(loaded.record.unwrap()["configuration"]["data"], "built-in MNIST");
}

#[cfg(unix)]
#[test]
fn a_link_to_no_weights_is_named() {
    let place = Place::new();
    fs::create_dir(place.path("models")).unwrap();
    std::os::unix::fs::symlink("gone", place.path("models/mnist.safetensors")).unwrap();
    let (code, _, err) = place.run(&["summary"]);
    assert!(code == 0 && err.contains("Weights: the released weights"), "{err}");
    assert!(
        err.contains("warning: models/mnist.safetensors is a link to a file that does not exist")
    );
}

#[cfg(feature = "torch")]
#[cfg(unix)]
#[test]
fn doctor_says_why_data_cannot_be_kept() {
    let place = Place::new();
    let mut command = place.command(&["doctor"]);
    let (code, out, err) = finish(command.env("XDG_CACHE_HOME", "/dev/null").output().unwrap());
    let line = out.lines().find(|line| line.starts_with("data ")).unwrap();
    let expected =
        "unpacked in a temporary folder each time: cannot keep data in /dev/null/tch-mnist: ";
    assert!(code == 0 && line.contains(expected), "{out}{err}");
}

#[cfg(unix)]
#[test]
fn results_come_as_soon_as_they_are_there() {
    let place = Place::new();
    one(60, 90).save(place.path("a.png")).unwrap();
    let mut command = place.command(&["predict", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // Each waits for the one before: were results held back, this would never end.
    for _ in 0..3 {
        writeln!(stdin, "a.png").unwrap();
        assert!(lines.next().unwrap().unwrap().starts_with("a.png: 1 ("));
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn an_image_where_a_list_of_paths_is_expected_is_one_error() {
    let place = Place::new();
    one(60, 90).save(place.path("a.png")).unwrap();
    let mut command = place.command(&["predict", "-"]);
    command.stdin(fs::File::open(place.path("a.png")).unwrap());
    let (code, out, err) = finish(command.output().unwrap());
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(err.matches("error: ").count(), 1, "{err}");
    assert!(err.contains("binary data") && err.contains("/dev/stdin"), "{err}");
}

#[test]
fn more_threads_than_cores_are_warned_of_with_the_number_to_use() {
    let place = Place::new();
    one(60, 90).save(place.path("a.png")).unwrap();
    let cores = std::thread::available_parallelism().unwrap().get();
    let warning = format!("{} threads on {cores} core(s)", cores + 1);
    for (threads, warned) in [(cores, false), (cores + 1, true)] {
        let (code, _, err) = place.run(&["predict", "a.png", "--threads", &threads.to_string()]);
        assert_eq!((code, err.contains("warning: ")), (0, warned), "{err}");
        assert_eq!(err.contains(&warning), warned, "{err}");
        assert_eq!(err.contains(&format!("use --threads {cores}")), warned, "{err}");
    }
}

#[test]
fn predict_suggests_read_for_an_image_with_several_digits() {
    let place = Place::new();
    let one = one(60, 90);
    one.save(place.path("one.png")).unwrap();
    let mut three = image::GrayImage::new(180, 90);
    for x in [0, 60, 120] {
        image::imageops::replace(&mut three, &one, x, 0);
    }
    three.save(place.path("three.png")).unwrap();
    let (code, out, err) = place.run(&["predict", "one.png", "three.png"]);
    assert!(code == 0 && out.lines().count() == 2, "{out}{err}");
    let notes: Vec<_> = err.lines().filter(|line| line.contains("several digits")).collect();
    assert_eq!(notes.len(), 1, "{err}");
    assert!(notes[0].starts_with("three.png: ") && notes[0].contains("`mnist read`"), "{err}");
}

/// Whatever limit there is on memory, an error says so: no abort, and no wait for ever, to which a
/// backtrace has led.
#[cfg(feature = "torch")]
#[cfg(target_os = "linux")]
#[test]
fn too_little_memory_is_an_error() {
    let place = Place::new();
    one(60, 90).save(place.path("a.png")).unwrap();
    let large =
        image::GrayImage::from_fn(4000, 4000, |x, y| [[255], [0]][usize::from(x == y)].into());
    large.save(place.path("large.png")).unwrap();
    place.data_set("data", 40, 20);
    let train: &[&str] = &["train", "--data", "data", "--epochs", "1", "--hidden", "16"];
    let verbs = [
        &["predict", "a.png"][..],
        &["read", "a.png"],
        &["predict", "large.png"],
        &["read", "large.png"],
        &["summary"],
        train,
        &["show", "--output", "b.png"],
    ];
    let mut refused = 0;
    for arguments in verbs {
        if !cfg!(feature = "torch") && arguments == train {
            continue;
        }
        for (option, mebibytes) in [
            ('v', 390),
            ('v', 450),
            ('v', 510),
            ('v', 560),
            ('v', 650),
            ('v', 900),
            ('d', 20),
            ('d', 150),
        ] {
            let inner = place.command(arguments);
            let limited = format!("ulimit -{option} {} && exec \"$0\" \"$@\"", mebibytes * 1024);
            let mut command = Command::new("sh");
            command.args(["-c", &limited]).arg(inner.get_program()).args(arguments);
            command.current_dir(place.path("")).env("RUST_BACKTRACE", "1");
            for (name, value) in inner.get_envs() {
                command.env(name, value.unwrap());
            }
            let (code, _, err) = finish(command.output().unwrap());
            let unloaded = code == 127 && err.contains("shared libraries");
            let told = code == 1 && err.lines().last().unwrap().starts_with("error: ");
            let named = err.contains("not enough memory") || err.contains("cannot start");
            refused += u32::from(told && named);
            let ended = code == 0 || unloaded || told && named && !err.contains("panicked");
            assert!(ended, "{arguments:?} with -{option} {mebibytes} MiB: {code} {err}");
        }
    }
    assert!(refused > 0);
}

#[cfg(unix)]
#[test]
fn when_no_thread_can_be_started_there_is_an_error_and_no_panic() {
    let place = Place::new();
    one(60, 90).save(place.path("a.png")).unwrap();
    // The limit does not hold for root.
    let inner = place.command(&["predict", "a.png"]);
    let limited = "ulimit -u 1 && exec \"$0\" predict a.png";
    let as_nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", limited];
    let output = Command::new("setpriv")
        .args(as_nobody)
        .arg(inner.get_program())
        .current_dir(place.path(""))
        .output();
    let Ok(output) = output else { return println!("skipped: there is no setpriv") };
    let (code, out, err) = finish(output);
    if !err.contains("Weights: ") && !err.contains("error: ") {
        return println!("skipped: the program cannot be run as another user: {err}");
    }
    let cause = ["cannot start", "Resource temporarily unavailable"];
    assert!(cause.iter().all(|text| err.matches(text).count() == 1), "{err}");
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_deleted_current_folder_is_an_error() {
    let place = Place::new();
    one(60, 90).save(place.path("a.png")).unwrap();
    let image = place.path("a.png").display().to_string();
    let inner = place.command(&[]);
    let gone = "mkdir gone && cd gone && rmdir ../gone && exec \"$0\" \"$@\"";
    for arguments in [&["predict", &image][..], &["summary"], &["convert", "b.ot", "c.ot"]] {
        let mut command = Command::new("sh");
        command.args(["-c", gone]).arg(inner.get_program()).args(arguments);
        let (code, out, err) = finish(command.current_dir(place.path("")).output().unwrap());
        assert_eq!((code, out.as_str()), (1, ""), "{arguments:?}: {err}");
        assert!(err.starts_with("error: the current folder cannot be used"), "{err}");
    }
}

#[cfg(feature = "torch")]
#[cfg(unix)]
#[test]
fn ctrl_c_keeps_the_last_complete_epoch() {
    let place = Place::new();
    place.data_set("data", 2000, 50);
    let long = ["--epochs", "100000"];
    let mut command = place.interruptible(&[&SMALL[..], &long].concat());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.starts_with("Epoch 3/")));
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let said = rest
        .iter()
        .find_map(|line| line.strip_prefix("Interrupted: these are the weights of epoch "));
    let record = json(&fs::read_to_string(place.path("models/mnist.json")).unwrap());
    assert_eq!(record["interrupted"], true);
    let epochs = record["history"].as_array().unwrap().len();
    assert_eq!(said, Some(epochs.to_string().as_str()), "{rest:?}");

    // Training for just as many epochs gives the very same weights.
    let epochs = epochs.to_string();
    let path = place.path("models/mnist.safetensors");
    let weights = || tch_mnist::weights::load(&path).unwrap();
    let interrupted = weights();
    assert_eq!(place.run(&[&SMALL[..], &["--epochs", &epochs]].concat()).0, 0);
    assert_eq!(weights(), interrupted);
}

#[cfg(feature = "torch")]
#[cfg(unix)]
#[test]
fn a_closed_terminal_keeps_the_last_complete_epoch() {
    let place = Place::new();
    place.data_set("data", 2000, 50);
    let mut command = place.interruptible(&[&SMALL[..], &["--epochs", "100000"]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.starts_with("Epoch 3/")));
    drop((lines, child.stderr.take())); // nobody reads on
    // The kernel sends it, and the shell that got it, too.
    for _ in 0..2 {
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    }
    assert_eq!(child.wait().unwrap().code(), Some(129));
    let record = json(&fs::read_to_string(place.path("models/mnist.json")).unwrap());
    assert_eq!(record["interrupted"], true);
    assert!(record["history"].as_array().unwrap().len() >= 3);
    tch_mnist::weights::load(&place.path("models/mnist.safetensors")).unwrap();
}

#[cfg(feature = "torch")]
#[cfg(unix)]
#[test]
fn ctrl_c_stays_ignored_where_it_was() {
    let place = Place::new();
    place.data_set("data", 2000, 50);
    let inner = place.command(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' INT; exec \"$0\" \"$@\""]).arg(inner.get_program()).args(SMALL);
    command.args(["--epochs", "100000"]).current_dir(place.path("")).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let send =
        |signal| Command::new("kill").args([signal, &*child.id().to_string()]).status().unwrap();
    for epoch in ["Epoch 1/", "Epoch 3/", "Epoch 5/"] {
        assert!(lines.by_ref().any(|line| line.starts_with(epoch)));
        assert!(send("-INT").success());
    }
    assert!(send("-TERM").success());
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[cfg(feature = "torch")]
#[cfg(unix)]
#[test]
fn a_second_ctrl_c_ends_at_once_and_in_order() {
    let place = Place::new();
    place.data_set("data", 5000, 50);
    for _ in 0..5 {
        let long = ["train", "--data", "data", "--epochs", "100000"];
        let mut child = place.interruptible(&long).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.by_ref().any(|line| line.starts_with("Epoch 1/")));
        for _ in 0..2 {
            let id = child.id().to_string();
            assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        }
        assert_eq!(child.wait().unwrap().code(), Some(130)); // not a signal's end, as of a crash
    }
}

#[cfg(feature = "torch")]
#[test]
fn training_outlives_the_reader_of_its_output() {
    let place = Place::new();
    place.data_set("data", 200, 50);
    let mut command = place.command(&[&SMALL[..], &["--epochs", "4"]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert_eq!(finish(child.wait_with_output().unwrap()), (0, String::new(), String::new()));
    let record = json(&fs::read_to_string(place.path("models/mnist.json")).unwrap());
    assert_eq!(record["history"].as_array().unwrap().len(), 4);
}

#[cfg(feature = "torch")]
#[test]
fn a_divergence_in_the_very_last_step_is_not_saved() {
    let place = Place::new();
    place.data_set("data", 20, 10);
    let once = ["train", "--data", "data", "--epochs", "1", "--batch-size", "20"];
    for rate in ["1e30", "1e25"] {
        let rest = ["--optimizer", "sgd", "--learning-rate", rate];
        let (code, _, err) = place.run(&[&once[..], &rest].concat());
        assert_eq!(code, 1, "{err}");
        assert!(err.contains("has diverged") && !err.contains("panicked"), "{err}");
        assert!(!place.path("models/mnist.safetensors").exists());
    }
}

#[cfg(feature = "torch")]
#[test]
fn two_first_starts_at_once_both_succeed_and_a_damaged_cache_is_repaired() {
    let place = Place::new();
    let cache = place.path("fresh");
    let evaluate = || {
        let mut command = place.command(&["evaluate", "--json"]);
        command.env("XDG_CACHE_HOME", &cache).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let both = [evaluate(), evaluate()].map(|child| finish(child.wait_with_output().unwrap()));
    assert_eq!((both[0].0, both[1].0), (0, 0), "{both:?}");
    assert_eq!(both[0].1, both[1].1);
    if !cfg!(target_os = "linux") {
        return; // the cache folder is elsewhere
    }
    let files = || fs::read_dir(cache.join("tch-mnist")).unwrap().flatten().map(|file| file.path());
    assert_eq!(files().count(), 4, "temporary files are left");
    // As a killed unpacking of old, or a bad disk, might leave them.
    for path in files() {
        let length = fs::metadata(&path).unwrap().len();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    }
    let repaired = finish(evaluate().wait_with_output().unwrap());
    assert_eq!((repaired.0, &repaired.1), (0, &both[0].1), "{}", repaired.2);
    // Nor does a cache that cannot be created.
    fs::remove_dir_all(&cache).unwrap();
    fs::write(&cache, "a file in its place").unwrap();
    let without = finish(evaluate().wait_with_output().unwrap());
    assert_eq!((without.0, &without.1), (0, &both[0].1), "{}", without.2);
}

#[test]
fn help_shows_every_default() {
    let place = Place::new();
    let (code, out, _) = place.run(&["train", "--help"]);
    assert_eq!(code, 0);
    for default in ["rmsprop", "5", "128", "0", "auto", "models/mnist.safetensors"] {
        assert!(out.contains(&format!("[default: {default}]")), "{default}: {out}");
    }
    assert!(out.contains("[default: 512") && out.contains("[default: 0.001"), "{out}");
    let (code, out, _) = place.run(&["compare", "--help"]);
    assert_eq!(code, 0);
    for default in ["adam,rmsprop,adamw,sgd", "3", "5", "128", "0", "auto"] {
        assert!(out.contains(&format!("[default: {default}]")), "{default}: {out}");
    }
    assert!(out.contains("for each run [default: 1]"), "{out}");
    let (code, out, _) = place.run(&["show", "--help"]);
    let words = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(code == 0 && words.contains("[default: the built-in MNIST]"), "{out}");
    assert!(out.contains("[default: 10x10]"), "{out}");
    for command in ["compare", "evaluate", "predict", "read", "summary", "doctor"] {
        let (code, out, _) = place.run(&[command, "--help"]);
        assert!(code == 0 && out.contains("--json"), "{out}");
    }
}

#[test]
fn shells_get_completions_of_all_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (code, out, err) = place.run(&["completions", shell]);
        assert_eq!((code, err.as_str()), (0, ""));
        for word in ["predict", "min-confidence", "elastic"] {
            assert!(out.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(place.run(&["completions", "cmd"]).0, 2);
}
