"""The report's section "Model card": what lies beside the pushed model, as a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from pipeline.fingerprint import digest_bytes
from pipeline.push import is_bucket
from pipeline.push.card import CARD_FILE
from runners.reports.facts import Facts
from runners.reports.pages import render

_NO_MARKUP = ("html_block", "html_inline", "image", "link", "autolink", "reference")
"""What is not read as Markdown: a card has none of it, and what somebody put there later must not reach out."""


def section(facts: Facts) -> Markup | None:
    """Returns the section; None where nothing was pushed: a card is written with a push."""
    if facts.result.pushed is None:
        return None
    path = Path(facts.result.pushed, CARD_FILE)
    if is_bucket(facts.result.pushed):
        return render("card.html", note="The model card lies in the bucket, beside the model:", path=path, card=None)
    if not path.is_file():
        return render("card.html", note=_missing(facts), path=path, card=None)
    text = path.read_bytes()
    known = facts.manifest.files.get(CARD_FILE) if facts.manifest else None
    note = _WHOLE if digest_bytes(text) == known else _CHANGED
    return render("card.html", note=note, path=path, card=as_html(text.decode(errors="replace")))


_WHOLE = "This page lies beside the model, and goes wherever the model goes:"
_CHANGED = "Careful: this page is not as it was when the model was pushed. It lies beside the model:"


def _missing(facts: Facts) -> str:
    if facts.manifest is None:
        return "The version is not on this machine any more, and neither is its model card:"
    return "This version was pushed before there were model cards. The next new model is pushed with one. Looked for:"


def as_html(text: str) -> Markup:
    """Returns a card as a part of the report, below its headings; the card's own title is left out."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table").disable(_NO_MARKUP)
    tokens = list(_lowered(markdown.parse(text)))
    for token in tokens:
        if token.type == "th_open":
            token.attrSet("scope", "col")
    return Markup(markdown.renderer.render(list(_scrolling(tokens)), markdown.options, {}))


def _lowered(tokens: Iterable[Token]) -> Iterator[Token]:
    """Leaves out the title, and moves the other headings a level down."""
    in_title = False
    for token in tokens:
        if token.type == "heading_open":
            in_title = token.tag == "h1"
        if not in_title:
            if token.type in ("heading_open", "heading_close"):
                token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
            yield token
        elif token.type == "heading_close":
            in_title = False


def _scrolling(tokens: Iterable[Token]) -> Iterator[Token]:
    """Lets wide tables scroll, each in a region that is called as the heading before it."""
    heading, in_heading = "", False
    for token in tokens:
        in_heading = token.type == "heading_open" or (in_heading and token.type != "heading_close")
        heading = token.content if in_heading and token.type == "inline" else heading
        if token.type == "table_open":
            opening = Markup('<div class="scrolls" tabindex="0" role="region" aria-label="Model card: {}">')
            yield _block(opening.format(heading))
        yield token
        if token.type == "table_close":
            yield _block(Markup("</div>"))


def _block(html: Markup) -> Token:
    return Token("html_block", "", 0, content=str(html))
