"""Runs the program and its peers in turn, and keeps what they took.

usage: run.py [--jobs a,b,c,d,f,g] [--rounds N] [--device cpu|cuda] [--keep]

The figures go to .bench/NAME.json; with --keep to bench/results as well, from where tables.py makes
the tables of README.md and docs/. Figures of a git tree with uncommitted changes are not kept.
docs/benchmarks.md says what is measured and how.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path

from tables import BF16, CENTERED, DEFAULT_FLOOR, FLOOR, KERAS, LITE, LOADER, LOOP, OURS
from tables import PRELOADED, PYTORCH, RUST, details, value

ROOT = Path(__file__).resolve().parent.parent
WORK, INPUTS, RESULTS = Path(".bench"), Path(".bench/inputs"), Path("bench/results")
REQUIREMENTS, CANDLE = Path("bench/peers/requirements.txt"), Path("bench/peers/candle")
WEIGHTS = "models/released.safetensors"
THREADS = len(os.sched_getaffinity(0))
EPOCHS = 5

MNIST = ["target/release/mnist"]
BARE = ["target/release/examples/bare"]
WITHOUT_LIBTORCH = [".bench/lite/release/mnist"]
MKL = ".bench/mkl.so"
COMMANDS = {
    PYTORCH: [sys.executable, "bench/peers/pytorch.py"],
    KERAS: [sys.executable, "bench/peers/tensorflow_keras.py"],
    RUST: [".bench/candle/release/bench-candle"],
}


def install():
    """Puts the peers and what is read into .bench, and builds what is measured."""
    wanted, installed = REQUIREMENTS.read_text(), WORK / "installed"
    if not installed.exists() or installed.read_text() != wanted:
        print("Installing the peers into .bench (7 GB) ...", file=sys.stderr)
        shutil.rmtree(WORK / "python", ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        pip += ["--root-user-action", "ignore", "--no-deps", "--only-binary", ":all:"]
        run([*pip, "--target", WORK / "python", "--requirement", REQUIREMENTS])
        installed.write_text(wanted)
    # What src/network/kernels.rs does, for a program that is not ours.
    (WORK / "mkl.c").write_text("int mkl_serv_intel_cpu_true(void) { return 1; }\n")
    run(["cc", "-shared", "-fPIC", "-o", MKL, WORK / "mkl.c"])
    build = ["cargo", "build", "--release", "--bin", "mnist"]
    build += ["--example", "bare", "--example", "load"]
    run(build, cwd=ROOT / ".libtorch/workspace")
    target = ROOT / WORK / "lite"
    lite = ["--no-default-features", "--target-dir", target]
    run(["cargo", "build", "--release", "--locked", "--bin", "mnist", *lite])
    target = ROOT / WORK / "candle"
    run(["cargo", "build", "--release", "--locked", "--target-dir", target], cwd=CANDLE)
    if not INPUTS.exists():
        partial = WORK / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        prepare = [sys.executable, "bench/peers/prepare.py", partial]
        run(prepare, env=environment("cpu", THREADS))
        partial.rename(INPUTS)


def run(command, **options):
    if subprocess.run(command, **options).returncode != 0:
        sys.exit(f"error: this failed: {' '.join(map(str, command))}")


def environment(device, threads):
    """That of a user who has set nothing, but for the number of threads."""
    ours = re.compile("(OMP|GOMP|KMP|MKL|TF|MNIST)_")
    variables = {name: text for name, text in os.environ.items() if not ours.match(name)}
    for name in ["OMP", "RAYON"]:
        variables[f"{name}_NUM_THREADS"] = str(threads)
    for name in ["INTRAOP", "INTEROP"]:
        variables[f"TF_NUM_{name}_THREADS"] = str(threads)
    if device == "cpu":
        variables["CUDA_VISIBLE_DEVICES"] = ""
    return variables | {"PYTHONPATH": str(WORK / "python"), "TF_CPP_MIN_LOG_LEVEL": "3"}


def tasks(device, seed):
    """A round: job, case, contender, command and threads of each."""

    def train(
        job, case, contenders, hidden=512, optimizer="rmsprop", batch=128, epochs=EPOCHS,
        threads=THREADS, extra=(),
    ):
        ours = [*MNIST, "train", "--json", "--force", "--threads", threads]
        ours += ["--output", WORK / "mnist.safetensors"]
        commands = {
            OURS: ours,
            BF16: [*ours, "--precision", "bf16"],
            FLOOR: [*BARE, "floor"],
            DEFAULT_FLOOR: ["env", "MNIST_MKL=default", *BARE, "floor"],
            LOOP: ["env", "MNIST_MKL=default", *BARE, "train"],
            PYTORCH: [*COMMANDS[PYTORCH], "memory"],
            PRELOADED: ["env", f"LD_PRELOAD={ROOT / MKL}", *COMMANDS[PYTORCH], "memory"],
            LOADER: [*COMMANDS[PYTORCH], "loader"],
            KERAS: [*COMMANDS[KERAS], "train"],
            RUST: [*COMMANDS[RUST], "train"],
        }
        options = ["--hidden", hidden, "--optimizer", optimizer, "--batch-size", batch]
        options += ["--epochs", epochs, "--seed", seed, "--device", device, *extra]
        for name in contenders:
            yield job, case, name, [*commands[name], *options], threads

    all_ = [OURS, FLOOR, LOOP, PYTORCH, LOADER]
    if device == "cpu":
        all_ += [DEFAULT_FLOOR, PRELOADED, KERAS, RUST]
    has_bf16 = device != "cpu" or "avx512_bf16" in Path("/proc/cpuinfo").read_text()
    bf16 = [BF16] if has_bf16 else []
    yield from train("a", "512 hidden, RMSprop, batch 128", all_ + bf16)
    if device != "cpu":
        yield from train("a", "512 hidden, RMSprop, batch 1024", all_ + bf16, batch=1024)
    small = {"hidden": 128, "optimizer": "adam", "batch": 32}
    yield from train("b", "128 hidden, Adam, batch 32", all_, **small)

    if device == "cpu":
        images = sorted((INPUTS / "images").iterdir())
        ours = [*MNIST, "predict", "--json", "--weights", WEIGHTS]
        lite = [*WITHOUT_LIBTORCH, "predict", "--json", "--weights", WEIGHTS]
        pytorch = [*COMMANDS[PYTORCH], "resize", WEIGHTS]
        centered = [*COMMANDS[PYTORCH], "center", WEIGHTS]
        yield "c", "one image", OURS, [*ours, images[0]], THREADS
        yield "c", "one image", LITE, [*lite, images[0]], THREADS
        yield "c", "one image", FLOOR, [*BARE, "tensor"], THREADS
        yield "c", "one image", PYTORCH, [*pytorch, images[0]], THREADS
        yield "c", "one image", CENTERED, [*centered, images[0]], THREADS
        keras = [*COMMANDS[KERAS], "classify", INPUTS / "released.keras", images[0]]
        yield "c", "one image", KERAS, keras, THREADS
        yield "c", "one image", RUST, [*COMMANDS[RUST], "classify", WEIGHTS, images[0]], THREADS
        commands = {OURS: ours, LITE: lite, PYTORCH: pytorch, CENTERED: centered}
        for name, command in commands.items():
            yield "d", "10,000 images", name, [*command, *images], THREADS
        sheet = [*MNIST, "read", "--json", INPUTS / "sheet.jpg"]
        yield "d", "a sheet of 12 megapixels", OURS, sheet, THREADS
        sheet = [*WITHOUT_LIBTORCH, *sheet[1:]]
        yield "d", "a sheet of 12 megapixels", LITE, sheet, THREADS

    def growth(case, contenders=[OURS, FLOOR], **change):
        # One on the CPU, for the sake of time; on a card the first one has its start-up in it.
        epochs = 1 if device == "cpu" else EPOCHS
        return train("f", case, contenders, epochs=epochs, **change)

    yield from growth("512 hidden, batch 128, 60,000 samples")
    for hidden in [128, 256, 1024, 2048, 4096]:
        yield from growth(f"{hidden} hidden", hidden=hidden)
    for batch in [32, 64, 256, 512, 1024, 2048, 4096]:
        yield from growth(f"batch {batch}", batch=batch)
    yield from growth("600,000 samples", extra=["--data", INPUTS / "data-x10"])
    threads = 1
    while threads < THREADS and device == "cpu":
        yield from growth(f"{threads} of {THREADS} threads", threads=threads)
        threads *= 2
    yield from growth("--augment", [OURS], extra=["--augment"])


def measure(job, case, contender, command, threads, device, seed):
    """Runs one contender to its end; the system says what memory that very process took."""
    command = [str(part) for part in command]
    start = time.perf_counter()
    with open(WORK / "stderr", "w+") as errors:
        pipes = {"stdout": subprocess.PIPE, "stderr": errors, "text": True}
        process = subprocess.Popen(command, env=environment(device, threads), **pipes)
        lines = process.stdout.read().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            errors.seek(0)
            sys.exit(f"error: {' '.join(command[:20])} failed:\n{errors.read()}")
    figures = {"job": job, "case": case, "contender": contender, "seed": seed, "wall": wall}
    figures["peak_kib"] = usage.ru_maxrss
    records = [json.loads(line) for line in lines if line.startswith("{")]
    if job in "abf":
        if contender in [OURS, BF16]:
            records = [*records[0]["history"], records[0]["test"]]
        figures["seconds"] = [record["seconds"] for record in records if "seconds" in record]
        if contender not in (FLOOR, DEFAULT_FLOOR):
            figures["accuracy"] = records[-1]["accuracy"]
    elif records and "label" in records[0]:
        # The digit is at the end of the file's name.
        right = [Path(record["path"]).stem[-1] == str(record["label"]) for record in records]
        figures["accuracy"] = sum(right) / len(right)
    return figures


def machine(device):
    cpu = Path("/proc/cpuinfo").read_text()
    flags = re.search("flags\t*: (.*)", cpu)[1].split()
    wide = [flag for flag in ["avx2", "avx512f", "avx512_bf16", "amx_bf16"] if flag in flags]
    gpu = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    named = "^(keras|pillow|tensorflow|torch)==(.*)"
    lock = (CANDLE / "Cargo.lock").read_text()
    return {
        "processor": re.search("model name\t*: (.*)", cpu)[1],
        "extensions": wide,
        "threads": THREADS,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "gpu": output(gpu).splitlines()[0] if device != "cpu" else None,
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}",
        "load_at_start": os.getloadavg()[0],
        "versions": {
            "mnist": version(),
            "rustc": output(["rustc", "--version"]).split()[1],
            "Python": platform.python_version(),
            **dict(re.findall(named, REQUIREMENTS.read_text(), re.M)),
            "candle": re.search('name = "candle-core"\nversion = "(.*)"', lock)[1],
        },
    }


def version():
    return output(["git", "describe", "--always", "--dirty", "--tags"])


def output(command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", default="a,b,c,d,f,g", help="which of a, b, c, d, f, g [all]")
    parser.add_argument("--rounds", type=int, default=5, help="turns of (a), (b); of others half [5]")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--keep", action="store_true", help="keep the figures in bench/results")
    args = parser.parse_args()
    os.chdir(ROOT)
    if args.keep and version().endswith("-dirty"):
        sys.exit(
            "error: --keep: the git tree has uncommitted changes; commit them first, so that the"
            " figures name the code that they are of"
        )

    WORK.mkdir(exist_ok=True)
    install()
    about = machine(args.device)
    name = f"{(about['gpu'] or about['processor']).split(',')[0]} {THREADS} threads".lower()
    file = WORK / (re.sub("[^a-z0-9]+", "-", name) + ".json")
    result = {"date": str(datetime.date.today()), "device": args.device, "rounds": "0"}
    result |= {"machine": about, "runs": []}
    for seed in range(args.rounds):
        for (job, case), group in groupby(tasks(args.device, seed), key=lambda task: task[:2]):
            halved = job not in "ab" and seed >= (args.rounds + 1) // 2
            if job not in args.jobs.split(",") or halved:
                continue
            group = list(group)
            turn = seed % len(group)  # so that none is always first, or after the same one
            for task in group[turn:] + group[:turn]:
                run = measure(*task, args.device, seed)
                result["runs"].append(run)
                print(f"{seed}: ({job}) {case}: {task[2]}: {value(run):.3f} s", file=sys.stderr)
        result["rounds"] = f"{seed + 1} of (a) and (b), {min(seed, (args.rounds - 1) // 2) + 1} of the others"
        file.write_text(json.dumps(result, indent=1) + "\n")
    if "g" in args.jobs.split(",") and args.device == "cpu":
        keep = ["--keep"] if args.keep else []
        subprocess.run([sys.executable, "bench/serve.py", "--peer", *keep], check=True)
    if not result["runs"]:
        return
    print(details(result), end="")
    print(f"Saved: {file}", file=sys.stderr)
    if args.keep:
        RESULTS.mkdir(exist_ok=True)
        shutil.copy(file, RESULTS)
        print("Kept in bench/results; `make docs` puts them into the tables", file=sys.stderr)


main()
