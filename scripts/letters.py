#!/usr/bin/env python3
"""How many letters are refused as no digit, where the least score is such that 1% of MNIST's test digits are, too.

    apt-get install fonts-rufscript fonts-femkeklaver fonts-breip fonts-ecolier-court fonts-dancingscript \\
        fonts-dkg-handwriting fonts-kristi fonts-humor-sans
    python3 scripts/letters.py target/release/mnist FONT.ttf ...    # needs pillow

Letters are drawn 90 pixels high, black on white, upper and lower case. Some are digits in all but name, as
O, l and S; CLEAR leaves those out that may be taken for one.
"""

import gzip
import pathlib
import string
import sys

from PIL import Image, ImageDraw, ImageFont

from answers import answers

DATA = pathlib.Path(__file__).parent.parent / "data" / "t10k-images-idx3-ubyte.gz"
CLEAR = sorted(set(string.ascii_letters) - set("bglosyzqiIlOoSZDBjJrUTuvVtqG"))


def scores(program, images):
    return [answer["score"] for answer in answers(program, images)]


def letter(font, character):
    image = Image.new("L", (180, 180), 255)
    ImageDraw.Draw(image).text((90, 90), character, font=font, fill=20, anchor="mm")
    return image


program, *fonts = sys.argv[1:]
pixels = gzip.open(DATA).read()[16:]
digits = [Image.frombytes("L", (28, 28), pixels[784 * at : 784 * (at + 1)]) for at in range(10_000)]
least = sorted(scores(program, digits))[len(digits) // 100]
print(f"1% of MNIST's test digits have a score below {least:.3f}")
drawn = [(character, letter(ImageFont.truetype(font, 90), character)) for font in fonts for character in string.ascii_letters]
drawn = [(character, image) for character, image in drawn if image.getextrema()[0] < 200]
found = list(zip((character for character, _ in drawn), scores(program, [image for _, image in drawn])))
for name, characters in (("letters", string.ascii_letters), ("of those that are not like a digit", CLEAR)):
    own = [score for character, score in found if character in characters]
    refused = sum(score < least for score in own)
    print(f"{name}: {refused} of {len(own)} refused ({100 * refused / len(own):.0f}%)")
