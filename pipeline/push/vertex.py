"""Vertex AI's Model Registry and endpoints: one model a pipeline, one version a push."""

from __future__ import annotations

import concurrent.futures
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import aiplatform_v1 as vertex_ai

from pipeline.contract import UserError
from pipeline.google_words import first_line, is_loopback
from pipeline.push.manifest import Manifest
from pipeline.push.registry_settings import Vertex
from pipeline.push.version import Version

SERVING_IMAGE = "{continent}-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"
"""The newest of Vertex AI's prebuilt TensorFlow servers, which come in three multi-regions and as `latest` only:
https://cloud.google.com/vertex-ai/docs/predictions/pre-built-containers (2026)."""

PREDICT_ROUTE, HEALTH_ROUTE, PORT = "/predict", "/health", 8080
"""Where `pipelines serve` answers in a container of Vertex AI."""

UPLOAD_S, DEPLOY_S = 1800, 3600
"""How long Vertex AI may take, in seconds. A deployment starts machines and pulls an image."""

NEW = "0"
"""What a request calls the model that it deploys."""


class VertexModels:
    """The model of a pipeline in the registry, and the endpoint that serves it."""

    def __init__(self, vertex: Vertex, pipeline: str) -> None:
        """Connects; `pipeline` is the pipeline's name."""
        self.vertex, self.pipeline, self.id = vertex, pipeline, model_id(pipeline)
        self.location = f"projects/{vertex.project}/locations/{vertex.region}"
        self.name = f"{self.location}/models/{self.id}"

    def register(self, version: Version, manifest: Manifest) -> str:
        """Makes a pushed version the default one in the registry unless it is there; returns its full name.

        Raises:
          UserError: the registry refused.
        """
        with _understood(self.vertex, version, "the Model Registry to take it"):
            client = _client(vertex_ai.ModelServiceClient, self.vertex)
            there = _or_none(client.get_model, name=f"{self.name}@{_alias(version)}")
            if there is not None:
                return f"{self.name}@{there.version_id}"
            first = _or_none(client.get_model, name=self.name) is None
            request = vertex_ai.UploadModelRequest(
                parent=self.location,
                model_id=self.id if first else "",
                parent_model="" if first else self.name,
                model=self._model(version, manifest),
            )
            uploaded = client.upload_model(request).result(timeout=UPLOAD_S)
            return f"{self.name}@{uploaded.model_version_id}"

    def deploy(self, version: Version) -> str:
        """Makes the endpoint serve a registered version unless it does; returns the endpoint's full name.

        The new version gets its share of the requests, the others what is left in the proportions that they had.
        Versions of this model that no request reaches any more are undeployed.

        Raises:
          UserError: the endpoint could not be made, found, or changed.
        """
        with _understood(self.vertex, version, f"endpoint {self.vertex.push.endpoint!r} to serve it"):
            client = _client(vertex_ai.EndpointServiceClient, self.vertex)
            endpoint = self._endpoint(client)
            label = f"{self.id}-{version.number}"
            if label not in [deployed.display_name for deployed in endpoint.deployed_models]:
                client.deploy_model(
                    endpoint=endpoint.name,
                    deployed_model=self._deployed(version, label),
                    traffic_split=share_traffic(dict(endpoint.traffic_split), self.vertex.push.traffic_percent),
                ).result(timeout=DEPLOY_S)
                endpoint = client.get_endpoint(name=endpoint.name)
            for deployed in endpoint.deployed_models:
                idle = not endpoint.traffic_split.get(deployed.id)
                if idle and deployed.display_name != label and _id_of(deployed.model) == self.id:
                    client.undeploy_model(endpoint=endpoint.name, deployed_model_id=deployed.id).result(DEPLOY_S)
            return str(endpoint.name)

    def _model(self, version: Version, manifest: Manifest) -> Any:
        return vertex_ai.Model(
            display_name=self.pipeline[:128],
            version_aliases=[_alias(version), "default"],
            version_description=describe(version, manifest),
            artifact_uri=version.path,
            container_spec=container(self.vertex, manifest.model),
            labels={**self.vertex.labels, "pushed_version": str(version.number)},
            encryption_spec=self._encryption(),
        )

    def _endpoint(self, client: Any) -> Any:
        named = f'display_name="{self.vertex.push.endpoint}"'
        found = list(client.list_endpoints(request={"parent": self.location, "filter": named}))
        if len(found) > 1:
            raise UserError(
                expected=f"one endpoint of the name {self.vertex.push.endpoint} in {self.location}",
                received=", ".join(endpoint.name for endpoint in found),
                todo="rename or remove the others, or set another vertex.push.endpoint",
            )
        if found:
            return client.get_endpoint(name=found[0].name)
        endpoint = vertex_ai.Endpoint(
            display_name=self.vertex.push.endpoint, labels=self.vertex.labels, encryption_spec=self._encryption()
        )
        return client.create_endpoint(parent=self.location, endpoint=endpoint).result(timeout=UPLOAD_S)

    def _deployed(self, version: Version, label: str) -> Any:
        push = self.vertex.push
        return vertex_ai.DeployedModel(
            model=f"{self.name}@{_alias(version)}",
            display_name=label,
            service_account=self.vertex.service_account or "",
            dedicated_resources=vertex_ai.DedicatedResources(
                machine_spec=vertex_ai.MachineSpec(machine_type=push.machine),
                min_replica_count=push.min_replicas,
                max_replica_count=push.max_replicas,
            ),
        )

    def _encryption(self) -> Any:
        key = self.vertex.encryption_key
        return vertex_ai.EncryptionSpec(kms_key_name=key) if key else None


