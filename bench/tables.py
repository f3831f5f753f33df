"""Makes tables of the figures in bench/results; scripts/docs.py puts them into the pages.

usage: tables.py speed|summary|details|goals|seeds|figures|serving
"""

import json
import sys
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).resolve().parent / "results"

# The contenders, by the names that they have in the tables.
OURS, BF16, FLOOR, LOOP = "mnist", "mnist, bf16", "floor", "bare tch loop"
LITE = "mnist, without libtorch"
DEFAULT_FLOOR, PRELOADED = "floor, MKL's default kernels", "PyTorch, our MKL setting"
PYTORCH, LOADER, CENTERED = "PyTorch", "PyTorch, DataLoader", "PyTorch, MNIST's form"
KERAS, RUST = "Keras on TensorFlow", "candle"


def value(run):
    """What counts: the median of the epochs, or the time from start to end."""
    return median(run["seconds"]) if "seconds" in run else run["wall"]


def seconds(runs):
    return median(map(value, runs))


def ratios(runs, name, other, of=value):
    """How many times as much `name` took as `other`, by round."""
    return [of(a) / of(b) for a, b in zip(runs.get(name, []), runs.get(other, []))]


def ratio(runs, name, other):
    found = ratios(runs, name, other)
    return f"{median(found):.2f}×" if found else ""


def peak_kib(run):
    return run["peak_kib"]


def accuracy(runs):
    found = [run["accuracy"] for run in runs if "accuracy" in run]
    return f"{median(found):.4f}" if found else ""


def peak(runs):
    return f"{median(map(peak_kib, runs)) / 1024:.0f}"


def duration(time):
    return f"{time:.2f} s" if time >= 0.1 else f"{1000 * time:.0f} ms"


def by_case(result):
    """Runs by job and case, then by contender, each in the order of the rounds."""
    cases = {}
    for run in result["runs"]:
        runs = cases.setdefault((run["job"], run["case"]), {})
        runs.setdefault(run["contender"], []).append(run)
    return cases


def describe(result):
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['gpu'] or machine['processor']}, {machine['threads']} threads"
        f" ({', '.join(machine['extensions'])}), {machine['memory_gib']} GiB, {machine['system']};"
        f" {result['date']}; {versions}; rounds: {result['rounds']}.\n\n"
    )


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def details(result):
    """A table for each case, and one for all of growth."""
    cases, text, growth = by_case(result), describe(result), []
    for (job, case), runs in cases.items():
        if job == "f":
            floor = f"{seconds(runs[FLOOR]):.3f}" if FLOOR in runs else ""
            row = [case, f"{seconds(runs[OURS]):.3f}", floor, ratio(runs, OURS, FLOOR)]
            growth.append([*row, peak(runs[OURS])])
            continue
        rows = []
        for name, of in sorted(runs.items(), key=lambda item: seconds(item[1])):
            span = f"{min(map(value, of)):.3f}–{max(map(value, of)):.3f}"
            found = [ratio(runs, name, OURS), ratio(runs, name, FLOOR)]
            rows.append([name, f"{seconds(of):.3f}", span, *found, accuracy(of), peak(of)])
        unit = "s/epoch" if job in "ab" else "s"
        head = ["", unit, "least–most", "÷ mnist", "÷ floor", "accuracy", "peak MiB"]
        text += f"({job}) {case}\n\n{table(head, rows)}\n"
    if growth:
        head = ["", "mnist s/epoch", "floor s/epoch", "mnist ÷ floor", "mnist peak MiB"]
        text += f"(f) growth\n\n{table(head, growth)}\n"
    return text


