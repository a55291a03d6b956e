"""What a model tells the pipeline about itself: plain data and dotted paths.

Only the standard library and pydantic are imported here, so that `pipelines --help` pays for no
TensorFlow. A model lives in `models/<name>/` and is found as `models.<name>:MODEL`.

Three notations are used throughout:

- a *dotted path*, `"models.clv.trainer.run_fn"`: module, dot, attribute. Resolved by `load`.
- a *resource*, `"models.clv:features.sql"`: package, colon, file. Resolved by `resource`.
- a *settings key*, `"features.horizon_days"`: part, dot, field.
"""

from __future__ import annotations

import codecs
import importlib
import importlib.util
import json
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, SerializeAsAny, field_validator, model_validator

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image


class UserError(Exception):
    """A mistake of the user's: the message says what was expected, what was received and what to do.

    The command line prints the message without a traceback and ends with exit code 2.
    """

    def __init__(self, *, expected: str, received: str, todo: str) -> None:
        self.expected, self.received, self.todo = expected, received, todo
        super().__init__(f"expected {expected}; received {received}; {todo}")


class _Plain(BaseModel):
    """Immutable data; an unknown key is an error, not a silent no-op."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- settings ------------------------------------------------------------------------------------


Reason = Annotated[str, Field(min_length=10)]
"""Why, in plain words, for the people who read a report."""


class Range(_Plain):
    """Values that pass: both ends are inclusive, and NaN is always outside.

    Attributes:
      lower: least value that passes, in the metric's unit; None for no lower bound.
      upper: greatest value that passes.
    """

    lower: FiniteFloat | None = None
    upper: FiniteFloat | None = None

    @model_validator(mode="after")
    def _some_value_passes(self) -> Range:
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"a lower bound at most the upper one, not {self.lower:g} above {self.upper:g}")
        return self


class Bound(Range):
    """Bounds of one metric, on all rows and, if `slices` says so, on each slice.

    Attributes:
      slices: what must hold on every slice with at least `min_slice_rows` rows; None for nothing. Usually
        wider than the range on all rows, since few rows scatter more.
      at: slice such as `frequency_band=1` -> what must hold there in the place of `slices`, from as many rows.
      worsening: by how much the metric may be worse than the champion's (0 = a tie passes, None = the
        champion is not compared), in the metric's unit. Applied to the overall slice only: a
        difference on a small slice is noise.
      reason: why this bound and not another, for the people who read a refusal.
    """

    slices: Range | None = None
    at: dict[str, Range] = {}
    worsening: FiniteFloat | None = Field(default=None, ge=0)
    reason: Reason

    def on(self, where: str) -> Range | None:
        """Returns what must hold on a slice such as `frequency_band=1`; None for nothing."""
        return self.at.get(where, self.slices)


class Limit(Range):
    """A range, and why it is this one: `reason`, for the people who read a refusal."""

    reason: Reason


class Distances(_Plain):
    """How far the values of each feature may be from those of other examples: 0 is alike, 1 has nothing in common.

    Compared are the schema's serving inputs, numbers and those with a domain, and whatever `features` names.

    Attributes:
      numeric: of numeric features, by Jensen-Shannon divergence (base 2, on quantiles).
      categorical: of the others, by L-infinity: the greatest difference between the shares of one value.
      features: feature -> limit in the place of its kind's.
    """

    numeric: Limit = Limit(upper=0.2, reason="random halves of one set of examples reach .16 with 100 rows in each")
    categorical: Limit = Limit(upper=0.2, reason="splits of one set of examples reach .13 with 93 rows in the smaller")
    features: dict[str, Limit] = {}


class DataSettings(_Plain):
    """Which data a run reads. Models extend it.

    Attributes:
      line: name of the data line. Model, line and the model's `identity` settings name a pipeline, and only
        models of one pipeline compete, so a sample never meets real data.
    """

    line: str = Field(default="main", pattern=r"^[a-z0-9][a-z0-9_-]*$")


Separator = Literal["comma", "semicolon", "tab", "pipe"]
Decimal = Literal["point", "comma"]
Thousands = Literal["none", "point", "comma", "space", "apostrophe"]
DATE_PARTS = {
    "%d": r"\d{1,2}",
    "%m": r"\d{1,2}",
    "%b": "[A-Za-z]{3}",
    "%Y": r"\d{4}",
    "%y": r"\d{2}",
    "%H": r"\d{1,2}",
    "%I": r"\d{1,2}",
    "%M": r"\d{2}",
    "%S": r"\d{2}",
    "%p": "[AaPp][Mm]",
}
"""What a `date_format` may consist of, besides the signs between them, and how each is written."""


class TableSettings(DataSettings):
    """How a raw table is written. The defaults are those of the file formats' own standards: nothing is guessed.

    Attributes:
      columns: `Column.name` -> what the file's header calls it; None for a column that the file does not have, where
        the model can do without. A column that is not named here is called `Column.source`.
      separator: of the cells of a text file; None for a tab in a .tsv and a comma elsewhere.
      encoding: of a text file, by the name of a Python codec. A byte order mark is read over.
      decimal: what stands before the decimals of a number that is written as text.
      thousands: what stands between the thousands of such a number.
      date_format: how a date is written as text: `iso`, or parts of strptime such as `%d.%m.%Y %H:%M`. Dates in ISO
        form, 2010-12-01 08:26:00, are understood as well, since they can mean nothing else.
      table: which table of a database, or which sheet of a workbook; None for the only one.
      files: which files of a folder, as a pattern of names: `2011-*.csv`.
      currency: of the prices, such as EUR. A label for people, which the manifest records: nothing is converted.
    """

    columns: dict[str, str | None] = {}
    separator: Separator | None = None
    encoding: str = "utf-8"
    decimal: Decimal = "point"
    thousands: Thousands = "none"
    date_format: str = "iso"
    table: str | None = None
    files: str = Field(default="*", min_length=1)
    currency: str | None = Field(default=None, min_length=1, max_length=20)

    @field_validator("encoding")
    @classmethod
    def _codec_exists(cls, name: str) -> str:
        try:
            b"".decode(name)
            return codecs.lookup(name).name
        except LookupError as error:
            raise ValueError(f"an encoding such as utf-8, cp1252, latin-1 or utf-16, not {name!r}") from error

    @field_validator("date_format")
    @classmethod
    def _date_is_complete(cls, form: str) -> str:
        found = re.findall("%.?", form)
        complete = {"%d", "%m"} <= {"%m" if part == "%b" else part for part in found} and {"%Y", "%y"} & set(found)
        clock = ("%I" in found) == ("%p" in found)
        if form != "iso" and (not complete or not clock or set(found) - set(DATE_PARTS) or form.startswith("%Y-%d")):
            raise ValueError(
                f"iso, or day, month and year made of {' '.join(DATE_PARTS)}, such as %d.%m.%Y %H:%M, not {form!r}"
            )
        return form

    @model_validator(mode="after")
    def _signs_differ(self) -> TableSettings:
        if self.decimal == self.thousands:
            raise ValueError(f"decimal and thousands that differ, not {self.decimal} for both")
        return self


class FeatureSettings(_Plain):
    """What the features depend on. Models extend it; each field is a `@parameter` of the model's query."""


