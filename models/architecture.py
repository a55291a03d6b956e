"""What a network is made of, as plain data for reports: its layers, and the devices that TensorFlow sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

Shape = tuple[int | None, ...]


def describe(model: keras.Model, side: int | None = None) -> dict[str, Any]:
    """Returns what `training.json` says of a network, and of what it was trained on.

    - `parameters`: numbers in its weights, those included that are not trained.
    - `layers`: of each layer, an input before what reads it: `name`; `kind`, the name of its class; `shape` of what it
      returns, None for what may be any number, first of all the rows; `parameters`; `inputs`, names of the layers that
      it reads. Layers of a network inside of a layer have `within`, the name of that layer, and `copies`: how many
      networks of this form it holds. Names are unique within a network.
    - `devices`: as TensorFlow calls them, with the maker's name of a GPU.

    The names that Keras makes up count the layers of a process. Here they count those of this network, so that the
    same network has the same description.

    Args:
      model: of Keras' functional kind.
      side: what to take for the sides that the inputs leave free, such as the pixels of the training pictures.
    """
    return {"parameters": model.count_params(), "layers": _layers(model, side), "devices": devices()}


def devices() -> list[str]:
    """Returns the devices that TensorFlow sees, such as `CPU:0` and `GPU:0 (NVIDIA H100 80GB HBM3)`."""
    return [_device(device) for device in tf.config.list_physical_devices()]


def _device(device: Any) -> str:
    name = device.name.removeprefix("/physical_device:")
    maker = tf.config.experimental.get_device_details(device).get("device_name") if "GPU" in name else None
    return f"{name} ({maker})" if maker else name


def _layers(model: keras.Model, side: int | None) -> list[dict[str, Any]]:
    names = _Names()
    found = list(_of(model, names, side))
    for layer in model.layers:
        forms: list[list[dict[str, Any]]] = [list(_of(inner, _Names(), side)) for inner in _networks_in(layer)]
        different = [form for number, form in enumerate(forms) if form not in forms[:number]]
        for number, form in enumerate(different, start=1):
            within = names.of(layer) if len(different) == 1 else f"{names.of(layer)} ({number})"
            found += [{**each, "within": within, "copies": forms.count(form)} for each in form]
    return found


def _of(model: keras.Model, names: _Names, side: int | None) -> Iterator[dict[str, Any]]:
    shapes: dict[str, Shape] = {}
    for operation in model.operations:
        inputs = [] if isinstance(operation, keras.layers.InputLayer) else _inputs(operation, names)
        shapes[names.of(operation)] = shape = _shape(operation, [shapes[name] for name in inputs], side)
        yield {
            "name": names.of(operation),
            "kind": _kind(operation),
            "shape": list(shape),
            "parameters": operation.count_params() if isinstance(operation, keras.Layer) else 0,
            "inputs": inputs,
        }


def _inputs(operation: Any, names: _Names) -> list[str]:
    """Keras keeps with a tensor which operation made it, privately; no public way says it of single operations."""
    tensors = keras.tree.flatten(operation.input)
    return list(dict.fromkeys(names.of(tensor._keras_history.operation) for tensor in tensors))


def _kind(operation: Any) -> str:
    """The class; of an activation what it computes."""
    activation = getattr(operation, "activation", None)
    computes = getattr(activation, "__name__", "linear")
    kind = type(operation).__name__
    if computes == "linear":
        return kind
    return computes if kind == "Activation" else f"{kind}, {computes}"


def _shape(operation: Any, inputs: list[Shape], side: int | None) -> Shape:
    """What an operation returns; free sides follow from those of the inputs."""
    shape: Shape = tuple(keras.tree.flatten(operation.output)[0].shape)
    if side is None or None not in shape[1:]:
        return shape
    if not inputs:
        return (*shape[:1], *(length or side for length in shape[1:]))
    return tuple(operation.compute_output_shape(inputs[0] if len(inputs) == 1 else inputs))


def _networks_in(layer: keras.Layer) -> list[keras.Model]:
    """The networks that a layer holds, itself or in lists."""
    held = [each for value in vars(layer).values() for each in (value if isinstance(value, list | tuple) else [value])]
    return list({id(each): each for each in held if isinstance(each, keras.Model)}.values())


class _Names:
    """The names of operations, counted anew."""

    def __init__(self) -> None:
        self.known: dict[int, str] = {}
        self.counts: dict[str, int] = {}

    def of(self, operation: Any) -> str:
        if id(operation) not in self.known:
            base = re.sub(r"_\d+$", "", operation.name)
            count = self.counts[base] = self.counts.get(base, -1) + 1
            self.known[id(operation)] = f"{base}_{count}" if count else base
        return self.known[id(operation)]
