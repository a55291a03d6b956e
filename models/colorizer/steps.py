"""A step of the training on all replicas, and of the judging: pure functions of weights and pictures.

Each replica differentiates its pictures' share of the global batch's mean loss. Gradients and batch-norm statistics are
summed over all replicas, so that every copy of a variable takes the same step. Replicas with a part each thus do what
one replica does with all, but for batch norm and dropout, which know their own part only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from models.colorizer import network

Step = Callable[[tuple[Any, Any]], Any]


def training_step(
    strategy: tf.distribute.Strategy, model: keras.Model, optimizer: keras.optimizers.Optimizer, batches: Any
) -> Step:
    """Returns the function `batch -> loss` that takes a step; the loss is the mean over the global batch.

    Args:
      strategy: what model and optimizer were made under.
      model: from `network.build`.
      optimizer: already built for the model's weights.
      batches: the distributed dataset that batches come from.
    """

    def step(batch: tuple[Any, Any]) -> Any:
        loss, gradients, state = strategy.run(lambda gray, rgb: _differentiated(model, gray, rgb), batch)
        # Not in the replicas: there, Keras would sum the gradients once more.
        optimizer.apply(_first(strategy, gradients), model.trainable_variables)
        for variable, value in zip(model.non_trainable_variables, _first(strategy, state), strict=True):
            variable.value.assign(value)
        return _first(strategy, loss)

    return _compiled(step, batches)


def judging_step(strategy: tf.distribute.Strategy, model: keras.Model, batches: Any) -> Step:
    """Returns the function `batch -> [sum of the losses, pictures]` of the global batch; it changes nothing."""

    def on_replica(gray: Any, rgb: Any) -> Any:
        losses = network.loss(model(gray, training=False), gray, rgb)
        sums = tf.stack([tf.reduce_sum(losses), tf.cast(tf.size(losses), tf.float32)])
        return _replica().all_reduce(tf.distribute.ReduceOp.SUM, sums)

    def step(batch: tuple[Any, Any]) -> Any:
        return _first(strategy, strategy.run(on_replica, batch))

    return _compiled(step, batches)


def _compiled(step: Step, batches: Any) -> Step:
    # Batches differ in size by one, for which a signature saves a second trace.
    compiled: Step = tf.function(step, input_signature=[batches.element_spec], autograph=False)
    return compiled


def _differentiated(model: keras.Model, gray: Any, rgb: Any) -> tuple[Any, list[Any], list[Any]]:
    """Loss of the global batch, its gradients, and the new values of the variables that are not trained.

    The model is called as a function of its weights: variables that Keras assigned to in here would differ from
    replica to replica.
    """
    replica = _replica()
    pictures = replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.cast(tf.shape(gray)[0], tf.float32))
    weights = [tf.convert_to_tensor(variable.value) for variable in model.trainable_variables]
    state = [_own(variable.value, replica) for variable in model.non_trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(weights)
        painted, state = model.stateless_call(weights, state, gray, training=True)
        loss = tf.reduce_sum(network.loss(painted, gray, rgb)) / pictures
    statistics = [value / replica.num_replicas_in_sync for value in state if value.dtype.is_floating]
    reduced = replica.all_reduce(tf.distribute.ReduceOp.SUM, [loss, *tape.gradient(loss, weights), *statistics])
    loss, gradients, means = reduced[0], reduced[1 : len(weights) + 1], iter(reduced[len(weights) + 1 :])
    state = [next(means) if value.dtype.is_floating else value - _number(replica, value.dtype) for value in state]
    return loss, gradients, state


def _replica() -> tf.distribute.ReplicaContext:
    return tf.distribute.get_replica_context()


def _number(replica: tf.distribute.ReplicaContext, kind: tf.DType) -> Any:
    return tf.cast(replica.replica_id_in_sync_group, kind)


def _own(variable: Any, replica: tf.distribute.ReplicaContext) -> Any:
    """What a replica starts from: the same values, but another random state, so that each drops other activations."""
    value = tf.convert_to_tensor(variable)
    return value if value.dtype.is_floating else value + _number(replica, value.dtype)


def _first(strategy: tf.distribute.Strategy, values: Any) -> Any:
    """The values of this process' first replica, where all replicas have the same ones."""
    return tf.nest.map_structure(lambda value: strategy.experimental_local_results(value)[0], values)
