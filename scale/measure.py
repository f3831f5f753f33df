"""Measures batches on this machine, which should do nothing else, for docs/guide/scale.md.

usage: measure.py FIGURE... --program PROGRAM   measure, and keep in scale/results.json
       measure.py --table                       what was measured, as a table

The figures: `work` of an image; `overhead` of a shard; `nodes`: two of one core each, against one;
`plan` of 10 million paths; `deaths`: 10,000 shards that sleep on 100 workers, of which one is killed
again and again. Needs Ray, see `make scale`.
"""

import argparse
import gzip
import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_worker_niceness="0", OMP_WAIT_POLICY="passive")

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "scale/results.json"
PAGES = sorted((ROOT / "tests/sheets").glob("*.jpg"))
DEFAULT_MB = 300  # --shard-size
DIGITS = 10_000
SHARDS = 40  # of one image, for the overhead
ROUNDS = 6  # times that all pages are read on nodes
PATHS = 10_000_000
# A shard of five minutes, and the minute between deaths, thirty times as fast.
SPEED, SHARD_SECONDS, DEATH_SECONDS, SLEEPERS, WORKERS = 30, 300, 60, 10_000, 100
STORE = 100 << 20


def mnist(*arguments, **options):
    command = [PROGRAM, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def plan(folder, paths, verb, megabytes):
    """The number of shards."""
    lines = "".join(f"{path}\n" for path in paths)
    out = mnist(
        "batch", "plan", folder, "-", "--verb", verb, "--shard-size", megabytes, input=lines
    )
    return int(out.split()[-2])


def cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def driver(folder, program=None):
    """Has Ray do a batch; the seconds it took, without those to start Ray."""
    start = time.monotonic()
    command = [
        sys.executable,
        ROOT / "scale/on_ray.py",
        "--program",
        program or PROGRAM,
        "batch",
        folder,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def cluster(*cores):
    """A head without CPUs, and nodes with so many."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=head)
    for count in cores:
        made.add_node(num_cpus=count, object_store_memory=STORE)
    made.wait_for_nodes()
    os.environ["RAY_ADDRESS"] = made.address
    return made


def digits(folder):
    """The images of MNIST's test set as PNGs."""
    with gzip.open(ROOT / "data/t10k-images-idx3-ubyte.gz") as file:
        pixels = file.read()[16:]

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    for number in range(DIGITS):
        image = pixels[784 * number : 784 * (number + 1)]
        rows = b"".join(b"\0" + image[at : at + 28] for at in range(0, 784, 28))
        png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 28, 28, 8, 0, 0, 0, 0))
        png += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        (folder / f"{number:05}.png").write_bytes(png)
        yield folder / f"{number:05}.png"


def work(folder):
    """Seconds of one core for an image, and for a shard of the default size."""
    small = folder / "digits"
    small.mkdir()
    sets = [
        ("read", "pages", PAGES),
        ("predict", "pages", PAGES),
        ("predict", "digits", list(digits(small))),
    ]
    result = []
    for at, (verb, images, paths) in enumerate(sets):
        plan(folder / f"{at}", paths, verb, DEFAULT_MB)
        before = cpu_seconds()
        mnist("batch", "run", folder / f"{at}", "--threads", 1)
        seconds = cpu_seconds() - before
        megabytes = sum(max(path.stat().st_size, 1000) for path in paths) / 1e6
        result.append(
            {
                "verb": verb,
                "images": images,
                "kilobytes": 1000 * megabytes / len(paths),
                "image": seconds / len(paths),
                "shard": seconds / megabytes * DEFAULT_MB,
            }
        )
    return result


def overhead(folder):
    """Seconds that a shard costs beside its images: shards of one small image, one after another."""
    small = folder / "digits"
    small.mkdir()
    paths = [path for path, _ in zip(digits(small), range(SHARDS))]
    plan(folder / "batch", paths, "predict", 0.001)
    nodes = cluster(1)
    try:
        mnist("batch", "run", folder / "batch", 0)  # files are in memory
        return {"seconds": driver(folder / "batch") / SHARDS}
    finally:
        nodes.shutdown()


