"""The report's section "Training"."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from pipeline.contract import Listing, Plot, Tuned
from runners.reports.exhibits import show
from runners.reports.facts import Facts
from runners.reports.network import networks, shape_text
from runners.reports.pages import figure, render

HELD_OUT = ("held_out_loss", "val_loss")
"""What trainers call the loss on the rows that they hold out."""
NAMES = {"loss": "examples fitted", **dict.fromkeys(HELD_OUT, "examples held out")}
RATE = "learning_rate"
ROWS = {
    "rows": "Examples fitted",
    "held_out_rows": "Examples held out",
    "network": "Network",
    "parameters": "Parameters of the network",
    "epochs": "Epochs run",
    "best_epoch": "Epoch kept",
    "steps_per_epoch": "Steps in an epoch",
    "resumed_from": "Epochs done by an interrupted training",
    "images_per_second": "Pictures a second",
    "replicas": "Devices that shared the work",
    "devices": "Devices that TensorFlow saw",
}
"""What is listed of `training.json`, where it is there."""

History = Sequence[Mapping[str, float | None]]


def section(facts: Facts) -> Markup | None:
    """Returns curves, settings and the network; None where no training came to its end."""
    told = facts.training
    if told is None:
        return None
    tuned = facts.result.tuned
    given = facts.result.settings.get("training", {})
    settings = tuned.over(given) if tuned else given
    history: History = told.get("history", [])
    return render(
        "training.html",
        says=[*_source(facts), *_ended(told, settings, history)],
        curves=show([_curves(history, told.get("best_epoch"))]) if len(history) > 1 else "",
        numbers=show([_numbers(facts, told)]),
        settings=show([_settings(settings)]),
        tuned=show([_tuned(tuned)]) if tuned else "",
        networks=networks(told.get("layers", [])),
        shape=shape_text,
    )


def _source(facts: Facts) -> list[str]:
    """Says so where this run did not train."""
    trainer, made = facts.nodes.get("Trainer"), facts.artifact("Trainer", "model_run")
    if not trainer or trainer.state != "CACHED" or not made or not facts.store:
        return []
    by = facts.store.producer(made)
    return [
        f"Nothing that the training depends on had changed: its result is that of run {by.run if by else 'before'}."
    ]


def _ended(told: Mapping[str, Any], settings: Mapping[str, Any], history: History) -> list[str]:
    """Says when the training ended, and which epoch was kept, if its trainer tells."""
    if "epochs" not in told or "best_epoch" not in told:
        return []
    done, best = told["epochs"], told["best_epoch"]
    most = settings.get("virtual_epochs") or settings.get("epochs", done)
    stuck = f"Stopped after epoch {done} of at most {most}, as {done - best} epochs in a row brought no improvement"
    stopped = stuck if done < most else f"All {done} epochs ran"
    loss = _held_out(told, history, best)
    if loss is None:
        return [f"{stopped}; no examples were held out, and epoch {best} is what was kept."]
    said = [f"{stopped}; epoch {best} was best and is what was kept: held-out loss {figure(loss)}."]
    losses = [value for number in range(1, len(history) + 1) if (value := _held_out({}, history, number)) is not None]
    if losses and min(losses) < loss:
        least = losses.index(min(losses)) + 1
        said.append(
            f"The least held-out loss of all was {figure(min(losses))}, after epoch {least}: this model's trainer "
            "chooses among its last epochs, since so few held-out examples are a noisy judge."
        )
    return said


def _held_out(told: Mapping[str, Any], history: History, epoch: int) -> float | None:
    """The held-out loss after an epoch, from 1; that of the best one is in old records without a history, too."""
    known = {**told, **(history[epoch - 1] if 0 < epoch <= len(history) else {})}
    return next((known[name] for name in HELD_OUT if known.get(name) is not None), None)


def _numbers(facts: Facts, told: Mapping[str, Any]) -> Listing:
    rows = [(label, _entry(told[name])) for name, label in ROWS.items() if told.get(name)]
    seed = facts.result.settings.get("training", {}).get("seed")
    return Listing("What was trained", "", ("what", "value"), (*rows, ("Seed of every random choice", seed)))


def _settings(settings: Mapping[str, Any]) -> Listing:
    rows = tuple((name, _entry(value)) for name, value in settings.items())
    return Listing("Settings of the training", "", ("setting", "value"), rows)


def _tuned(tuned: Tuned) -> Listing:
    """What the search chose from, and what it found."""
    kept = all(each.found == each.given for each in tuned.settings.values())
    says = (
        f"{tuned.trials} trials. Score ({tuned.objective}; less is better): "
        f"{figure(tuned.score)} of what was found, {figure(tuned.given)} of the settings as they were given. "
        + ("Nothing better than those was found." if kept else "What was found went over what was set.")
    )
    rows = (
        (name, _entry(each.given), "; ".join(str(_entry(value)) for value in each.tried), _entry(each.found))
        for name, each in tuned.settings.items()
    )
    return Listing("Settings that a search chose", says, ("setting", "given", "tried", "found"), tuple(rows))


def _entry(value: Any) -> str | float | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return value if value is None or isinstance(value, int | float) else str(value)


def _curves(history: History, best: int | None) -> Plot:
    def draw(figure: Any) -> None:
        rates = _values(history, RATE)
        upper, *lower = figure.subplots(
            2 if rates else 1, 1, sharex=True, squeeze=False, height_ratios=[4, 1] if rates else [1]
        )[:, 0]
        for number, name in enumerate(_losses(history)):
            epochs, values = zip(*_values(history, name), strict=True)
            upper.plot(
                epochs, values, f"C{number}", label=NAMES.get(name, name), marker="." if len(epochs) < 20 else ""
            )
        for axes in (upper, *lower) if best else ():
            label = f"epoch {best}, kept" if axes is upper else None
            axes.axvline(best, color="C2", linestyle="--", linewidth=1.2, label=label)
        upper.set_ylabel("loss")
        upper.legend()
        for axes in lower:
            axes.plot(*zip(*rates, strict=True), "C5")
            axes.set_ylabel("learning rate")
            axes.set_ylim(bottom=0)
        (lower or [upper])[-1].set_xlabel("epoch")

    return Plot("Loss after each epoch", _found(history), draw, height=4.6)


def _found(history: History) -> str:
    """Says what to look for in the curves, and what is there."""
    look = "The loss is what the training makes small; both lines should fall, then level out."
    held_out = next((values for name in HELD_OUT if (values := _values(history, name))), None)
    if held_out is None:
        (_, first), *_, (_, last) = _values(history, "loss") or [(1, math.nan), (1, math.nan)]
        return f"{look} It went from {figure(first)} to {figure(last)} on the examples fitted; none were held out."
    look += " A held-out line that rises while the other one falls means that the network learns by heart."
    (_, first), *_, (_, last) = held_out
    least = min(value for _, value in held_out)
    rose = f"{(last - least) / abs(least):.1%} above its least value" if last > least else "its least value"
    return f"{look} The held-out loss went from {figure(first)} to {figure(last)}, {rose}."


def _losses(history: History) -> list[str]:
    names = dict.fromkeys(name for epoch in history for name in epoch if "loss" in name)
    return [name for name in names if _values(history, name)]


def _values(history: History, name: str) -> list[tuple[int, float]]:
    """The epochs, from 1, that have a value, and it."""
    pairs = ((number, epoch.get(name)) for number, epoch in enumerate(history, start=1))
    return [(number, value) for number, value in pairs if value is not None and math.isfinite(value)]
