"""Where the network is trained: on one device, on all of a machine, or on several machines."""

from __future__ import annotations

import os

import tensorflow as tf

from pipeline.contract import UserError


def strategy(distribution: str) -> tf.distribute.Strategy:
    """Returns the strategy to train with.

    Args:
      distribution: `single`: one device, the GPU where there is one; `mirrored`: all GPUs of this machine, or all its
        logical CPUs where it has no GPU; `multi_worker`: the machines that the environment variable TF_CONFIG names,
        of which this process is one.

    Raises:
      UserError: workers were asked for, but TF_CONFIG names none, or TensorFlow is in use in this process already.
    """
    if distribution == "single":
        return tf.distribute.OneDeviceStrategy(_devices()[0])
    if distribution == "mirrored":
        return tf.distribute.MirroredStrategy(_devices())
    return _multi_worker()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes: the chief, or worker 0 where the cluster names no chief."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    chief = "chief" if "chief" in resolver.cluster_spec().jobs else "worker"
    return bool(resolver.task_type == chief and not resolver.task_id)


def differs(strategy: tf.distribute.Strategy, number: int) -> bool:
    """Whether the workers do not all come with the same number; all of them get the same answer."""
    mean = _sum(strategy, number) / strategy.num_replicas_in_sync
    return _sum(strategy, abs(number - mean)) > 0


def wait_for_all(strategy: tf.distribute.Strategy) -> None:
    """Returns when all workers came here: a worker that leaves early looks to the others like one that died."""
    _sum(strategy, 0)


def _sum(strategy: tf.distribute.Strategy, number: float) -> float:
    """The sum of a number of each replica."""
    values = strategy.run(lambda: tf.constant(number, tf.float32))
    return float(strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))


def _devices() -> list[str]:
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    return [device.name for device in tf.config.list_logical_devices(kind)]


def _multi_worker() -> tf.distribute.Strategy:
    # Read here and not at import: the launcher of the training sets it for this process.
    if not os.environ.get("TF_CONFIG"):
        raise UserError(
            expected="the environment variable TF_CONFIG, which names the workers and which of them this one is",
            received="none",
            todo="start the training on each worker with its TF_CONFIG, or set training.distribution=mirrored",
        )
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise UserError(
            expected="a process in which TensorFlow was not used before the training",
            received=str(error),
            todo="run the trainer of each worker in a process of its own, or set training.distribution=mirrored",
        ) from error
