"""Runs the examples in the documentation and puts what they print into it.

usage: docs.py [PAGE...]          run the examples; update what is stale in the pages, and images
       docs.py --fresh [PAGE...]  the same, but update times as well: on a machine that is not busy
       docs.py --check [PAGE...]  change nothing; fail if an example, image, link or name is stale

Needs target/debug/mnist (cargo build) and Python's standard library. The examples of a page run in
order, in a clean copy of the repository with a home folder of its own, so that they show what a
reader who follows the page will see. Markers in the Markdown say what to run:

    <!-- output: mnist summary -->
        The fenced block below holds the command and what it prints; with 2>&1 at the end, what it
        prints on standard error as well.
    <!-- image: mnist show --output docs/images/digit.png -->
        Only run. Whatever an example writes under docs/ is an image of the documentation.
    <!-- table: python3 bench/tables.py speed -->...<!-- /table -->
        Markdown that the command prints.
    <!-- value: mnist evaluate --json => {accuracy:.1%} -->98.0%<!-- /value -->
        A figure in a sentence: JSON that the command prints, formatted by str.format.

After the word, before the colon, may stand:

    ~          weights trained on another processor print other digits: compare loosely
    exit=1     the exit code that is expected
    from=WORD  leave out the lines before the one that begins with WORD
    runs=FILE  the runs that `mnist compare --output-dir` left behind, so that the example does not
               train for minutes; delete FILE to have them done again

Commands that begin with cargo or python3 run in the repository itself. Times are not compared, nor
is what `mnist doctor` says of the machine; of other figures the last digit may differ by 1, as
processors round differently.
"""

import argparse
import functools
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / "target/debug/mnist"
WORKSPACE = ROOT / ".libtorch/workspace"  # of the tch that fits the libtorch, see libtorch.sh
# Images under these are made by examples, but for those that examples read.
MADE = ("docs/images/", "docs/examples/")
READ = ["mnist.png", "pencil.png", "table.jpg", "transparent.png"]
READ = [f"docs/examples/{name}" for name in READ]
IN_A_BROWSER = "docs/images/serve-"  # made by tests/e2e/screenshots.mjs

MARKER = re.compile(
    r"""(?P<comment><!--\ (?P<kind>output|image|table|value)(?P<options>(\ [^\s:]+)*):
            \s+(?P<command>.*?)\s+-->)
        (?P<below>\s*(?P<block>```text\n.*?^```$|.*?(?=<!--\ /(?P=kind)\ -->)|))""",
    re.S | re.M | re.X,
)
PATH = re.compile(r"(src|crates|tests|docs|scripts|bench|models|fuzz|examples|data)/[\w/.-]*$")
FENCE = re.compile(r"^(```+).*?^\1$", re.S | re.M)
# What differs between machines and from run to run, and is not compared.
MASKS = [
    (re.compile(r"^Device: .*", re.M), "Device:"),
    (re.compile(r"^(libtorch|CUDA|device|threads|memory) .*", re.M), r"\1"),  # mnist doctor
    (re.compile(r"\b\d+(\.\d+)?(e-\d+)? ?m?s\b"), "#s"),
    (re.compile(r"[ \t]+"), " "),  # columns are as wide as their figures
    (re.compile(r"--+|__+|==+|──+"), "--"),
]
NUMBER = re.compile(r"\d+(?:\.(\d+))?(?:e-\d+)?")


class Stale(Exception):
    """What is wrong with an example."""