class TrainingSettings(_Plain):
    """How the model is trained. Models extend it.

    Attributes:
      seed: of every random choice of the training. Same data and settings, same metrics.
      tuning: `search` looks for hyper-parameters before it trains; `reuse` takes those that the last search of this
        pipeline found; `off` neither. What was found goes over these settings, also over those that people set.
      tuning_trials: sets of values that a search scores at most, these settings as they are first.
    """

    seed: int = Field(default=7, ge=0, le=2**32 - 1)
    tuning: Literal["off", "search", "reuse"] = "off"
    tuning_trials: int = Field(default=12, ge=1, le=1000)


class GateSettings(_Plain):
    """What may pass. Models give the bounds.

    Attributes:
      max_quarantined_share: share of raw rows that may be unusable, 0 to 1.
      allowed_anomalies: feature name -> reason why its anomalies, drift and skew may pass the data gate.
      drift: limits between the training split and that of the last pushed run.
      skew: limits between the training split and each other split.
      growth: training examples / those of the last pushed run.
      min_compared_rows: drift, skew and growth are bounded only where both sides have at least so many rows.
      bounds: metric name -> bounds of the model gate.
      min_slice_rows: bounds hold only on slices with at least so many rows of the eval split.
      serving_tolerance: greatest relative difference between two answers to the same rows.
      destination: folder, or `gs://bucket/folder`, that receives pushed models; the run's root if None.
    """

    max_quarantined_share: float = Field(default=0.01, ge=0, le=1)
    allowed_anomalies: dict[str, Reason] = {}
    drift: Distances = Distances()
    skew: Distances = Distances()
    growth: Limit = Limit(
        lower=0.6, upper=1.7, reason="half of the examples gone, or all of them twice, is an accident"
    )
    min_compared_rows: int = Field(default=100, ge=1)
    bounds: dict[str, Bound] = {}
    min_slice_rows: int = Field(default=30, ge=1)
    serving_tolerance: float = Field(default=1e-5, gt=0, le=0.01)
    destination: str | None = Field(default=None, pattern=r"^(gs://[a-z0-9][a-z0-9._-]+(/.*)?|[^:]+)$")


