"""What the code says of itself in its docstrings, read without importing it: a metric's module may need TensorFlow."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path

from pipeline.contract import Model


def meaning(model: Model, name: str) -> str:
    """Returns a sentence on one of a model's metrics; empty where none is written."""
    metric = next((metric for metric in model.metrics if metric.name == name), None)
    words = says(metric.function).partition("; NaN")[0].rstrip(".") if metric else ""
    if not metric or not words:
        return ""
    known = f" {metric.minus}, which is known before, is subtracted from all first." if metric.minus else ""
    return f"{words}.{known}"


@cache
def says(dotted: str) -> str:
    """Returns the first paragraph of a function's docstring, without its `Returns`; empty if there is none.

    >>> says("pipeline.metrics.mae")
    "The mean absolute error, in the label's unit; NaN without rows."
    """
    module, _, name = dotted.rpartition(".")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # A module of before, which is gone now.
        return ""
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return ""
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    found = next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name), None)
    text = (found and ast.get_docstring(found)) or ""
    phrase = " ".join(text.partition("\n\n")[0].split()).removeprefix("Returns ")
    return phrase[:1].upper() + phrase[1:]
