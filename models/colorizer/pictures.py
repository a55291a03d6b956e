"""The input pipeline: pictures are decoded once, stay in memory as bytes, and reach each replica in batches.

An epoch is cut into pieces of nearly equal size, one for each replica at each step: there is no small last batch. Which
picture is in which piece, and which random variant of it, follows from seed and epoch alone. So an interrupted training
goes on at any epoch as if nothing had happened, and training repeats: bit by bit on CPUs, not on GPUs, whose sums may
be taken in another order each time.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from models.colorizer import augment, colours, features, network
from pipeline.contract import UserError

HELD_OUT_SHARE = 10
"""One picture in so many is held out to stop early."""
ORDER, VARIANTS = 0, 1
"""What the seed of an epoch is folded with: the order of the pictures and their variants are drawn apart."""

Bytes = NDArray[np.uint8]


class Loaded(NamedTuple):
    """Training pictures, bytes of red, green and blue, [pictures, size, size, 3].

    Attributes:
      fitted: what the network is fitted on.
      held_out: what tells the best epoch; None without early stopping.
    """

    fitted: Bytes
    held_out: Bytes | None


def load(patterns: Sequence[str], *, early_stopping: bool) -> Loaded:
    """Reads transformed examples and decodes their colour pictures, in an order that only the pictures determine.

    Args:
      patterns: file patterns of gzipped TFRecords of tf.Examples with `features.COLOUR`.
      early_stopping: whether to hold out those pictures whose hash says so.

    Raises:
      UserError: there are no pictures, none is held out though it should, or the network does not take their size.
    """
    fitted, held_out = _split(_read(patterns), early_stopping)
    _check_counts(len(fitted), len(held_out), early_stopping)
    _check_size(_decoded(fitted[0]).shape[0])
    return Loaded(decode(fitted), decode(held_out) if early_stopping else None)


def decode(pngs: Sequence[bytes]) -> Bytes:
    """Returns the pixels of PNG files of one size, [pictures, h, w, 3]: they are in memory once, but for a few."""
    # A generator, as slices would be taken of a copy of all files.
    files = tf.data.Dataset.from_generator(lambda: iter(pngs), output_signature=tf.TensorSpec([], tf.string))
    pictures = files.map(_decoded, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    pixels = np.empty((len(pngs), *_decoded(pngs[0]).shape), np.uint8)
    for place, picture in enumerate(pictures.as_numpy_iterator()):
        pixels[place] = picture
    return pixels


def mean_chroma(pictures: Bytes) -> tuple[float, float]:
    """Returns the mean Cb and Cr of pictures, -.5 to .5."""
    red, green, blue = (float(pictures[..., channel].mean(dtype="float64")) for channel in range(3))
    # Chroma is linear, so the mean colour has the mean chroma.
    cb, cr = colours.chroma(tf.constant([red, green, blue], tf.float64) / 127.5 - 1).numpy().tolist()
    return cb, cr


def steps_per_epoch(pictures: int, batch_size: int, replicas: int) -> int:
    """Returns how many steps see each picture once, with some `batch_size` a replica, and one at least.

    Raises:
      UserError: there are fewer pictures than replicas.
    """
    if pictures < replicas:
        raise UserError(
            expected=f"a training picture, and one held out, for each of the {replicas} replicas",
            received=f"{pictures}",
            todo="bring more pictures, or set training.distribution=single",
        )
    return min(math.ceil(pictures / (batch_size * replicas)), pictures // replicas)


def training_batches(
    pictures: Bytes, settings: Mapping[str, Any], context: tf.distribute.InputContext, first_epoch: int
) -> tf.data.Dataset:
    """Returns the batches of this worker's replicas, in turn, from `first_epoch` to the last epoch.

    Args:
      pictures: all pictures, the same on each worker.
      settings: training settings; `seed`, `epochs`, `batch_size` and `augmentation` are read.
      context: tells which replicas are this worker's.
      first_epoch: epochs that are done already.

    Returns:
      A dataset of pairs of floats from -1 to 1: gray [n, h, w, 1] and RGB [n, h, w, 3].
    """
    count = len(pictures)
    pixels = tf.constant(pictures)
    pieces = _pieces(count, settings["batch_size"], context)

    def of_epoch(epoch: Any) -> tf.data.Dataset:
        seed = tf.random.fold_in(tf.constant((settings["seed"], 0), tf.int64), epoch)
        order = tf.argsort(tf.random.stateless_uniform([count], tf.random.fold_in(seed, ORDER)), stable=True)
        variants = tf.random.fold_in(seed, VARIANTS)
        numbered = tf.data.Dataset.from_tensor_slices(pieces)
        return numbered.map(lambda piece: (order[piece[1] : piece[2]], tf.random.fold_in(variants, piece[0])))

    def batch(rows: Any, seed: Any) -> tuple[Any, Any]:
        chosen = tf.gather(pixels, rows)
        return augment.augmented(chosen, seed) if settings["augmentation"] else augment.plain(chosen)

    rows = tf.data.Dataset.range(first_epoch, settings["epochs"]).flat_map(of_epoch)
    return rows.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).prefetch(tf.data.AUTOTUNE)


def judging_batches(pictures: Bytes, batch_size: int, context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Returns all pictures once, as `training_batches` does but unchanged and in order."""
    pixels = tf.constant(pictures)
    pieces = tf.data.Dataset.from_tensor_slices(_pieces(len(pictures), batch_size, context))
    return pieces.map(lambda piece: augment.plain(pixels[piece[1] : piece[2]])).prefetch(tf.data.AUTOTUNE)