class Settings(_Plain):
    """All settings of a run, in four parts; each node of the DAG sees only its own part."""

    data: SerializeAsAny[DataSettings] = DataSettings()
    features: SerializeAsAny[FeatureSettings] = FeatureSettings()
    training: SerializeAsAny[TrainingSettings] = TrainingSettings()
    gates: SerializeAsAny[GateSettings] = GateSettings()


# --- where examples come from --------------------------------------------------------------------


class Column(_Plain):
    """A column of the raw table.

    Attributes:
      name: what the model's SQL calls it.
      source: what the file's header calls it, unless `TableSettings.columns` says otherwise.
      type: what its text must parse as.
      required: whether an empty cell makes the row unusable (quarantined).
      also: what other files call it, for suggestions to people only; nothing is mapped by it.
      absent: value in all rows of a file that is said to have no such column; None if it cannot be done without.
    """

    name: str
    source: str
    type: Literal["string", "integer", "float", "timestamp"]
    required: bool = True
    also: tuple[str, ...] = ()
    absent: str | None = None


class Condition(_Plain):
    """A named condition on a raw row, as a BigQuery SQL expression over `Column.name`s."""

    name: str
    where: str


class Query(_Plain):
    """Examples come from raw rows through one SELECT in BigQuery's dialect.

    Attributes:
      sql: resource of the SELECT. It reads the table called `table`, may use `@name` for each field of the
        feature settings, and has a column `split_column`.
      table: what the SELECT calls the raw table.
      columns: the raw table's columns.
      left_out: rows that the model's definition leaves out on purpose: only counted.
      forbidden: rows that must not exist: any of them is refused by the data gate.
      split_column: column that says which split a row belongs to; not part of the examples.
      splits: TFX split name -> value of `split_column`.
      learnt_besides: splits that trainings learn from besides `train`. They may be empty, and no gate looks at them: no
        raw row may be in them that rows of `train` do not hold as well.
      resolve: dotted path of `(settings, ask) -> settings`, which replaces what depends on the data (say,
        a cut-off `auto`) by what it comes to. `ask(sql)` runs a SELECT in BigQuery's dialect on the raw
        table and returns its first row as a tuple. Raises UserError for data that cannot serve.
      latest: feature setting -> BigQuery expression over the raw table, for runs that are planned before their data
        exists: it takes the setting's place in the SELECT while that is `auto`. May use the other settings' `@name`.
    """

    sql: str
    table: str
    columns: tuple[Column, ...]
    left_out: tuple[Condition, ...] = ()
    forbidden: tuple[Condition, ...] = ()
    split_column: str = "split"
    splits: dict[str, str] = {"train": "TRAIN", "eval": "VALIDATE", "test": "TEST"}
    learnt_besides: tuple[str, ...] = ()
    resolve: str
    latest: dict[str, str] = {}


