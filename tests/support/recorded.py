"""Records of runs, as files below a root, without the runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.contract import find_model
from pipeline.settings import make_settings
from runners.run import RECORD, RunResult


def record(root: Path, run_id: str, **fields: Any) -> RunResult:
    """Writes the record of a CLV run, refused unless `fields` say otherwise, and returns it."""
    model = fields.get("model", "clv")
    pipeline = fields.get("pipeline", f"{model}-main-horizon_days-91")
    folder = root / "records" / pipeline / run_id
    known: dict[str, Any] = {
        "run_id": run_id,
        "pipeline": pipeline,
        "model": model,
        "outcome": "refused",
        "settings": make_settings(find_model(model)).model_dump(mode="json"),
        "data": {"file": "shop.csv", "digest": "0123456789abcdef", "quarantine": ""},
        "folder": str(folder),
    }
    result = RunResult(**{**known, **fields})
    folder.mkdir(parents=True)
    (folder / RECORD).write_text(result.model_dump_json(indent=1), encoding="utf-8")
    return result
