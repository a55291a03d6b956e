"""Vertex AI on loopback: exactly the calls that the project makes, each request parsed into the real protos."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from google.cloud import aiplatform_v1 as v1
from google.protobuf import json_format
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec
from local_api import Api, Asked, Refusal

KINDS = {
    "pipelineJobs": v1.PipelineJob,
    "schedules": v1.Schedule,
    "customJobs": v1.CustomJob,
    "models": v1.Model,
    "endpoints": v1.Endpoint,
    "contexts": v1.Context,
}
OVER = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass(frozen=True)
class NodeState:
    """What became of a node: a state of `PipelineTaskDetail`, why it failed, and what it wrote since the last one."""

    name: str
    state: str
    error: str | None = None
    log: Sequence[str] = ()


Run = Callable[[dict[str, Any]], Iterable[NodeState]]
"""Runs the JSON of a PipelineJob, and tells of its nodes as they go."""


def parsed(kind: Any, told: Any) -> Any:
    """Returns the message, or refuses as Google does what is unknown or of another type."""
    message = kind.pb(kind()) if hasattr(kind, "pb") else kind()
    try:
        json_format.ParseDict(told or {}, message)
    except json_format.ParseError as error:
        raise Refusal(400, f"Invalid JSON payload received. {error}") from error
    return message


def now() -> str:
    return f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%fZ}"


class VertexServer(Api):
    """A project's region of Vertex AI, and its Cloud Logging.

    Args:
      project, region: others are not found.
      run: what runs submitted jobs, in a thread each; without it they stay RUNNING until `finish` or a cancel.
      slow_operations: whether long-running operations are done only when asked for, not in the first answer.
      metadata: whether jobs get a context in the metadata store.
      log_page: most entries in an answer of the log.
    """

    def __init__(
        self,
        project: str = "my-project",
        region: str = "europe-west4",
        run: Run | None = None,
        slow_operations: bool = False,
        metadata: bool = True,
        log_page: int = 1000,
    ) -> None:
        super().__init__()
        self.parent = f"projects/{project}/locations/{region}"
        self.resources: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, dict[str, Any]] = {}
        self.children: dict[str, list[str]] = {}
        self.entries: list[dict[str, Any]] = []
        self.threads: list[threading.Thread] = []
        self.run, self.slow_operations, self.metadata, self.log_page = run, slow_operations, metadata, log_page
        self._add_routes()

    # --- what a test does to it ------------------------------------------------------------------------

    def fire(self, schedule: str) -> str:
        """Starts a schedule's job, as its clock would; returns the job's id."""
        found = self.resources[f"{self.parent}/schedules/{schedule}"]
        number = f"{schedule}-{found.get('startedRunCount', 0)}"
        self._start({**found["createPipelineJobRequest"]["pipelineJob"], "scheduleName": found["name"]}, number)
        found["startedRunCount"] = int(found.get("startedRunCount", 0)) + 1
        found["lastScheduledRunResponse"] = {"scheduledRunTime": now(), "runResponse": "OK"}
        return number

    def finish(self, job: str, state: str = "SUCCEEDED", nodes: Iterable[NodeState] = ()) -> None:
        """Ends a job that nothing runs."""
        found = self.resources[f"{self.parent}/pipelineJobs/{job}"]
        for node in nodes:
            self._tell(found, node)
        found.update(state=f"PIPELINE_STATE_{state}", endTime=now())

    def join(self) -> None:
        """Waits for all jobs that `run` runs."""
        for thread in self.threads:
            thread.join()

    # --- resources -------------------------------------------------------------------------------------

    def _add_routes(self) -> None:
        for plural in KINDS:
            self._add_plain_routes(plural)
        for method, path, handler in (
            ("POST", "/v1/{parent}/pipelineJobs", self._create_pipeline_job),
            ("POST", "/v1/{parent}/pipelineJobs/{id}:cancel", self._cancel_pipeline_job),
            ("POST", "/v1/{parent}/schedules", self._create_schedule),
            ("POST", "/v1/{parent}/schedules/{id}:{verb}", self._change_schedule),
            ("POST", "/v1/{parent}/customJobs", self._create_custom_job),
            ("POST", "/v1/{parent}/customJobs/{id}:cancel", self._cancel_custom_job),
            ("POST", "/v1/{parent}/models:upload", self._upload_model),
            ("GET", "/v1/{parent}/models/{id}:listVersions", self._list_versions),
            ("POST", "/v1/{parent}/endpoints", self._create_endpoint),
            ("POST", "/v1/{parent}/endpoints/{id}:deployModel", self._deploy_model),
            ("POST", "/v1/{parent}/endpoints/{id}:undeployModel", self._undeploy_model),
            ("POST", "/v1/{parent}/metadataStores/default/contexts", self._create_context),
            ("POST", "/v1/{parent}/metadataStores/default/contexts/{id}:addContextChildren", self._add_children),
            # Google's own client asks for operations below /ui/.
            ("GET", "/(?:ui|v1)/{parent}/operations/{id}", self._operation),
            ("POST", "/v2/entries:list", self._entries),
        ):
            self.route(method, path)(handler)

    def _add_plain_routes(self, plural: str) -> None:
        store = "metadataStores/default/" if plural == "contexts" else ""
        self.route("GET", f"/v1/{{parent}}/{store}{plural}")(lambda asked: self._list(asked, plural))
        self.route("GET", f"/v1/{{parent}}/{store}{plural}/{{id}}")(self._find)
        self.route("DELETE", f"/v1/{{parent}}/{store}{plural}/{{id}}")(self._delete)

    def _handle(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        if path.startswith("/v1/") and not path.startswith(f"/v1/{self.parent}/"):
            raise Refusal(404, f"Project or location not found: {'/'.join(path.split('/')[2:6])}")
        return super()._handle(method, path, query, body)

    def _find(self, asked: Asked) -> dict[str, Any]:
        name = asked.path.removeprefix("/v1/").partition(":")[0]
        if name not in self.resources:
            raise Refusal(404, f"The resource {name} is not found.")
        return self.resources[name]

    def _list(self, asked: Asked, plural: str) -> dict[str, Any]:
        found = [each for name, each in self.resources.items() if name.split("/")[-2] == plural]
        for key, value in re.findall(r'([\w.]+)="?([^" ]*)"?', asked.query.get("filter", "")):
            found = [each for each in found if _get(each, key) == value]
        if asked.query.get("orderBy") == "create_time desc":
            found = found[::-1]
        return {plural: found[: int(asked.query.get("pageSize") or 1000)]}

    def _delete(self, asked: Asked) -> dict[str, Any]:
        del self.resources[self._find(asked)["name"]]
        return self._done("google.protobuf.Empty", {})

    def _add(self, plural: str, told: dict[str, Any], number: str | None = None, **more: Any) -> dict[str, Any]:
        """Makes a resource, and checks that it is one."""
        name = f"{self.parent}/{plural}/{number or uuid.uuid4().int % 10**18}"
        if name in self.resources:
            raise Refusal(409, f"{name} already exists.")
        made = {**told, "name": name, "createTime": now(), **more}
        parsed(KINDS[plural.rpartition("/")[2]], made)
        self.resources[name] = made
        return made

    def _done(self, kind: str, response: dict[str, Any]) -> dict[str, Any]:
        """Returns a long-running operation that came to `response`."""
        name = f"{self.parent}/operations/{len(self.operations) + 1}"
        answer = {"@type": f"type.googleapis.com/{kind}", **response}
        self.operations[name] = {"name": name, "done": True, "response": answer}
        return {"name": name} if self.slow_operations else self.operations[name]

    def _operation(self, asked: Asked) -> dict[str, Any]:
        return self.operations[f"{self.parent}/operations/{asked.groups['id']}"]

    # --- pipeline jobs ---------------------------------------------------------------------------------

    def _create_pipeline_job(self, asked: Asked) -> dict[str, Any]:
        return self._start(asked.body, asked.query.get("pipelineJobId"))

    def _start(self, told: dict[str, Any], number: str | None) -> dict[str, Any]:
        if not told.get("runtimeConfig", {}).get("gcsOutputDirectory", "").startswith("gs://"):
            raise Refusal(400, "runtimeConfig.gcsOutputDirectory must be a Cloud Storage path")
        parsed(PipelineSpec, told.get("pipelineSpec"))
        job = self._add("pipelineJobs", told, number, state="PIPELINE_STATE_RUNNING", startTime=now())
        job["jobDetail"] = {"taskDetails": []}
        if self.metadata:
            run = f"{self.parent}/metadataStores/default/contexts/{job['name'].rpartition('/')[2]}"
            job["jobDetail"]["pipelineRunContext"] = {"name": run}
        if self.run:
            self.threads.append(threading.Thread(target=self._follow, args=(job, self.run)))
            self.threads[-1].start()
        return job

    def _follow(self, job: dict[str, Any], run: Run) -> None:
        failed = []
        for node in run(job):
            if job["state"] == "PIPELINE_STATE_CANCELLED":
                return
            self._tell(job, node)
            failed += [node] if node.state == "FAILED" else []
        if failed:
            job["error"] = {"code": 9, "message": f"The DAG failed because some tasks failed: {failed[0].name}."}
        job.update(state=f"PIPELINE_STATE_{'FAILED' if failed else 'SUCCEEDED'}", endTime=now())

    def _tell(self, job: dict[str, Any], node: NodeState) -> None:
        tasks = job["jobDetail"]["taskDetails"]
        known = [task for task in tasks if task["taskName"] == node.name]
        task: dict[str, Any] = (
            known[0] if known else {"taskId": len(tasks) + 1, "taskName": node.name, "startTime": now()}
        )
        main = f"{self.parent}/customJobs/{len(tasks)}{len(self.entries)}77"
        detail = task.setdefault("executorDetail", {"containerDetail": {"mainJob": main}})
        task["state"] = node.state
        if node.state in (*OVER, "SKIPPED"):
            task["endTime"] = now()
        if node.error:
            task["error"] = {"code": 9, "message": node.error}
        if not known:
            tasks.append(task)
        self._write(detail["containerDetail"]["mainJob"].rpartition("/")[2], node.log)

    def _cancel_pipeline_job(self, asked: Asked) -> dict[str, Any]:
        self._find(asked).update(state="PIPELINE_STATE_CANCELLED", endTime=now())
        return {}

    # --- schedules -------------------------------------------------------------------------------------

    def _create_schedule(self, asked: Asked) -> dict[str, Any]:
        wanted = asked.body.get("createPipelineJobRequest", {})
        if wanted.get("parent") != self.parent or "pipelineJobId" in wanted or not asked.body.get("displayName"):
            raise Refusal(400, "a schedule needs a display name, and a request with a parent and no job id")
        parsed(PipelineSpec, wanted["pipelineJob"].get("pipelineSpec"))
        return self._add("schedules", asked.body, state="ACTIVE", nextRunTime=now())

    def _change_schedule(self, asked: Asked) -> dict[str, Any]:
        before, after = {"pause": ("ACTIVE", "PAUSED"), "resume": ("PAUSED", "ACTIVE")}[asked.groups["verb"]]
        found = self._find(asked)
        if found["state"] != before:
            raise Refusal(400, f"Schedule is {found['state']}, not {before}.")
        found["state"] = after
        return {}

    # --- custom jobs, models, endpoints, contexts ------------------------------------------------------

    def _create_custom_job(self, asked: Asked) -> dict[str, Any]:
        return self._add("customJobs", asked.body, state="JOB_STATE_SUCCEEDED", startTime=now(), endTime=now())

    def _cancel_custom_job(self, asked: Asked) -> dict[str, Any]:
        self._find(asked)["state"] = "JOB_STATE_CANCELLED"
        return {}

    def _upload_model(self, asked: Asked) -> dict[str, Any]:
        parsed(v1.UploadModelRequest, asked.body)
        above = asked.body.get("parentModel")
        versions = [name for name in self.resources if above and name.partition("@")[0] == above]
        number = f"{above.rpartition('/')[2]}@{len(versions) + 1}" if above else asked.body.get("modelId")
        made = self._add("models", asked.body["model"], number, versionId=str(len(versions) + 1))
        told = {"model": made["name"].partition("@")[0], "modelVersionId": made["versionId"]}
        return self._done("google.cloud.aiplatform.v1.UploadModelResponse", told)

    def _list_versions(self, asked: Asked) -> dict[str, Any]:
        name = self._find(asked)["name"].partition("@")[0]
        return {"models": [each for each in self.resources.values() if each["name"].partition("@")[0] == name]}

    def _create_endpoint(self, asked: Asked) -> dict[str, Any]:
        made = self._add("endpoints", asked.body, asked.query.get("endpointId"))
        return self._done("google.cloud.aiplatform.v1.Endpoint", made)

    def _deploy_model(self, asked: Asked) -> dict[str, Any]:
        parsed(v1.DeployModelRequest, {**asked.body, "endpoint": self._find(asked)["name"]})
        found = self._find(asked)
        model = {**asked.body["deployedModel"], "id": str(len(found.get("deployedModels", [])) + 1)}
        found["deployedModels"] = [*found.get("deployedModels", []), model]
        split = asked.body.get("trafficSplit", {})
        found["trafficSplit"] = {model["id"] if key == "0" else key: share for key, share in split.items()}
        return self._done("google.cloud.aiplatform.v1.DeployModelResponse", {"deployedModel": model})

    def _undeploy_model(self, asked: Asked) -> dict[str, Any]:
        parsed(v1.UndeployModelRequest, {**asked.body, "endpoint": self._find(asked)["name"]})
        found = self._find(asked)
        found["deployedModels"] = [m for m in found["deployedModels"] if m["id"] != asked.body["deployedModelId"]]
        found["trafficSplit"] = asked.body.get("trafficSplit", {})
        return self._done("google.cloud.aiplatform.v1.UndeployModelResponse", {})

    def _create_context(self, asked: Asked) -> dict[str, Any]:
        return self._add("metadataStores/default/contexts", asked.body, asked.query["contextId"])

    def _add_children(self, asked: Asked) -> dict[str, Any]:
        children = parsed(v1.AddContextChildrenRequest, asked.body).child_contexts
        self.children.setdefault(self._find(asked)["name"], []).extend(children)
        return {}

    # --- the log ---------------------------------------------------------------------------------------

    def _write(self, task: str, lines: Iterable[str]) -> None:
        for text in lines:
            entry = {"insertId": uuid.uuid4().hex, "timestamp": now(), "severity": "INFO", "textPayload": text}
            self.entries.append({**entry, "resource": {"type": "ml_job", "labels": {"job_id": task}}})

    def _entries(self, asked: Asked) -> dict[str, Any]:
        form = (
            r'resource\.type="ml_job" AND resource\.labels\.job_id=\(("\d+"(?: OR "\d+")*)\) AND timestamp>="([^"]+)"'
        )
        found = re.fullmatch(form, asked.body["filter"])
        known = {"resourceNames", "filter", "orderBy", "pageSize", "pageToken"}
        if not found or set(asked.body) - known or asked.body["resourceNames"] != [self.parent.partition("/loc")[0]]:
            raise Refusal(400, f"Unparseable filter or unknown field: {asked.body}")
        wanted = re.findall(r"\d+", found[1])
        entries = [entry for entry in self.entries if entry["resource"]["labels"]["job_id"] in wanted]
        first, size = int(asked.body.get("pageToken", 0)), min(asked.body["pageSize"], self.log_page)
        page = {"entries": entries[first : first + size]}
        return {**page, "nextPageToken": str(first + size)} if len(entries) > first + size else page


def _get(resource: dict[str, Any], key: str) -> Any:
    """Value of a filter's key, such as display_name or labels.model."""
    first, *rest = key.split(".")
    value: Any = resource.get(re.sub(r"_(\w)", lambda found: found[1].upper(), first))
    for step in rest:
        value = (value or {}).get(step)
    return value
