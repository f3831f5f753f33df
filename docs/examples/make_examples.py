"""Makes the images of this folder from MNIST test digits: pip install numpy pillow"""

import gzip
import pathlib

import numpy as np
from PIL import Image, ImageDraw

HERE = pathlib.Path(__file__).parent
raw = gzip.open(HERE.parent.parent / "data" / "t10k-images-idx3-ubyte.gz").read()
digits = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28)
rng = np.random.default_rng(0)


def enlarged(index, side):
    return np.asarray(Image.fromarray(digits[index]).resize((side, side), Image.BICUBIC)) / 255


# As MNIST has it: 28x28, white on black.
Image.fromarray(digits[0]).save(HERE / "mnist.png")

# Pencil on grey, grainy paper in uneven light, off the centre.
paper = np.linspace(90, 170, 300)[None, :] + np.linspace(0, 25, 220)[:, None]
ink = np.zeros((220, 300))
ink[30:190, 100:260] = enlarged(61, 160)
image = paper * (1 - 0.5 * ink) + rng.normal(0, 3, ink.shape)
Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(HERE / "pencil.png")

# Blue ink on a transparent ground.
ink = enlarged(30, 120)
image = np.zeros((120, 120, 4), np.uint8)
image[..., :3] = (30, 50, 160)
image[..., 3] = 255 * ink
Image.fromarray(image).save(HERE / "transparent.png")

# A table drawn with the pen of its digits, on paper in uneven light.
paper = 170 + 60 * np.linspace(0, 1, 480)[None, :] + np.linspace(0, 20, 300)[:, None]
ink = np.zeros((300, 480))
for y in (30, 110, 190, 270):
    ink[y : y + 3, 30:453] = 0.8
for x in (30, 135, 240, 345, 450):
    ink[30:273, x : x + 3] = 0.8
for cell in range(12):
    for place in range(1 + cell % 2):
        top, left = 46 + 80 * (cell // 4), 46 + 105 * (cell % 4) + 38 * place
        here = ink[top : top + 48, left : left + 48]
        np.maximum(here, enlarged(100 + 2 * cell + place, 48), out=here)
image = paper * (1 - 0.7 * ink) + rng.normal(0, 1, ink.shape)
Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(HERE / "table.jpg", quality=85)

# A letter, which is no digit.
image = Image.new("L", (160, 160), 235)
pen = ImageDraw.Draw(image)
for stroke in ([(42, 30), (38, 130)], [(120, 26), (112, 132)], [(40, 84), (116, 76)]):
    pen.line(stroke, fill=50, width=11)
image.save(HERE / "letter.png")
