"""Measures `mnist serve`, and a server of the usual kind beside it.

usage: serve.py [--build DIR] [--peer] [--requests N] [--keep]

The load comes from the same machine, by bench/load.rs. The figures go to .bench/serving/NAME.json;
with --keep to bench/results/serving as well, from where tables.py makes the table of docs/. --peer
needs what bench/run.py puts into .bench/python, and installs bench/peers/serving.txt beside it.
"""

import argparse
import array
import asyncio
import datetime
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
WORK, RESULTS = Path(".bench/serving"), Path("bench/results/serving")
WEIGHTS = "models/released.safetensors"
PEER_PORT = 8493
SLOW = 2000
BATCH = 256
# About what the page sends of one digit, 361×464, and a small image.
DRAWN_SIDE, SIDE = 440, 64
# Seconds until all slow clients are connected, at most.
CONNECT = 60


def output(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def png(side, digit):
    """A digit of MNIST's, dark on white, enlarged to a square of this side, as a PNG file."""
    rows = bytearray()
    for y in range(side):
        rows.append(0)
        row = digit[28 * (28 * y // side) :]
        rows += bytes(255 - row[28 * x // side] for x in range(side))

    def chunk(kind, data):
        body = kind + data
        return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")

    size = side.to_bytes(4, "big")
    header = chunk(b"IHDR", size + size + b"\x08\0\0\0\0")
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def prepare():
    """Bodies of requests."""
    WORK.mkdir(parents=True, exist_ok=True)
    data = gzip.open("data/t10k-images-idx3-ubyte.gz").read()[16:]
    (WORK / "drawn.png").write_bytes(png(DRAWN_SIDE, data[:784]))
    (WORK / "small.png").write_bytes(png(SIDE, data[:784]))
    pixels = array.array("f", (ink / 255 for ink in data[: 784 * BATCH])).tobytes()
    tensor = {"name": "images", "datatype": "FP32", "shape": [BATCH, 784]}
    tensor["parameters"] = {"binary_data_size": len(pixels)}
    head = {"inputs": [tensor], "parameters": {"binary_data_output": True}}
    head["outputs"] = [{"name": "probabilities", "parameters": {"binary_data": True}}]
    head = json.dumps(head).encode()
    (WORK / "batch").write_bytes(head + pixels)
    return len(head)


def load(build, address, path, body, connections, requests, rate=0, *headers):
    command = [build / "examples/load", address, path, WORK / body, connections, requests, rate]
    return json.loads(output([*map(str, command), *headers]))


def memory(process):
    """Kibibytes that a process has in memory."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1])


class Slow(threading.Thread):
    """Clients that send a byte a second, half of them of a request's headers, half of its body."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address, self.open, self.ended = address, 0, threading.Event()

    def run(self):
        asyncio.run(self.all())

    async def all(self):
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60"
        body = head + b"\r\n\r\n", bytes(59)
        await asyncio.gather(*(self.one(*[(b"", head), body][at % 2]) for at in range(SLOW)))

    async def one(self, at_once, slowly):
        host, port = self.address.split(":")
        while not self.ended.is_set():
            try:
                _, writer = await asyncio.open_connection(host, int(port))
                self.open += 1
                try:
                    writer.write(at_once)
                    for byte in slowly:
                        if self.ended.is_set():
                            break
                        writer.write(bytes([byte]))
                        await writer.drain()
                        await asyncio.sleep(1)
                finally:
                    self.open -= 1
                    writer.close()
            except OSError:
                await asyncio.sleep(0.1)


def ours(build, requests):
    """The figures of the program."""
    header = prepare()
    command = [build / "mnist", "serve", "--listen", "127.0.0.1:0", "--weights", "released"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().strip()
    address = url.removeprefix("http://").rstrip("/")
    try:
        load(build, address, "/predict", "small.png", 8, 2000)  # warm
        found = {"drawn": load(build, address, "/explain", "drawn.png", 4, 1000, 50)}
        found["drawn_predict"] = load(build, address, "/predict", "drawn.png", 4, 1000, 50)
        load(build, address, "/predict", "small.png", 64, 20_000)
        before = memory(server)
        found["saturated"] = load(build, address, "/predict", "small.png", 64, requests)
        found["memory_kib"] = [before, memory(server)]
        length = f"Inference-Header-Content-Length: {header}"
        path = "/v2/models/released/infer"
        found["infer"] = load(build, address, path, "batch", 4, 1500, 0, length)
        slow = Slow(address)
        slow.start()
        deadline = time.monotonic() + CONNECT
        while slow.open < SLOW:
            if time.monotonic() > deadline:
                sys.exit(f"error: only {slow.open} of {SLOW} slow clients could connect")
            time.sleep(0.2)
        time.sleep(2)
        found["beside_slow"] = load(build, address, "/explain", "drawn.png", 4, 1000, 50)
        found["slow"] = slow.open
        slow.ended.set()
        slow.join()
        page = urlopen(url).read().decode()
        names = set(re.findall(r'(?:href|src)="([\w./-]+\.(?:css|js|svg))"', page))
        sizes = [len(page.encode()), *(len(urlopen(url + name).read()) for name in names)]
        found["page"] = {"requests": len(sizes), "bytes": sum(sizes)}
    finally:
        server.terminate()
        server.wait()
    return found


def peer(build):
    """The figures of FastAPI and PyTorch."""
    wanted, packages = Path("bench/peers/serving.txt"), WORK / "python"
    if not packages.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages]
        subprocess.run([*pip, "--requirement", wanted], check=True)
    environment = os.environ | {"PYTHONPATH": f"{packages}:.bench/python"}
    command = [sys.executable, "bench/peers/fastapi_server.py", WEIGHTS, str(PEER_PORT)]
    server = subprocess.Popen(command, env=environment)
    address = f"127.0.0.1:{PEER_PORT}"
    try:
        for _ in range(300):
            time.sleep(0.2)
            try:
                urlopen(f"http://{address}/openapi.json").read()
                break
            except OSError:
                pass
        load(build, address, "/predict", "small.png", 8, 500)
        found = {"drawn_predict": load(build, address, "/predict", "drawn.png", 4, 1000, 50)}
        found["saturated"] = load(build, address, "/predict", "small.png", 64, 10_000)
        found["memory_kib"] = [memory(server)]
    finally:
        server.terminate()
        server.wait()
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="target/release", help="folder of the programs")
    parser.add_argument("--peer", action="store_true", help="measure FastAPI and PyTorch, too")
    parser.add_argument("--requests", type=int, default=500_000, help="that saturate it [500,000]")
    parser.add_argument("--keep", action="store_true", help="keep the figures in bench/results")
    args = parser.parse_args()
    os.chdir(ROOT)
    version = output(["git", "describe", "--always", "--dirty", "--tags"])
    if args.keep and version.endswith("-dirty"):
        sys.exit("error: --keep: the git tree has uncommitted changes; commit them first")
    processor = re.search("model name\t*: (.*)", Path("/proc/cpuinfo").read_text())[1]
    threads = len(os.sched_getaffinity(0))
    name = re.sub("[^a-z0-9]+", "-", f"{processor.split(',')[0]} {threads} threads".lower())
    result = {"date": str(datetime.date.today()), "version": version, "processor": processor}
    result |= {"threads": threads, "load_at_start": os.getloadavg()[0]}
    result |= {"mnist": ours(Path(args.build), args.requests)}
    if args.peer:
        result["FastAPI and PyTorch"] = peer(Path(args.build))
    file = WORK / f"{name}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    print(file.read_text(), end="")
    if args.keep:
        RESULTS.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, RESULTS)


main()
