"""Reads the event files of `mnist train --log-dir DIR` with TensorBoard's own reader, and compares
them with the training record.

usage: check_tensorboard.py DIR RECORD.json
"""

import io
import json
import math
import sys
from pathlib import Path

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import IMAGES, SCALARS, EventAccumulator

folder, record = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
history, config = record["history"], record["configuration"]


def load(name):
    events = EventAccumulator(str(folder / name), size_guidance={SCALARS: 0, IMAGES: 0})
    return events.Reload()


def check(run, tag, key):
    found = [(event.step, event.value) for event in run.Scalars(tag)]
    assert [step for step, _ in found] == [epoch["epoch"] for epoch in history], (tag, found)
    for (_, value), epoch in zip(found, history):
        assert math.isclose(value, epoch[key], rel_tol=1e-6), (tag, value, epoch[key])


train = load("train")
check(train, "epoch_loss", "loss")
check(train, "epoch_accuracy", "accuracy")
rates = [event.value for event in train.Scalars("epoch_learning_rate")]
assert len(rates) == len(history)
if config["schedule"] == "constant":
    assert all(math.isclose(rate, config["learning_rate"], rel_tol=1e-6) for rate in rates), rates

batches = train.Scalars("batch_loss")
steps = len(batches) // len(history)
assert [event.step for event in batches] == list(range(steps * len(history)))
for epoch in history:  # the mean of the steps, but for the last one's size, is the epoch's
    losses = [event.value for event in batches[(epoch["epoch"] - 1) * steps :][:steps]]
    assert math.isclose(sum(losses) / steps, epoch["loss"], rel_tol=0.02), (losses, epoch)

log = train
if config["validation_split"] > 0:
    log = validation = load("validation")
    check(validation, "epoch_loss", "validation_loss")
    check(validation, "epoch_accuracy", "validation_accuracy")
[mistakes] = log.Images("mistakes")
image = Image.open(io.BytesIO(mistakes.encoded_image_string))
assert image.size == (mistakes.width, mistakes.height) and image.mode == "RGB"
assert len(image.getcolors(1 << 24)) > 10  # not blank
print(f"TensorBoard reads {folder}: {len(history)} epochs, {len(batches)} steps, {image.size} pixels")
