"""Runs the shards of a batch, or the runs of a comparison, on a Ray cluster.

usage: on_ray.py [OPTION...] batch DIR [--allow-missing]
       on_ray.py [OPTION...] compare --output-dir DIR [OPTION of mnist compare...]

Connects to the cluster at RAY_ADDRESS, or starts Ray on this machine. What is still to be done, and
whether it is whole, is `mnist`'s to say: this program only has Ray run it. It may be ended, by Ctrl-C
as well, and started again at any time. The exit code is that of `mnist batch check` or of
`mnist compare --merge`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray

LOCAL_STORE = 100 << 20  # bytes for Ray's objects on this machine: they are numbers and messages
FAILURES_IN_A_ROW = 20  # after so many, the fault is not that of a shard
ROUNDS = 2  # the second for what the check after the first finds wrong
SECONDS_BETWEEN_LINES = 10


class Failed(Exception):
    """What the program said when it failed."""


def run(command, folder, threads, gpus, is_question=False):
    """Runs `mnist` on a node; returns its exit code, standard output and standard error."""
    environment = os.environ | {"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": str(threads)}
    if not gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ""  # else Ray has set it
    if shutil.which("setpriv"):  # ends with the worker of Ray that it belongs to
        command = ["setpriv", "--pdeathsig", "KILL", "--", *command]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0 and not is_question:
        raise Failed(done.stderr.strip()[-2000:])
    return done.returncode, done.stdout, done.stderr


def commands(program, kind, arguments, threads):
    """The commands that say what is to be done, do the number that follows, and check it all."""
    if kind == "batch":
        folder, *options = arguments
        run_one = [program, "batch", "run", folder, "--threads", str(threads), *options]
        missing = [program, "batch", "status", folder, "--missing"]
        return missing, run_one, [program, "batch", "check", folder]
    compare = [program, "compare", *arguments]
    if not any(argument.split("=")[0] == "--threads" for argument in arguments):
        compare += ["--threads", str(threads)]
    return [*compare, "--merge"], [*compare, "--run"], [*compare, "--merge"]


def duration(seconds):
    hours, minutes = int(seconds // 3600), int(seconds % 3600 // 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {int(seconds % 60)} s"


class Progress:
    """A line about how far it is; on a terminal it is rewritten."""

    def __init__(self, total):
        self.total, self.done, self.failed = total, 0, 0
        self.start, self.shown = time.monotonic(), 0

    def show(self, last=False):
        now = time.monotonic()
        if not last and now - self.shown < (1 if sys.stderr.isatty() else SECONDS_BETWEEN_LINES):
            return
        self.shown, ended = now, self.done + self.failed
        line = f"{self.done} of {self.total} done"
        if self.failed:
            line += f", {self.failed} failed"
        if self.done and not last:
            left = (now - self.start) / ended * (self.total - ended)
            line += f", {duration(left)} left"
        start, end = ("\r\x1b[K", "\n" if last else "") if sys.stderr.isatty() else ("", "\n")
        print(start + line, end=end, file=sys.stderr, flush=True)


def run_all(numbers, submit, in_flight):
    """Has Ray do these, so many at a time; what fails is reported, and left. Returns what did, and
    whether it gave up.
    """
    pending, progress, failed, in_a_row = {}, Progress(len(numbers)), set(), 0
    numbers = iter(numbers)
    while in_a_row < FAILURES_IN_A_ROW:
        while len(pending) < in_flight and (number := next(numbers, None)) is not None:
            pending[submit(number)] = number
        if not pending:
            break
        ready, _ = ray.wait(list(pending), timeout=1)
        for task in ready:
            number = pending.pop(task)
            try:
                ray.get(task)
                progress.done, in_a_row = progress.done + 1, 0
            except ray.exceptions.RayError as error:
                progress.failed, in_a_row = progress.failed + 1, in_a_row + 1
                failed.add(number)
                cause = getattr(error, "cause", None) or error
                print(f"{number} failed: {cause}", file=sys.stderr)
        progress.show()
    for task in pending:
        ray.cancel(task, force=True)
    progress.show(last=True)
    return failed, in_a_row >= FAILURES_IN_A_ROW


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default="mnist", help="on all nodes [default: mnist]")
    parser.add_argument("--cpus", type=float, default=1, help="cores for each [default: 1]")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs for each [default: 0]")
    parser.add_argument("--in-flight", type=int, default=1000, help="at a time [default: 1000]")
    parser.add_argument(
        "--retries", type=int, default=5, help="of each that fails or whose node dies [default: 5]"
    )
    parser.add_argument("kind", choices=["batch", "compare"])
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="DIR and options")
    args = parser.parse_args()
    if not args.arguments:
        parser.error("name the folder")

    # Ray's own messages may come on standard output at any time; there, results alone are wanted.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    address = os.environ.get("RAY_ADDRESS", "local")
    local = (
        {"object_store_memory": LOCAL_STORE, "include_dashboard": False}
        if address == "local"
        else {}
    )
    ray.init(address=address, log_to_driver=False, **local)
    threads = max(1, int(args.cpus))
    task = ray.remote(run).options(
        num_cpus=args.cpus, num_gpus=args.gpus, max_retries=args.retries, retry_exceptions=True
    )
    here = os.getcwd()
    missing, run_one, check = commands(args.program, args.kind, args.arguments, threads)

    def ask(command):
        code, out, err = ray.get(task.remote(command, here, threads, args.gpus, is_question=True))
        if code not in (0, 1) or (code == 1 and not out.strip()):
            sys.exit(err.strip() or f"{command} ended with exit code {code}")
        return code, out, err

    def submit(number):
        return task.remote([*run_one, number], here, threads, args.gpus)

    try:
        code, out, err = ask(missing)
        if args.kind == "batch" or code != 0:  # else it was all there, and was just compared
            failed = set()
            for _ in range(ROUNDS):
                to_do = [number for number in out.split() if number not in failed]
                newly, gave_up = run_all(to_do, submit, args.in_flight)
                failed |= newly
                code, out, err = ask(check)
                if code == 0 or gave_up or failed.issuperset(out.split()):
                    break
    except KeyboardInterrupt:
        print("Interrupted: what is done stays; run the same again to continue", file=sys.stderr)
        sys.exit(130)
    sys.stderr.write(err)
    results.write(out)
    results.close()
    sys.exit(code)


if __name__ == "__main__":
    main()
