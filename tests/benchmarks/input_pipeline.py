"""How busy the input pipeline keeps the colorizer's network: real training against the same step on a tensor in memory.

Both run in one process, in turn, many steps at a time, with the same compiled step, so that what else the machine does
hits both. The ratio of their images a second is 1 where the input costs nothing. The ratio by CPU-seconds (of all
threads) tells the same of a machine whose cores have no time to spare, and hardly depends on what else it does.

Usage: python tests/benchmarks/input_pipeline.py [--rounds 5] [--steps 30] [--pictures 500] [--size 80]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from models.colorizer import distribution, loop, pictures, steps
from models.colorizer.network import build
from models.colorizer.training_settings import Training

Rates = dict[str, float]


def images_per_second(step: Callable[[Any], Any], next_batch: Callable[[], Any], count: int) -> Rates:
    """Takes so many steps and returns the images a second, by the clock and by CPU-seconds."""
    clock, cpu, images = time.perf_counter(), time.process_time(), 0
    for _ in range(count):
        batch = next_batch()
        images += len(batch[0])
        loss = step(batch)
    float(loss)
    return {"clock": images / (time.perf_counter() - clock), "CPU": images / (time.process_time() - cpu)}


def main() -> None:
    """Prints images a second of both, and the median ratio of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--size", type=int, default=80)
    parser.add_argument("--network", choices=("chroma", "reference"), default="chroma")
    arguments = parser.parse_args()
    settings = Training(network=arguments.network, epochs=100_000).model_dump()
    shape = (arguments.pictures, arguments.size, arguments.size, 3)
    loaded = pictures.Loaded(np.random.default_rng(1).integers(0, 256, shape, np.uint8), None)
    strategy = distribution.strategy("single")
    training = loop.Training(lambda: build(settings, (0.0, 0.0)), loaded, settings, strategy)
    batches = training.training_batches()
    step = steps.training_step(strategy, training.model, training.optimizer, batches)
    iterator = iter(batches)
    in_memory = next(iterator)
    sources: dict[str, Callable[[], Any]] = {"real input": lambda: next(iterator), "in memory": lambda: in_memory}
    for source in sources.values():
        images_per_second(step, source, 2)
    rounds = []
    for _ in range(arguments.rounds):
        rounds.append({name: images_per_second(step, source, arguments.steps) for name, source in sources.items()})
        print("  ".join(f"{name} {rates['clock']:.1f} images/s" for name, rates in rounds[-1].items()))
    for kind in ("clock", "CPU"):
        ratios = [found["real input"][kind] / found["in memory"][kind] for found in rounds]
        print(f"ratio by {kind}: {statistics.median(ratios):.3f}  ({min(ratios):.3f} .. {max(ratios):.3f})")


if __name__ == "__main__":
    main()