def _pieces(count: int, batch_size: int, context: tf.distribute.InputContext) -> NDArray[np.int64]:
    """Number, start and stop of the pieces of an epoch that are this worker's, [pieces, 3], in the order of use."""
    replicas = context.num_replicas_in_sync
    total = steps_per_epoch(count, batch_size, replicas) * replicas
    numbers = np.arange(total)
    mine = numbers[numbers % replicas // (replicas // context.num_input_pipelines) == context.input_pipeline_id]
    return np.stack([mine, mine * count // total, (mine + 1) * count // total], axis=1)


def _read(patterns: Sequence[str]) -> Iterable[bytes]:
    files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))
    spec = {features.COLOUR: tf.io.FixedLenFeature([], tf.string)}
    records = tf.data.TFRecordDataset(files, compression_type="GZIP")
    for example in records.map(lambda record: tf.io.parse_single_example(record, spec)).as_numpy_iterator():
        yield example[features.COLOUR]


def _split(pngs: Iterable[bytes], early_stopping: bool) -> tuple[list[bytes], list[bytes]]:
    """Fitted and held-out pictures, each in the order of their digests; copies of one are on the same side."""
    by_digest = sorted((hashlib.sha256(png).hexdigest(), png) for png in pngs)
    chosen = {digest for digest, _ in by_digest if early_stopping and int(digest[:8], 16) % HELD_OUT_SHARE == 0}
    fitted = [png for digest, png in by_digest if digest not in chosen]
    return fitted, [png for digest, png in by_digest if digest in chosen]


def _decoded(png: Any) -> Any:
    return tf.io.decode_png(png, channels=3)


def _check_counts(fitted: int, held_out: int, early_stopping: bool) -> None:
    if not fitted:
        raise UserError(
            expected="training pictures to fit the network on",
            received=f"none, and {held_out} to hold out for early stopping",
            todo="bring more pictures",
        )
    if early_stopping and not held_out:
        raise UserError(
            expected="training pictures to hold out for early stopping, a tenth of them",
            received=f"none, since there are so few pictures ({fitted})",
            todo="bring more pictures, or set training.early_stopping=false",
        )


def _check_size(size: int) -> None:
    if size % network.STRIDE:
        raise UserError(
            expected=f"pictures whose sides are a multiple of {network.STRIDE} pixels, as the network halves them",
            received=f"{size} pixels",
            todo=f"set features.size to {max(round(size / network.STRIDE), 1) * network.STRIDE}",
        )
