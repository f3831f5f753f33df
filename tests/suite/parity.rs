//! The same numbers as PyTorch and Keras; the fixture is made by `fixtures/make_parity.py`.

use std::collections::HashMap;
use std::path::Path;

use crate::common::load;
use tch::{Device, Tensor};
use tch_mnist::network::model::Model;
use tch_mnist::training::optimizer::Optimizer;

const PARAMETERS: [&str; 4] = ["dense_1.weight", "dense_1.bias", "dense_2.weight", "dense_2.bias"];

fn fixture() -> HashMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/parity.safetensors");
    Tensor::read_safetensors(path).unwrap().into_iter().collect()
}

/// The network with the fixture's initial weights, by way of a weight file as any user's.
fn model(fixture: &HashMap<String, Tensor>) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("initial.safetensors");
    let tensors = PARAMETERS.map(|name| (name, &fixture[&format!("initial.{name}")]));
    Tensor::write_safetensors(&tensors, &path).unwrap();
    load(&path)
}

#[track_caller]
fn assert_close(ours: &Tensor, theirs: &Tensor, tolerance: f64) {
    assert_eq!(ours.size(), theirs.size());
    let difference = (ours - theirs).abs().max().double_value(&[]);
    assert!(difference <= tolerance, "differs by {difference}");
}

#[test]
fn forward_loss_and_gradient_are_those_of_pytorch_and_keras() {
    let fixture = fixture();
    let model = model(&fixture);
    let logits = model.forward(&fixture["images"]);
    let loss = logits.cross_entropy_for_logits(&fixture["labels"]);
    loss.backward();
    for peer in ["pytorch", "keras"] {
        assert_close(&logits, &fixture[&format!("{peer}.logits")], 1e-5);
        assert_close(&loss.view([1]), &fixture[&format!("{peer}.loss")], 1e-5);
        for (name, variable) in model.variables() {
            let theirs = &fixture[&format!("{peer}.gradient.{name}")];
            assert!(theirs.abs().max().double_value(&[]) > 1e-3, "the fixture's gradient is empty");
            assert_close(&variable.grad(), theirs, 1e-5);
        }
    }
}

#[test]
fn five_steps_of_each_optimizer_are_those_of_pytorch() {
    let fixture = fixture();
    for optimizer in Optimizer::ALL {
        let rate = optimizer.default_learning_rate();
        let name = optimizer.name_at(rate);
        let model = model(&fixture);
        let mut steps = optimizer.build(&model, rate).unwrap();
        for _ in 0..5 {
            let logits = model.forward(&fixture["images"]);
            steps.backward_step(&logits.cross_entropy_for_logits(&fixture["labels"]));
        }
        for (parameter, variable) in model.variables() {
            let moved = (&variable - &fixture[&format!("initial.{parameter}")]).abs().max();
            assert!(moved.double_value(&[]) > 1e-3, "{name} did not move {parameter}");
            assert_close(&variable, &fixture[&format!("{name}.{parameter}")], 1e-4);
        }
    }
}

#[test]
fn the_default_network_has_keras_s_numbers_of_parameters() {
    let layers = Model::new(512, 0, Device::Cpu).unwrap().to_arrays().unwrap().layers();
    let ours = layers.each_ref().map(|layer| layer.parameters);
    assert_eq!(ours.to_vec(), Vec::<i64>::try_from(&fixture()["keras.parameters"]).unwrap());
    assert_eq!(ours, [401_920, 5_130]);
}
