#!/usr/bin/env python3
"""Measures `mnist train --adapt`: on made-up hands, and on any folder of images.

usage: adapt.py hands OUT                            make up four hands from MNIST's training digits
       adapt.py measure PROGRAM DIR... [-- OPTION...]  adapt to each folder; options go to `mnist train`

DIR has folders train and test, as the made-up hands do, or folders 0 to 9: of each of these, 20 images are
drawn to train on and the others are to test on, three times. For each, a line says how many of the images to
test on, and of MNIST's test set, are wrong before and after. Needs Python's standard library alone.
"""

import gzip
import json
import math
import random
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIDE = 56  # of a made-up image
PER_DIGIT = 20
DRAWS = 3
# Shear, width, height, degrees, and of the ink the threshold and the gain, of each made-up hand.
HANDS = {
    "slanted": (0.75, 1.0, 1.0, 0, 0.1, 1.6),
    "back": (-0.6, 0.8, 1.05, 0, 0.35, 2.0),
    "flat": (0.1, 1.25, 0.6, 12, 0.05, 2.5),
    "turned": (0.0, 0.75, 1.1, -28, 0.2, 1.5),
}


def png(pixels):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(pixels[at : at + SIDE]) for at in range(0, SIDE * SIDE, SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def written(digit, a, b, c, d, threshold, gain):
    """The digit, 28x28, dark on light: a point (x, y) from its middle is moved to (ax + by, cx + dy)."""
    area = a * d - b * c
    pixels = []
    for at in range(SIDE * SIDE):
        x, y = (at % SIDE - SIDE / 2 + 0.5) / 2, (at // SIDE - SIDE / 2 + 0.5) / 2
        u, v = (d * x - b * y) / area + 13.5, (a * y - c * x) / area + 13.5
        left, top = math.floor(u), math.floor(v)
        ink = 0
        for row, share in ((top, top + 1 - v), (top + 1, v - top)):
            for column, part in ((left, left + 1 - u), (left + 1, u - left)):
                if 0 <= row < 28 and 0 <= column < 28:
                    ink += share * part * digit[row * 28 + column] / 255
        pixels.append(int(235 - 200 * min(1, max(0, (ink - threshold) * gain))))
    return pixels


def hands(out):
    """Of the last 10,000 training digits, 20 of each to train on and 60 to test on, for each hand."""
    images = gzip.open(ROOT / "data/train-images-idx3-ubyte.gz").read()[16:]
    labels = gzip.open(ROOT / "data/train-labels-idx1-ubyte.gz").read()[8:]
    for name, (shear, width, height, degrees, *pen) in HANDS.items():
        rng = random.Random(name)
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        seen = [0] * 10
        for index in rng.sample(range(50000, 60000), 4000):
            label = labels[index]
            if seen[label] == 80:
                continue
            part = "train" if seen[label] < PER_DIGIT else "test"
            seen[label] += 1
            lean = shear + rng.gauss(0, 0.06)
            wide, high = width * (1 + rng.gauss(0, 0.04)), height * (1 + rng.gauss(0, 0.04))
            matrix = (cos * wide, (-cos * lean - sin) * high, sin * wide, (-sin * lean + cos) * high)
            pixels = written(images[index * 784 : (index + 1) * 784], *matrix, *pen)
            path = Path(out, name, part, str(label), f"{index}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(pixels))


def splits(folder, scratch):
    """Folders with train and test: the one given, or several with links to its images."""
    if (folder / "train").is_dir():
        yield folder
        return
    for draw in range(DRAWS):
        rng = random.Random(draw)
        split = scratch / f"{folder.name}-{draw + 1}"
        for label in (path for path in sorted(folder.iterdir()) if path.name in "0123456789"):
            images = sorted(label.iterdir())
            rng.shuffle(images)
            for at, image in enumerate(images):
                place = split / ("train" if at < PER_DIGIT else "test") / label.name / image.name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(image.resolve())
        yield split


def errors(sets):
    """Number of samples and of errors, for each set."""
    return [(of["samples"], round(of["samples"] * (1 - of["accuracy"]))) for of in sets]


def measure(program, folders, options):
    def run(*arguments):
        done = subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, text=True)
        return errors(json.loads(done.stdout)["sets"])

    with tempfile.TemporaryDirectory() as scratch:
        for folder in folders:
            for split in splits(Path(folder), Path(scratch)):
                data = ["--data", split, "--data", "mnist"]
                before = run("evaluate", "--json", "--weights", "released", *data)
                output = Path(scratch, "adapted.safetensors")
                after = run("train", "--adapt", "--json", "--force", "--output", output, "--data", split, *options)
                (samples, own), (_, mnist) = before
                print(f"{split.name}: of {samples}, {own} wrong before and {after[0][1]} after; "
                      f"of MNIST's 10,000, {mnist} and {after[1][1]}", flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["hands", out]:
            hands(out)
        case ["measure", program, *rest] if rest:
            at = rest.index("--") if "--" in rest else len(rest)
            measure(program, rest[:at], rest[at + 1 :])
        case _:
            sys.exit(__doc__)
