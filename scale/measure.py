"""Measures batches on this machine, which should do nothing else, for docs/guide/scale.md.

usage: measure.py FIGURE... --program PROGRAM   measure, and keep in scale/results.json
       measure.py --table                       what was measured, as a table

The figures: `work` of an image; `overhead` of a shard; `nodes`: two of one core each, against one;
`plan` of 10 million paths; `deaths`: 10,000 shards that sleep, on what stands for 100 nodes, of which
one dies a minute: it tests the scheme of shards and receipts, not Ray. Needs Ray, see `make scale`.
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
SHARD_MB = {"read": 190, "predict": 300}  # the default of --shard-size
DIGITS = 10_000
SHARDS = 40  # of one image, for the overhead
ROUNDS = 6  # times that all pages are read on nodes
PATHS = 10_000_000
# A shard of five minutes, a minute between deaths, and one until there is another node: all of it
# thirty times as fast.
SPEED, SHARD_SECONDS, DEATH_SECONDS, AWAY_SECONDS, SLEEPERS, NODES = 30, 300, 60, 60, 10_000, 100
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


def driver(folder):
    """Has Ray do a batch; the seconds it took, without those to start Ray."""
    start = time.monotonic()
    command = [
        sys.executable,
        ROOT / "scale/on_ray.py",
        "--program",
        PROGRAM,
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
    """Seconds of one core for an image."""
    small = folder / "digits"
    small.mkdir()
    sets = [
        ("read", "pages", PAGES),
        ("predict", "pages", PAGES),
        ("predict", "digits", list(digits(small))),
    ]
    result = []
    for at, (verb, images, paths) in enumerate(sets):
        plan(folder / f"{at}", paths, verb, SHARD_MB[verb])
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
    """Seconds of one core, and peak memory, of a plan."""
    command = [PROGRAM, "batch", "plan", folder / "batch", "-", "--verb", "predict"]
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
    seconds = usage.ru_utime + usage.ru_stime
    return {"paths": PATHS, "seconds": seconds, "mebibytes": usage.ru_maxrss / 1024}


# What stands for a shard: it takes its time, and leaves a part and a receipt as `mnist batch run` does.
STAND_IN = 'sleep "$1" && echo "$3" > $$ && mv $$ "part-$2" && echo "$3" > $$ && mv $$ "receipt-$2"'


class Nodes:
    """What stands for a cluster: each node does one shard after another. One that dies ends what it
    does at once, whose shard is then for another node, and is away for a while.
    """

    def __init__(self, folder):
        self.folder, self.left, self.doing = folder, list(range(SLEEPERS)), {}
        self.lock, self.useful, self.attempts = threading.Lock(), 0, 0

    def node(self, number):
        while self.left or self.doing:
            with self.lock:
                shard = self.left.pop() if self.left else None
                if shard is not None:
                    self.attempts += 1
                    start, child = time.monotonic(), self.start(shard)
                    self.doing[number] = child
            if shard is None:
                time.sleep(1 / SPEED)
                continue
            is_done = child.wait() == 0
            with self.lock:
                del self.doing[number]
                if is_done:
                    self.useful += time.monotonic() - start
                else:
                    self.left.append(shard)
            if not is_done:
                time.sleep(AWAY_SECONDS / SPEED)

    def start(self, shard):
        command = ["sh", "-c", STAND_IN, "sh", SHARD_SECONDS / SPEED, shard, self.attempts]
        return subprocess.Popen(map(str, command), cwd=self.folder, start_new_session=True)

    def kill_one(self):
        """Kills any node; whether it was doing something."""
        with self.lock:
            child = self.doing.get(random.randrange(NODES))
            if child is None or child.poll() is not None:
                return False
            os.killpg(child.pid, signal.SIGKILL)
            return True


def deaths(folder):
    """The share of the nodes' time that is lost where one after another dies."""
    nodes, start, killed = Nodes(folder), time.monotonic(), 0
    threads = [threading.Thread(target=nodes.node, args=[number]) for number in range(NODES)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(DEATH_SECONDS / SPEED)
        killed += nodes.kill_one()
    seconds = time.monotonic() - start
    for shard in range(SLEEPERS):
        part, receipt = (folder / f"{kind}-{shard}" for kind in ["part", "receipt"])
        if part.read_text() != receipt.read_text():
            sys.exit(f"shard {shard} is not as its receipt says")
    if nodes.attempts != SLEEPERS + killed:
        sys.exit(f"{nodes.attempts} attempts for {SLEEPERS} shards and {killed} deaths")
    lost = 1 - nodes.useful / (seconds * NODES)
    return {"shards": SLEEPERS, "nodes": NODES, "killed": killed, "lost": lost}


FIGURES = {"work": work, "overhead": overhead, "nodes": nodes, "plan": plan_many, "deaths": deaths}


def shard_seconds(item):
    """Of one core for a shard of the default size."""
    return item["image"] / item["kilobytes"] * 1000 * SHARD_MB[item["verb"]]


def rows(name, kept):
    """The rows of a figure in the table: what it is, its goal, the figure, and whether that is met."""
    found = kept[name]
    if name == "work":
        for item in found:
            images = "pages" if item["images"] == "pages" else "28×28 PNGs"
            what = f"`{item['verb']}`, {images} of {item['kilobytes']:.0f} KB, on one core"
            shard = f"{shard_seconds(item) / 60:.1f} min for {SHARD_MB[item['verb']]} MB"
            figure = f"{1000 * item['image']:.3g} ms an image, {shard}"
            yield what, "about 5 min a shard", figure, 240 < shard_seconds(item) < 360
    elif name == "overhead":
        share = found["seconds"] / min(shard_seconds(item) for item in kept["work"])
        figure = f"{found['seconds']:.2f} s, {share:.2%} of the shortest of these"
        yield "a shard beside its images, on Ray", "at most 2% of its work", figure, share <= 0.02
    elif name == "nodes":
        what = f"two nodes of one core against one, {found['shards']} shards"
        figure = f"{found['times']:.2f} times as fast"
        yield what, "at least 1.8 times as fast", figure, found["times"] >= 1.8
    elif name == "plan":
        figure = f"{found['seconds']:.0f} s of one core, {found['mebibytes']:.0f} MiB"
        is_met = found["seconds"] <= 60 and found["mebibytes"] <= 200
        yield f"plan of {found['paths']:,} paths", "at most 60 s, 200 MiB", figure, is_met
    elif name == "deaths":
        what = f"simulated: {found['shards']:,} shards on {found['nodes']} nodes, {found['killed']} deaths"
        figure = f"nothing lost or twice, {found['lost']:.1%} of the time lost"
        yield what, "nothing lost or twice, at most 10% of the time", figure, found["lost"] <= 0.1


def table(kept):
    print("| | goal | measured |\n| --- | --- | --- |")
    for name in FIGURES:
        for what, goal, figure, is_met in rows(name, kept) if name in kept else []:
            print(f"| {what} | {goal} | {figure if is_met else f'**{figure}: missed**'} |")


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
