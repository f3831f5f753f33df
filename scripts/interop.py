"""Compares `mnist` with Keras, PyTorch and onnxruntime, over MNIST's 10,000 test images: weights
of theirs read here, and weights from here read there, must give the same accuracy and, to 1e-5, the
same probabilities.

usage: interop.py FOLDER     train and compare; files go into FOLDER
       interop.py --fixtures make the files of tests/fixtures/interop anew

The programs target/release/mnist and target/release/examples/probabilities must have been built.
"""

import gzip
import json
import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import onnx
import onnxruntime
import safetensors.torch
import tensorflow
import tf_keras
import torch

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1e-5


def idx(name, header):
    data = gzip.decompress((ROOT / "data" / name).read_bytes())
    return np.frombuffer(data, np.uint8)[header:]


def images(name):
    return (idx(name, 16).reshape(-1, 784) / np.float32(255)).astype(np.float32)


train, train_labels = images("train-images-idx3-ubyte.gz"), idx("train-labels-idx1-ubyte.gz", 8)
test, labels = images("t10k-images-idx3-ubyte.gz"), idx("t10k-labels-idx1-ubyte.gz", 8)
squares = test.reshape(-1, 28, 28)


def fit_keras(k, hidden, count, functional=False):
    """Trains a network with Keras 3 (keras) or 2 (tf_keras) and returns it."""
    k.utils.set_random_seed(1)
    layers = k.layers
    if functional:  # activations as layers of their own, logits at the end
        inputs = k.Input((784,))
        middle = layers.Activation("relu")(layers.Dense(hidden, name="first")(inputs))
        model = k.Model(inputs, layers.Dense(10, name="last")(middle))
        loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
        samples = train
    else:
        model = k.Sequential(
            [
                k.Input((28, 28)),
                layers.Flatten(),
                layers.Dense(hidden, activation="relu"),
                layers.Dropout(0.2, seed=1),
                layers.Dense(10, activation="softmax"),
            ]
        )
        loss = "sparse_categorical_crossentropy"
        samples = train.reshape(-1, 28, 28)
    model.compile("sgd" if functional else "adam", loss, metrics=["accuracy"])
    model.fit(samples[:count], train_labels[:count], batch_size=32, epochs=2, verbose=0)
    return model


def predict_keras(model, count=10000):
    flat = len(model.input_shape) == 2
    outputs = model.predict((test if flat else squares)[:count], batch_size=1000, verbose=0)
    if not np.allclose(outputs.sum(1), 1, atol=1e-3):  # logits
        outputs = tensorflow.nn.softmax(outputs).numpy()
    return outputs


