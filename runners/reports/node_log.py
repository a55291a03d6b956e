"""What a run's log has of each node."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

SHOWN = 40
"""Lines of a node that are shown: the last ones."""
LONGEST = 400
"""Characters of a line that are shown."""

_ENTRY = re.compile(r"\d{4}-\d\d-\d\d[ T](?=\d\d:\d\d:\d\d)")
"""How an entry begins. The day is that of the run, and is not shown."""
_NOISE = ("MetadataStore with DB connection initialized", "Sharding callback duration")
"""Logged many times a node; say nothing."""
_BEGINS = "Running launcher for node_info {"
"""What TFX logs first of a node, followed by its description, as both TFX lines do."""
_NAME = re.compile(r'^  id: "([^"]+)"$')
_TRACEBACK = "Traceback (most recent call last)"


def by_node(log: Path) -> dict[str, list[str]]:
    """Returns node -> the last lines that the log has of it; nothing where there is no log.

    Of entries of several lines only the first line is shown: they are TFX's own descriptions. Tracebacks are whole.
    """
    found: dict[str, deque[str]] = {}
    node = None
    for entry in _entries(log):
        if _BEGINS in entry[0]:
            names = (_NAME.match(line) for line in entry)
            node = next((name[1] for name in names if name), None)
        elif node and not any(words in entry[0] for words in _NOISE):
            whole = any(_TRACEBACK in line for line in entry)
            found.setdefault(node, deque(maxlen=SHOWN)).extend(
                _ENTRY.sub("", line)[:LONGEST] for line in (entry if whole else entry[:1])
            )
    return {name: list(lines) for name, lines in found.items()}


def _entries(log: Path) -> Iterator[list[str]]:
    """Yields the lines of each entry; one begins with its time."""
    entry: list[str] = []
    if not log.is_file():
        return
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in map(str.rstrip, lines):
            if _ENTRY.match(line) and entry:
                yield entry
                entry = []
            entry.append(line)
    if entry:
        yield entry
