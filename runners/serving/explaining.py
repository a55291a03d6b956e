"""Why a model answers as it does: what each input of a row adds to the answer, against that to a baseline.

Vertex AI's own explanations were deprecated in March 2026 and end in March 2027; these are computed here, from nothing
but the model's answers, and given in Vertex AI's form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.contract import Explanation, Model
from runners.serving.loaded import Columns, Signature, rows_of
from runners.serving.shapley import LEAST_PATHS, Plan, plan

PATHS = 50
"""What Vertex AI allows at most. They would pass through all coalitions of up to eight inputs: the answer is exact."""
EVALUATIONS = 8192
"""Rows that the model is asked about at once, at most: 32 explained rows of 8 inputs."""

__all__ = ["EVALUATIONS", "LEAST_PATHS", "PATHS", "Ask", "Attribution", "explain", "vertex_shape", "why_not"]

Ask = Callable[[str, Columns], Mapping[str, NDArray[Any]]]
"""`(signature, columns) -> outputs`, such as `LoadedModel.ask`."""


class Attribution(NamedTuple):
    """Why the answer to a row is what it is. All numbers are in the unit of the answer but the last.

    Attributes:
      baseline: the answer to the baseline.
      instance: the answer to the row.
      features: what each input adds; together, `instance - baseline`.
      errors: standard error of each; 0 where they are exact.
      approximation_error: length of the errors / length of what is added (both as vectors): 0 is exact, 1 a guess.
    """

    baseline: float
    instance: float
    features: dict[str, float]
    errors: dict[str, float]
    approximation_error: float


def explain(
    ask: Ask, explanation: Explanation, columns: Columns, *, paths: int = PATHS, seed: int = 0
) -> list[Attribution]:
    """Returns the Shapley value of each input of each row, in the rows' order.

    Exact, from all coalitions of inputs, where so many paths would pass through as many (8 inputs: from 37 paths on).
    Else sampled, from the same paths for all rows: a row's explanation does not depend on those beside it.

    Args:
      ask: answers a batch.
      explanation: which output of which signature, against which baseline.
      columns: the rows: an array for each input, [rows].
      paths: orders in which inputs take their value in the row; at least `LEAST_PATHS`.
      seed: of the paths.

    Raises:
      ValueError: the inputs are not those of the baseline, the output is not one number a row, or too few paths.
    """
    if set(columns) != set(explanation.baseline):
        raise ValueError(f"expected the inputs {sorted(explanation.baseline)}, received {sorted(columns)}")
    planned = plan(len(columns), paths, seed)
    baseline = {name: _like(values, explanation.baseline[name]) for name, values in columns.items()}
    block = max(1, EVALUATIONS // len(planned.coalitions))
    explained: list[Attribution] = []
    for start in range(0, rows_of(columns), block):
        rows = {name: values[start : start + block] for name, values in columns.items()}
        explained += _attributions(list(rows), planned, _worths(ask, explanation, rows, baseline, planned))
    return explained


def vertex_shape(attribution: Attribution, explanation: Explanation) -> dict[str, Any]:
    """Returns an explanation as Vertex AI writes it in JSON: `google.cloud.aiplatform.v1.Explanation`.

    `outputIndex` and `outputDisplayName` are left out, as Vertex AI does where an output is one number a row.
    """
    return {
        "attributions": [
            {
                "baselineOutputValue": attribution.baseline,
                "instanceOutputValue": attribution.instance,
                "featureAttributions": dict(attribution.features),
                "approximationError": attribution.approximation_error,
                "outputName": explanation.output,
            }
        ]
    }


def why_not(model: Model, signatures: Mapping[str, Signature]) -> str | None:
    """Returns why the answers of a version cannot be explained, in a sentence for people; None where they can."""
    explanation = model.explanation
    if isinstance(explanation, str):
        return explanation
    signature = signatures.get(explanation.signature)
    if signature is None or explanation.output not in signature.outputs:
        return f"this version answers no {explanation.output} by {explanation.signature}"
    if set(signature.inputs) != set(explanation.baseline):
        asked, known = ", ".join(sorted(signature.inputs)), ", ".join(sorted(explanation.baseline))
        return f"this version's inputs ({asked}) are not those of the contract's baseline ({known})"
    return None


def _like(values: NDArray[Any], value: float | str) -> NDArray[Any]:
    """The value as a column of such values."""
    return np.array([value.encode() if isinstance(value, str) else value], values.dtype)


def _worths(ask: Ask, explanation: Explanation, rows: Columns, baseline: Columns, planned: Plan) -> NDArray[Any]:
    """What the model answers where only some inputs have their value in the row: [rows, coalitions]."""
    shape = (rows_of(rows), len(planned.coalitions))
    parts = []
    for start in range(0, shape[0] * shape[1], EVALUATIONS):
        row, coalition = np.divmod(np.arange(start, min(start + EVALUATIONS, shape[0] * shape[1])), shape[1])
        known = planned.coalitions[coalition]
        mixed = {
            name: np.where(known[:, place], values[row], baseline[name])
            for place, (name, values) in enumerate(rows.items())
        }
        answer = np.asarray(ask(explanation.signature, mixed)[explanation.output])
        if answer.size != len(row):
            raise ValueError(f"expected one number a row in {explanation.output}, received {answer.shape}")
        parts.append(answer.reshape(-1))
    worths: NDArray[Any] = np.concatenate(parts)
    return worths.astype(np.float64).reshape(shape)


def _attributions(names: list[str], planned: Plan, worths: NDArray[Any]) -> list[Attribution]:
    shares = planned.shares(worths)
    lengths = np.linalg.norm(shares.values, axis=1)
    relative = np.divide(np.linalg.norm(shares.errors, axis=1), lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return [
        Attribution(
            baseline=float(worths[row, 0]),
            instance=float(worths[row, -1]),
            features=dict(zip(names, shares.values[row].tolist(), strict=True)),
            errors=dict(zip(names, shares.errors[row].tolist(), strict=True)),
            approximation_error=float(relative[row]),
        )
        for row in range(len(worths))
    ]
