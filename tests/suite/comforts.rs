//! What people know from Keras: early stopping, the best epoch, checkpoints; and completions, quiet
//! and coloured output.

use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow::{Break, Continue};
use std::process::Stdio;

use serde_json::Value;
use tch::{Device, Kind, no_grad};
use tch_mnist::dataset::{self, Samples, augment::Augment};
use tch_mnist::files::sha256_hex;
use tch_mnist::network::model::Model;
use tch_mnist::training::checkpoint::State;
use tch_mnist::training::optimizer::Optimizer;
use tch_mnist::training::{Config, Event, Keep, Precision, Resumable, Schedule, fit, fit_with};

use crate::common::Place;

const TRAIN: [&str; 7] = [
    "train",
    "--data=data",
    "--hidden=16",
    "--batch-size=20",
    "--threads=1",
    "--lr=0.003",
    "--json",
];

fn record(place: &Place, more: &[&str]) -> Value {
    let (code, out, err) = place.run(&[&TRAIN, more].concat());
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_training_resumed_after_any_epoch_ends_as_the_one_that_went_through() {
    let place = Place::new();
    let data = dataset::load(Some(&place.data_set("data", 130, 20))).unwrap();
    let model = || Model::new(12, 1, Device::Cpu).unwrap();
    for optimizer in Optimizer::ALL {
        let config = Config {
            optimizer,
            epochs: 4,
            batch_size: 20,
            validation_split: 0.2,
            dropout: 0.1,
            keep: if optimizer == Optimizer::Sgd { Keep::Last } else { Keep::Best },
            schedule: Schedule::Plateau,
            augment: if optimizer == Optimizer::Adam { vec![Augment::Affine] } else { vec![] },
            ..Config::default()
        };
        let mut through = model();
        let expected = fit(&mut through, &data.train, &config, &mut |_| Continue(())).unwrap();
        for stop in [1, 3] {
            let mut saved = None;
            let mut save = |state: &State| saved = Some(state.to_bytes(&Value::Null).unwrap());
            let resumable = Some(Resumable { from: None, save: &mut save });
            let mut observer = |event: Event<'_>| match event {
                Event::Epoch(epoch) if epoch.epoch == stop => Break(()),
                _ => Continue(()),
            };
            fit_with(&mut model(), None, &data.train, &config, resumable, &mut observer).unwrap();

            let (from, _) = State::from_bytes(&saved.unwrap()).unwrap();
            let mut resumed = model();
            let resumable = Some(Resumable { from: Some(from), save: &mut |_| {} });
            let go_on = &mut |_: Event<'_>| Continue(());
            let history =
                fit_with(&mut resumed, None, &data.train, &config, resumable, go_on).unwrap();
            assert!(resumed.variables() == through.variables(), "{optimizer:?} after {stop}");
            let losses = |epochs: &[tch_mnist::training::Epoch]| {
                epochs.iter().map(|epoch| (epoch.loss, epoch.validation_loss)).collect::<Vec<_>>()
            };
            assert_eq!(losses(&history.epochs), losses(&expected.epochs));
        }
    }
}

#[test]
fn a_teacher_is_learnt_from_even_where_the_labels_are_wrong() {
    let place = Place::new();
    let data = dataset::load(Some(&place.data_set("data", 200, 50))).unwrap();
    let config = Config { epochs: 20, batch_size: 20, ..Config::default() };
    let trained = |hidden, samples: &Samples, teacher: Option<&Model>| {
        let mut model = Model::new(hidden, 0, Device::Cpu).unwrap();
        let go_on = &mut |_: Event<'_>| Continue(());
        fit_with(&mut model, teacher, samples, &config, None, go_on).unwrap();
        model
    };
    let teacher = trained(64, &data.train, None);
    let mut wrong = data.train.narrow(0, data.train.count());
    wrong.labels = (wrong.labels + 1i64).remainder(10);
    let answers = |model: &Model| {
        no_grad(|| model.forward(&(&data.test.images / 255.)).softmax(-1, Kind::Float))
    };
    let distance = |model: &Model| {
        (answers(model) - answers(&teacher)).square().sum(Kind::Float).double_value(&[])
    };
    let (alone, taught) = (trained(16, &wrong, None), trained(16, &wrong, Some(&teacher)));
    assert!(
        distance(&taught) < 0.8 * distance(&alone),
        "{} {}",
        distance(&taught),
        distance(&alone)
    );
}