def tracked():
    """Names of the files that a clone would have, and those about to be added."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in names.split("\0") if name and (ROOT / name).is_file()]


class Clone:
    """A clean copy of the repository, and a user who has just made it."""

    def __init__(self, folder, names):
        self.home, self.root = folder, folder / "tch-mnist"
        for name in names:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, self.root / name)
        (folder / "bin").mkdir()
        (folder / "bin/mnist").symlink_to(PROGRAM)

    def run(self, command, options):
        """Standard output of a command, with the paths that a reader would see."""
        environment, here = dict(os.environ), ROOT
        if not command.startswith(("cargo ", "python3 ")):
            kept = {name: environment[name] for name in environment if "OMP_" in name}
            path = f"{self.home}/bin:{os.environ['PATH']}"
            environment = {"HOME": str(self.home), "PATH": path, "LANG": "C.UTF-8"}
            environment |= {"CUDA_VISIBLE_DEVICES": ""} | kept
            here = self.root
        elif command.startswith("cargo ") and WORKSPACE.exists():
            here = WORKSPACE
        done = subprocess.run(
            ["bash", "-c", command], cwd=here, env=environment, capture_output=True, text=True
        )
        if done.returncode != int(options.get("exit", 0)):
            end = (done.stderr or done.stdout)[-2000:]
            raise Stale(f"ends with exit code {done.returncode}:\n{end}")
        text = done.stdout.replace(str(self.home), "/home/me")
        if "from" in options:
            start = re.search(f"^{re.escape(options['from'])}", text, re.M)
            if not start:
                raise Stale(f"no line begins with {options['from']!r}:\n{text}")
            text = "...\n" * (start.start() > 0) + text[start.start() :]
        return text

    def changed(self):
        """The files under docs/ that the examples wrote, by name."""
        files = (path for path in (self.root / "docs").rglob("*") if path.is_file())
        contents = {str(path.relative_to(self.root)): path.read_bytes() for path in files}
        return {name: new for name, new in contents.items() if new != read(ROOT / name)}


def read(path):
    return path.read_bytes() if path.exists() else None


def run_example(clone, marker, options):
    """What should stand below the marker."""
    kind, command = marker["kind"], marker["command"]
    if kind == "value":
        command, form = command.split(" => ")
        return form.format_map(json.loads(clone.run(command, options)))
    if kind == "image":
        clone.run(command, options)
        return marker["below"]
    if kind == "table":
        text = clone.run(command, options).strip()
        return f"\n\n{text}\n\n"
    text = ""
    for line in re.split(r"(?<!\\)\n", command):
        text += f"$ {line.removesuffix(' 2>&1')}\n"
        if "runs" in options:
            line = with_runs(clone, line, options["runs"])
        text += clone.run(line, options)
    return f"\n\n```text\n{text.rstrip()}\n```"


def with_runs(clone, command, kept):
    """The command that goes on from kept runs, which are made first if there are none."""
    folder = clone.root / re.search(r"--output-dir (\S+)", command)[1]
    if not (clone.root / kept).exists():
        print(f"{kept} is missing: training for some minutes ...", file=sys.stderr)
        clone.run(command, {})
        shutil.copyfile(folder / "runs.jsonl", clone.root / kept)
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    # Runs of another libtorch would be refused.
    doctor = json.loads(clone.run("mnist doctor --json", {}))
    text = (clone.root / kept).read_text()
    text = re.sub(r'"libtorch":"[^"]*"', f'"libtorch":"{doctor["libtorch"]}"', text)
    (folder / "runs.jsonl").write_text(text)
    return command.replace(" --output-dir", " --resume --output-dir")


def close(old, new, loose):
    """Whether two numbers may come of the same example; rounding may change the last digit."""
    if old[0] == new[0]:
        return True
    tolerance = 1.01 * 10.0 ** -len(old[1]) if old[1] else 0
    if loose:
        tolerance = max(0.02, 0.03 * float(old[0]), 0 if old[1] else 2)
    return abs(float(old[0]) - float(new[0])) <= tolerance


def alike(old, new, loose):
    for pattern, mask in MASKS:
        old, new = pattern.sub(mask, old), pattern.sub(mask, new)
    if NUMBER.sub("#", old) != NUMBER.sub("#", new):
        return False
    pairs = zip(NUMBER.finditer(old), NUMBER.finditer(new))
    return all(close((a[0], a[1]), (b[0], b[1]), loose) for a, b in pairs)


def same_image(old, new):
    """Whether two images differ by no more than the rounding of a figure drawn in them."""
    if old is None or new is None:
        return False
    return size(old) == size(new) and abs(len(old) - len(new)) <= 0.01 * len(old)


def size(image):
    """Width and height of a PNG or JPEG."""
    if image[:4] == b"\x89PNG":
        return struct.unpack(">II", image[16:24])
    at = 2
    while image[at : at + 1] == b"\xff" and image[at + 1] not in (0xC0, 0xC1, 0xC2):
        at += 2 + int.from_bytes(image[at + 2 : at + 4], "big")
    return struct.unpack(">HH", image[at + 5 : at + 9])


def examples(page, names, args):
    """Runs the examples of a page; returns what is stale, and the files under docs/ it names."""
    text, problems = (ROOT / page).read_text(), []
    if not MARKER.search(text):
        return [], []

    def replace(marker):
        words = (word.partition("=") for word in marker["options"].split())
        options = {name: value for name, _, value in words}
        line = text.count("\n", 0, marker.start()) + 1
        place = f"{page}:{line}: {marker['command'].splitlines()[0]}"
        print(place, file=sys.stderr)
        try:
            new = run_example(clone, marker, options)
        except (Stale, ValueError, KeyError) as error:
            problems.append(f"{place}\n{error}")
            return marker[0]
        if alike(marker["below"], new, "~" in options) and not args.fresh:
            return marker[0]
        if args.check:
            problems.append(f"{place}\nprints now:\n{new.strip()}")
        if marker["kind"] == "output" and not marker["block"]:
            new += marker["below"]  # the block is new
        return marker["comment"] + new

    with tempfile.TemporaryDirectory(prefix="mnist-docs-") as folder:
        clone = Clone(Path(folder), names)
        new = MARKER.sub(replace, text)
        files = clone.changed()
    for name, content in files.items():
        if not args.check and (args.fresh or not same_image(read(ROOT / name), content)):
            (ROOT / name).write_bytes(content)
        elif not same_image(read(ROOT / name), content):
            problems.append(f"{name} is not what {page} makes")
    if not args.check:
        (ROOT / page).write_text(new)
    return problems, re.findall(r"docs/[\w/.-]+", text)


def headings(text):
    """Anchors of a page as GitHub makes them, and headings that stand twice in one place."""
    anchors, slugs, trail, seen, twice = [], [], [], set(), []
    for level, title in re.findall(r"^(#+) +(.+?) *$", FENCE.sub("", text), re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        count = slugs.count(slug)
        slugs.append(slug)
        anchors.append(f"{slug}-{count}" if count else slug)
        trail = trail[: len(level) - 1] + [title]
        if tuple(trail) in seen:
            twice.append(title)
        seen.add(tuple(trail))
    return anchors, twice


def links(page, names, folders):
    """Relative links of a page that lead nowhere."""
    text = FENCE.sub("", (ROOT / page).read_text())
    problems = [f"{page}: the heading {title!r} is there twice" for title in headings(text)[1]]
    text = re.sub(r"`[^`\n]*`", "", text)
    for target in re.findall(r"\]\(<?([^)>\s]+)>?[^)]*\)|src=\"([^\"]+)\"", text):
        target = "".join(target)
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        name = os.path.normpath(Path(page).parent / path) if path else page
        if name not in names and name not in folders:
            problems.append(f"{page}: {target} leads to no file of the repository")
        elif anchor and anchor not in headings((ROOT / name).read_text())[0]:
            problems.append(f"{page}: {target} leads to no heading")
    return problems


@functools.cache
def options_of(command):
    """The long options in the help of a command and of its own commands; none if there is no such command."""
    done = subprocess.run([PROGRAM, *command.split(), "--help"], capture_output=True, text=True)
    if done.returncode != 0:
        return []
    _, _, commands = done.stdout.partition("\nCommands:\n")
    own = re.findall(r"^  ([a-z]+) ", commands.partition("\n\n")[0], re.M)
    options = re.findall(r"--[a-z][a-z-]*", done.stdout)
    return options + [option for name in own if name != "help" for option in options_of(f"{command} {name}")]


def names_in_code(page, names, folders, targets):
    """Paths, targets of make, commands and options in a page's code that do not exist."""
    text, problems = (ROOT / page).read_text(), []
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    code = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    for block in FENCE.finditer(text):
        joined = block[0].replace("\\\n", " ")
        code += re.findall(r"^(?:\$ )?((?:mnist|make) .*)", joined, re.M)
    for span in code:
        span = span.split(" #")[0]
        if found := re.match(r"mnist ([a-z]+)(.*)", span):
            known = options_of(found[1])
            named = re.findall(r"(?<=\s)--[a-z][a-z-]*", found[2])
            if not known:
                problems.append(f"{page}: `{span}`: there is no such command")
            elif missing := [option for option in named if option not in known]:
                problems.append(f"{page}: `{span}`: mnist {found[1]} has no {', '.join(missing)}")
        elif found := re.match(r"make ([a-z0-9-]+)", span):
            if found[1] not in targets:
                problems.append(f"{page}: `{span}`: the Makefile has no such target")
        elif PATH.match(span):
            if span.rstrip("/") not in names | folders and not ignored(span):
                problems.append(f"{page}: `{span}` does not exist")
    return problems


