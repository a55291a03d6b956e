"""What a node was told, as rows that people can read: TFX keeps it as JSON inside of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

LONGEST = 20_000
"""Characters of a value that are shown."""
INTERNAL = ("@type", "__")
"""How the names begin of what TFX notes for itself."""


class Told(NamedTuple):
    """A setting: `name` is the way to it, `parts.of.it`."""

    name: str
    value: str

    @property
    def long(self) -> bool:
        """Whether it has lines of its own, such as SQL."""
        return "\n" in self.value


def rows(properties: Mapping[str, Any]) -> list[Told]:
    """Returns the settings of a node, those inside of JSON texts each for itself."""
    return [row for name in sorted(properties) for row in _rows(name, properties[name])]


def _rows(name: str, value: Any) -> Iterator[Told]:
    value = parsed(value)
    if isinstance(value, Mapping):
        inner = {key: each for key, each in value.items() if not key.startswith(INTERNAL)}
        for key, each in inner.items():
            yield from _rows(f"{name}.{key}" if key != name else name, each)
    elif isinstance(value, list) and any(isinstance(parsed(each), Mapping | list) for each in value):
        for number, each in enumerate(value):
            yield from _rows(f"{name}.{number}", each)
    elif value not in (None, "", []):
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield Told(name, text.strip()[:LONGEST])


def parsed(value: Any) -> Any:
    """Returns what a JSON text of an object, a list or null holds; anything else as it is."""
    if not isinstance(value, str) or (value[:1] not in ("{", "[") and value != "null"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
