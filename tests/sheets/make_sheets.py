"""Draws the sheets in this folder from MNIST test digits: handwriting as people photograph it.

    python3 tests/sheets/make_sheets.py    # needs numpy, pillow and scipy

Writes NAME.jpg and truth.json: for each sheet its kind of trouble, its lines as `mnist read` is to
print them, and the box of each digit (x, y, width, height, in pixels of the upright image).
"""

import gzip
import json
import math
import pathlib
import sys

import numpy as np
from PIL import Image
from scipy import ndimage

HERE = pathlib.Path(__file__).parent
DATA = HERE.parent.parent / "data"
PAPER = (236, 233, 226)
INK = (38, 40, 60)


# Where `make_sheets.py DIR` writes pages to choose by: other ones, of the last 6,000 training digits.
OUT = pathlib.Path(sys.argv[1]) if sys.argv[1:] else HERE
OTHER = 50_000 if sys.argv[1:] else 0


def mnist():
    part = "train" if OTHER else "t10k"
    read = lambda name, skip: np.frombuffer(gzip.open(DATA / f"{part}-{name}-ubyte.gz").read(), np.uint8)[skip:]
    images = read("images-idx3", 16).reshape(-1, 28, 28)
    return images[-6000 if OTHER else 0 :], read("labels-idx1", 8)[-6000 if OTHER else 0 :]


IMAGES, LABELS = mnist()


