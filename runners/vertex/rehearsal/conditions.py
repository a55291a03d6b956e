"""Trigger conditions, what `dsl.Cond` is compiled to: the part of CEL that TFX writes, and no more."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

_SIGNS = {"&&": " and ", "||": " or ", "!": " not "}
_CONSTANTS = {"true": True, "false": False, "null": None}
_COMPARED = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


class NotUnderstood(Exception):
    """A condition that is none, or that uses what is not known here."""


def parse(condition: str) -> ast.expr | None:
    """Returns a condition's expression; None for none, which always holds.

    Raises:
      NotUnderstood: it is not what TFX writes.
    """
    if not condition:
        return None
    # Text in quotes is left alone; CEL's signs for and, or and not are not Python's.
    translated = re.sub(
        r"'[^']*'|\"[^\"]*\"|&&|\|\||!(?!=)", lambda found: _SIGNS.get(found.group(), found.group()), condition
    )
    try:
        return ast.parse(translated.strip(), mode="eval").body
    except SyntaxError as error:
        raise NotUnderstood(condition) from error


def holds(condition: str, inputs: Mapping[str, Any]) -> bool:
    """Returns whether a condition holds.

    Args:
      condition: CEL; empty for none.
      inputs: `artifacts`: key -> artifacts with `uri` and `metadata`; `parameter_values`: name -> value.

    Raises:
      NotUnderstood: it asks for what is not there, such as a property that no gate has set.
    """
    expression = parse(condition)
    if expression is None:
        return True
    try:
        return bool(_value(expression, _scope(inputs)))
    except (LookupError, AttributeError, TypeError) as error:
        raise NotUnderstood(f"{condition}: {type(error).__name__}: {error}") from error


def _scope(inputs: Mapping[str, Any]) -> dict[str, Any]:
    artifacts = {key: SimpleNamespace(artifacts=found) for key, found in inputs["artifacts"].items()}
    parameters = {
        name: SimpleNamespace(string_value=value, int_value=value, double_value=value)
        for name, value in inputs["parameter_values"].items()
    }
    given = SimpleNamespace(artifacts=artifacts, parameters=parameters, parameter_values=inputs["parameter_values"])
    return {"inputs": given, **_CONSTANTS}


def _value(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return scope[name]
        case ast.Attribute(value=inner, attr=name):
            return getattr(_value(inner, scope), name)
        case ast.Subscript(value=inner, slice=key):
            return _value(inner, scope)[_value(key, scope)]
        case ast.UnaryOp(op=ast.Not(), operand=inner):
            return not _value(inner, scope)
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_value(part, scope) for part in parts)
        case ast.BoolOp(op=ast.Or(), values=parts):
            return any(_value(part, scope) for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _value(left, scope) + _value(right, scope)
        case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in _COMPARED:
            return _COMPARED[type(sign)](_value(left, scope), _value(right, scope))
    raise NotUnderstood(ast.unparse(node))