def summary(result):
    """A row for each contender, with the ratio to ours in each case."""
    cases = by_case(result)
    cases = {key: cases[key] for key in cases if key[0] in "abc" or key[1] == "10,000 images"}
    rows = []
    for name in dict.fromkeys(name for runs in cases.values() for name in runs):
        row = [name]
        for runs in cases.values():
            times = f", {ratio(runs, name, OURS)}"
            row.append(duration(seconds(runs[name])) + times if name in runs else "")
        first = next(iter(cases.values())).get(name)
        rows.append([*row, *([accuracy(first), peak(first)] if first else ["", ""])])
    head = ["", *(f"({job}) {case}" for job, case in cases), "accuracy (a)", "peak MiB (a)"]
    return f"{table(head, rows)}\n{describe(result)}"


def speed(result):
    """The four rows of the README."""
    cases, rows = by_case(result), []
    columns = {
        ("a", "512 hidden, RMSprop, batch 128"): "one epoch of training",
        ("c", "one image"): "start, load, classify one image",
        ("d", "10,000 images"): "classify 10,000 image files",
    }
    for name in [OURS, PYTORCH, KERAS, RUST]:
        row = [name]
        for key in columns:
            runs = cases.get(key, {})
            times = f" ({ratio(runs, name, OURS)})" if name != OURS else ""
            row.append(f"{duration(seconds(runs[name]))}{times}" if name in runs else "")
        rows.append([*row, f"{peak(next(iter(cases.values()))[name])} MiB"])
    return table(["", *columns.values(), "peak memory"], rows)


def seeds(result):
    """Test accuracy of the tutorial's two models by seed."""
    large, small = (runs for (job, _), runs in by_case(result).items() if job in "ab")
    numbers = sorted({run["seed"] for run in large[OURS]})
    rows = []
    for options, runs in [
        ("nothing: 512 hidden, RMSprop, batch 128", large.get(OURS, [])),
        ("`--precision bf16`", large.get(BF16, [])),
        ("`--hidden 128 --optimizer adam --batch-size 32`", small.get(OURS, [])),
    ]:
        found = {run["seed"]: run for run in runs}
        if found:
            cells = [accuracy([found[seed]] if seed in found else []) for seed in numbers]
            rows.append([options, *cells, accuracy(list(found.values()))])
    return table(["`mnist train` with", *map("seed {}".format, numbers), "median"], rows)


def goals(result):
    """What was aimed at, and what came of it: the median over the rounds, and their range."""
    cases = by_case(result)
    large, small = (runs for (job, _), runs in cases.items() if job in "ab")
    one, many = cases["c", "one image"], cases["d", "10,000 images"]
    growth = {case: runs for (job, case), runs in cases.items() if job == "f"}
    data = {OURS: growth["600,000 samples"][OURS]}
    data[FLOOR] = growth["512 hidden, batch 128, 60,000 samples"][OURS]
    rate = [10_000 / (value(d) - value(c)) for d, c in zip(many[OURS], one[OURS])]
    milliseconds = [1000 * value(run) for run in one.get(LITE, [])]
    gibibytes = [peak_kib(run) / 2**20 for run in data[OURS]]
    rows = []
    for goal, found, limit, most in [
        ("(a) at most 1.35× the floor", ratios(large, OURS, FLOOR), 1.35, True),
        ("(a) 2.5× as fast as PyTorch, data in memory", ratios(large, PYTORCH, OURS), 2.5, False),
        ("(a) 2.5× as fast as Keras", ratios(large, KERAS, OURS), 2.5, False),
        ("(a) 5× as fast as candle", ratios(large, RUST, OURS), 5, False),
        ("(a) with `--precision bf16`, at most 0.85×", ratios(large, BF16, OURS), 0.85, True),
        ("(b) 2.2× as fast as PyTorch, data in memory", ratios(small, PYTORCH, OURS), 2.2, False),
        ("(b) 4× as fast as Keras", ratios(small, KERAS, OURS), 4, False),
        ("(c) at most 1.10× one tensor", ratios(one, OURS, FLOOR), 1.1, True),
        ("(c) without libtorch, at most 10 ms", milliseconds, 10, True),
        ("(d) 12,000 images/s after start-up", rate, 12000, False),
        ("(d) 3× as fast as Pillow and PyTorch", ratios(many, PYTORCH, OURS), 3, False),
        ("(d) without libtorch, at most as long as with it", ratios(many, LITE, OURS), 1, True),
        ("(e) at most 0.5× PyTorch's peak", ratios(large, OURS, PYTORCH, peak_kib), 0.5, True),
        ("(f) ten times the data in at most 11× the time", ratios(data, OURS, FLOOR), 11, True),
        ("(f) ten times the data in at most 2.5 GiB", gibibytes, 2.5, True),
    ]:
        if not found:
            continue
        reached = median(found) <= limit if most else median(found) >= limit
        form = ",.0f" if found is rate else ".2f"
        span = " to ".join(format(end(found), form) for end in (min, max))
        rows.append([goal, "yes" if reached else "no", format(median(found), form), span])
    return table(["goal", "reached", "median", "rounds"], rows)


