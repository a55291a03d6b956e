"""A pipeline of small function components, compiled by TFX; its containers run a script in the place of TFX's own."""

# No annotations as text here: TFX reads those of function components.

import copy
import json
import textwrap
from pathlib import Path
from typing import Any

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.components.common.resolver import Resolver
from tfx.dsl.experimental.conditionals import conditional
from tfx.dsl.input_resolution.strategies.latest_artifact_strategy import LatestArtifactStrategy
from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.kubeflow.v2.kubeflow_v2_dag_runner import KubeflowV2DagRunner, KubeflowV2DagRunnerConfig
from tfx.orchestration.pipeline import Pipeline
from tfx.types import Channel, standard_artifacts

NODE = textwrap.dedent("""
    import json, os, pathlib, sys
    given = json.loads(sys.argv[1])
    name, blessed, extra = sys.argv[2:5]
    exec(extra)
    outputs = given["outputs"]
    metadata = {"blessed": int(blessed)} if name == "Judge" else {}
    made = {}
    for key, listed in outputs.get("artifacts", {}).items():
        (artifact,) = listed["artifacts"]
        pathlib.Path(artifact["uri"]).mkdir(parents=True)
        made[key] = {"artifacts": [{**artifact, "metadata": metadata}]}
    told = {"artifacts": made, "parameterValues": {key: 1 for key in outputs.get("parameters", {})}}
    file = pathlib.Path(outputs["outputFile"])
    file.write_text(json.dumps(told))
    seen = {"given": given, "folder": os.getcwd(), "files": os.listdir(), "environment": dict(os.environ)}
    file.with_name("seen.json").write_text(json.dumps(seen))
""")
"""What a node does: notes what it was given, and writes its outputs."""


@component
def Measure(
    schema: InputArtifact[standard_artifacts.Schema],
    model: OutputArtifact[standard_artifacts.Model],
    limit: Parameter[int],
) -> OutputDict(count=int):  # type: ignore[valid-type]
    return {"count": limit}


@component
def Judge(
    model: InputArtifact[standard_artifacts.Model],
    blessing: OutputArtifact[standard_artifacts.ModelBlessing],
    count: Parameter[int],
) -> None:
    return None


@component
def Ship(model: InputArtifact[standard_artifacts.Model]) -> None:
    return None


def compile_small(*, plain: bool = False) -> dict[str, Any]:
    """Schema (importer) -> Measure -> Judge -> Ship if blessed; Latest (resolver) -> ShipLatest."""
    schema = Importer(source_uri="gs://data/schema", artifact_type=standard_artifacts.Schema).with_id("Schema")
    measure = Measure(schema=schema.outputs["result"], limit=RuntimeParameter("limit", ptype=int))
    model = measure.outputs["model"]
    judge = Judge(model=model, count=measure.outputs["count"].future()[0].value)
    with conditional.Cond(judge.outputs["blessing"].future()[0].custom_property("blessed") == 1):
        ship = Ship(model=model)
    latest = Resolver(strategy_class=LatestArtifactStrategy, model=Channel(type=standard_artifacts.Model))
    ship_latest = Ship(model=latest.with_id("Latest").outputs["model"]).with_id("ShipLatest")
    nodes = [schema, measure, judge, ship, latest, ship_latest]
    pipeline = Pipeline("small", "gs://bucket/root", components=nodes, enable_cache=True)
    config = KubeflowV2DagRunnerConfig(default_image="image:1", use_pipeline_spec_2_1=plain)
    spec: dict[str, Any] = KubeflowV2DagRunner(config).run(pipeline, {"limit": 3}, write_out=False)
    return spec


def with_script(spec: dict[str, Any], folder: Path, *, blessed: bool = True, **extra: str) -> dict[str, Any]:
    """Has every container run `NODE`; `extra` is more for single nodes to do first."""
    script = folder / "node.py"
    script.write_text(NODE)
    changed = copy.deepcopy(spec)
    for label, executor in changed["pipelineSpec"]["deploymentSpec"]["executors"].items():
        if "container" in executor:
            name = label.removesuffix("_executor")
            executor["container"]["command"] = ["python", str(script)]
            executor["container"]["args"] = ["{{$}}", name, str(int(blessed)), extra.get(name, "")]
    return changed


def seen(store: Path, run: str, node: str) -> dict[str, Any]:
    """What a node noted."""
    (file,) = store.glob(f"gs/bucket/root/{run}/{node}_*/seen.json")
    noted: dict[str, Any] = json.loads(file.read_text())
    return noted
