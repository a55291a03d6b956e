"""What a push into Vertex AI's Model Registry needs to be told. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Push(_Plain):
    """What becomes of a model beyond the folder that it is pushed to.

    Attributes:
      registry: whether each pushed version becomes a version in the Model Registry.
      server: `prebuilt`, a container that loads a SavedModel by itself; or `pipelines`, this project's image, which
        runs `pipelines serve`.
      serving_image: of that container; if None, Vertex's prebuilt one for TensorFlow, or the image of the nodes.
      endpoint: display name of the endpoint that the version is deployed to, made where it is missing; none if None.
        What is deployed is registered too, so `registry` must be on.
      machine: that serves.
      min_replicas, max_replicas: between which Vertex scales.
      traffic_percent: share of the endpoint's requests that the new version gets; the rest stays as it was split.
    """

    registry: bool = False
    server: Literal["prebuilt", "pipelines"] = "prebuilt"
    serving_image: str | None = None
    endpoint: str | None = None
    machine: str = "n1-standard-2"
    min_replicas: int = Field(default=1, ge=1)
    max_replicas: int = Field(default=1, ge=1)
    traffic_percent: int = Field(default=100, ge=1, le=100)

    @model_validator(mode="after")
    def _can_be_done(self) -> Push:
        if self.endpoint and not self.registry:
            raise ValueError("registry: true with an endpoint, since what is deployed is registered first")
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"max_replicas of at least the {self.min_replicas} of min_replicas")
        return self


class Vertex(_Plain):
    """Where the registry is: the fields of the environment's `vertex` section that a push depends on.

    Attributes:
      project: id of the Google Cloud project.
      region: of Vertex AI.
      api_endpoint: address in the place of Vertex AI's own, asked by REST; on loopback, without credentials.
      labels: of all that is made.
      encryption_key: full name of a customer-managed key.
      service_account: that deployed models run as.
      image: of the nodes, which serves too if `push.server` says so.
      push: what is to be done.
    """

    project: str
    region: str
    api_endpoint: str | None = None
    labels: dict[str, str] = {}
    encryption_key: str | None = None
    service_account: str | None = None
    image: str = ""
    push: Push = Push()
