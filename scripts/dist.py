#!/usr/bin/env python3
"""Packs the program to be used without this repository: `dist.py tar` and `dist.py wheel` write to dist/,
and `dist.py table` writes the sizes of what they have made into docs/install.md.

Each makes two packages: the full program, and the one without libtorch. The full one finds libtorch
relative to its own place: in the tarball beside it, in the wheel in the site-packages of the wheel `torch`.
"""

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
# From bin/ in the tarball, and from tch_mnist/bin/ in site-packages.
RPATH = "$ORIGIN/../lib/torch/lib:$ORIGIN/../../torch/lib"
DATE = 315532800  # 1980, as the same sources are to give the same archives

SYSTEM = """It needs Linux on x86-64 with glibc {glibc} or later{more}.
"""
README_FULL = """mnist {version}: trains, compares and applies a two-layer network that reads handwritten digits.

    bin/mnist predict digit.png
    bin/mnist read page.jpg
    bin/mnist train

Manual pages and completions are in share/.
{system}libtorch {torch} lies in lib/, without CUDA; bin/ and lib/ have to stay beside each other. Licences are in
licenses/.
"""
README_LITE = """mnist {version} without libtorch: reads handwritten digits, and does not train.

    ./mnist predict digit.png
    ./mnist read page.jpg

Manual pages and completions are in share/.
{system}It is one file, which may be put anywhere. Licences are in licenses/.
"""


def run(*command, **more):
    return subprocess.run(command, check=True, text=True, capture_output=True, **more).stdout


def metadata():
    return json.loads(run("cargo", "metadata", "--format-version", "1", "--locked", cwd=ROOT))


def version():
    return re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1]


# The build without libtorch.
LITE = ["--no-default-features", "--features", "serve"]
# The folder that cargo builds in.
TARGET = Path(os.environ.get("DIST_TARGET", ROOT / "target/dist"))


def cargo(*command):
    command = ["cargo", command[0], "--release", "--locked", "--target-dir", TARGET, *command[1:]]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"MNIST_RPATH": RPATH})


def built(torch):
    """The program, built to be moved."""
    cargo("build", "--bin", "mnist", *([] if torch else LITE))
    return (TARGET / "release/mnist").read_bytes()


def pages():
    """Manual pages and completions, the same for both builds: path in the archive, bytes, mode."""
    with tempfile.TemporaryDirectory() as folder:
        cargo("run", "--example", "man", *LITE, "--", folder)
        for path in sorted(Path(folder).iterdir()):
            yield f"share/man/man1/{path.name}", path.read_bytes(), 0o644
    for shell, name in [("bash", "mnist.bash"), ("zsh", "_mnist"), ("fish", "mnist.fish")]:
        script = run(TARGET / "release/mnist", "completions", shell)
        yield f"share/completions/{name}", script.encode(), 0o644


def needed(library):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", library))


def glibc(program):
    """The oldest glibc that has all symbols that the program takes from it."""
    path = DIST / ".program"
    path.write_bytes(program)
    try:
        versions = re.findall(r"GLIBC_(\d+)\.(\d+)", run("readelf", "-V", path))
    finally:
        path.unlink()
    return max((int(major), int(minor)) for major, minor in versions)


def libtorch():
    """The folder that holds torch/ and nvidia/."""
    given = Path(os.environ.get("LIBTORCH") or ROOT / ".libtorch/torch")
    return given.resolve().parent


def libraries(program):
    """The libraries of libtorch that the program needs, directly or not, by their place below libtorch()."""
    root = libtorch()
    places = {}
    for folder in [root / "torch/lib", *sorted((root / "nvidia").glob("*/lib"))]:
        for path in folder.iterdir():
            places.setdefault(path.name, path)
    DIST.mkdir(exist_ok=True)
    start = DIST / ".program"
    start.write_bytes(program)
    found, todo = {}, needed(start)
    start.unlink()
    while todo:
        name = todo.pop()
        if name in places and name not in found:
            found[name] = places[name]
            todo += needed(places[name])
    return {str(path.relative_to(root)): path for path in found.values()}


def crate_licences(torch):
    """The licence files of every crate that is linked in, by crate."""
    features = [] if torch else LITE
    listed = run("cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}", *features,
                 cwd=ROOT)
    names = {tuple(line.split()[:2]) for line in listed.splitlines() if line}
    for package in sorted(metadata()["packages"], key=lambda p: (p["name"], p["version"])):
        if (package["name"], "v" + package["version"]) not in names or package["source"] is None:
            continue
        folder = Path(package["manifest_path"]).parent
        texts = [path for path in sorted(folder.iterdir())
                 if path.is_file() and re.match(r"(?i)(licen[cs]e|copying|notice|unlicense|copyright)", path.name)]
        yield f"{package['name']}-{package['version']}", package["license"], texts


def licences(torch):
    """Files for licenses/: name and bytes."""
    yield "LICENSE", (ROOT / "LICENSE").read_bytes()
    summary = []
    for crate, licence, texts in crate_licences(torch):
        summary.append(f"{crate}: {licence}\n")
        for path in texts:
            yield f"crates/{crate}/{path.name}", path.read_bytes()
    yield "crates/LIST.txt", "".join(summary).encode()
    if torch:
        for info in libtorch().glob("*.dist-info"):
            for path in sorted(info.rglob("*")):
                if path.is_file() and re.match(r"(?i)(licen[cs]e|notice)", path.name):
                    yield f"libtorch/{info.name}/{path.relative_to(info)}", path.read_bytes()


