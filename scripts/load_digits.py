#!/usr/bin/env python3
"""Counts what `mnist predict` gets right of scikit-learn's load_digits: 1,797 digits of 43 people, 8×8, drawn
black on white at 64×64. PROGRAM defaults to target/release/mnist; arguments after it go to `predict`.

    python3 -m venv /tmp/digits && /tmp/digits/bin/pip install scikit-learn pillow
    /tmp/digits/bin/python scripts/load_digits.py [PROGRAM [--weights FILE ...]]
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from PIL import Image
from sklearn.datasets import load_digits

program, *options = sys.argv[1:] or ["target/release/mnist"]
digits = load_digits()
with tempfile.TemporaryDirectory() as folder:
    paths = [str(pathlib.Path(folder) / f"{index}.png") for index in range(len(digits.images))]
    for path, pixels in zip(paths, digits.images):
        image = Image.fromarray((255 - pixels * 255 / 16).round().astype("uint8"))
        image.resize((64, 64), Image.Resampling.BICUBIC).save(path)
    command = [program, "predict", "--json", *options, "-"]
    run = subprocess.run(command, input="\n".join(paths), stdout=subprocess.PIPE, text=True, check=True)
answers = [json.loads(line)["label"] for line in run.stdout.splitlines()]
right = sum(answer == label for answer, label in zip(answers, digits.target, strict=True))
print(f"{right} of {len(answers)} ({100 * right / len(answers):.1f}%)")
