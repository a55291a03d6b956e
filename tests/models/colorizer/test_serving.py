"""The saved model, asked as a server asks it: TF2's loader here, the TF1-style loader and no Keras in a process."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from discs import discs, gray_of, png
from PIL import Image

from models.colorizer import features, network, serving
from models.colorizer.training_settings import Training
from pipeline.ingestion.decoding import Picture, decode

SIZE = 32
NETWORKS = {"chroma": Training(members=2, filters=(8, 8, 8)), "reference": Training(network="reference")}
WITHOUT_KERAS = """
import sys
sys.modules["keras"] = sys.modules["tf_keras"] = None
import numpy as np
import tensorflow as tf
folder, asked, answered = sys.argv[1:]
asked = dict(np.load(asked, allow_pickle=True))
answers = {}
with tf.compat.v1.Session(graph=tf.Graph()) as session:
    signatures = tf.compat.v1.saved_model.load(session, ["serve"], folder).signature_def
    for name, values in asked.items():
        (given,), (output,) = signatures[name].inputs.values(), signatures[name].outputs.values()
        answers[f"{name}/1"] = session.run(output.name, {given.name: values})
model = tf.saved_model.load(folder)
for name, values in asked.items():
    (given,) = model.signatures[name].structured_input_signature[1]
    (output,) = model.signatures[name](**{given: tf.constant(values)}).values()
    answers[f"{name}/2"] = output.numpy()
np.savez(answered, **answers)
"""


@pytest.fixture(scope="module", params=NETWORKS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A network that paints something, untrained."""
    keras.utils.set_random_seed(3)
    model = network.build(NETWORKS[request.param].model_dump(), (-0.05, 0.1))
    for variable in model.trainable_variables:
        variable.assign_add(keras.random.normal(variable.shape, stddev=0.05))
    path = str(tmp_path_factory.mktemp("served") / request.param)
    serving.save(model, SIZE, path)
    return path


@pytest.fixture(scope="module")
def model(folder: str) -> Any:
    return tf.saved_model.load(folder)


def _floats(gray: Any) -> Any:
    return np.asarray(gray, np.float32) / np.float32(127.5) - 1


def _example(encoded: bytes) -> bytes:
    example = tf.train.Example()
    example.features.feature[features.GRAY].bytes_list.value.append(encoded)
    serialized: bytes = example.SerializeToString()
    return serialized


def _default(model: Any, gray: Any) -> Any:
    return model.signatures["serving_default"](gray=tf.constant(gray))[features.RGB].numpy()


def _coloured(model: Any, *encoded: bytes) -> list[Any]:
    """Pixels of the PNG files that `serving_bytes` answers with."""
    answer = model.signatures["serving_bytes"](image_bytes=tf.constant(encoded))[features.PNG].numpy()
    return [np.asarray(Image.open(io.BytesIO(file))) for file in answer]