Ask = Callable[[str], tuple[Any, ...]]


class Pictures(_Plain):
    """Examples come from picture files: a folder, .tar, .tar.gz or .zip.

    Each picture becomes an example with the features

    - `gray`, `colour`: PNG of the luminance, and of red, green and blue, both [size, size];
    - `file`, `class`: name in the source, and the class that the name tells (`unknown` if it tells none);
    - `width`, `height`: pixels of the original, upright;
    - `mean_luminance`: 0 black to 1 white; `luminance_band`: its `dark`, `middle` or `bright` third;
    - `colourfulness`: of Hasler and Suesstrunk 2003, 0 gray to about 110; `chroma`: `gray` below 2, else `colour`;
    - `train_cb`, `train_cr`: mean chroma of the training split, -.5 to .5; the same in all examples.

    Attributes:
      size: settings key of the pixels on each side.
      splits: TFX split name -> percent of the pictures, by a hash of their pixels, so that copies of a picture are
        in one split.
    """

    size: str = "features.size"
    splits: dict[str, int] = {"train": 60, "eval": 20, "test": 20}

    @model_validator(mode="after")
    def _splits_are_all_pictures(self) -> Pictures:
        if sum(self.splits.values()) != 100 or any(not self.splits.get(name) for name in ("train", "eval", "test")):
            raise ValueError(f"splits `train`, `eval` and `test` of 100 percent in all, not {self.splits}")
        return self


Source = Query | Pictures


def learnt_besides(source: Source) -> tuple[str, ...]:
    """Returns the splits that trainings learn from besides `train`; see `Query`."""
    return source.learnt_besides if isinstance(source, Query) else ()


# --- how a model is judged -----------------------------------------------------------------------


class Rows(NamedTuple):
    """What a metric sees of a slice: float64 arrays, one entry a row.

    Attributes:
      label: what happened.
      prediction: what the model said.
      naive: what the naive rule would have said.
      weight: share of a total that the row carries (two rows of one customer weigh 1/2 each).
      measures: what the model's `measure` made of each row, by name. Label, prediction and naive are [rows, 0] then.
      outputs: what the model said besides, by name in `Model.outputs`; NaN where it does not answer that.
      champion: what the champion predicts; None where there is none to compare with.
    """

    label: NDArray[Any]
    prediction: NDArray[Any]
    naive: NDArray[Any]
    weight: NDArray[Any]
    measures: Mapping[str, NDArray[Any]] = {}
    outputs: Mapping[str, NDArray[Any]] = {}
    champion: NDArray[Any] | None = None


class Answers(NamedTuple):
    """What a `measure` sees: a batch of rows, the row first.

    Attributes:
      label: as it is in the examples, [rows]; an object array of bytes for a bytes feature.
      prediction: what the model said, [rows, ...].
      naive: what the naive rule would have said, of the same shape.
      features: those of `Model.naive_features`, [rows] each.
    """

    label: NDArray[Any]
    prediction: NDArray[Any]
    naive: NDArray[Any]
    features: Mapping[str, NDArray[Any]]


class Metric(_Plain):
    """A number that the model gate may bound, computed per slice from all its rows.

    Attributes:
      name: what bounds and reports call it.
      function: dotted path of `(Rows) -> float`; `pipeline.metrics` has the generic ones.
      minus: feature to subtract from label and all predictions first (judging the unknown part of a total), or
        None. `Rows.outputs` stay as they are.
      better: which direction an improvement has, for the comparison with the champion; `zero` for a metric
        whose best value is 0, such as a bias; None where neither more nor less is better, as of a coverage.
      against_champion: it reads `Rows.champion`, so it is computed by the Evaluator alone, of the candidate, and
        where there is a champion. Where there is none, its bound is met.
    """

    name: str
    function: str
    minus: str | None = None
    better: Literal["lower", "higher", "zero"] | None = "lower"
    against_champion: bool = False


