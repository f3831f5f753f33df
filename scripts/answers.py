"""What `mnist predict` says of images that a script makes."""

import json
import pathlib
import subprocess
import tempfile


def answers(program, images, options=()):
    """The JSON of each image, in order."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(pathlib.Path(folder) / f"{index}.png") for index in range(len(images))]
        for path, image in zip(paths, images):
            image.save(path)
        command = [program, "predict", "--json", *options, "-"]
        run = subprocess.run(command, input="\n".join(paths), stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]
