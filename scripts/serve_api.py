"""Tries the interface of `mnist serve` from outside.

usage: serve_api.py PROGRAM [EXAMPLES]

schemathesis sends what /openapi.json allows and what it does not, EXAMPLES of each (default 100),
and checks that the answers are those that are described. Triton's client, over the Open Inference
Protocol, must get the logits and probabilities that NumPy computes from the same weights, over
MNIST's 10,000 test images, as bytes and as JSON.
"""

import gzip
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import tritonclient.http as triton

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "models/released.safetensors"
LIMIT = 1e-5
BATCH = 500


@contextmanager
def served(program, *arguments):
    """The address of a server that runs meanwhile, and ends in order afterwards."""
    command = [program, "serve", "--listen", "127.0.0.1:0", *map(str, arguments)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().strip().rstrip("/")
    finally:
        server.terminate()
        code = server.wait()
    if code != 0:
        sys.exit(f"error: the server ended with exit code {code}")


# What the description of a tensor allows may still be refused: values that do not fill their shape.
CONFIGURATION = """
[[operations]]
include-path-regex = "/infer$"
checks.positive_data_acceptance.enabled = false
"""


def describe(program, examples):
    """schemathesis."""
    with tempfile.TemporaryDirectory() as folder, served(program, "--collect", folder) as address:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{address}/openapi.json"]
        command += ["--max-examples", examples, "--generation-database", "none"]
        (Path(folder) / "schemathesis.toml").write_text(CONFIGURATION)
        paths = [str(ROOT / "scripts"), *map(os.path.abspath, sys.path[1:])]
        hooks = {"PYTHONPATH": ":".join(paths), "SCHEMATHESIS_HOOKS": "serve_hooks"}
        # It leaves files where it runs.
        if subprocess.run(command, env=os.environ | hooks, cwd=folder).returncode != 0:
            sys.exit("error: the interface is not as it is described")


def idx(name, header):
    data = gzip.decompress((ROOT / "data" / name).read_bytes())
    return np.frombuffer(data, np.uint8)[header:]


def network(images):
    """The logits that NumPy computes."""
    file = WEIGHTS.read_bytes()
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])

    def array(name):
        start, end = header[name]["data_offsets"]
        values = np.frombuffer(file[8 + length :][start:end], "<f4")
        return values.reshape(header[name]["shape"]).astype(np.float64)

    hidden = np.maximum(images @ array("dense_1.weight").T + array("dense_1.bias"), 0)
    return hidden @ array("dense_2.weight").T + array("dense_2.bias")


def infer(program):
    """Triton's client."""
    images = idx("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 784)
    images = images.astype(np.float32) / np.float32(255)
    labels = idx("t10k-labels-idx1-ubyte.gz", 8)
    logits = network(images)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    expected = {"logits": logits, "probabilities": powers / powers.sum(1, keepdims=True)}
    with served(program, "--weights", "released") as address:
        client = triton.InferenceServerClient(address.removeprefix("http://"))
        assert client.is_server_live() and client.is_server_ready()
        assert client.is_model_ready("released") and not client.is_model_ready("other")
        for path, ready in [
            ("v2/health/live", {"live": True}),
            ("v2/health/ready", {"ready": True}),
            ("v2/models/released/ready", {"name": "released", "ready": True}),
            ("v2/models/released/versions/1/ready", {"name": "released", "ready": True}),
        ]:
            assert json.load(urlopen(f"{address}/{path}")) == ready, path
        print(client.get_server_metadata())
        metadata = client.get_model_metadata("released")
        print(metadata)
        tensor = lambda name, width: {"name": name, "datatype": "FP32", "shape": [-1, width]}
        assert metadata["inputs"] == [tensor("images", 784)]
        assert metadata["outputs"] == [tensor("logits", 10), tensor("probabilities", 10)]
        for binary in [True, False]:
            found = {"logits": [], "probabilities": []}
            for start in range(0, len(images), BATCH):
                batch = images[start : start + BATCH]
                given = triton.InferInput("images", batch.shape, "FP32")
                given.set_data_from_numpy(batch, binary_data=binary)
                wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in found]
                answer = client.infer("released", [given], outputs=wanted)
                for name in found:
                    found[name].append(answer.as_numpy(name))
            found = {name: np.concatenate(parts) for name, parts in found.items()}
            right = (found["logits"].argmax(1) == labels).mean()
            print(f"{'bytes' if binary else 'JSON'}: {right:.2%} of {len(labels):,} right", end="")
            for name, values in found.items():
                scale = np.maximum(1, np.abs(expected[name]))
                off = (np.abs(values - expected[name]) / scale).max()
                print(f", {name} off by {off:.1e} at most", end="")
                if off > LIMIT:
                    sys.exit(f"\nerror: the {name} are others than NumPy's")
            print()


def main():
    program = str(Path(sys.argv[1]).resolve())
    infer(program)
    describe(program, sys.argv[2] if len(sys.argv) > 2 else "100")


main()
