"""What a metric is, in the words of the function that computes it."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path

from pipeline.contract import Model


def meaning(model: Model, name: str) -> str:
    """Returns a sentence on one of a model's metrics, or nothing where none is written.

    The function's docstring is read, not its module imported: that of a model may need TensorFlow.
    """
    metric = next((metric for metric in model.metrics if metric.name == name), None)
    if metric is None:
        return ""
    words = _first_sentence(metric.function)
    known = f" {metric.minus}, which is known before, is subtracted from all first." if metric.minus and words else ""
    return words + known


@cache
def _first_sentence(dotted: str) -> str:
    module, _, name = dotted.rpartition(".")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return ""
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return ""
    found = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    functions = [node for node in found if isinstance(node, ast.FunctionDef) and node.name == name]
    text = " ".join(((ast.get_docstring(functions[0]) if functions else None) or "").split("\n\n")[0].split())
    sentence = text.removeprefix("Returns ").partition("; NaN")[0].rstrip(".")
    return f"{sentence[:1].upper()}{sentence[1:]}." if sentence else ""
