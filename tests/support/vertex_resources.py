"""Resources of a project's region, as Google's APIs keep them: made, found, listed, deleted, with long operations."""

from __future__ import annotations

import re
import uuid
from datetime import datetime, timezone
from typing import Any

from google.cloud import aiplatform_v1 as v1
from local_api import Api, Asked, Refusal, parsed

KINDS = {
    "pipelineJobs": v1.PipelineJob,
    "schedules": v1.Schedule,
    "customJobs": v1.CustomJob,
    "models": v1.Model,
    "endpoints": v1.Endpoint,
    "contexts": v1.Context,
}


class Resources(Api):
    """Resources by their full names, each as JSON.

    Args:
      parent: project and region; others are not found.
      slow_operations: whether long-running operations are done only when asked for, not in the first answer.
    """

    def __init__(self, parent: str, slow_operations: bool) -> None:
        super().__init__()
        self.parent, self.slow_operations = parent, slow_operations
        self.resources: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, dict[str, Any]] = {}
        # Google's own client asks for operations below /ui/.
        self.route("GET", "/(?:ui|v1)/{parent}/operations/{id}")(self._operation)

    def add_plain_routes(self, plural: str) -> None:
        """Lists, finds and deletes resources of a kind."""
        store = "metadataStores/default/" if plural == "contexts" else ""
        self.route("GET", f"/v1/{{parent}}/{store}{plural}")(lambda asked: self.listed(asked, plural))
        self.route("GET", f"/v1/{{parent}}/{store}{plural}/{{id}}")(self.find)
        self.route("DELETE", f"/v1/{{parent}}/{store}{plural}/{{id}}")(self._delete)

    def _handle(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        if path.startswith("/v1/") and not path.startswith(f"/v1/{self.parent}/"):
            raise Refusal(404, f"Project or location not found: {'/'.join(path.split('/')[2:6])}")
        return super()._handle(method, path, query, body)

    @staticmethod
    def now() -> str:
        """As Google writes it."""
        return f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%fZ}"

    @staticmethod
    def number() -> str:
        """One that nothing else has."""
        return str(uuid.uuid4().int % 10**18)

    def find(self, asked: Asked) -> dict[str, Any]:
        """Returns the resource that the path names."""
        name = asked.path.removeprefix("/v1/").partition(":")[0]
        if name not in self.resources:
            raise Refusal(404, f"The resource {name} is not found.")
        return self.resources[name]

    def listed(self, asked: Asked, plural: str) -> dict[str, Any]:
        """Returns those that a request wants: filter by equality, order by time, page size."""
        found = [each for name, each in self.resources.items() if name.split("/")[-2] == plural]
        for key, value in re.findall(r'([\w.]+)="?([^" ]*)"?', asked.query.get("filter", "")):
            found = [each for each in found if _get(each, key) == value]
        if asked.query.get("orderBy") == "create_time desc":
            found = found[::-1]
        return {plural: found[: int(asked.query.get("pageSize") or 1000)]}

    def _delete(self, asked: Asked) -> dict[str, Any]:
        del self.resources[self.find(asked)["name"]]
        return self.done("google.protobuf.Empty", {})

    def add(self, plural: str, told: dict[str, Any], number: str | None = None, **more: Any) -> dict[str, Any]:
        """Makes a resource, and checks that it is one."""
        name = f"{self.parent}/{plural}/{number or self.number()}"
        if name in self.resources:
            raise Refusal(409, f"{name} already exists.")
        made = {**told, "name": name, "createTime": self.now(), **more}
        parsed(KINDS[plural.rpartition("/")[2]], made)
        self.resources[name] = made
        return made

    def done(self, kind: str, response: dict[str, Any]) -> dict[str, Any]:
        """Returns a long-running operation that came to `response`."""
        name = f"{self.parent}/operations/{len(self.operations) + 1}"
        answer = {"@type": f"type.googleapis.com/{kind}", **response}
        self.operations[name] = {"name": name, "done": True, "response": answer}
        return {"name": name} if self.slow_operations else self.operations[name]

    def _operation(self, asked: Asked) -> dict[str, Any]:
        return self.operations[f"{self.parent}/operations/{asked.groups['id']}"]


def _get(resource: dict[str, Any], key: str) -> Any:
    """Value of a filter's key, such as display_name or labels.model."""
    first, *rest = key.split(".")
    value: Any = resource.get(re.sub(r"_(\w)", lambda found: found[1].upper(), first))
    for step in rest:
        value = (value or {}).get(step)
    return value
