"""The page at `/` for people: the model's own, or a form of whatever its signature takes, in one frame.

What comes out is one file that needs no build step, and no network but the server that it comes from: its own content
security policy forbids any other.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from pipeline.contract import Explanation, Model, resource
from pipeline.push import Manifest

HERE = Path(__file__).parent
FORM = HERE / "page.html"
"""The page of a model that brings none."""


def page(model: Model) -> str:
    """Returns the page as HTML.

    A page's file is what stands between header and footer. `<!--name-->`, `<!--title-->` and `<!--baseline-->` in it
    become the model's own words; `page.js` has what a page's script can call.

    Raises:
      FileNotFoundError: the model names a page that its package does not have.
    """
    explanation = model.explanation
    content = (resource(model.page) if model.page else FORM).read_text()
    words = {
        "name": model.name,
        "title": model.title,
        "baseline": explanation.why if isinstance(explanation, Explanation) else explanation,
    }
    texts = {name: html.escape(text) for name, text in words.items()}
    parts = {part: (HERE / f"page.{part}").read_text() for part in ("css", "js")}
    return _filled((HERE / "page_frame.html").read_text(), {**texts, **parts, "content": _filled(content, texts)})


def about(manifest: Manifest) -> dict[str, Any]:
    """Returns what a page tells people of the version that answers, as JSON."""
    data = manifest.settings.get("data", {})
    return {
        "model": manifest.model,
        "version": str(manifest.version),
        "digest": manifest.model_digest,
        "pushedAt": manifest.pushed_at,
        "line": data.get("line"),
        "currency": data.get("currency"),
        "features": manifest.settings.get("features", {}),
    }


def _filled(text: str, parts: dict[str, str]) -> str:
    return re.sub(r"<!--(\w+)-->", lambda found: parts[found[1]], text)
