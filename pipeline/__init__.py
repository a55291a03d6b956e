"""Wiring of a TFX pipeline: ingestion, gates, DAG and push. Knows no model by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.gate import GateReport

__all__ = ["GateReport"]


def __getattr__(name: str) -> Any:
    """Finds the artifact type by the name that compiled specs give it; imports TFX for nobody else."""
    if name != "GateReport":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pipeline.gate import GateReport

    return GateReport
