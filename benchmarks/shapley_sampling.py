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
COPIES = EXAMPLES * ORDERS * (common.SIDE**2 - 1)
PEER = ("torch", "captum")


def benchmark() -> Benchmark:
    return Benchmark(
        name="shapley-sampling",
        ours=Entry(make=ours),
        others={
            "captum": Entry(make=partial(captum, 1), needs=PEER),
            "captum-5": Entry(make=partial(captum, 5), needs=PEER),
        },
        limit=Entry(make=partial(common.products, COPIES, EXAMPLES * 5)),
        shapes={"examples": EXAMPLES, "orders": ORDERS, "features": common.SIDE**2},
    )


def ours() -> Work:
    from jaxnn.analysis import attribution

    return common.ours(
        lambda f, x, key: attribution.shapley_sampling(f, x, key=key, samples=ORDERS),
        EXAMPLES,
        jax.random.key(0),
    )


def captum(held: int) -> Work:
    from captum.attr import ShapleyValueSampling

    network, x, targets = common.torch_setting(EXAMPLES)
    method: Any = ShapleyValueSampling(network)
    keys = jax.random.split(jax.random.key(0), ORDERS)
    ranks = [np.argsort(jax.random.uniform(key, (common.SIDE**2,))) for key in keys]
    orders = [np.argsort(rank).tolist() for rank in ranks]
    method.permutation_generator = lambda *_: orders

    def call() -> Any:
        maps = method.attribute(x, target=targets, n_samples=ORDERS, perturbations_per_eval=held)
        return maps.detach().numpy()

    return Work(call=call)