def _encoded(picture: Any, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()


def _luminance(rgb: Any) -> Any:
    return rgb @ np.array([0.299, 0.587, 0.114])


def _is_chroma(folder: str) -> bool:
    return folder.endswith("chroma")


def test_inputs_and_outputs_have_their_names_and_shapes(model: Any) -> None:
    expected = {
        "serving_default": ({"gray": [None, None, None, 1]}, {"rgb": 3}),
        "serving_examples": ({"examples": [None]}, {"rgb": 3}),
        "serving_bytes": ({"image_bytes": [None]}, {"png_bytes": None}),
    }
    assert set(model.signatures) == set(expected)
    for name, (inputs, outputs) in expected.items():
        signature = model.signatures[name]
        given = signature.structured_input_signature[1]
        assert {key: spec.shape.as_list() for key, spec in given.items()} == inputs
        answered = signature.structured_outputs
        assert {key: spec.shape[-1] if spec.shape.rank == 4 else None for key, spec in answered.items()} == outputs


@pytest.mark.parametrize("shape", [(2, SIZE, SIZE), (1, 1, 1), (1, 1, 50), (2, 37, 23), (1, 90, 8)])
def test_pictures_of_any_size_are_answered_in_that_size(model: Any, folder: str, shape: tuple[int, ...]) -> None:
    gray = np.random.default_rng(1).uniform(-1, 1, (*shape, 1)).astype(np.float32)
    rgb = _default(model, gray)
    assert rgb.shape == (*shape, 3)
    assert np.isfinite(rgb).all()
    assert np.abs(rgb).max() <= 1 + 1e-6
    if _is_chroma(folder):
        np.testing.assert_allclose(_luminance(rgb), gray[..., 0], atol=1e-5)


def test_an_answer_has_colours_that_depend_on_the_picture(model: Any) -> None:
    one, other = _default(model, _floats([gray_of(picture) for picture in discs(2, SIZE)]))
    assert np.ptp(one, axis=-1).mean() > 0.02
    assert np.ptp(one - other, axis=-1).mean() > 0.001


def test_examples_of_the_trained_size_are_answered_as_floats_are(model: Any) -> None:
    gray = [gray_of(picture) for picture in discs(3, SIZE)]
    examples = tf.constant([_example(png(picture)) for picture in gray])
    answer = model.signatures["serving_examples"](examples=examples)[features.RGB].numpy()
    np.testing.assert_allclose(answer, _default(model, _floats(gray)), atol=1e-5)


def test_examples_of_other_sizes_are_brought_to_the_trained_size(model: Any) -> None:
    examples = tf.constant([_example(png(gray_of(discs(1, size)[0]))) for size in (16, SIZE, 50)])
    answer = model.signatures["serving_examples"](examples=examples)[features.RGB].numpy()
    assert answer.shape == (3, SIZE, SIZE, 3)


def test_files_of_the_trained_size_are_answered_as_floats_are_but_for_rounding(model: Any) -> None:
    gray = [gray_of(picture) for picture in discs(3, SIZE)]
    answers = _coloured(model, *map(png, gray))
    np.testing.assert_allclose(_floats(answers), _default(model, _floats(gray)), atol=0.51 / 127.5)


def _photo() -> Any:
    """Spots, edges and grain in colours that are not extreme, [200, 300, 3]."""
    draw = np.random.default_rng(4)
    spots = Image.fromarray(draw.integers(70, 186, (9, 13, 3)).astype(np.uint8)).resize(
        (300, 200), Image.Resampling.BICUBIC
    )
    grain = draw.normal(0, 9, (200, 300, 1))
    edges = 20 * (np.mgrid[:200, :300].sum(axis=0) // 37 % 2)[..., None] - 10
    return np.clip(np.rint(np.asarray(spots) + grain + edges), 0, 255).astype(np.uint8)


def test_the_network_sees_pictures_as_ingestion_shrinks_them() -> None:
    gray = keras.Input((None, None, 1))
    # Paints what it sees, as RGB, which is not joined to any luminance.
    shows = keras.Model(gray, keras.layers.Concatenate()([gray] * 3))
    signatures = serving.signatures(shows, SIZE)
    encoded = png(_photo())
    ingested = decode(encoded, SIZE)
    assert isinstance(ingested, Picture)
    expected = tf.io.decode_png(ingested.gray)
    seen = signatures["serving_examples"](tf.constant([_example(encoded)]))[features.RGB]
    difference = np.abs((seen[0, ..., :1] + 1) * 127.5 - tf.cast(expected, tf.float32))
    assert difference.max() < 1.3
    assert difference.mean() < 0.4
    answer = tf.io.decode_png(signatures["serving_bytes"](tf.constant([encoded]))[features.PNG][0])
    difference = np.abs(tf.cast(answer[..., :1], tf.float32) - tf.image.resize(expected, (200, 300)))
    assert difference.max() < 1.8  # half a level more, since the answer is rounded
    assert difference.mean() < 0.5


def test_pictures_of_the_trained_size_reach_the_network_unchanged() -> None:
    gray = tf.random.stateless_uniform((2, SIZE, SIZE, 1), (1, 2), -1, 1)
    unknown = tf.function(
        serving._resized, input_signature=[tf.TensorSpec([None] * 3 + [1]), tf.TensorSpec([2], tf.int32)]
    )
    np.testing.assert_array_equal(unknown(gray, [SIZE, SIZE]), gray)


def test_files_keep_their_size_and_their_luminance(model: Any, folder: str) -> None:
    """Not so the luminance of the reference, which paints that too."""
    noise = np.random.default_rng(2).integers(0, 256, (61, 45, 1), np.uint8)
    shown = [noise, gray_of(discs(1, 100)[0]), gray_of(discs(1, 16)[0]), noise[:1], noise[:, :1]]
    for gray, answer in zip(shown, _coloured(model, *map(png, shown)), strict=True):
        assert answer.shape == (*gray.shape[:2], 3)
        if _is_chroma(folder):
            np.testing.assert_allclose(_luminance(answer), gray[..., 0], atol=0.51)


def test_a_row_does_not_depend_on_its_batch(model: Any) -> None:
    shown = [gray_of(discs(1, size, seed=size)[0]) for size in (SIZE, 40, 71)]
    for gray, together in zip(shown, _coloured(model, *map(png, shown)), strict=True):
        np.testing.assert_array_equal(_coloured(model, png(gray))[0], together)
    batch = _floats([gray_of(picture) for picture in discs(5, SIZE)])
    np.testing.assert_allclose(_default(model, batch[3:4])[0], _default(model, batch)[3], atol=1e-5)


def test_files_of_every_kind_are_read(model: Any) -> None:
    colour = discs(1, 48)[0]
    gray = gray_of(colour)[..., 0]
    (expected,) = _coloured(model, png(gray[..., None]))
    alpha = np.full((48, 48, 1), 255, np.uint8)
    exact = {
        "RGB PNG": _encoded(colour, "PNG"),
        "RGBA PNG": _encoded(np.concatenate([colour, alpha], -1), "PNG"),
        "gray and alpha PNG": _encoded(np.concatenate([gray[..., None], alpha], -1), "PNG"),
        "BMP": _encoded(colour, "BMP"),
    }
    for (name, _), answer in zip(exact.items(), _coloured(model, *exact.values()), strict=True):
        # Luminance of colours is not rounded to a level first.
        np.testing.assert_allclose(answer.astype(int), expected.astype(int), atol=2, err_msg=name)
    frames = [Image.fromarray(gray), Image.fromarray(255 - gray)]
    lossy = {
        "JPEG": _encoded(colour, "JPEG", quality=95),
        "gray JPEG": _encoded(gray, "JPEG", quality=95),
        "GIF": _encoded(gray, "GIF", save_all=True, append_images=frames[1:]),
    }
    for (name, _), answer in zip(lossy.items(), _coloured(model, *lossy.values()), strict=True):
        assert np.abs(answer.astype(int) - expected.astype(int)).mean() < 3, name


def test_transparent_pixels_count_as_white(model: Any) -> None:
    clear = np.concatenate([discs(1, 48)[0], np.zeros((48, 48, 1), np.uint8)], -1)
    white = np.full((48, 48, 1), 255, np.uint8)
    np.testing.assert_array_equal(*_coloured(model, _encoded(clear, "PNG"), png(white)))


def test_a_file_that_is_no_picture_is_refused(model: Any) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        _coloured(model, b"no picture")


def test_it_loads_without_keras_and_in_loaders_of_the_tf1_kind(model: Any, folder: str, tmp_path: Path) -> None:
    gray = [gray_of(picture) for picture in discs(2, SIZE)]
    files = np.array([png(picture) for picture in gray], object)
    examples = np.array([_example(file) for file in files], object)
    asked = {"serving_default": _floats(gray), "serving_examples": examples, "serving_bytes": files}
    np.savez(tmp_path / "asked.npz", **asked)
    paths = [str(tmp_path / "asked.npz"), str(tmp_path / "answers.npz")]
    done = subprocess.run([sys.executable, "-c", WITHOUT_KERAS, folder, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    answers = np.load(tmp_path / "answers.npz", allow_pickle=True)
    for loader in (1, 2):
        for name in ("serving_default", "serving_examples"):
            np.testing.assert_allclose(answers[f"{name}/{loader}"], _default(model, _floats(gray)), atol=1e-5)
        pixels = [np.asarray(Image.open(io.BytesIO(file))) for file in answers[f"serving_bytes/{loader}"]]
        np.testing.assert_array_equal(pixels, _coloured(model, *files))