class Sheet:
    """Ink, 0 to 1, on a page, with the truth of what is written."""

    def __init__(self, seed, width=1300, height=900):
        self.rng = np.random.default_rng(seed + OTHER)
        self.ink = np.zeros((height, width))
        self.lines = []

    def digit(self, size, strength=1.0, label=None):
        """A digit of the test set at about `size` pixels high, cropped to its ink."""
        index = self.rng.integers(len(LABELS)) if label is None else self.rng.choice(np.flatnonzero(LABELS == label))
        picture = ndimage.zoom(IMAGES[index] / 255.0, size / 20, order=3).clip(0, 1)
        picture = ndimage.gaussian_filter(picture, size / 60)
        picture = ((picture - 0.3) / 0.35).clip(0, 1)  # a pen's edge
        ys, xs = np.nonzero(picture > 0.3)
        picture = picture[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        return int(LABELS[index]), picture * strength

    def line(self, words, y, x=70, size=62, gap=0.55, space=2.4, strength=1.0, drift=0.0, touch=False, label=None, marks=None):
        """Writes digits from (x, y) on; `words` are the numbers of digits between spaces, and `marks` what
        stands in these."""
        text, boxes = "", []
        for number, count in enumerate(words):
            if number:
                text += " "
                if marks:
                    self.mark(marks[number - 1], x + (space - gap) * size / 2, y, size)
                x += int(space * size)
            for _ in range(count):
                written, picture = self.digit(size * self.rng.uniform(0.92, 1.08), strength, label)
                high, wide = picture.shape
                top = int(y - high / 2 + self.rng.uniform(-0.06, 0.06) * size + drift * x)
                if touch and boxes and text[-1] != " ":
                    # Back until ink meets ink.
                    while True:
                        there = self.ink[top : top + high, x : x + wide]
                        if (there * picture > 0.3).sum() > 2 or x < boxes[-1][0] + size // 4:
                            break
                        x -= 1
                place = self.ink[top : top + high, x : x + wide]
                np.maximum(place, picture, out=place)
                boxes.append([x, top, wide, high])
                text += str(written)
                x += wide + (0 if touch else int(gap * size * self.rng.uniform(0.7, 1.3)))
        self.lines.append((text, boxes))

    def rule(self, start, end, width=2.0, strength=0.9, dash=None):
        """A line from one place (x, y) to another; `dash` is the length of its dashes and of the gaps."""
        (x0, y0), (x1, y1) = start, end
        left, right = int(max(min(x0, x1) - width - 1, 0)), int(max(x0, x1) + width + 2)
        top, bottom = int(max(min(y0, y1) - width - 1, 0)), int(max(y0, y1) + width + 2)
        place = self.ink[top:bottom, left:right]
        y, x = np.mgrid[top : top + place.shape[0], left : left + place.shape[1]]
        length = math.hypot(x1 - x0, y1 - y0)
        along = ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length
        away = np.hypot(x - x0 - (x1 - x0) * along.clip(0, length) / length, y - y0 - (y1 - y0) * along.clip(0, length) / length)
        line = (width / 2 + 0.5 - away).clip(0, 1) * strength
        if dash:
            line *= along % (2 * dash) < dash
        np.maximum(place, line, out=place)

    def grid(self, xs, ys, wobble=0.0, **options):
        """The lines of a table between all columns and rows; drawn by hand, they wobble by some pixels."""
        shaken = lambda x, y: (x + self.rng.uniform(-wobble, wobble), y + self.rng.uniform(-wobble, wobble))
        for y in ys:
            self.rule(shaken(xs[0], y), shaken(xs[-1], y), **options)
        for x in xs:
            self.rule(shaken(x, ys[0]), shaken(x, ys[-1]), **options)

    def mark(self, kind, x, y, size):
        """What stands between numbers, around (x, y), the middle of the line."""
        pen = dict(width=size / 9, strength=1.0)
        if kind in "-+":
            self.rule((x - size / 4, y + 1), (x + size / 4, y - 1), **pen)
        if kind == "+":
            self.rule((x, y - size / 4), (x, y + size / 4), **pen)
        if kind == "/":
            self.rule((x - size / 4, y + size * 0.55), (x + size / 4, y - size * 0.55), **pen)
        if kind in ".:":
            self.rule((x, y + size * 0.42), (x + 1, y + size * 0.42), width=size / 6)
        if kind == ":":
            self.rule((x, y - size * 0.2), (x + 1, y - size * 0.2), width=size / 6)
        if kind == ",":
            self.rule((x, y + size * 0.4), (x - size / 10, y + size * 0.62), **pen)

    def standard(self, **options):
        for y in (130, 290, 450, 610, 770):
            words = [[6], [3, 3], [4, 2], [7], [2, 4], [5]][self.rng.integers(6)]
            self.line(words, y, **options)

    def simple(self, *places):
        """A line at each of these heights."""
        for y in places:
            self.line([[6], [3, 3], [4, 2], [5]][self.rng.integers(4)], y, x=80, size=56)

    def photograph(self, paper=PAPER, ink=INK, light=None, grain=3.0, ruled=None):
        """The page as a colour image."""
        height, width = self.ink.shape
        page = np.ones((height, width, 3)) * paper
        if ruled is not None:
            color, distance, squares, strength = ruled
            lines = np.zeros((height, width))
            lines[distance // 2 :: distance] = lines[distance // 2 + 1 :: distance] = strength
            if squares:
                lines[:, distance // 3 :: distance] = lines[:, distance // 3 + 1 :: distance] = strength
            page = page * (1 - lines[..., None]) + np.array(color) * lines[..., None]
        fibre = ndimage.gaussian_filter(self.rng.normal(0, 1, (height, width)), 1.2) * 3
        page += (grain * (fibre + self.rng.normal(0, 0.5, (height, width))))[..., None]
        ink_on = self.ink[..., None] * (1 + 0.05 * fibre[..., None]).clip(0, 1.2)
        page = page * (1 - ink_on.clip(0, 1)) + np.array(ink) * ink_on.clip(0, 1)
        if light is not None:
            page *= light(*np.mgrid[0:height, 0:width][::-1])[..., None]
        return Image.fromarray(page.clip(0, 255).astype(np.uint8))

    def tilt(self, degrees):
        """Turns the ink about the middle, and the boxes with it."""
        height, width = self.ink.shape
        self.ink = ndimage.rotate(self.ink, degrees, reshape=False, order=1)
        angle = math.radians(degrees)
        for _, boxes in self.lines:
            for box in boxes:
                x, y, w, h = box
                corners = [(x, y), (x + w, y), (x, y + h), (x + w, y + h)]
                turned = [
                    (
                        width / 2 + (a - width / 2) * math.cos(angle) + (b - height / 2) * math.sin(angle),
                        height / 2 - (a - width / 2) * math.sin(angle) + (b - height / 2) * math.cos(angle),
                    )
                    for a, b in corners
                ]
                left, top = min(a for a, _ in turned), min(b for _, b in turned)
                right, bottom = max(a for a, _ in turned), max(b for _, b in turned)
                box[:] = [int(left), int(top), int(right - left) + 1, int(bottom - top) + 1]

    def on_desk(self, number, width=1300, height=1000):
        """A photograph of the page on a desk, in view on all sides; the boxes move with it."""
        rng, (high, wide) = self.rng, self.ink.shape
        page = np.asarray(self.photograph(), float)
        angle = math.radians(rng.uniform(-22, 22))
        scale = rng.uniform(0.78, 0.95) * (1 - abs(angle) * 0.5)
        corners = np.array([(0, 0), (wide, 0), (wide, high), (0, high)], float)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        seen = (corners - (wide / 2, high / 2)) @ turn * scale + (width / 2, height / 2)
        seen += rng.uniform(-0.04, 0.04, (4, 2)) * wide  # perspective
        to_page = homography(seen, corners)
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        u, v = project(to_page, x, y)
        inside = (u > 0) & (u < wide) & (v > 0) & (v < high)
        inside = ndimage.gaussian_filter(inside.astype(float), 0.8)[..., None]
        channel = lambda c: ndimage.map_coordinates(page[..., c], [v, u], order=1, mode="nearest")
        on_page = np.stack([channel(c) for c in range(3)], -1)
        color = [(120, 85, 60), (70, 72, 76), (172, 140, 104), (52, 60, 50), (150, 150, 148)][number % 5]
        # The grain of wood, along it, and stripes on every other desk.
        grain = ndimage.gaussian_filter(rng.normal(0, 1, (height, width)), (2, 60)) * 11
        grain += 8 * np.sin((y + 14 * np.sin(x / 170)) / rng.uniform(5, 14)) * (number % 2)
        desk = np.array(color) * (1 + 0.012 * grain[..., None]) + rng.normal(0, 3, (height, width, 1))
        # The paper's own shadow, below and to the right of it.
        desk *= 1 - 0.45 * ndimage.shift(ndimage.gaussian_filter(inside, (6, 6, 0)), (7, 6, 0))
        picture = inside * on_page + (1 - inside) * desk
        # A shadow across both on two of three.
        across = rng.uniform(-0.5, 0.5) * (x - width / 2) + y - rng.uniform(0.3, 0.7) * height
        picture *= 1 - (0.3 * (number % 3 > 0) / (1 + np.exp(across / 18)))[..., None]
        to_image = np.linalg.inv(to_page)
        for _, boxes in self.lines:
            for box in boxes:
                x, y, w, h = box
                a, b = project(to_image, np.array([x, x + w, x, x + w]), np.array([y, y, y + h, y + h]))
                box[:] = [int(a.min()), int(b.min()), int(np.ptp(a)) + 1, int(np.ptp(b)) + 1]
        return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def homography(seen, wanted):
    """The projection that takes four points to four others."""
    rows = []
    for (x, y), (u, v) in zip(seen, wanted):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    return np.append(np.linalg.solve(np.array(rows), np.ravel(wanted)), 1).reshape(3, 3)


def project(matrix, x, y):
    a, b, c = np.tensordot(matrix, np.stack([x, y, np.ones_like(x)]), 1)
    return a / c, b / c


truth = {}


def save(name, trouble, sheet, picture, exif=None, quality=72):
    options = {"exif": exif} if exif else {}
    picture.save(OUT / f"{name}.jpg", quality=quality, optimize=True, **options)
    truth[name] = {
        "trouble": trouble,
        "lines": [text for text, _ in sheet.lines],
        "boxes": [boxes for _, boxes in sheet.lines],
    }


def shadow(x, y):
    return 0.45 + 0.55 / (1 + np.exp((x * 0.6 + y - 900) / -90))


def lamp(x, y):
    return 1.05 - 0.6 * np.hypot(x - 300, y - 200) / 1300


def special(number):
    """A page of each kind with something beside the digits, or with digits that differ."""
    by_hand = number % 2 == 0
    pen = dict(wobble=5.0, width=4.5, strength=0.95) if by_hand else dict(width=2.0, strength=0.75)

    table = Sheet(2000 + number, width=1000, height=700)
    columns, rows = int(table.rng.integers(4, 7)), int(table.rng.integers(4, 7))
    xs = [80 + 840 * at / columns for at in range(columns + 1)]
    ys = [70 + 560 * at / rows for at in range(rows + 1)]
    for top, bottom in zip(ys, ys[1:]):
        cells = [int(table.rng.integers(1, 3)) for _ in range(columns)]
        words, boxes = [], []
        for x, count in zip(xs, cells):
            table.line([count], int((top + bottom) / 2), x=int(x) + 22, size=46, gap=0.3)
            text, own = table.lines.pop()
            words.append(text)
            boxes += own
        table.lines.append((" ".join(words), boxes))
    table.grid(xs, ys, dash=14 if number % 5 == 3 else None, **pen)
    table.tilt([0, 0, -3, 0, 5][number % 5])
    save(f"table_{number}", "table", table, table.photograph())

    form = Sheet(2100 + number, width=1000, height=600)
    for y in (110, 230, 350, 470):
        count, left = int(form.rng.integers(4, 9)), int(form.rng.integers(60, 200))
        boxes = [left + (74 + 16 * (number % 3 == 1)) * at for at in range(count + 1)]
        text, own = "", []
        for x in boxes[:-1]:
            form.line([1], y, x=x + 14 + int(form.rng.integers(0, 12)), size=50)
            digit, box = form.lines.pop()
            text, own = text + digit, own + box
        form.lines.append((text, own))
        if number % 3 == 1:
            for x in boxes[:-1]:
                form.grid([x, x + 74], [y - 44, y + 44], width=2.0, strength=0.7)
        else:
            form.grid(boxes, [y - 44, y + 44], width=2.0, strength=0.7)
    save(f"form_{number}", "form", form, form.photograph())

    frame = Sheet(2200 + number, width=1000, height=700)
    for y in (170, 290, 410, 530):
        frame.line([[6], [3, 3], [4, 2], [5]][frame.rng.integers(4)], y, x=130, size=56)
    thick = 3.0 + number
    frame.grid([50, 950], [50, 650], wobble=6.0 * by_hand, width=thick)
    if number % 3 == 2:
        frame.grid([70, 930], [70, 630], width=thick / 2)
    save(f"frame_{number}", "frame", frame, frame.photograph())

    dotted = Sheet(2300 + number, width=1000, height=700)
    dotted.simple(130, 260, 390, 520)
    pitch = (22, 28, 36)[number % 3]
    y, x = np.mgrid[0:700, 0:1000]
    dots = (2.2 - np.hypot(x % pitch - pitch / 2, y % pitch - pitch / 2)).clip(0, 1)
    dotted.ink = np.maximum(dotted.ink, dots * (0.35 + 0.05 * number))
    save(f"dotted_{number}", "dotted grid", dotted, dotted.photograph())

    marks = Sheet(2400 + number, width=1000, height=700)
    for y in (130, 260, 390, 520):
        between = "".join(marks.rng.choice(list("-+/.:,"), 3))
        marks.line([2, 1, 2, 2], y, x=80, size=56, space=1.7, marks=between)
    save(f"marks_{number}", "hyphens, dots, slashes", marks, marks.photograph())

    slopes = Sheet(2500 + number, width=1000, height=900)
    drift = float(slopes.rng.uniform(0.04, 0.11))
    for block, sign in ((0, 1), (1, -1)):
        for at in range(3):
            y = 110 + 420 * block + 110 * at + (60 if sign < 0 else -20)
            slopes.line([[6], [3, 3], [4, 2]][at], y, x=80, size=54, drift=sign * drift)
    save(f"slopes_{number}", "two slopes", slopes, slopes.photograph())

    pale = Sheet(2600 + number, width=1000, height=700)
    for at, y in enumerate((130, 260, 390, 520)):
        strength = 1.0 if (at + number) % 2 else 0.3 + 0.02 * number
        pale.line([[6], [3, 3], [4, 2], [5]][pale.rng.integers(4)], y, x=80, size=56, strength=strength)
    save(f"pale_{number}", "pale beside dark", pale, pale.photograph(grain=2.0))

    large = Sheet(2700 + number, width=1700, height=1250)
    left, top = int(large.rng.integers(100, 1000)), int(large.rng.integers(100, 900))
    for at in range(3):
        large.line([[5], [2, 2], [4]][at], top + 60 * at, x=left, size=26 + number)
    save(f"large_{number}", "small on a large page", large, large.photograph(grain=7.0), quality=45)

    crowded = Sheet(2800 + number, width=1000, height=700)
    for at in range(6):
        crowded.line([5, 3], 90 + (74 + number) * at, x=80, size=64, space=1.5)
    save(f"crowded_{number}", "lines that touch", crowded, crowded.photograph())


def main():
    for number in range(3):
        plain = Sheet(100 + number)
        plain.standard()
        save(f"plain_{number}", "plain", plain, plain.photograph())

        texture = Sheet(200 + number)
        texture.standard(strength=0.75)
        save(f"texture_{number}", "rough paper", texture, texture.photograph(grain=9.0, paper=(205, 200, 190)))

        dim = Sheet(300 + number)
        dim.standard()
        save(f"light_{number}", "shadow, uneven light", dim, dim.photograph(light=[shadow, lamp, lambda x, y: shadow(1300 - x, y)][number]))

        tilted = Sheet(400 + number, height=1100)
        for y in (330, 480, 630, 780):
            tilted.line([[3, 3], [6], [4, 2]][number], y, x=220)
        tilted.tilt([-9, 4, 10][number])
        save(f"tilt_{number}", "tilted", tilted, tilted.photograph())

        ruled = Sheet(500 + number)
        ruled.standard(strength=0.95)
        lines = [((150, 175, 215), 80, False, 0.8), ((150, 175, 215), 54, True, 0.7), ((90, 110, 160), 80, False, 0.9)][number]
        save(f"ruled_{number}", "ruled, squared", ruled, ruled.photograph(ruled=lines))

        color = Sheet(600 + number)
        color.standard()
        paper, ink = [((250, 225, 150), (180, 30, 40)), ((190, 225, 200), (30, 50, 160)), ((45, 50, 60), (225, 225, 215))][number]
        save(f"color_{number}", "coloured ink and paper", color, color.photograph(paper=paper, ink=ink))

        pencil = Sheet(700 + number)
        pencil.standard(strength=[0.45, 0.38, 0.32][number])
        save(f"pencil_{number}", "faint pencil", pencil, pencil.photograph(ink=(70, 70, 72), grain=3.5))

        touching = Sheet(800 + number)
        for y in (150, 330, 510, 690):
            touching.line([2, 2, 2], y, touch=True, size=70)
        save(f"touching_{number}", "touching digits", touching, touching.photograph())

        turned = Sheet(900 + number)
        turned.standard()
        picture = turned.photograph()
        code, turn = [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90), (8, Image.Transpose.ROTATE_270)][number]
        exif = Image.Exif()
        exif[0x0112] = code
        save(f"exif_{number}", "turned by EXIF", turned, picture.transpose(turn), exif)

        small = Sheet(1000 + number)
        for y in range(60, 860, 64):
            small.line([[10, 6], [18], [5, 5, 5]][number], y, size=30, space=2.8)
        save(f"small_{number}", "small writing", small, small.photograph())

        blank = Sheet(1100 + number)
        save(f"blank_{number}", "blank", blank, blank.photograph(light=[None, lamp, shadow][number], ruled=[None, None, ((150, 175, 215), 80, False, 0.8)][number]))

    for number in range(10):
        page = Sheet(1300 + number, width=900, height=640)
        page.simple(110, 240, 370, 500)
        save(f"desk_{number}", "paper on a desk", page, page.on_desk(number))

        digit = Sheet(1400 + number, width=480, height=360)
        digit.line([1], 180, x=190, size=130, label=number)
        save(f"digit_{number}", "paper on a desk, one digit", digit, digit.on_desk(number, 700, 520))

    for number in range(10):
        special(number)

    lines = (f"{json.dumps(name)}: {json.dumps(sheet)}" for name, sheet in sorted(truth.items()))
    (OUT / "truth.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


main()