def ignored(path):
    return subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT).returncode == 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="change nothing; fail if it is stale")
    parser.add_argument("--fresh", action="store_true", help="update times as well")
    parser.add_argument("pages", nargs="*", help="only these pages [all]")
    args = parser.parse_args()
    if not PROGRAM.exists():
        sys.exit("error: there is no target/debug/mnist; run: cargo build")
    names = tracked()
    # The README last, since it quotes other pages.
    pages = sorted(name for name in names if name.endswith(".md"))
    pages.sort(key=lambda name: name == "README.md")
    if args.pages:
        pages = [os.path.relpath(page, ROOT) for page in map(os.path.abspath, args.pages)]
    if args.check:
        # Threads that wait by spinning take for ever on a busy machine; times are not compared.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")

    problems, made = [], set()
    for page in pages:
        stale, written = examples(page, names, args)
        problems += stale
        made |= set(written)
    names = set(tracked())
    folders = {str(folder) for name in names for folder in Path(name).parents}
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M)
    for page in pages:
        problems += links(page, names, folders)
        problems += names_in_code(page, names, folders, targets)
    if not args.pages:
        images = [name for name in names - made if name.endswith((".png", ".jpg"))]
        images = [name for name in images if name.startswith(MADE) and name not in READ]
        images = [name for name in images if not name.startswith(IN_A_BROWSER)]
        images = [name for name in images if str(Path(name).parent) not in made]
        problems += [f"{name}: no example makes it" for name in sorted(images)]
    for problem in problems:
        print(f"\nerror: {problem}", file=sys.stderr)
    if problems:
        sys.exit("\nRun `make docs` to update examples; fix the rest by hand.")


main()
