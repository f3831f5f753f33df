"""Makes the seeds of the fuzz targets: small valid files of every kind that a reader has code for.

    python3 -m pip install pillow==13.0.0 && python3 fuzz/make_seeds.py

Not made here: plain.ot, .h5 and .keras are `mnist convert`'s of plain.safetensors; apart.jpeg and
rgb_prog_rst.jpeg are libjpeg's of rgb_444.jpeg (`cjpeg -scans` with a scan for each component, and
`cjpeg -progressive -restart 2B`); overflow.safetensors was found by fuzzing.
"""

import gzip
import json
import random
import struct
from pathlib import Path

from PIL import Image, ImageDraw

SEEDS = Path(__file__).parent / "seeds"


def put(target, name, content):
    folder = SEEDS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def idx():
    noise = random.Random(0)
    images = struct.pack(">4I", 2051, 2, 28, 28) + noise.randbytes(2 * 784)
    labels = struct.pack(">2I", 2049, 5) + bytes([0, 1, 5, 8, 9])
    for name, content in [("images", images), ("labels", labels)]:
        put("idx", name, content)
        put("idx", name + ".gz", gzip.compress(content, mtime=0))
    first = gzip.compress(labels[:6], mtime=0)
    put("idx", "members.gz", first + gzip.compress(labels[6:], mtime=0))


def digits(size, count):
    image = Image.new("L", size, 230)
    draw = ImageDraw.Draw(image)
    width = size[0] / count
    for at in range(count):
        draw.text((at * width + width / 4, 2), "5732"[at], fill=30, font_size=size[1] * 0.7)
    return image


def images():
    grey = digits((40, 24), 2)
    color = Image.merge("RGB", (grey, grey.rotate(180), grey))
    alpha = color.copy()
    alpha.putalpha(grey)
    palette = color.quantize(16)
    modes = {"l": grey, "rgb": color, "rgba": alpha, "p": palette, "1": grey.convert("1"),
             "la": alpha.convert("LA"), "i16": grey.convert("I;16"), "cmyk": color.convert("CMYK")}

    def save(name, image, form, **options):
        path = SEEDS / "image" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, form, **options)

    for form, ways in {
        "png": {"": {}, "_gamma": {"dpi": (9, 9)}},
        "jpeg": {"": {}, "_prog": {"progressive": True}, "_rst": {"restart_marker_blocks": 2},
                 "_444": {"subsampling": 0}},
        "bmp": {"": {}},
        "gif": {"": {}, "_interlaced": {"interlace": True}},
        "webp": {"": {}, "_lossless": {"lossless": True}},
        "tiff": {"": {}, "_lzw": {"compression": "tiff_lzw"}, "_bits": {"compression": "packbits"},
                 "_deflate": {"compression": "tiff_adobe_deflate"}, "_fax": {"compression": "group4"}},
        "ppm": {"": {}},
    }.items():
        for mode, image in modes.items():
            for way, options in ways.items():
                try:
                    save(f"{mode}{way}.{form}", image, form, **options)
                except (OSError, ValueError, KeyError):  # there is no such combination
                    (SEEDS / "image" / f"{mode}{way}.{form}").unlink(missing_ok=True)
    frames = [grey, grey.rotate(90), grey.rotate(180)]
    for form in ["gif", "png", "webp", "tiff"]:
        save(f"animated.{form}", frames[0], form, save_all=True, append_images=frames[1:])
    save("transparent.png", palette, "png", transparency=bytes(range(16)))
    save("transparent.gif", palette, "gif", transparency=3)
    save("turned.jpeg", grey, "jpeg", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0")
    save("one.png", Image.new("L", (1, 1)), "png")
    save("line.png", digits((120, 40), 4), "png")
    plain = b"P2\n# a digit\n4 3\n255\n" + b" ".join(b"%d" % (at * 20) for at in range(12))
    put("image", "plain.pgm", plain)
    put("image", "plain.pbm", b"P1 4 2\n0 1 1 0\n1 0 0 1\n")
    put("image", "map.pam", b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" + bytes(range(16)))


def safetensors(extra=""):
    shapes = [("dense_1.bias", [1]), ("dense_1.weight", [1, 784]), ("dense_2.bias", [10]), ("dense_2.weight", [10, 1])]
    at, entries, data = 0, [], b""
    for name, shape in shapes:
        size = 4
        for side in shape:
            size *= side
        sides = ",".join(map(str, shape))
        entries.append(f'"{name}":{{"dtype":"F32","shape":[{sides}],"data_offsets":[{at},{at + size}]}}')
        at += size
        data += struct.pack("<f", 0.25) * (size // 4)
    header = ("{" + extra + ",".join(entries) + "}").encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


def records():
    record = {"format": 1, "history": [{"epoch": 1, "loss": 0.5}], "test": {"loss": 0.1, "accuracy": 0.9}}
    of = {"file": "a.ot", "sha256": "0" * 64}
    for name, content in {
        "beside": {**record, "weights": of},
        "replaced": {**record, "weights": {**of, "replaced": "1" * 64}},
        "sealed": {"sha256": "0" * 64, "record": record},
    }.items():
        put("records", name + ".json", json.dumps(content).encode())


idx()
images()
records()
put("weights", "plain.safetensors", safetensors())
put("weights", "metadata.safetensors", safetensors('"__metadata__":{"format":"pt"},'))
