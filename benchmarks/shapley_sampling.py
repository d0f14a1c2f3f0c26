"""Shapley values of the 64 pixels of 64 images from 5 orders, the same for all entries.

``captum`` adds one pixel at a time, its default; ``captum-5`` holds 5 copies, as ours does.
The limit is the two products of each copy.
"""

from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks import _attribution as common
from benchmarks._harness import Benchmark, Entry, Work

EXAMPLES, ORDERS = 64, 5
COPIES = ORDERS * (common.SIDE**2 - 1)
PEER = ("torch", "captum")


def benchmark(name: str = "shapley-sampling", examples: int = EXAMPLES) -> Benchmark:
    return Benchmark(
        name=name,
        ours=Entry(make=partial(ours, examples)),
        others={
            "captum": Entry(make=partial(captum, examples, 1), needs=PEER),
            "captum-5": Entry(make=partial(captum, examples, 5), needs=PEER),
        },
        limit=Entry(make=partial(common.products, examples * COPIES, examples * 5)),
        shapes={"examples": examples, "orders": ORDERS, "features": common.SIDE**2},
    )


def ours(examples: int) -> Work:
    from jaxnn.analysis import attribution

    return common.ours(
        lambda f, x, key: attribution.shapley_sampling(f, x, key=key, samples=ORDERS),
        examples,
        jax.random.key(0),
    )


def captum(examples: int, held: int) -> Work:
    from captum.attr import ShapleyValueSampling

    network, x, targets = common.torch_setting(examples)
    method: Any = ShapleyValueSampling(network)
    keys = jax.random.split(jax.random.key(0), ORDERS)
    ranks = [np.argsort(jax.random.uniform(key, (common.SIDE**2,))) for key in keys]
    orders = [np.argsort(rank).tolist() for rank in ranks]
    method.permutation_generator = lambda *_: orders

    def call() -> Any:
        maps = method.attribute(x, target=targets, n_samples=ORDERS, perturbations_per_eval=held)
        return maps.detach().numpy()

    return Work(call=call)
