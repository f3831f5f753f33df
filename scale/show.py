"""Shows that batches and comparisons on a cluster lose nothing: a head without CPUs and two nodes on
this machine, of which one is killed in the middle, as is the driver, which is then started again.
Fails unless all parts have the bytes, and the comparison has the figures, of one process.

usage: show.py PROGRAM FOLDER [PAGES]
"""

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path

os.environ.update(
    RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32)
)
os.environ["RAY_worker_niceness"] = "0"  # not the last on a machine that does other things as well

from ray.cluster_utils import Cluster

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "tests/sheets").glob("*.jpg"))
SHARD_MB = 0.15  # two or three of these pages
COMPARE = ["--optimizers", "adam,sgd", "--seeds", "2", "--epochs", "1", "--hidden", "32", "--json"]
STORE = 100 << 20
PATIENCE = 600  # seconds for a shard, on a machine that does other things as well


def say(text):
    print(f"{time.monotonic() - START:5.1f} s  {text}", flush=True)


def mnist(*arguments):
    command = [PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command} ended with exit code {done.returncode}:\n{done.stderr}")
    return done.stdout


def finished(folder):
    return len(list((FOLDER / folder / "parts").glob("part-*.receipt.json")))


def parts(folder):
    names = sorted((FOLDER / folder / "parts").glob("part-*.zst"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in names}


def driver(*arguments, **options):
    command = [
        sys.executable,
        str(ROOT / "scale/on_ray.py"),
        "--program",
        PROGRAM,
        *map(str, arguments),
    ]
    return subprocess.Popen(command, cwd=FOLDER, stdout=subprocess.PIPE, text=True, **options)


def wait_for(shards, process):
    """Until so many shards are done by what the driver `process` has done."""
    start = time.monotonic()
    while finished("cluster") < shards:
        if time.monotonic() - start > PATIENCE:
            process.kill()
            sys.exit(f"{finished('cluster')} shards are done after {PATIENCE} s, not {shards}")
        if process.poll() is not None:
            sys.exit(f"the driver ended with exit code {process.returncode}")
        time.sleep(0.2)


def batch(cluster):
    pages = (PAGES * 10)[:COUNT]
    (FOLDER / "pages.txt").write_text("".join(f"{page}\n" for page in pages))
    for name in ["whole", "cluster"]:
        planned = mnist(
            "batch", "plan", name, "pages.txt", "--verb", "read", "--shard-size", SHARD_MB
        )
    say(f"planned: {planned.strip()}")
    mnist("batch", "run", "whole", "--threads", 2)
    say("one process has done all of it, as what the cluster is compared with")

    nodes = [cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]
    cluster.wait_for_nodes()
    say("the cluster has a head without CPUs, and two nodes with one each")
    first = driver("batch", "cluster")
    wait_for(2, first)
    cluster.remove_node(nodes[0], allow_graceful=False)
    before = finished("cluster")
    say(f"killed a node; {before} shards are done")
    wait_for(before + 2, first)
    first.kill()
    first.wait()
    say(f"killed the driver; {finished('cluster')} shards are done")
    cluster.add_node(num_cpus=1, object_store_memory=STORE)
    again = driver("batch", "cluster")
    out, _ = again.communicate()
    if again.returncode != 0:
        sys.exit(f"the driver ended with exit code {again.returncode}")
    totals = json.loads(out)
    say(f"a new driver has had the rest done: {totals['rows']} rows, errors {totals['errors']}")
    whole, cluster_parts = parts("whole"), parts("cluster")
    if totals["rows"] != COUNT or whole != cluster_parts:
        sys.exit("the parts are not those of one process")
    say(f"{len(whole)} parts have the bytes of those of one process")


def gone():
    """A shard that cannot be done is tried once, and named, and the others are done."""
    missing = FOLDER / "gone.jpg"
    shutil.copy(PAGES[0], missing)
    (FOLDER / "gone.txt").write_text(f"{PAGES[1]}\n{missing}\n{PAGES[2]}\n")
    mnist("batch", "plan", "gone", "gone.txt", "--verb", "read", "--shard-size", 0.001)
    missing.unlink()
    done = driver("--retries", 0, "batch", "gone", stderr=subprocess.PIPE)
    out, err = done.communicate()
    if (done.returncode, out, err.count("1 failed: ")) != (1, "1\n", 1):
        sys.exit(f"the driver ended with exit code {done.returncode}, {out!r}:\n{err}")
    say("a shard whose image is gone is named, tried no further, and the other two are done")


def compare():
    alone = json.loads(mnist("compare", *COMPARE, "--output-dir", "alone"))
    done = driver("compare", "--output-dir", "apart", *COMPARE)
    out, _ = done.communicate()
    if done.returncode != 0:
        sys.exit(f"the driver ended with exit code {done.returncode}")
    apart = json.loads(out)
    for contender in alone["contenders"] + apart["contenders"]:
        del contender["seconds_per_epoch"]
    for comparison in [alone, apart]:
        for of_the_command in ["command", "started", "seconds"]:
            del comparison[of_the_command]
    if alone != apart:
        sys.exit("the comparison is not that of one machine")
    say("the runs of a comparison, each by itself, give the figures of one machine")


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    head = {"num_cpus": 0, "object_store_memory": STORE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        batch(cluster)
        gone()
        compare()
    finally:
        cluster.shutdown()


START = time.monotonic()
PROGRAM, FOLDER = str(Path(sys.argv[1]).resolve()), Path(sys.argv[2]).resolve()
COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 60
main()
