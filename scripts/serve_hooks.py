"""What schemathesis, which scripts/serve_api.py runs, takes for images, and what it sends in forms."""

from pathlib import Path

import schemathesis
from hypothesis import strategies

SHEETS = Path(__file__).resolve().parent.parent / "tests/sheets"
IMAGES = [path.read_bytes() for path in sorted(SHEETS.glob("digit_*.jpg"))]

for media in ["image/png", "image/jpeg"]:
    schemathesis.openapi.media_type(media, strategies.sampled_from(IMAGES))


@schemathesis.hook
def map_body(context, body):
    """Leaves out further fields of a form: they get names that no form can hold."""
    form = getattr(body, "body", body)
    if isinstance(form, dict) and "image" in form:
        for name in form.keys() - {"image"}:
            del form[name]
    return body
