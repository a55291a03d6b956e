"""TensorBoard on the training of a run."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path

from pipeline.contract import UserError
from runners.records import find_record

EVENTS = "events.out.tfevents.*"
LOCAL = "localhost"


def find_training(root: Path, run: str | None) -> Path:
    """Returns the folder with TensorBoard's logs of a training.

    Args:
      root: of the runs.
      run: id of a run, the name of its folder below `records/`; None for the newest training, one that is still going
        included.

    Raises:
      UserError: there is no such run, or it has no logs of a training.
    """
    return _of_run(root, run) if run else _newest(root)


def _of_run(root: Path, run: str) -> Path:
    folder = find_record(root, run).training
    if folder is None or not any(Path(folder).rglob(EVENTS)):
        raise UserError(
            expected="a run that trained a model, with logs for TensorBoard",
            received=f"{run}, which has none",
            todo="name another run, or leave it out for the newest training",
        )
    return Path(folder)


def _newest(root: Path) -> Path:
    logs = [path for path in root.glob(f"artifacts/*/Trainer/model_run/*/**/{EVENTS}") if path.is_file()]
    if not logs:
        raise UserError(
            expected=f"a training with logs for TensorBoard below {root}",
            received="none",
            todo="run a model first (`pipelines run clv`), or name the folder of its runs with --root",
        )
    return max(logs, key=lambda path: path.stat().st_mtime_ns).parent


def start(folder: Path, port: int) -> str:
    """Starts the TensorBoard that is installed, in a thread of this process, and returns its address.

    Args:
      folder: what it shows.
      port: of this machine; 0 for any that is free.

    Raises:
      UserError: it cannot serve at that port.
    """
    _allow_missing_pkg_resources()
    from tensorboard import default, program

    board = program.TensorBoard(plugins=default.get_static_plugins())
    # Without `load_fast` it reads the logs itself, and leaves no second process behind.
    arguments = {"logdir": str(folder), "host": LOCAL, "port": port, "load_fast": "false", "reload_interval": 5.0}
    try:
        board.configure(**arguments)
        return str(board.launch())
    except program.TensorBoardServerException as error:
        raise UserError(
            expected=f"a free port for TensorBoard, not {port}",
            received=str(error),
            todo="choose another --port, or 0 for any",
        ) from error


def _allow_missing_pkg_resources() -> None:
    """Stands in for what TensorBoard 2.16 imports and setuptools has dropped; later ones do not ask for it.

    It needs it for two things that are not used here: plugins of other packages, and the version of the process that
    `load_fast` starts.
    """
    if importlib.util.find_spec("pkg_resources") is None:
        sys.modules["pkg_resources"] = types.ModuleType("pkg_resources")
