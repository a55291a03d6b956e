"""Training settings of a model that brings a reference network, with the values that it is trained with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator

from pipeline.contract import TrainingSettings


class ReferenceTraining(TrainingSettings):
    """Where `network` is `reference`, defaults are those of the reference; what people set goes over either.

    Attributes:
      reference: defaults that come with the reference network.
      without_reference: settings that the reference network has no use for, and that nobody may set with it.
    """

    reference: ClassVar[Mapping[str, Any]]
    without_reference: ClassVar[tuple[str, ...]]

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_network(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("network") == "reference":
            return {**cls.reference, **given}
        return given

    @model_validator(mode="after")
    def _reference_is_told_what_it_knows(self) -> ReferenceTraining:
        changed = [name for name in self.without_reference if getattr(self, name) != self._default(name)]
        if changed and getattr(self, "network", None) == "reference":
            raise ValueError(f"network=reference without {', '.join(changed)}, which it has no use for")
        return self

    @classmethod
    def _default(cls, name: str) -> Any:
        return cls.model_fields[name].default