LOSSES: dict[str, Callable[[float], float]] = {"lower": float, "higher": lambda value: -value, "zero": abs}
"""`Metric.better` -> function of a value that is least for the best one."""


class Request(_Plain):
    """A way in which a server is asked about rows; the serving gate tries each of them.

    Attributes:
      signature: of the saved model.
      inputs: dotted path of `(features) -> inputs`: features of a batch of rows by name, [rows] each (an object array
        of bytes for a bytes feature), to the signature's inputs by name. None: the serving inputs as they are.
      outputs: dotted path of `(outputs) -> outputs`: the signature's outputs in terms of those of `serving_examples`.
        None: they are.
      tolerance: greatest relative difference to what `serving_examples` answers; the gates' own if None.
    """

    signature: str
    inputs: str | None = None
    outputs: str | None = None
    tolerance: float | None = Field(default=None, gt=0, le=0.1)


class Explanation(_Plain):
    """How single answers are explained: what each input adds to the answer, against that to a baseline.

    Attributes:
      signature: of the saved model; its inputs are [rows] each.
      output: the output that is explained.
      baseline: value of each input where nothing is known, or of a typical row.
      why: what the baseline stands for, for the people who read an explanation.
    """

    signature: str = "serving_default"
    output: str
    baseline: dict[str, int | FiniteFloat | str]
    why: Reason


class Ranking(_Plain):
    """A list for people, made straight from raw rows: the newest features of every example, and what is predicted.

    Attributes:
      as_of: settings key of the date up to which raw rows count.
      function: dotted path of `(table) -> table`: a pyarrow Table of all examples' features and of the outputs of
        `serving_default`, to the list, ranked.
      subject: raw column, and feature, that says whom a row of the list is about: those who are not listed are
        counted. None for nobody.
    """

    as_of: str
    function: str
    subject: str | None = None


class Backtest(_Plain):
    """How a model can be tried on the past: trained as of several days, and asked about what came after each of them.

    Attributes:
      as_of: settings key of the last day that features may see. Its default resolves to the latest that data can serve.
      horizon_days: settings key of the days that a label takes: it counts days d with as_of < d < as_of + horizon.
      known: feature to subtract from the label: the part of a total that is known on that day. None if there is none.
      subject: raw column, and feature of `Model.key`, that says whom a row is about: rows of one are resampled
        together. None where each row is about somebody else.
      interval: outputs of the signatures that are the ends of an 80 % interval of the label less `known`; what lacks
        them is not judged by it.
    """

    as_of: str
    horizon_days: str
    known: str | None = None
    subject: str | None = None
    interval: tuple[str, str] | None = None


class Illustration(_Plain):
    """Which rows of the eval split a report shows as pictures: the best, the median and the worst ones.

    Attributes:
      function: dotted path of `(Answers) -> {name: [rows]}`, each entry a PNG file as bytes, in the order in which
        they stand side by side.
      by: name of what `measure` keeps of a row; least is best.
    """

    function: str
    by: str


class Exhibits(_Plain):
    """What a model adds to the reports of its runs, as plain data: plots, tables, pictures.

    Attributes:
      data: dotted path of `(Shown) -> Iterable[Exhibit]` about the examples. Their rows are all, or evenly chosen.
      evaluation: dotted path of `(Shown) -> Iterable[Exhibit]` about what was predicted, one row an answer, as
        `pipeline.predictions` writes it.
    """

    data: str | None = None
    evaluation: str | None = None


class Shown(NamedTuple):
    """What the functions of `Exhibits` see.

    Attributes:
      tables: split -> pyarrow Table of its rows.
      settings: of the run, all four parts, as plain data.
      illustrations: pyarrow Table of the rows that are kept as pictures, as `pipeline.illustrations` writes it; None
        where there are none, and for exhibits of data.
    """

    tables: Mapping[str, Any]
    settings: Mapping[str, Any]
    illustrations: Any = None