#[test]
fn the_record_names_the_teacher_and_only_with_it_training_is_resumed() {
    let place = Place::new();
    place.data_set("data", 200, 50);
    for (seed, output) in [("--seed=1", "a.safetensors"), ("--seed=2", "b.safetensors")] {
        record(&place, &["--epochs=1", seed, "--output", output]);
    }
    let of = record(&place, &["--epochs=1", "--teacher=a.safetensors"]);
    let sha256 = sha256_hex(&fs::read(place.path("a.safetensors")).unwrap());
    assert_eq!(
        (&of["configuration"]["teacher"], &of["configuration"]["teacher_sha256"]),
        (&"a.safetensors".into(), &sha256.into())
    );

    let taught = |teacher| [&TRAIN[..], &["--epochs=300", "--output=c.ot", teacher]].concat();
    let mut child = place.command(&taught("--teacher=a.safetensors"));
    let mut child = child.arg("--checkpoint").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("Epoch 3/300 ")));
    child.kill().unwrap();
    child.wait().unwrap();
    let (code, _, err) =
        place.run(&[&taught("--teacher=b.safetensors")[..], &["--resume"]].concat());
    assert!(code == 1 && err.contains("teacher is \"a.safetensors\" there"), "{err}");

    let (code, _, err) = place.run(&[&TRAIN[..], &["--teacher=nowhere.ot"]].concat());
    assert!(code == 1 && err.contains("nowhere.ot"), "{err}");
}

#[test]
fn a_killed_training_is_resumed_to_the_same_file() {
    let place = Place::new();
    place.data_set("data", 200, 50);
    let options = ["--epochs=300", "--validation-split=0.1", "--augment=affine"];
    let train = |more: &[&'static str]| [&TRAIN[..6], &options, more].concat();
    let (code, _, err) = place.run(&train(&["--output=through.safetensors"]));
    assert_eq!(code, 0, "{err}");

    let (code, _, err) = place.run(&train(&["--resume"]));
    assert!(code == 1 && err.contains("cannot resume from models/mnist.checkpoint: "), "{err}");
    let mut child =
        place.command(&train(&["--checkpoint"])).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("Epoch 3/300 ")));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.path("models/mnist.safetensors").exists());

    let (code, _, err) = place.run(&train(&["--checkpoint"]));
    assert!(code == 1 && err.contains("; to begin anew, delete it"), "{err}");
    let (code, _, err) = place.run(&train(&["--checkpoint", "--force"]));
    assert!(code == 1 && err.contains("; to begin anew, delete it"), "{err}");
    let (code, _, err) = place.run(&[&train(&["--resume"])[..], &["--dropout=0.1"]].concat());
    assert!(code == 1 && err.contains("dropout is null there and 0.1 now; resume with"), "{err}");
    let (code, out, err) = place.run(&train(&["--resume"]));
    assert_eq!(code, 0, "{err}");
    assert!(!out.contains("Epoch 2/300 ") && out.contains("Epoch 300/300 "), "{out}");
    let hash = |name: &str| sha256_hex(&fs::read(place.path(name)).unwrap());
    assert_eq!(hash("models/mnist.safetensors"), hash("through.safetensors"));
    assert!(!place.path("models/mnist.checkpoint").exists());
}

