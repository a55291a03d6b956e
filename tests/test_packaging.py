"""What the wheel holds: code, SQL and schemas, and never the tests."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

PROJECT = Path(__file__).parents[1]


def test_the_wheel_ships_sql_and_schemas_and_no_tests(tmp_path: Path) -> None:
    uv = Path(sys.executable).parent / "uv"
    command = [uv, "build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", tmp_path]
    subprocess.run([*map(str, command), str(PROJECT)], check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("models/clv/features.sql", "schema/clv/schema.pbtxt", "pipeline/dag.py", "runners/cli.py"):
        assert name in names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"models", "pipeline", "runners", "schema"}
