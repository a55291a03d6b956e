"""`pipelines predict` by a server, an endpoint, a table in BigQuery, and a job on Vertex AI; all on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
import vertex_resources
import yaml
from google.cloud import aiplatform_v1 as v1
from prediction_server import PredictionServer
from vertex_server import VertexServer

from models.clv import features
from runners.batch import endpoints, vertex_job
from runners.serving.loaded import LoadedModel
from runners.vertex import bigquery_standin

ENDPOINT = "projects/my-project/locations/europe-west4/endpoints/77"
VERTEX = {
    "project": "my-project",
    "region": "europe-west4",
    "root": "gs://my-project-pipelines/artifacts",
    "image": "europe-west4-docker.pkg.dev/my-project/p/tiny:1",
}
ROWS = [{"id": n, "amount": n / 2, "count": 2, "country": "a" if n % 500 else "nowhere"} for n in range(1, 2501)]
SCHEMA = (("id", "INTEGER"), ("amount", "FLOAT"), ("count", "INTEGER"), ("country", "STRING"))
GOOD = [{"id": row["id"], "total": float(row["id"]), "shout": "A"} for row in ROWS if row["country"] == "a"]


@pytest.fixture
def server(root: Path, loaded_once: None) -> PredictionServer:
    return PredictionServer(LoadedModel.load(next((root / "pushed" / "clv-small").glob("1*"))))


@pytest.fixture
def address(server: PredictionServer) -> Iterator[str]:
    with server.serving() as address:
        yield address


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def _environment(folder: Path, **more: Any) -> Path:
    path = folder / "cloud.yaml"
    path.write_text(yaml.safe_dump({"vertex": {**VERTEX, **more}}))
    return path


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_server_answers_in_batches_and_only_the_rows_that_it_refuses_are_left_out(
    predict: Any, server: PredictionServer, address: str, rows: Path, tmp_path: Path
) -> None:
    screen = predict("--input", rows, "--output", "out.jsonl", "--endpoint", address)
    assert screen.code == 0, screen.err
    assert _lines(tmp_path / "out.jsonl") == GOOD
    told = _lines(tmp_path / "out.jsonl.errors.jsonl")
    assert [row["line"] for row in told] == list(range(500, 2501, 500))
    assert {row["reason"] for row in told} == {"nobody lives nowhere"}
    assert max(server.sizes) == 1000


def test_a_server_without_room_is_asked_again_when_it_says(
    predict: Any, server: PredictionServer, address: str, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "BACKOFF_S", 0)
    server.forbidden, server.busy = "", [(429, 1), (503, 0)]
    screen = predict("--input", rows, "--output", "out.jsonl", "--endpoint", f"{address}/v1/models/clv")
    assert screen.code == 0, screen.err
    assert "2,500 predictions" in screen.err
    assert server.waited[0] > 0.9
    server.busy = [(503, 0)] * 50
    screen = predict("--input", rows, "--output", "out.jsonl", "--endpoint", address)
    assert screen.code == 2
    assert "status 503: busy" in screen.err
    assert len(server.busy) == 50 - 7  # once, and six times more


def test_requests_that_are_too_large_are_halved(
    predict: Any, server: PredictionServer, address: str, rows: Path
) -> None:
    server.forbidden, server.most = "", 300
    assert predict("--input", rows, "--output", "out.jsonl", "--endpoint", address).code == 0
    assert set(server.sizes) == {1000, 500, 250}


def test_an_endpoint_is_asked_by_its_name(
    predict: Any, server: PredictionServer, address: str, rows: Path, tmp_path: Path
) -> None:
    environment = _environment(tmp_path, api_endpoint=address)
    call = ("--input", rows, "--output", "out.jsonl", "--env", environment)
    screen = predict(*call, "--endpoint", ENDPOINT)
    assert screen.code == 0, screen.err
    assert _lines(tmp_path / "out.jsonl") == GOOD
    screen = predict(*call, "--endpoint", ENDPOINT.replace("77", "78"))
    assert (screen.code, "status 404" in screen.err) == (2, True)


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [("http://127.0.0.1:9", "a server at http://127.0.0.1:9/"), ("shop", "an endpoint: http://"), ("{}/x", "404")],
)
def test_an_endpoint_that_is_none_is_told(predict: Any, address: str, rows: Path, endpoint: str, told: str) -> None:
    screen = predict("--input", rows, "--output", "out.jsonl", "--endpoint", endpoint.format(address))
    assert (screen.code, told in screen.err) == (2, True), screen.err


def test_a_server_that_refuses_every_row_is_not_asked_for_each(
    predict: Any, server: PredictionServer, address: str, rows: Path
) -> None:
    server.forbidden = "a"
    screen = predict("--input", rows, "--output", "out.jsonl", "--endpoint", address)
    assert (screen.code, "nobody lives a" in screen.err) == (2, True), screen.err
    assert len(server.sizes) == endpoints.HOPELESS + 1


def test_an_endpoint_is_asked_its_default_signature_only(predict: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.tfrecord").write_bytes(b"")
    screen = predict("--input", "rows.tfrecord", "--output", "out.jsonl", "--endpoint", ENDPOINT)
    assert (screen.code, "serving_default" in screen.err) == (2, True), screen.err


def test_a_server_is_not_waited_for_as_long_as_it_likes() -> None:
    from urllib3 import HTTPResponse

    adapter: Any = endpoints.patient(requests.Session()).get_adapter("https://example.com")
    assert adapter.max_retries.get_retry_after(HTTPResponse(headers={"Retry-After": "86400"})) == endpoints.WAIT_S
    assert adapter.max_retries.get_retry_after(HTTPResponse(headers={"Retry-After": "3"})) == 3


@pytest.mark.parametrize(
    "typed",
    [
        ("--transactions", "rows.jsonl", "--as-of", "2011-09-01", "--beam"),
        ("--transactions", "rows.jsonl", "--as-of", "2011-09-01", "--max-bad-share", ".5"),
        ("--transactions", "rows.jsonl", "--as-of", "2011-09-01", "--endpoint", ENDPOINT),
    ],
)
def test_options_that_would_do_nothing_are_a_mistake(predict: Any, rows: Path, typed: tuple[str, ...]) -> None:
    screen = predict("--output", "out.csv", *typed)
    assert (screen.code, f"Received: {typed[4]}" in screen.err) == (2, True), screen.err


def test_a_table_in_bigquery_is_predicted(predict: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    pq.write_table(pa.Table.from_pylist(ROWS[:40]), tmp_path / "rows.parquet")
    with bigquery_standin.serve() as address:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", address)
        client = bigquery.Client("my-project", location="EU", credentials=AnonymousCredentials())
        client.create_dataset("shop")
        job = bigquery.LoadJobConfig(source_format="PARQUET", schema=[bigquery.SchemaField(*each) for each in SCHEMA])
        with (tmp_path / "rows.parquet").open("rb") as file:
            client.load_table_from_file(file, "my-project.shop.rows", job_config=job).result()
        screen = predict("--input", "bq://my-project.shop.rows", "--output", "out.csv")
        assert screen.code == 0, screen.err
        assert (tmp_path / "out.csv").read_text().splitlines()[:2] == ['"id","shout","total"', '1,"A",1']
        assert len((tmp_path / "out.csv").read_text().splitlines()) == 41
        screen = predict("--input", "bq://my-project.shop.none", "--output", "none.csv")
        assert (screen.code, "my-project.shop.none" in screen.err) == (2, True)
        assert not (tmp_path / "none.csv").exists()


@pytest.fixture
def vertex(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[VertexServer]:
    """A region whose batch jobs end at the second look, and an environment `cloud.yaml` for it."""
    monkeypatch.setitem(vertex_resources.KINDS, "batchPredictionJobs", v1.BatchPredictionJob)
    monkeypatch.setattr(vertex_job, "POLL_S", 0.01)
    server = VertexServer()
    told = {"displayName": "m", "versionId": "1", "versionAliases": ["default", "pushed-7"]}
    server.add("models", told, f"{MODEL}@1")

    def create(asked: Any) -> Any:
        return server.add("batchPredictionJobs", asked.body, state="JOB_STATE_PENDING")

    def look(asked: Any) -> Any:
        found = server.find(asked)
        told = dict(found)
        stats = {"successfulCount": "1200", "failedCount": "3"}
        found.update(
            state="JOB_STATE_SUCCEEDED", completionStats=stats, outputInfo={"gcsOutputDirectory": "gs://b/o/p"}
        )
        return told

    server.route("POST", "/v1/{parent}/batchPredictionJobs")(create)
    server.route("GET", "/v1/{parent}/batchPredictionJobs/{id}")(look)
    with server.serving() as address:
        _environment(tmp_path, api_endpoint=address, labels={"team": "pricing"}, service_account="runs@my-project")
        yield server


MODEL = "clv-main-horizon_days-91"
JOB = ("--env", "cloud.yaml", "--set", "horizon_days=91")


def test_a_job_on_vertex_ai_is_submitted_and_waited_for(predict: Any, vertex: VertexServer) -> None:
    screen = predict(*JOB, "--input", "gs://b/rows-*.jsonl", "--output", "gs://b/o", "--machine", "n2-standard-8",
                     "--max-replicas", "9", "--sync")  # fmt: skip
    assert screen.code == 0, screen.err
    assert "1,200 predictions, 3 rows without, in gs://b/o/p" in screen.err
    (sent,) = [asked.body for asked in vertex.asked if asked.method == "POST"]
    assert sent["model"] == f"{vertex.parent}/models/{MODEL}"
    assert sent["inputConfig"] == {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://b/rows-*.jsonl"]}}
    assert sent["outputConfig"] == {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://b/o"}}
    assert sent["instanceConfig"]["instanceType"] == "object"
    assert set(sent["instanceConfig"]["includedFields"]) == set(features.INPUTS)
    assert sent["dedicatedResources"] == {
        "machineSpec": {"machineType": "n2-standard-8"}, "startingReplicaCount": 1, "maxReplicaCount": 9
    }  # fmt: skip
    assert sent["labels"] == {"made-by": "tfx-pipelines", "team": "pricing"}
    assert sent["serviceAccount"] == "runs@my-project"


def test_a_version_and_tables_can_be_named(predict: Any, vertex: VertexServer) -> None:
    screen = predict(*JOB, "--model", "7", "--input", "bq://p-roject.shop.rows", "--output", "bq://p-roject.out")
    assert screen.code == 0, screen.err
    (sent,) = [asked.body for asked in vertex.asked if asked.method == "POST"]
    assert sent["model"].endswith(f"{MODEL}@pushed-7")
    assert sent["inputConfig"]["bigquerySource"] == {"inputUri": "bq://p-roject.shop.rows"}
    assert sent["outputConfig"]["bigqueryDestination"] == {"outputUri": "bq://p-roject.out"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--input", "gs://b/rows.csv", "--output", "gs://b/o"), "nameless arrays"),
        (("--input", "gs://b/rows.jsonl", "--output", "out.jsonl"), "a gs:// folder or bq://project.dataset"),
        (("--input", "gs://b/rows.jsonl", "--output", "gs://b/o", "--model", "8"), "is not found"),
        (("--input", "gs://b/rows.jsonl", "--output", "gs://b/o", "--set", "line=other"), "is not found"),
    ],
)
def test_what_vertex_ai_would_not_take_is_told(
    predict: Any, vertex: VertexServer, arguments: tuple[str, ...], told: str
) -> None:
    screen = predict(*JOB, *arguments)
    assert (screen.code, told in " ".join(screen.err.split())) == (2, True), screen.err
    assert not [asked for asked in vertex.asked if asked.method == "POST"]


def test_a_job_that_fails_ends_with_1(predict: Any, vertex: VertexServer) -> None:
    failed = {"state": "JOB_STATE_FAILED", "error": {"code": 3, "message": "The model could not be loaded."}}
    vertex.routes.insert(0, ("GET", vertex.routes[-1][1], lambda asked: {**vertex.find(asked), **failed}))
    screen = predict(*JOB, "--input", "gs://b/rows.jsonl", "--output", "gs://b/o", "--wait")
    assert (screen.code, "The model could not be loaded." in screen.err) == (1, True), screen.err
