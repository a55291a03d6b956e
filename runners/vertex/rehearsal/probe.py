"""Run by another interpreter: says which names it cannot find, without importing anything. Standard library only.

Reads a JSON list of [module, attribute or null] from standard input; writes an object `module:attribute` -> reason.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from pathlib import Path


def find(module: str) -> Path | None:
    """Returns a module's file, or a package's folder where it has none.

    Unlike importlib's own function it does not import the packages that the module is in.
    """
    top, *parts = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    found = Path(spec.origin) if spec.origin else Path(folders[0])
    for part in parts:
        candidates = [path for folder in folders for path in _candidates(folder, part) if path.exists()]
        if not candidates:
            return None
        found, folders = candidates[0], [folder / part for folder in folders]
    return found


def _candidates(folder: Path, name: str) -> list[Path]:
    return [folder / name / "__init__.py", folder / f"{name}.py", *folder.glob(f"{name}.*.so"), folder / name]


def defined(body: list[ast.stmt]) -> set[str]:
    """Returns the names that a module's statements define."""
    names: set[str] = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            names |= {found.id for found in ast.walk(node) if isinstance(found, ast.Name)}
        for inner in ("body", "orelse", "finalbody", "handlers"):
            if isinstance(node, (ast.If, ast.Try, ast.With, ast.ExceptHandler)):
                names |= defined(getattr(node, inner, []))
    return names


def reason(module: str, attribute: str | None) -> str | None:
    """Returns why a name cannot be found; None if it can. The attribute may be a module, too."""
    file = find(module)
    if file is None:
        return f"ModuleNotFoundError: No module named {module!r}"
    if attribute is None or file.suffix != ".py" or find(f"{module}.{attribute}"):
        return None
    try:
        names = defined(ast.parse(file.read_bytes()).body)
    except SyntaxError as error:
        return f"SyntaxError: {error}"
    # TFX makes the executor of a function component f under the name f_Executor.
    if names & {attribute, attribute[: -len("_Executor")] if attribute.endswith("_Executor") else attribute, "*"}:
        return None
    return f"AttributeError: module {module!r} has no attribute {attribute!r}"


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    missing = {f"{module}:{attribute or ''}": reason(module, attribute) for module, attribute in asked}
    json.dump({name: why for name, why in missing.items() if why}, sys.stdout)