#[test]
fn a_resumed_training_stays_at_the_precision_that_was_chosen() {
    if Precision::Bf16.kind(Device::Cpu).is_err() {
        return; // there is nothing to choose
    }
    let place = Place::new();
    place.data_set("data", 200, 50);
    // For a network that small, `auto` would choose float32.
    let train = |more: &[&'static str]| [&TRAIN[..6], &["--epochs=300"], more].concat();
    let mut child = place.command(&train(&["--checkpoint", "--precision=bf16"]));
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("Epoch 2/300 ")));
    child.kill().unwrap();
    child.wait().unwrap();
    let (code, _, err) = place.run(&train(&["--resume", "--precision=auto"]));
    assert_eq!(code, 0, "{err}");
    let record = fs::read_to_string(place.path("models/mnist.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["configuration"]["precision"], "bf16");
}

#[test]
fn training_stops_early_and_keeps_the_best_epoch_and_says_so() {
    let place = Place::new();
    place.data_set("data", 200, 50);
    let options = ["--validation-split=0.2", "--epochs=40", "--lr=0.5", "--early-stopping=2"];
    let (code, out, err) = place.run(&[&TRAIN[..5], &options].concat());
    assert_eq!(code, 0, "{err}");
    let record: Value =
        serde_json::from_str(&fs::read_to_string(place.path("models/mnist.json")).unwrap())
            .unwrap();
    let history = record["history"].as_array().unwrap();
    assert!(history.len() < 40, "{out}");
    let loss = |epoch: &Value| epoch["validation_loss"].as_f64().unwrap();
    let best = (0..history.len()).min_by(|a, b| loss(&history[*a]).total_cmp(&loss(&history[*b])));
    assert_eq!(best.unwrap() + 3, history.len());
    assert!(out.contains("Stopped early: val_loss has not fallen for 2 epochs\n"), "{out}");
    let kept = format!("Kept: epoch {} of {}, ", best.unwrap() + 1, history.len());
    assert!(out.contains(&kept), "{out}");
    assert_eq!(record["configuration"]["early_stopping"], 2);
    assert_eq!(record["configuration"]["keep"], "best");
    // The weights of another epoch are kept; it is counted from the best all the same.
    let last = [&TRAIN[..5], &options, &["--keep=last", "--force"]].concat();
    let (code, out, err) = place.run(&last);
    assert!(code == 0 && out.contains("val_loss has not fallen for 2 epochs\n"), "{out}{err}");
    let short = ["--epochs=6", "--validation-split=0.2", "--early-stopping", "--force"];
    let (_, _, err) = place.run(&[&TRAIN[..5], &short].concat());
    assert!(err.contains("warning: --early-stopping 5 cannot end a training of 6 epochs"), "{err}");

    for (option, fault) in [
        ("--early-stopping", "early stopping needs a validation split"),
        ("--keep=best", "keeping the best epoch needs a validation split"),
        ("--schedule=plateau", "the schedule plateau needs a validation split"),
    ] {
        let (code, _, err) = place.run(&[&TRAIN[..5], &[option]].concat());
        assert!(code == 1 && err.contains(fault), "{err}");
    }
}

#[test]
fn regularisation_changes_the_result_and_is_in_the_record() {
    let place = Place::new();
    place.data_set("data", 200, 50);
    let plain = record(&place, &["--epochs=2"]);
    for name in ["momentum", "weight_decay", "dropout", "label_smoothing", "keep"] {
        assert!(plain["configuration"].get(name).is_none(), "{name}");
    }
    for (option, name) in [
        ("--momentum=0.5", "momentum"),
        ("--weight-decay=0.5", "weight_decay"),
        ("--dropout=0.5", "dropout"),
        ("--label-smoothing=0.5", "label_smoothing"),
    ] {
        let other = record(&place, &["--epochs=2", "--force", option]);
        assert_eq!(other["configuration"][name], 0.5);
        assert_ne!(other["test"]["loss"], plain["test"]["loss"], "{option}");
    }
    let (code, _, err) = place.run(&[&TRAIN[..], &["--optimizer=adam", "--momentum=0.5"]].concat());
    assert!(code == 2 && err.contains("adam has no momentum"), "{err}");
}

#[test]
fn a_quiet_training_says_only_how_it_ended() {
    let place = Place::new();
    place.data_set("data", 200, 50);
    let (code, out, err) = place.run(&[&["--quiet"], &TRAIN[..5], &["--epochs=2"]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<_> = out.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("Test: loss: "), "{out}");
    assert_eq!(lines[1], "Saved: models/mnist.safetensors");
    let (_, out, err) = place.run(&["evaluate", "--data=data", "-q"]);
    assert!(err.is_empty() && out.starts_with("loss: "), "{err}");
    let (_, _, err) = place.run(&["evaluate", "--data=data", "--plot=r.png"]);
    assert!(err.ends_with("Saved: r.png\n"), "{err}");
    // What is wrong is said all the same.
    let (code, _, err) = place.run(&["train", "--data=nowhere", "--quiet", "--color=always"]);
    assert!(code == 1 && err.contains("\x1b[") && err.contains("no such folder"), "{err:?}");
    let (_, _, err) = place.run(&["train", "--data=nowhere", "--color=never"]);
    assert!(!err.contains('\x1b'), "{err:?}");
}