def fit_torch(hidden, count, names=("0", "1", "2")):
    """Trains a network with PyTorch, whose layers have these names."""
    torch.manual_seed(1)
    parts = [torch.nn.Linear(784, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 10)]
    model = torch.nn.Sequential(OrderedDict(zip(names, parts)))
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(2):
        for at in range(0, count, 32):
            batch = slice(at, min(at + 32, count))
            loss = torch.nn.functional.cross_entropy(
                model(torch.from_numpy(train[batch])),
                torch.from_numpy(train_labels[batch].astype(np.int64)),
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


def predict_torch(model, count=10000):
    with torch.no_grad():
        return torch.softmax(model(torch.from_numpy(test[:count])), -1).numpy()


def accuracy(probabilities):
    return float((probabilities.argmax(1) == labels).mean())


def run(*command):
    command = [str(part) for part in command]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout


def mnist(*arguments):
    return run(ROOT / "target/release/mnist", *arguments)


def ours(weights, folder):
    """Our probabilities and accuracy."""
    out = folder / "probabilities"
    run(ROOT / "target/release/examples/probabilities", weights, out)
    measured = json.loads(mnist("evaluate", "--json", "--weights", weights))
    return np.fromfile(out, np.float32).reshape(-1, 10), measured["accuracy"]


def compare(direction, theirs, here):
    probabilities, measured = here
    difference = float(np.abs(theirs - probabilities).max())
    print(f"{direction:62} {accuracy(theirs):.4f} {measured:.4f} {difference:.2e}", flush=True)
    assert theirs.shape == (10000, 10), theirs.shape
    assert accuracy(theirs) == measured, "the accuracies differ"
    assert difference <= LIMIT, "the probabilities differ"


def check(folder):
    folder.mkdir(parents=True, exist_ok=True)
    keras2, keras3 = f"tf-keras {tf_keras.__version__}", f"Keras {keras.__version__}"
    print(f"{keras3}, {keras2} on TensorFlow {tensorflow.__version__}, PyTorch {torch.__version__}")
    print(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")
    print(f"\n{'weights':62} {'theirs':6} {'ours':6} largest difference in probability")

    for name, k, functional in [
        (keras3, keras, False),
        (f"{keras3}, functional", keras, True),
        (keras2, tf_keras, False),
        (f"{keras2}, functional", tf_keras, True),
    ]:
        model = fit_keras(k, 64, 60000, functional)
        theirs = predict_keras(model)
        for extension in ["h5", "keras"]:
            path = folder / f"theirs.{extension}"
            model.save(path)
            compare(f"{name} .{extension} → mnist", theirs, ours(path, folder))
        mnist("convert", path, folder / "theirs.onnx")
        served = predict_onnx(folder / "theirs.onnx")
        compare(f"{name} .keras → mnist .onnx → onnxruntime", served, (theirs, accuracy(theirs)))

    model = fit_torch(64, 60000)
    theirs = predict_torch(model)
    torch.save(model.state_dict(), folder / "theirs.pt")
    compare("PyTorch .pt → mnist", theirs, ours(folder / "theirs.pt", folder))
    safetensors.torch.save_file(model.state_dict(), folder / "theirs.safetensors")
    compare("PyTorch .safetensors → mnist", theirs, ours(folder / "theirs.safetensors", folder))

    weights = folder / "ours.safetensors"
    mnist("train", "--epochs", 2, "--output", weights)
    here = ours(weights, folder)
    for extension in ["h5", "keras"]:
        for name, k in [(keras3, keras), (keras2, tf_keras)]:
            mnist("convert", weights, folder / f"ours.{extension}")
            model = k.models.load_model(folder / f"ours.{extension}")
            compare(f"mnist .{extension} → {name}", predict_keras(model), here)
            # It is whole: it can be trained on and saved again.
            model.compile("adam", "sparse_categorical_crossentropy")
            model.fit(test[:100], labels[:100], verbose=0)
            model.save(folder / f"again.{extension}")
            mnist("summary", "--weights", folder / f"again.{extension}")

    for layers in [("0", "1", "2"), ("dense_1", "relu", "dense_2")]:
        names = f"{layers[0]},{layers[2]}"
        path = folder / "named.safetensors"
        mnist("convert", weights, path, "--names", names)
        parts = [torch.nn.Linear(784, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10)]
        model = torch.nn.Sequential(OrderedDict(zip(layers, parts)))
        model.load_state_dict(safetensors.torch.load_file(path))
        compare(f"mnist .safetensors --names {names} → PyTorch", predict_torch(model), here)

    path = folder / "ours.onnx"
    mnist("convert", weights, path)
    compare("mnist .onnx → onnxruntime", predict_onnx(path), here)


def predict_onnx(path):
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path))
    assert [i.name for i in session.get_inputs()] == ["images"]
    assert session.get_inputs()[0].shape == ["N", 784]
    logits, probabilities = session.run(["logits", "probabilities"], {"images": test})
    assert np.allclose(tensorflow.nn.softmax(logits), probabilities, atol=1e-6)
    one = session.run(["probabilities"], {"images": test[:1]})[0]
    assert np.abs(one - probabilities[:1]).max() < 1e-6
    return probabilities


def fixtures(folder):
    """Small networks as the programs save them, and what they make of the first test images."""
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}

    def note(name, probabilities):
        expected[name] = [[round(float(p), 7) for p in image] for image in probabilities]

    for version, k in [(3, keras), (2, tf_keras)]:
        for functional, hidden in [(False, 4), (True, 5)]:
            model = fit_keras(k, hidden, 5000, functional)
            for extension in ["h5", "keras"]:
                name = f"keras{version}{'_functional' if functional else ''}.{extension}"
                model.save(folder / name)
                note(name, predict_keras(model, 8))
    model = fit_torch(8, 5000, ("fc1", "act", "fc2"))
    torch.save(model.state_dict(), folder / "torch.pt")
    note("torch.pt", predict_torch(model, 8))
    model = fit_torch(6, 5000)
    safetensors.torch.save_file(model.state_dict(), folder / "torch.safetensors")
    note("torch.safetensors", predict_torch(model, 8))
    for kind in [torch.float16, torch.bfloat16, torch.float64]:
        model = model.to(kind)
        name = f"torch_{str(kind)[6:]}.pt"
        torch.save(model.state_dict(), folder / name)
        note(name, predict_torch(model.float(), 8))
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(rows)}" for name, rows in expected.items())
    (folder / "expected.json").write_text(f"{{\n{lines}\n}}\n")


if sys.argv[1] == "--fixtures":
    fixtures(ROOT / "tests/fixtures/interop")
else:
    check(Path(sys.argv[1]).resolve())
