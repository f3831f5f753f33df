"""Training and classifying in PyTorch, with the options of `mnist train`.

usage: pytorch.py loader|memory [OPTIONS]              train by way of a DataLoader, or from memory
       pytorch.py resize|center WEIGHTS IMAGE...       classify images that are resized only, or
                                                       brought into MNIST's form
"""

import argparse
import json
import sys
import time
from collections import OrderedDict

import torch
from torch import nn

BATCH = 1000  # images that are classified at a time


def network(hidden):
    first, second = nn.Linear(784, hidden), nn.Linear(hidden, 10)
    return nn.Sequential(OrderedDict(dense_1=first, relu=nn.ReLU(), dense_2=second))


def train(way, args):
    import idx

    torch.manual_seed(args.seed)
    images, labels, test_images, test_labels = map(torch.tensor, idx.load(args.data))
    images, test_images = images.float() / 255, test_images.float() / 255
    labels, test_labels = labels.long(), test_labels.long()
    device = torch.device(args.device)
    model = network(args.hidden).to(device)
    for layer in [model.dense_1, model.dense_2]:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    if args.optimizer == "rmsprop":
        optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9, eps=1e-7)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7)
    cross_entropy = nn.CrossEntropyLoss()

    if way == "loader":
        dataset = torch.utils.data.TensorDataset(images, labels)
        loader = torch.utils.data.DataLoader(dataset, batch_size=args.batch_size, shuffle=True)
        batches = lambda: ((x.to(device), y.to(device)) for x, y in loader)
    else:
        images, labels = images.to(device), labels.to(device)
        order = lambda: torch.randperm(len(labels), device=device).split(args.batch_size)
        batches = lambda: ((images[batch], labels[batch]) for batch in order())

    for _ in range(args.epochs):
        start = time.perf_counter()
        total = torch.zeros((), device=device)
        for x, y in batches():
            optimizer.zero_grad()
            loss = cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(y)
        mean = total.item() / len(labels)  # waits for the device
        print(json.dumps({"loss": mean, "seconds": time.perf_counter() - start}), flush=True)

    with torch.no_grad():
        right = model(test_images.to(device)).argmax(1).cpu() == test_labels
    print(json.dumps({"accuracy": right.float().mean().item()}))


def classify(way, weights, paths):
    import numpy as np
    from PIL import Image, ImageOps
    from safetensors.torch import load_file

    def resize(ink):
        return ink.resize((28, 28))

    def center(ink):
        """As MNIST was made: the ink within 20×20, its centre of mass in the middle of 28×28."""
        digit = ImageOps.contain(ink.crop(ink.getbbox()), (20, 20))
        mass = np.asarray(digit, float)
        x = mass.sum(0) @ np.arange(mass.shape[1]) / mass.sum()
        y = mass.sum(1) @ np.arange(mass.shape[0]) / mass.sum()
        image = Image.new("L", (28, 28))
        image.paste(digit, (round(14 - x), round(14 - y)))
        return image

    form = {"resize": resize, "center": center}[way]
    state = load_file(weights)
    model = network(len(state["dense_1.bias"]))
    model.load_state_dict(state)
    for start in range(0, len(paths), BATCH):
        batch = paths[start : start + BATCH]
        images = [form(ImageOps.invert(Image.open(path).convert("L"))) for path in batch]
        images = torch.from_numpy(np.stack(images)).view(-1, 784).float() / 255
        with torch.no_grad():
            probabilities = model(images).softmax(1)
        for path, label in zip(batch, probabilities.argmax(1).tolist()):
            print(json.dumps({"path": path, "label": label}))


if sys.argv[1] in ["resize", "center"]:
    classify(sys.argv[1], sys.argv[2], sys.argv[3:])
else:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=["loader", "memory"])
    parser.add_argument("--data", default="data")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--optimizer", choices=["rmsprop", "adam"])
    for option in ["hidden", "batch-size", "epochs", "seed"]:
        parser.add_argument(f"--{option}", type=int)
    args = parser.parse_args()
    train(args.way, args)
