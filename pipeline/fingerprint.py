"""Digests for cache keys: TFX hashes neither code that is named by dotted path, nor data, SQL or schema files."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LENGTH = 16
"""Hex characters of a digest in keys and folder names: 64 bits, no accidental collisions in a project's life."""


def digest_bytes(content: bytes) -> str:
    """Returns the shortened sha256 of bytes, as hex.

    >>> digest_bytes(b"")
    'e3b0c44298fc1c14'
    """
    return hashlib.sha256(content).hexdigest()[:LENGTH]


def digest_json(value: Any) -> str:
    """Returns the digest of anything that `json` can write; key order does not matter."""
    return digest_bytes(json.dumps(value, sort_keys=True, default=str).encode())


def digest_file(path: Path) -> str:
    """Returns the shortened sha256 of a file's content, as hex."""
    return sha256_file(path)[:LENGTH]


def sha256_file(path: Path) -> str:
    """Returns the sha256 of a file's content, as hex, read in blocks (memory stays flat)."""
    state = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def digest_folder(folder: Path) -> str:
    """Returns the digest of a folder: relative names and contents of all its files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest_json([(path.relative_to(folder).as_posix(), digest_file(path)) for path in files])


def digest_code(*modules: str) -> str:
    """Returns the digest of the sources of modules and of all that they import from their own packages.

    "Their own packages" are the top-level packages of the given modules: library versions are not code of
    ours, and an upgraded library belongs to a new environment with a new root.

    Args:
      modules: names such as `"models.clv.trainer"`.

    Raises:
      ModuleNotFoundError: a module does not exist.
    """
    roots = {name.partition(".")[0] for name in modules}
    sources: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in sources:
            path = _source(name)
            sources[name] = digest_file(path)
            waiting += _imports(path, name, roots)
    return digest_json(sources)


def _source(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source file for module {module!r}", name=module)
    return Path(spec.origin)


def _imports(path: Path, module: str, roots: set[str]) -> Iterator[str]:
    """Yields the modules below `roots` that a source file imports anywhere, functions included."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in roots)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            if base.partition(".")[0] in roots:
                yield from (_module_of(base, alias.name) for alias in node.names)


def _module_of(base: str, name: str) -> str:
    """`from base import name` imports the module base.name if there is one, else base."""
    try:
        found = importlib.util.find_spec(f"{base}.{name}")
    except (ModuleNotFoundError, ValueError):
        found = None
    return f"{base}.{name}" if found else base
