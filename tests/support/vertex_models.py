"""The Model Registry and endpoints of the Vertex AI on loopback."""

from __future__ import annotations

from typing import Any

from google.cloud import aiplatform_v1 as v1
from local_api import Asked, Refusal, parsed
from vertex_resources import Resources

KIND = "google.cloud.aiplatform.v1"


class Models:
    """Models with versions: each is a resource of its own, `models/NUMBER@VERSION`; without one, the default's.

    Args:
      server: whose resources they are.
    """

    def __init__(self, server: Resources) -> None:
        self.server = server
        server.route("POST", "/v1/{parent}/models:upload")(self._upload)
        server.route("GET", "/v1/{parent}/models/{id}:listVersions")(self._list_versions)
        server.route("GET", "/v1/{parent}/models")(self._list)
        server.route("GET", "/v1/{parent}/models/{id}")(self._get)
        server.route("DELETE", "/v1/{parent}/models/{id}")(self._delete)
        server.route("DELETE", "/v1/{parent}/models/{id}:deleteVersion")(self._delete)

    def _upload(self, asked: Asked) -> dict[str, Any]:
        parsed(v1.UploadModelRequest, asked.body)
        number = asked.body.get("parentModel", asked.body.get("modelId", "")).rpartition("/")[2]
        number = number or self.server.number()
        version = str(1 + max([0, *(int(each["versionId"]) for each in self._versions(number))]))
        wanted = asked.body["model"].get("versionAliases", [])
        aliases = [*wanted, *(["default"] if version == "1" and "default" not in wanted else [])]
        for other in self._versions(number):
            other["versionAliases"] = [alias for alias in other["versionAliases"] if alias not in aliases]
        told = {**asked.body["model"], "versionId": version, "versionAliases": aliases}
        told["supportedDeploymentResourcesTypes"] = ["DEDICATED_RESOURCES"]
        made = self.server.add("models", told, f"{number}@{version}")
        made["name"] = made["name"].partition("@")[0]
        return self.server.done(f"{KIND}.UploadModelResponse", {"model": made["name"], "modelVersionId": version})

    def _versions(self, number: str) -> list[dict[str, Any]]:
        start = f"{self.server.parent}/models/{number}@"
        return [each for name, each in self.server.resources.items() if name.startswith(start)]

    def _named(self, asked: Asked) -> list[dict[str, Any]]:
        number, _, version = asked.groups["id"].partition("@")
        found = [m for m in self._versions(number) if not version or version in (m["versionId"], *m["versionAliases"])]
        if not found:
            raise Refusal(404, f"The Model {asked.path.removeprefix('/v1/')} is not found.")
        return found

    def _get(self, asked: Asked) -> dict[str, Any]:
        found = self._named(asked)
        return next((model for model in found if "default" in model["versionAliases"]), found[0])

    def _list(self, asked: Asked) -> dict[str, Any]:
        listed: dict[str, Any] = self.server.listed(asked, "models")
        return {"models": [model for model in listed["models"] if "default" in model["versionAliases"]]}

    def _list_versions(self, asked: Asked) -> dict[str, Any]:
        return {"models": self._named(asked)}

    def _delete(self, asked: Asked) -> dict[str, Any]:
        for model in self._named(asked):
            del self.server.resources[f"{model['name']}@{model['versionId']}"]
        return self.server.done("google.protobuf.Empty", {})


class Endpoints:
    """Endpoints, and which models are deployed to them.

    Args:
      server: whose resources they are.
    """

    def __init__(self, server: Resources) -> None:
        self.server = server
        server.route("POST", "/v1/{parent}/endpoints")(self._create)
        server.route("POST", "/v1/{parent}/endpoints/{id}:deployModel")(self._deploy)
        server.route("POST", "/v1/{parent}/endpoints/{id}:undeployModel")(self._undeploy)
        server.add_plain_routes("endpoints")

    def _create(self, asked: Asked) -> dict[str, Any]:
        made = self.server.add("endpoints", asked.body, asked.query.get("endpointId"))
        return self.server.done(f"{KIND}.Endpoint", made)

    def _deploy(self, asked: Asked) -> dict[str, Any]:
        """Number 0 in the traffic split is the model that is being deployed."""
        endpoint = self.server.find(asked)
        parsed(v1.DeployModelRequest, {**asked.body, "endpoint": endpoint["name"]})
        model = {**asked.body["deployedModel"], "id": self.server.number(), "createTime": self.server.now()}
        split = asked.body.get("trafficSplit", {})
        if split and sum(split.values()) != 100:
            raise Refusal(400, f"Traffic split must add up to 100, not {split}.")
        endpoint["deployedModels"] = [*endpoint.get("deployedModels", []), model]
        endpoint["trafficSplit"] = {model["id"] if key == "0" else key: share for key, share in split.items()}
        return self.server.done(f"{KIND}.DeployModelResponse", {"deployedModel": model})

    def _undeploy(self, asked: Asked) -> dict[str, Any]:
        endpoint = self.server.find(asked)
        parsed(v1.UndeployModelRequest, {**asked.body, "endpoint": endpoint["name"]})
        left = [each for each in endpoint["deployedModels"] if each["id"] != asked.body["deployedModelId"]]
        endpoint.update(deployedModels=left, trafficSplit=asked.body.get("trafficSplit", {}))
        return self.server.done(f"{KIND}.UndeployModelResponse", {})
