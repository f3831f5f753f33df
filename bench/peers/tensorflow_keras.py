"""Training and classifying in Keras on TensorFlow, with the options of `mnist train`.

usage: tensorflow_keras.py train [OPTIONS]
       tensorflow_keras.py classify MODEL IMAGE
"""

import argparse
import json
import sys
import time

import keras
import numpy as np


class Seconds(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.start
        print(json.dumps({"loss": logs["loss"], "seconds": seconds}), flush=True)


def train(args):
    import idx

    keras.utils.set_random_seed(args.seed)
    images, labels, test_images, test_labels = idx.load(args.data)
    images, test_images = [array.astype("float32") / 255 for array in (images, test_images)]
    labels, test_labels = map(keras.utils.to_categorical, (labels, test_labels))
    model = keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(args.hidden, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer=args.optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    options = {"batch_size": args.batch_size, "epochs": args.epochs, "verbose": 0}
    model.fit(images, labels, callbacks=[Seconds()], **options)
    _, accuracy = model.evaluate(test_images, test_labels, verbose=0)
    print(json.dumps({"accuracy": accuracy}))


def classify(model_path, path):
    from PIL import Image, ImageOps

    model = keras.models.load_model(model_path)
    image = ImageOps.invert(Image.open(path).convert("L")).resize((28, 28))
    probabilities = model.predict(np.asarray(image, "float32").reshape(1, 784) / 255, verbose=0)
    print(json.dumps({"path": path, "label": int(probabilities.argmax())}))


if sys.argv[1] == "classify":
    classify(*sys.argv[2:])
else:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=["train"])
    parser.add_argument("--data", default="data")
    parser.add_argument("--device", choices=["cpu"])
    parser.add_argument("--optimizer", choices=["rmsprop", "adam"])
    for option in ["hidden", "batch-size", "epochs", "seed"]:
        parser.add_argument(f"--{option}", type=int)
    train(parser.parse_args())
