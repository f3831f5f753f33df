"""What schemathesis, which scripts/serve_api.py runs, takes for images: nothing else is one."""

from pathlib import Path

import schemathesis
from hypothesis import strategies

SHEETS = Path(__file__).resolve().parent.parent / "tests/sheets"
IMAGES = [path.read_bytes() for path in sorted(SHEETS.glob("digit_*.jpg"))]

for media in ["image/png", "image/jpeg"]:
    schemathesis.openapi.media_type(media, strategies.sampled_from(IMAGES))
