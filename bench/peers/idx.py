"""MNIST's four files as arrays."""

import gzip

import numpy as np


def load(folder):
    """Training images [60000, 784] and labels, test images [10000, 784] and labels, as bytes."""
    kinds = ["images-idx3-ubyte", "labels-idx1-ubyte"]
    return [read(folder, f"{part}-{kind}") for part in ["train", "t10k"] for kind in kinds]


def read(folder, name):
    with gzip.open(f"{folder}/{name}.gz") as file:
        data = file.read()
    if "images" in name:
        return np.frombuffer(data, np.uint8, offset=16).reshape(-1, 784)
    return np.frombuffer(data, np.uint8, offset=8)