def tarball(name, files):
    """files: path in the archive, bytes or a path, mode."""
    path = DIST / f"{name}.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=6) as archive:
        for inner, content, mode in files:
            data = content if isinstance(content, bytes) else content.read_bytes()
            entry = tarfile.TarInfo(f"{name}/{inner}")
            entry.size, entry.mode, entry.mtime = len(data), mode, DATE
            archive.addfile(entry, io.BytesIO(data))
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")


def torch_version():
    return re.search(r'__version__ = "?\'?([0-9.]+)', (libtorch() / "torch/version.py").read_text())[1]


def system(program, more=""):
    return SYSTEM.format(glibc="%d.%d" % glibc(program), more=more)


def tar():
    lite = built(torch=False)
    more = list(pages())
    program = built(torch=True)
    text = README_FULL.format(version=version(), torch=torch_version(), system=system(program, " and libstdc++"))
    tarball(f"mnist-{version()}-linux-x86_64", [
        ("bin/mnist", program, 0o755),
        ("README", text.encode(), 0o644),
        *((f"lib/{place}", path, 0o644) for place, path in sorted(libraries(program).items())),
        *more,
        *((f"licenses/{name}", data, 0o644) for name, data in licences(torch=True)),
    ])
    text = README_LITE.format(version=version(), system=system(lite))
    tarball(f"mnist-lite-{version()}-linux-x86_64", [
        ("mnist", lite, 0o755),
        ("README", text.encode(), 0o644),
        *more,
        *((f"licenses/{name}", data, 0o644) for name, data in licences(torch=False)),
    ])


def write_wheel(name, summary, program, package, requires):
    """A wheel as https://packaging.python.org/en/latest/specifications/binary-distribution-format/ has it;
    package: files in site-packages or in the wheel's .data, with their modes."""
    stem = f"{name.replace('-', '_')}-{version()}"
    tag = "py3-none-manylinux_%d_%d_x86_64" % glibc(program)
    info = f"{stem}.dist-info"
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version()}", f"Summary: {summary}",
             "License-Expression: MIT", "Requires-Python: >=3.9", *(f"Requires-Dist: {r}" for r in requires)]
    files = [*package,
             (f"{info}/METADATA", ("\n".join(lines) + "\n").encode(), 0o644),
             (f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: dist.py\nRoot-Is-Purelib: false\nTag: {tag}\n"
              .encode(), 0o644)]
    record = ""
    for inner, data, _ in files:
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record += f"{inner},sha256={digest},{len(data)}\n"
    files.append((f"{info}/RECORD", (record + f"{info}/RECORD,,\n").encode(), 0o644))
    path = DIST / f"{stem}-{tag}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for inner, data, mode in files:
            entry = zipfile.ZipInfo(inner)  # of 1980
            entry.external_attr, entry.compress_type = (0o100000 | mode) << 16, zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")


LAUNCHER = b'''"""Runs the program `mnist`, which finds libtorch in the package torch beside this one."""

import os
import sys


def main():
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bin", "mnist")
    os.execv(program, [program, *sys.argv[1:]])
'''


def wheel():
    stem = f"tch_mnist-{version()}"
    program = built(torch=True)
    write_wheel("tch-mnist", "Trains and applies a two-layer handwritten-digit network on libtorch", program, [
        ("tch_mnist/__init__.py", LAUNCHER, 0o644),
        ("tch_mnist/bin/mnist", program, 0o755),
        (f"{stem}.dist-info/entry_points.txt", b"[console_scripts]\nmnist = tch_mnist:main\n", 0o644),
        *((f"{stem}.dist-info/licenses/{name}", data, 0o644) for name, data in licences(torch=True)
          if not name.startswith("libtorch/")),
    ], [f"torch=={torch_version()}"])
    stem = f"mnist_lite-{version()}"
    program = built(torch=False)
    write_wheel("mnist-lite", "Reads handwritten digits, without libtorch", program, [
        (f"{stem}.data/scripts/mnist", program, 0o755),
        *((f"{stem}.dist-info/licenses/{name}", data, 0o644) for name, data in licences(torch=False)),
    ], [])


def unpacked(path):
    if path.suffix == ".whl":
        return sum(entry.file_size for entry in zipfile.ZipFile(path).infolist())
    with tarfile.open(path) as archive:
        return sum(entry.size for entry in archive)


def table():
    ways = [
        ("tarball `mnist`", "mnist-[0-9]*.tar.gz", "everything, on the CPU", ""),
        ("tarball `mnist-lite`", "mnist-lite-*.tar.gz", "all but training and evaluation", ""),
        ("wheel `tch-mnist`", "tch_mnist-*.whl", "everything", ", and `torch`"),
        ("wheel `mnist-lite`", "mnist_lite-*.whl", "all but training and evaluation", ""),
    ]
    lines = ["| way | download | on disk | what it can do |", "| --- | ---: | ---: | --- |"]
    for way, pattern, does, more in ways:
        [path] = DIST.glob(pattern)
        sizes = [f"{size / 1e6:.0f} MB{more}" for size in (path.stat().st_size, unpacked(path))]
        lines.append(f"| {way} | {sizes[0]} | {sizes[1]} | {does} |")
    page = ROOT / "docs/install.md"
    begin, end = "<!-- sizes, by scripts/dist.py table -->\n", "\n<!-- end of sizes -->"
    before, rest = page.read_text().split(begin)
    _, after = rest.split(end)
    page.write_text(before + begin + "\n".join(lines) + end + after)


if __name__ == "__main__":
    kinds = {"tar": tar, "wheel": wheel, "table": table}
    if len(sys.argv) != 2 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    DIST.mkdir(exist_ok=True)
    kinds[sys.argv[1]]()