def figures(result):
    """Medians by job and contender, for sentences."""
    found = {}
    for (job, case), runs in by_case(result).items():
        for name, of in runs.items() if job != "f" else []:
            figure = {"seconds": seconds(of), "peak_mib": float(peak(of))}
            if accuracy(of):
                figure["accuracy"] = float(accuracy(of))
            found.setdefault("sheet" if "sheet" in case else job, {})[name] = figure
    return json.dumps(found) + "\n"


def serving():
    """What `mnist serve` was to reach, what it does, and what a server of the usual kind does."""
    text = ""
    for path in sorted((RESULTS / "serving").glob("*.json")):
        result = json.loads(path.read_text())
        ours, peer = result["mnist"], result.get("FastAPI and PyTorch", {})
        both = lambda run: f"{run['median_ms']:.1f} / {run['p99_ms']:.1f} ms" if run else ""
        rate = lambda run, by=1: f"{by * run['rate']:,.0f} a second" if run else ""
        mebibytes = lambda found: " → ".join(f"{kib / 1024:.0f} MiB" for kib in found)
        many, page = ours["saturated"], ours["page"]
        rows = [
            ["a drawn digit explained, 50 a second: median / 99%", "3 / 15 ms", ours["drawn"], {}],
            ["the same to `/predict`", "", ours["drawn_predict"], peer.get("drawn_predict")],
        ]
        rows = [[what, goal, both(a), both(b)] for what, goal, a, b in rows]
        slow = f"a drawn digit explained beside {ours['slow']:,} slow clients"
        memory, others = ours["memory_kib"], peer.get("memory_kib", [])
        infer, size = rate(ours["infer"], 256), f"{page['bytes'] / 1000:.0f} KB"
        rows += [
            ["`/predict` of 64×64 PNG", "4,000 a second", rate(many), rate(peer.get("saturated"))],
            [f"of {many['requests']:,} these, turned away", "0", f"{many['turned_away']:,}", ""],
            ["memory", "flat", mebibytes(memory), mebibytes(others)],
            ["`/v2` infer, digits in batches of 256", "60,000 a second", infer, ""],
            [slow, "unaffected", both(ours["beside_slow"]), ""],
            ["the page", "100 KB", f"{size} in {page['requests']} files", ""],
        ]
        text += table(["", "goal", "mnist", "FastAPI and PyTorch"], rows)
        about = [result["processor"], f"{result['threads']} threads", result["date"]]
        text += f"\n{'; '.join(about)}; mnist {result['version']}.\n\n"
    return text


def main():
    """All but the details are of the first CPU in bench/results."""
    make = {"speed": speed, "summary": summary, "details": details}
    make |= {"goals": goals, "seeds": seeds, "figures": figures}
    what = sys.argv[1] if len(sys.argv) == 2 else None
    if what == "serving":
        print(serving(), end="")
        return
    if what not in make:
        sys.exit(__doc__)
    kept = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    if what != "details":
        kept = [result for result in kept if result["device"] == "cpu"][:1]
    print("".join(map(make[what], kept)), end="")


if __name__ == "__main__":
    main()
