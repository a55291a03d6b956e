"""Vertex AI on loopback: exactly the calls that the project makes, each request parsed into the real protos."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from google.cloud import aiplatform_v1 as v1
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineSpec
from local_api import Asked, Refusal, parsed
from vertex_models import Endpoints, Models
from vertex_resources import Resources

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


class VertexServer(Resources):
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
        super().__init__(f"projects/{project}/locations/{region}", slow_operations)
        self.children: dict[str, list[str]] = {}
        self.entries: list[dict[str, Any]] = []
        self.threads: list[threading.Thread] = []
        self.run, self.metadata, self.log_page = run, metadata, log_page
        self._add_routes()

    def _add_routes(self) -> None:
        for plural in ("pipelineJobs", "schedules", "customJobs", "contexts"):
            self.add_plain_routes(plural)
        Models(self)
        Endpoints(self)
        for method, path, handler in (
            ("POST", "/v1/{parent}/pipelineJobs", self._create_pipeline_job),
            ("POST", "/v1/{parent}/pipelineJobs/{id}:cancel", self._cancel_pipeline_job),
            ("POST", "/v1/{parent}/schedules", self._create_schedule),
            ("POST", "/v1/{parent}/schedules/{id}:{verb}", self._change_schedule),
            ("POST", "/v1/{parent}/customJobs", self._create_custom_job),
            ("POST", "/v1/{parent}/customJobs/{id}:cancel", self._cancel_custom_job),
            ("POST", "/v1/{parent}/metadataStores/default/contexts", self._create_context),
            ("POST", "/v1/{parent}/metadataStores/default/contexts/{id}:addContextChildren", self._add_children),
            ("POST", "/v2/entries:list", self._entries),
        ):
            self.route(method, path)(handler)

    # --- what a test does to it ------------------------------------------------------------------------

    def fire(self, schedule: str) -> str:
        """Starts a schedule's job, as its clock would; returns the job's id."""
        found = self.resources[f"{self.parent}/schedules/{schedule}"]
        number = f"{schedule}-{found.get('startedRunCount', 0)}"
        self._start({**found["createPipelineJobRequest"]["pipelineJob"], "scheduleName": found["name"]}, number)
        found["startedRunCount"] = int(found.get("startedRunCount", 0)) + 1
        found["lastScheduledRunResponse"] = {"scheduledRunTime": self.now(), "runResponse": "OK"}
        return number

    def finish(self, job: str, state: str = "SUCCEEDED", nodes: Iterable[NodeState] = ()) -> None:
        """Ends a job that nothing runs."""
        found = self.resources[f"{self.parent}/pipelineJobs/{job}"]
        for node in nodes:
            self._tell(found, node)
        found.update(state=f"PIPELINE_STATE_{state}", endTime=self.now())

    def join(self) -> None:
        """Waits for all jobs that `run` runs."""
        for thread in self.threads:
            thread.join()

    # --- pipeline jobs ---------------------------------------------------------------------------------

    def _create_pipeline_job(self, asked: Asked) -> dict[str, Any]:
        return self._start(asked.body, asked.query.get("pipelineJobId"))

    def _start(self, told: dict[str, Any], number: str | None) -> dict[str, Any]:
        if not told.get("runtimeConfig", {}).get("gcsOutputDirectory", "").startswith("gs://"):
            raise Refusal(400, "runtimeConfig.gcsOutputDirectory must be a Cloud Storage path")
        parsed(PipelineSpec, told.get("pipelineSpec"))
        job = self.add("pipelineJobs", told, number, state="PIPELINE_STATE_RUNNING", startTime=self.now())
        job["jobDetail"] = {"taskDetails": []}
        if self.metadata:
            run = f"{self.parent}/metadataStores/default/contexts/{job['name'].rpartition('/')[2]}"
            job["jobDetail"]["pipelineRunContext"] = {"name": run}
        if self.run:
            self.threads.append(threading.Thread(target=self._follow, args=(job, self.run)))
            self.threads[-1].start()
        return job

    def _follow(self, job: dict[str, Any], run: Run) -> None:
        error = None
        try:
            for node in run(job):
                if job["state"] == "PIPELINE_STATE_CANCELLED":
                    return
                self._tell(job, node)
                if node.state == "FAILED":
                    error = f"The DAG failed because some tasks failed: {node.name}."
        except Exception as raised:  # Otherwise a test would wait for this job for ever.
            error = f"{type(raised).__name__}: {raised}"
        if error:
            job["error"] = {"code": 9, "message": error}
        job.update(state=f"PIPELINE_STATE_{'FAILED' if error else 'SUCCEEDED'}", endTime=self.now())

    def _tell(self, job: dict[str, Any], node: NodeState) -> None:
        tasks = job["jobDetail"]["taskDetails"]
        known = [task for task in tasks if task["taskName"] == node.name]
        task: dict[str, Any] = (
            known[0] if known else {"taskId": len(tasks) + 1, "taskName": node.name, "startTime": self.now()}
        )
        main = f"{self.parent}/customJobs/{len(tasks)}{len(self.entries)}77"
        detail = task.setdefault("executorDetail", {"containerDetail": {"mainJob": main}})
        task["state"] = node.state
        if node.state in (*OVER, "SKIPPED"):
            task["endTime"] = self.now()
        if node.error:
            task["error"] = {"code": 9, "message": node.error}
        if not known:
            tasks.append(task)
        self._write(detail["containerDetail"]["mainJob"].rpartition("/")[2], node.log)

    def _cancel_pipeline_job(self, asked: Asked) -> dict[str, Any]:
        self.find(asked).update(state="PIPELINE_STATE_CANCELLED", endTime=self.now())
        return {}

    # --- schedules -------------------------------------------------------------------------------------

    def _create_schedule(self, asked: Asked) -> dict[str, Any]:
        wanted = asked.body.get("createPipelineJobRequest", {})
        if wanted.get("parent") != self.parent or "pipelineJobId" in wanted or not asked.body.get("displayName"):
            raise Refusal(400, "a schedule needs a display name, and a request with a parent and no job id")
        parsed(PipelineSpec, wanted["pipelineJob"].get("pipelineSpec"))
        return self.add("schedules", asked.body, state="ACTIVE", nextRunTime=self.now())

    def _change_schedule(self, asked: Asked) -> dict[str, Any]:
        before, after = {"pause": ("ACTIVE", "PAUSED"), "resume": ("PAUSED", "ACTIVE")}[asked.groups["verb"]]
        found = self.find(asked)
        if found["state"] != before:
            raise Refusal(400, f"Schedule is {found['state']}, not {before}.")
        found["state"] = after
        return {}

    # --- custom jobs, contexts -------------------------------------------------------------------------

    def _create_custom_job(self, asked: Asked) -> dict[str, Any]:
        return self.add("customJobs", asked.body, state="JOB_STATE_SUCCEEDED", startTime=self.now(), endTime=self.now())

    def _cancel_custom_job(self, asked: Asked) -> dict[str, Any]:
        self.find(asked)["state"] = "JOB_STATE_CANCELLED"
        return {}

    def _create_context(self, asked: Asked) -> dict[str, Any]:
        return self.add("metadataStores/default/contexts", asked.body, asked.query["contextId"])

    def _add_children(self, asked: Asked) -> dict[str, Any]:
        children = parsed(v1.AddContextChildrenRequest, asked.body).child_contexts
        self.children.setdefault(self.find(asked)["name"], []).extend(children)
        return {}

    # --- the log ---------------------------------------------------------------------------------------

    def _write(self, task: str, lines: Iterable[str]) -> None:
        for text in lines:
            entry = {"insertId": uuid.uuid4().hex, "timestamp": self.now(), "severity": "INFO", "textPayload": text}
            self.entries.append({**entry, "resource": {"type": "ml_job", "labels": {"job_id": task}}})

    def _entries(self, asked: Asked) -> dict[str, Any]:
        form = (
            r'resource\.type="ml_job" AND resource\.labels\.job_id=\(("\d+"(?: OR "\d+")*)\) AND timestamp>="([^"]+)"'
        )
        found = re.fullmatch(form, asked.body["filter"])
        known = {"resourceNames", "filter", "orderBy", "pageSize", "pageToken"}
        if not found or set(asked.body) - known or asked.body["resourceNames"] != [self.parent.partition("/loc")[0]]:
            raise Refusal(400, f"Unparseable filter or unknown field: {asked.body}")
        wanted, since = re.findall(r"\d+", found[1]), found[2].replace("+00:00", "Z")
        recent = (entry for entry in self.entries if entry["timestamp"] >= since)
        entries = [entry for entry in recent if entry["resource"]["labels"]["job_id"] in wanted]
        first, size = int(asked.body.get("pageToken", 0)), min(asked.body["pageSize"], self.log_page)
        page = {"entries": entries[first : first + size]}
        return {**page, "nextPageToken": str(first + size)} if len(entries) > first + size else page