def nodes(folder):
    """How many times as fast two nodes are, of one core each."""
    seconds = {}
    for count in [1, 2]:
        shards = plan(folder / f"{count}", PAGES * ROUNDS, "read", 1)
        made = cluster(*[1] * count)
        try:
            seconds[count] = driver(folder / f"{count}")
        finally:
            made.shutdown()
    return {
        "shards": shards,
        "one": seconds[1],
        "two": seconds[2],
        "times": seconds[1] / seconds[2],
    }


def plan_many(folder):
    """Seconds and peak memory of a plan."""
    command = [PROGRAM, "batch", "plan", folder / "batch", "-", "--verb", "predict"]
    start = time.monotonic()
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    lines = "".join(f"{path}\n" for path in PAGES).encode()
    for _ in range(-(-PATHS // len(PAGES))):
        child.stdin.write(lines)
    child.stdin.close()
    _, status, usage = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit("the plan has failed")
    return {
        "paths": PATHS,
        "seconds": time.monotonic() - start,
        "mebibytes": usage.ru_maxrss / 1024,
    }


def deaths(folder):
    """The share of time that is lost where workers die; each shard sleeps, and is then run in truth."""
    (folder / "digits").mkdir()
    image = next(digits(folder / "digits"))
    shards = plan(folder / "batch", [image] * SLEEPERS, "predict", 0.001)
    slow = folder / "slow"
    slow.write_text(
        f'#!/bin/sh\n[ "$2" != run ] || sleep {SHARD_SECONDS / SPEED}\nexec {PROGRAM} "$@"\n'
    )
    slow.chmod(0o755)
    made, ended, killed = cluster(WORKERS), threading.Event(), 0

    def kill():
        nonlocal killed
        while not ended.wait(DEATH_SECONDS / SPEED):
            listed = subprocess.run(["pgrep", "-f", "^ray::run"], capture_output=True, text=True)
            if workers := listed.stdout.split():
                os.kill(int(random.choice(workers)), signal.SIGKILL)
                killed += 1

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        seconds = driver(folder / "batch", slow)
    finally:
        ended.set()
        killer.join()
        made.shutdown()
    totals = json.loads((folder / "batch/_SUCCESS").read_text())
    parts = len(list((folder / "batch/parts").glob("part-*.zst")))
    if (totals["rows"], totals["errors"], parts) != (SLEEPERS, {}, shards):
        sys.exit(f"something is lost, or there twice: {totals}")
    ideal = shards * SHARD_SECONDS / SPEED / WORKERS
    return {"shards": shards, "workers": WORKERS, "killed": killed, "lost": seconds / ideal - 1}


FIGURES = {"work": work, "overhead": overhead, "nodes": nodes, "plan": plan_many, "deaths": deaths}


def rows(name, found):
    """The rows of a figure in the table."""
    if name == "work":
        for item in found:
            images = "pages" if item["images"] == "pages" else "28×28 PNGs"
            what = f"`{item['verb']}`, {images} of {item['kilobytes']:.0f} KB, on one core"
            shard = f"{item['shard'] / 60:.1f} min for {DEFAULT_MB} MB"
            yield what, f"{1000 * item['image']:.2g} ms an image, {shard}"
    elif name == "overhead":
        yield "what a shard costs beside its images, on Ray", f"{found['seconds']:.1f} s"
    elif name == "nodes":
        what = f"two nodes of one core against one, {found['shards']} shards"
        yield what, f"{found['times']:.2f} times as fast"
    elif name == "plan":
        figure = f"{found['seconds']:.0f} s, {found['mebibytes']:.0f} MiB"
        yield f"plan of {found['paths']:,} paths", figure
    elif name == "deaths":
        what = f"{found['shards']:,} shards on {found['workers']} workers, {found['killed']} killed"
        yield what, f"nothing lost or twice, {found['lost']:.1%} more time"


def table(kept):
    print("| | |\n| --- | ---: |")
    for name in FIGURES:
        for what, figure in rows(name, kept[name]) if name in kept else []:
            print(f"| {what} | {figure} |")


parser = argparse.ArgumentParser()
parser.add_argument("figures", nargs="*")
parser.add_argument("--program", type=Path)
parser.add_argument("--table", action="store_true")
args = parser.parse_args()
kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
if args.table:
    table(kept)
else:
    PROGRAM = str(args.program.resolve())
    for name in args.figures:
        with tempfile.TemporaryDirectory(prefix="mnist-scale-") as folder:
            kept[name] = FIGURES[name](Path(folder))
        print(name, json.dumps(kept[name]), flush=True)
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