class Plot(NamedTuple):
    """A figure of a report.

    Attributes:
      title: what it shows.
      says: a sentence or two for people: what to look for, and what was found.
      draw: `(matplotlib.figure.Figure) -> None`, which adds axes to an empty figure. Colours are those of the style's
        cycle, "C0" to "C5", so that the page can suit dark screens and paper.
      height: of the figure, in tenths of its width.
    """

    title: str
    says: str
    draw: Callable[[Any], None]
    height: float = 4.0


class Listing(NamedTuple):
    """A table of a report: a row has an entry a column; None is written as a dash."""

    title: str
    says: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | None, ...], ...]


class Sheet(NamedTuple):
    """Pictures of a report: a row has a name and a PNG file a column."""

    title: str
    says: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[bytes, ...]], ...]


Exhibit = Plot | Listing | Sheet


class About(_Plain):
    """What people have to know of a model before they use it, for its model card.

    Attributes:
      use: what it is for, and for whom.
      limits: what it must not be used for, or cannot do; a sentence each.
    """

    use: Reason
    limits: tuple[Reason, ...] = Field(min_length=1)


class Command(_Plain):
    """A command that a model adds to the command line.

    Attributes:
      name: what people type after `pipelines`.
      help: one line.
      function: dotted path of a function that typer can call, imported when the command is used. Its first parameter
        is a `typer.Context` whose `obj` is a `Lent`.
    """

    name: str
    help: str
    function: str


class Lent(NamedTuple):
    """What the command line lends to a model's own command.

    Attributes:
      find_pushed: `(root, version) -> folder` of a pushed version, verified. `version` is a number below the root, the
        folder of a version anywhere, or None for the one that serves, of whichever data line was pushed to last. Raises
        UserError where there is none, or its files are not as they were pushed.
      read_picture: content of a picture file -> the picture as ingestion sees it, upright and RGB at its own size; or
        the reason why there is none.
    """

    find_pushed: Callable[[Path, str | None], Path]
    read_picture: Callable[[bytes], Image | str]


