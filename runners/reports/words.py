"""What the code says of itself in its docstrings, read without importing it: a metric's module may need TensorFlow."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path


@cache
def says(dotted: str) -> str:
    """Returns the first paragraph of a function's docstring, without its `Returns`; empty if there is none.

    >>> says("pipeline.metrics.mae")
    "The mean absolute error, in the label's unit; NaN without rows."
    """
    module, _, name = dotted.rpartition(".")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        return ""
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    found = next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name), None)
    text = (found and ast.get_docstring(found)) or ""
    phrase = " ".join(text.partition("\n\n")[0].split()).removeprefix("Returns ")
    return phrase[:1].upper() + phrase[1:]
