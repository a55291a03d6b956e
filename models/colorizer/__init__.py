"""Colorizer: a gray photo in, a colour photo out."""

from __future__ import annotations

from models.colorizer import features, metrics
from models.colorizer.about import ABOUT
from models.colorizer.dataset import DATASET
from models.colorizer.settings import ColorizerSettings
from pipeline.contract import Command, Exhibits, Illustration, Metric, Model, Pictures, Request

MODEL = Model(
    name="colorizer",
    title="colours for gray photos",
    source=Pictures(),
    schema_file="schema.colorizer:schema.pbtxt",
    key=(features.FILE,),
    label=features.COLOUR,
    prediction=features.RGB,
    preprocessing_fn="models.colorizer.preprocessing.preprocessing_fn",
    run_fn="models.colorizer.trainer.run_fn",
    naive="models.colorizer.naive.tint",
    naive_features=(features.GRAY, features.TRAIN_CB, features.TRAIN_CR),
    measure="models.colorizer.measure.measure",
    requests=(
        Request(signature="serving_default", inputs="models.colorizer.requests.as_floats"),
        # A PNG has 256 levels: an answer may be half a level off, 1/255 in units of -1 to 1.
        Request(
            signature="serving_bytes",
            inputs="models.colorizer.requests.as_files",
            outputs="models.colorizer.requests.from_files",
            tolerance=0.005,
        ),
    ),
    sample_data="models.colorizer.sample.write_sample",
    sample_suffix=".zip",
    spoil_data="models.colorizer.sample.spoil",
    metrics=(
        Metric(name="mse", function="models.colorizer.metrics.mse"),
        Metric(name="mse_vs_gray", function="models.colorizer.metrics.mse_vs_gray"),
        Metric(name="mse_vs_tint", function="models.colorizer.metrics.mse_vs_tint"),
        Metric(name="psnr", function="models.colorizer.metrics.psnr", better="higher"),
        Metric(name="ssim", function="models.colorizer.metrics.ssim", better="higher"),
        Metric(name="colourfulness", function="models.colorizer.metrics.colourfulness", better="higher"),
    ),
    slices=(features.CLASS, features.BAND),
    settings=ColorizerSettings,
    identity=("features.size",),
    explanation="a colour picture is tens of thousands of numbers, each of which depends on thousands of gray pixels: "
    "an attribution would be a map for every pixel and colour, which no one number sums up",
    dataset=DATASET,
    about=ABOUT,
    page="models.colorizer:page.html",
    commands=(
        Command(
            name="colorize",
            help="Colour gray photos with a pushed colorizer.",
            function="models.colorizer.colorize.colorize",
        ),
    ),
    illustration=Illustration(function="models.colorizer.illustration.illustrate", by=metrics.ERROR),
    exhibits=Exhibits(data="models.colorizer.exploring.data", evaluation="models.colorizer.report.evaluation"),
)