class Model(_Plain):
    """The contract between a model and the pipeline.

    Attributes:
      name: folder under `models/` and `schema/`.
      title: one line for people.
      source: where examples come from.
      schema_file: resource of the curated schema. Its SERVING environment lists the serving inputs.
      key: features that together say which row a row is, for the people who read its prediction.
      label: feature that holds the label.
      prediction: output of the signatures that answers the label.
      weight: feature that weighs a row in totals, or None for 1 each.
      preprocessing_fn: dotted path, TFX Transform's.
      run_fn: dotted path, TFX Trainer's.
      tuner_fn: dotted path, TFX Tuner's, of a model whose hyper-parameters can be searched for. Its HyperParameters are
        those that `Tuned.of` reads.
      naive: dotted path of `(features, feature_settings) -> prediction`: the rule that a model must beat.
        `features` maps names to arrays of shape [rows]; so is the answer.
      naive_features: the features that `naive` and `measure` read.
      outputs: further outputs of the signatures, [rows] each, that are kept of each row beside the prediction, for
        metrics (`Rows.outputs`) and for people. The serving gate refuses a model that lacks one.
      measure: for answers that are no single number, dotted path of `(Answers) -> {name: [rows]}`: what is kept of each
        row for the metrics. None: label and prediction themselves.
      requests: the ways of asking besides `serving_examples`.
      sample_data: dotted path of `(path, seed) -> None`, which writes a sample of raw input to a file.
      sample_suffix: what the name of that file ends with.
      spoil_data: dotted path of `(source, target) -> None`, which copies a sample and spoils the copy in a way
        that a gate must refuse.
      sample_dialects: name -> dotted path of `(source, target) -> None`, which copies a sample as another source of
        data would write it.
      metrics: what the model gate computes.
      slices: features by whose values the metrics are sliced, besides all rows.
      settings: the model's settings, with defaults.
      identity: settings keys that, with name and data line, name the pipeline.
      dataset: the public data set that `pipelines fetch` brings, if there is one.
      commands: the model's own commands.
      explanation: how answers are explained; or a sentence that says why they are not.
      ranking: the list that `pipelines predict --transactions` makes, if there is one.
      backtest: how `pipelines backtest` tries it on the past, if it can be tried so.
      page: resource of an HTML page for people, which asks the server that it comes from; a form of the signature's
        inputs if there is none.
      about: what its model card says of use and limits; the card says so where there is nothing.
      described: features that are kept of each row besides, beside what was predicted, for reports and for people.
      rules: name -> dotted path of another rule of thumb, with the arguments of `naive`, shown beside it in reports.
        It reads what is kept of each row.
      illustration: rows that are kept as pictures.
      exhibits: what the model adds to reports.
    """

    name: str
    title: str
    source: Source
    schema_file: str
    key: tuple[str, ...] = Field(min_length=1)
    label: str
    prediction: str
    weight: str | None = None
    preprocessing_fn: str
    run_fn: str
    tuner_fn: str | None = None
    naive: str
    naive_features: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    measure: str | None = None
    requests: tuple[Request, ...] = Field(default=(Request(signature="serving_default"),), min_length=1)
    sample_data: str
    sample_suffix: str = ".csv"
    spoil_data: str
    sample_dialects: dict[str, str] = {}
    metrics: tuple[Metric, ...]
    slices: tuple[str, ...] = ()
    settings: type[Settings]
    identity: tuple[str, ...] = ()
    dataset: PublicDataset | None = None
    commands: tuple[Command, ...] = ()
    explanation: Explanation | Reason = "the model's contract says no baseline to explain against"
    ranking: Ranking | None = None
    backtest: Backtest | None = None
    page: str | None = None
    about: About | None = None
    described: tuple[str, ...] = ()
    rules: dict[str, str] = {}
    illustration: Illustration | None = None
    exhibits: Exhibits = Exhibits()

    @model_validator(mode="after")
    def _bounds_name_metrics(self) -> Model:
        unknown = set(self.settings().gates.bounds) - {metric.name for metric in self.metrics}
        if unknown:
            raise ValueError(f"bounds for metrics that model {self.name!r} does not have: {sorted(unknown)}")
        return self

    @model_validator(mode="after")
    def _champions_answers_are_kept(self) -> Model:
        against = [metric.name for metric in self.metrics if metric.against_champion]
        if against and self.measure:
            raise ValueError(f"metrics {against} read the champion's predictions, of which `measure` keeps none")
        return self


class PublicDataset(_Plain):
    """A public data set: where it is, what it weighs, and under which licence.

    Attributes:
      sha256: hex digest of the file, or None where the publisher repacks it (then the size is checked).
    """

    title: str
    url: str
    file: str
    sha256: str | None
    bytes: int
    licence: str
    homepage: str


Model.model_rebuild()


# --- what a training tells -------------------------------------------------------------------------

TRAINING_LOGGER = "pipeline.training"
"""Logger that trainings tell their epochs to. A record's `epoch` is what `tell_epoch` was told, as a tuple."""


def tell_epoch(epoch: int, epochs: int, values: Mapping[str, float | None]) -> None:
    """Tells whoever listens that an epoch is over: `pipelines run` shows it; elsewhere it is a line of the log.

    Args:
      epoch: which one, from 1.
      epochs: how many there are at most.
      values: losses and metrics by name; None for one that does not exist.
    """
    listed = ", ".join(f"{name} {value:.4g}" for name, value in values.items() if value is not None)
    told = (epoch, epochs, dict(values))
    logging.getLogger(TRAINING_LOGGER).info("epoch %d of %d: %s", epoch, epochs, listed, extra={"epoch": told})


