"""Makes what the benchmark reads from the repository's own data.

usage: prepare.py FOLDER
"""

import gzip
import sys
from pathlib import Path

import keras
from PIL import Image, ImageOps
from safetensors.numpy import load_file

import idx

folder = Path(sys.argv[1])

# The test set as images: black on white, 64×64; the digit is in the file's name.
(folder / "images").mkdir()
_, _, digits, labels = idx.load("data")
for number, (digit, label) in enumerate(zip(digits, labels)):
    image = ImageOps.invert(Image.fromarray(digit.reshape(28, 28))).resize((64, 64))
    image.save(folder / f"images/{number:05}-{label}.png")

# A photographed sheet of 12 megapixels.
Image.open("tests/sheets/light_0.jpg").resize((4000, 3000)).save(folder / "sheet.jpg")

# Ten times the training set, unpacked.
(folder / "data-x10").mkdir()
for part, copies in [("train", 10), ("t10k", 1)]:
    for name, header in [("images-idx3-ubyte", 16), ("labels-idx1-ubyte", 8)]:
        data = gzip.decompress(Path(f"data/{part}-{name}.gz").read_bytes())
        count = int.from_bytes(data[4:8], "big") * copies
        with open(folder / f"data-x10/{part}-{name}", "wb") as file:
            file.write(data[:4] + count.to_bytes(4, "big") + data[8:header])
            for _ in range(copies):
                file.write(data[header:])

# The released weights as a Keras model.
weights = load_file("models/released.safetensors")
model = keras.Sequential(
    [
        keras.Input((784,)),
        keras.layers.Dense(len(weights["dense_1.bias"]), activation="relu", name="dense_1"),
        keras.layers.Dense(10, activation="softmax", name="dense_2"),
    ]
)
for name in ["dense_1", "dense_2"]:
    model.get_layer(name).set_weights([weights[f"{name}.weight"].T, weights[f"{name}.bias"]])
model.save(folder / "released.keras")