def container(vertex: Vertex, model: str) -> Any:
    """Returns what serves a model: a prebuilt server knows all by itself, `pipelines serve` is told what and where."""
    image = vertex.push.serving_image
    if vertex.push.server == "prebuilt":
        return vertex_ai.ModelContainerSpec(image_uri=image or serving_image(vertex.region))
    # The place of the model comes in AIP_STORAGE_URI. It is downloaded and loaded before the server is ready.
    ready = vertex_ai.Probe.HttpGetAction(path=HEALTH_ROUTE, port=PORT)
    return vertex_ai.ModelContainerSpec(
        image_uri=image or vertex.image,
        args=["serve", model, "--host", "0.0.0.0"],
        predict_route=PREDICT_ROUTE,
        health_route=HEALTH_ROUTE,
        ports=[vertex_ai.Port(container_port=PORT)],
        startup_probe=vertex_ai.Probe(http_get=ready, period_seconds=10, timeout_seconds=5, failure_threshold=60),
    )


def model_id(pipeline: str) -> str:
    """Returns an id that the registry takes: 63 of a-z, 0-9, _ and -, a letter first. Other names, other ids.

    >>> model_id("clv-main-horizon_days-91")
    'clv-main-horizon_days-91'
    """
    valid = re.sub(r"[^a-z0-9_-]", "-", pipeline.lower())
    valid = valid if valid[:1].isalpha() else f"m-{valid}"
    if valid == pipeline and len(valid) <= 63:
        return valid
    return f"{valid[:54]}-{hashlib.sha256(pipeline.encode()).hexdigest()[:8]}"


def serving_image(region: str) -> str:
    """Returns the address of the prebuilt server that is nearest to a region.

    >>> serving_image("europe-west4")
    'europe-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest'
    """
    continents = {"europe": "europe", "asia": "asia", "australia": "asia"}
    return SERVING_IMAGE.format(continent=continents.get(region.partition("-")[0], "us"))


def share_traffic(split: Mapping[str, int], percent: int) -> dict[str, int]:
    """Returns the percent of the requests by deployed model: so many for the new one, the rest as it was split.

    >>> share_traffic({"a": 75, "b": 25}, 20)
    {'0': 20, 'a': 60, 'b': 20}
    >>> share_traffic({}, 20)
    {'0': 100}
    """
    served = {name: share for name, share in split.items() if share}
    if not served:
        return {NEW: 100}
    exact = {name: share * (100 - percent) / sum(served.values()) for name, share in served.items()}
    shares = {name: int(share) for name, share in exact.items()}
    lost = 100 - percent - sum(shares.values())
    for name in sorted(exact, key=lambda name: shares[name] - exact[name])[:lost]:
        shares[name] += 1
    return {NEW: percent, **{name: share for name, share in shares.items() if share}}


def describe(version: Version, manifest: Manifest) -> str:
    """Says in words what a pushed version is."""
    measured = [
        f"{split}: " + ", ".join(f"{name} {value:.6g}" for name, value in values.items() if value is not None)
        for split, values in manifest.metrics.items()
        if isinstance(values, dict)
    ]
    known = f"Version {version.number} of {manifest.pipeline}, pushed by run {manifest.run or 'unknown'}"
    digests = f"Model digest {manifest.model_digest}, data digest {manifest.data_digest}"
    return ". ".join([known, digests, *measured])


def _alias(version: Version) -> str:
    """What tells a pushed version in the registry, whose own numbers count from 1."""
    return f"pushed-{version.number}"


def _id_of(model: str) -> str:
    """The id in a model's full name, in which Vertex AI puts the project's number in the place of its id."""
    return model.rpartition("/")[2].partition("@")[0]


def _client(kind: Any, vertex: Vertex) -> Any:
    if vertex.api_endpoint is None:
        return kind(client_options={"api_endpoint": f"{vertex.region}-aiplatform.googleapis.com"})
    here = is_loopback(vertex.api_endpoint)
    return kind(
        credentials=AnonymousCredentials() if here else None,
        transport="rest",
        client_options={"api_endpoint": vertex.api_endpoint.rstrip("/")},
    )


def _or_none(get: Any, **arguments: str) -> Any:
    try:
        return get(**arguments)
    except exceptions.NotFound:
        return None


@contextmanager
def _understood(vertex: Vertex, version: Version, expected: str) -> Iterator[None]:
    """Says in plain words what failed, and that the version is pushed all the same."""
    try:
        yield
    except (exceptions.GoogleAPIError, GoogleAuthError, concurrent.futures.TimeoutError, OSError) as error:
        raise UserError(
            expected=f"{expected} in project {vertex.project}, region {vertex.region}",
            received=first_line(error),
            todo=f"{_todo(error)}. The model is pushed to {version.path} and stays there; run again, and what is "
            "missing follows",
        ) from error


def _todo(error: Exception) -> str:
    if isinstance(error, (exceptions.Forbidden, exceptions.Unauthorized, GoogleAuthError)):
        return "have roles/aiplatform.user granted to the account that nodes run as"
    if isinstance(error, exceptions.TooManyRequests):  # Over gRPC, a kind of it: ResourceExhausted.
        return "ask for more quota, or set a smaller vertex.push.machine"
    if isinstance(error, (exceptions.BadRequest, exceptions.NotFound)):
        return "correct the setting below vertex that the answer names"
    return "look at the state of Vertex AI, the network, or vertex.api_endpoint"
