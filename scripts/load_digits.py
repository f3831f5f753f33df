#!/usr/bin/env python3
"""Counts what `mnist predict` gets right of scikit-learn's load_digits: 1,797 digits of 43 people, 8×8, drawn
black on white at 64×64. PROGRAM defaults to target/release/mnist; arguments after it go to `predict`.

    python3 -m venv /tmp/digits && /tmp/digits/bin/pip install scikit-learn pillow
    /tmp/digits/bin/python scripts/load_digits.py [PROGRAM [--weights FILE ...]]
"""

import sys

from PIL import Image
from sklearn.datasets import load_digits

from answers import answers

program, *options = sys.argv[1:] or ["target/release/mnist"]
digits = load_digits()
images = [Image.fromarray((255 - pixels * 255 / 16).round().astype("uint8")) for pixels in digits.images]
images = [image.resize((64, 64), Image.Resampling.BICUBIC) for image in images]
found = answers(program, images, options)
right = sum(answer["label"] == label for answer, label in zip(found, digits.target, strict=True))
print(f"{right} of {len(found)} ({100 * right / len(found):.1f}%)")