# --- what a search for hyper-parameters found ------------------------------------------------------


class Sought(_Plain):
    """A training setting that a search chose.

    Attributes:
      given: its value by defaults, or by people; among those that were tried.
      tried: the values that the search chose from.
      found: the one that it chose.
    """

    given: Any
    tried: tuple[Any, ...]
    found: Any


class Tuned(_Plain):
    """What a search for hyper-parameters came to.

    Attributes:
      settings: training setting -> what became of it.
      trials: sets of values that were scored.
      score: of what was found; less is better.
      given: score of the settings as they were given.
      objective: what the score is, in words.
    """

    settings: dict[str, Sought]
    trials: int
    score: float | None
    given: float | None
    objective: str

    @classmethod
    def of(cls, hyperparameters: Mapping[str, Any]) -> Tuned:
        """Reads KerasTuner's HyperParameters as plain data, as TFX's Tuner leaves them and `run_fn` is given them.

        Each is a Choice among values in JSON, since KerasTuner knows no lists. `TUNED` beside them holds the rest.
        """
        values, space = hyperparameters["values"], [each["config"] for each in hyperparameters["space"]]
        settings = {
            each["name"]: Sought(
                given=json.loads(each["default"]),
                tried=tuple(map(json.loads, each["values"])),
                found=json.loads(values[each["name"]]),
            )
            for each in space
        }
        return cls(settings=settings, **values[TUNED])

    def over(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns training settings with what was found in the place of what was given."""
        return {**settings, **{name: sought.found for name, sought in self.settings.items()}}


TUNED = "tuner/result"
"""Key of the fields of `Tuned`, besides its settings, among the values of HyperParameters. KerasTuner's own tuners keep
what they know of a trial under such keys, too."""
REQUIRED = "tuned"
"""Key of `run_fn`'s `custom_config`: whether there must be hyper-parameters of a search."""


def tuned_config(fn_args: Any) -> tuple[dict[str, Any], Tuned | None]:
    """Returns a trainer's `custom_config` with what a search found over its training settings, and what that was.

    Args:
      fn_args: of `run_fn`; `custom_config` and `hyperparameters` are read.

    Raises:
      UserError: the run is to reuse what a search found, and there was none.
    """
    config, found = dict(fn_args.custom_config), fn_args.hyperparameters
    if config.pop(REQUIRED, False) and not found:
        raise UserError(
            expected="hyper-parameters that a search of this pipeline left",
            received="none",
            todo="search first, with training.tuning=search",
        )
    if not found:
        return config, None
    tuned = Tuned.of(found)
    return {**config, "training": tuned.over(config["training"])}, tuned


# --- the two notations -----------------------------------------------------------------------------


def load(dotted: str) -> Any:
    """Returns the attribute that a dotted path names.

    >>> load("math.pi") > 3
    True

    Raises:
      ImportError: the module or the attribute does not exist.
    """
    module, _, attribute = dotted.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise ImportError(f"module {module!r} has no attribute {attribute!r}") from error


def resource(reference: str) -> Path:
    """Returns the path of a file inside a package, given as `package:file`.

    Raises:
      FileNotFoundError: the package has no such file.
    """
    package, _, file = reference.partition(":")
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (Path(folder) / file).is_file():
            return Path(folder) / file
    raise FileNotFoundError(f"package {package!r} has no file {file!r}")


def find_model(name: str) -> Model:
    """Returns `models.<name>:MODEL`.

    Raises:
      UserError: there is no such model.
    """
    if name not in model_names():
        raise UserError(
            expected=f"one of the models {', '.join(model_names())}",
            received=repr(name),
            todo="correct the name, or add a folder models/<name>/ with a MODEL",
        )
    model: Model = load(f"models.{name}.MODEL")
    return model


def model_names() -> list[str]:
    """Names of the folders under `models/` that are packages, sorted."""
    models = importlib.import_module("models")
    return sorted(path.parent.name for folder in models.__path__ for path in Path(folder).glob("*/__init__.py"))
