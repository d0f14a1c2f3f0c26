"""RISE of 16 images with 2,000 masks of 4 x 4 cells, the same for all entries.

captum has no RISE. ``torch`` is its authors' way: masks kept in memory, one image after the
other, 100 masked copies at a time. Ours makes its masks anew in every call and keeps none.
The limit is the two products of each masked copy, without the masks.
"""

from functools import partial
from typing import Any

import jax
import numpy as np

from benchmarks import _attribution as common
from benchmarks._harness import Benchmark, Entry, Work

EXAMPLES, MASKS, GRID, HELD = 16, 2000, 4, 100


def benchmark() -> Benchmark:
    return Benchmark(
        name="rise",
        ours=Entry(make=ours),
        others={"torch": Entry(make=plain_torch, needs=("torch",))},
        limit=Entry(make=partial(common.products, EXAMPLES * MASKS, EXAMPLES * HELD)),
        shapes={"examples": EXAMPLES, "masks": MASKS, "grid": GRID, "held": HELD},
    )


def ours() -> Work:
    from jaxnn.analysis import attribution

    return common.ours(
        lambda f, x, key: attribution.rise(
            f, x, key=key, samples=MASKS, grid=GRID, batch_size=HELD
        ),
        EXAMPLES,
        jax.random.key(0),
    )


def plain_torch() -> Work:
    import torch

    from jaxnn.analysis import attribution

    network, x, targets = common.torch_setting(EXAMPLES)
    drawn = attribution.rise_masks(
        (common.SIDE, common.SIDE), key=jax.random.key(0), samples=MASKS, grid=GRID
    )
    masks = torch.tensor(np.asarray(drawn))

    @torch.no_grad()
    def call() -> Any:
        maps = []
        for image, target in zip(x, targets, strict=True):
            total = torch.zeros_like(image)
            for some in masks.split(HELD):
                total += torch.tensordot(network(some * image)[:, target], some, 1)
            maps.append(total / (0.5 * MASKS))
        return torch.stack(maps).numpy()

    return Work(call=call)
