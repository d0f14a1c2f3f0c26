"""Occlusion of 256 images by windows of 3 x 3, at all 36 positions.

``captum`` covers one position at a time, its default; ``captum-5`` holds 5, as ours does.
The limit is the two products of each covered copy.
"""

from functools import partial
from typing import Any

from benchmarks import _attribution as common
from benchmarks._harness import Benchmark, Entry, Work

EXAMPLES, WINDOW = 256, 3
POSITIONS = (common.SIDE - WINDOW + 1) ** 2
PEER = ("torch", "captum")


def benchmark(name: str = "occlusion", examples: int = EXAMPLES) -> Benchmark:
    return Benchmark(
        name=name,
        ours=Entry(make=partial(ours, examples)),
        others={
            "captum": Entry(make=partial(captum, examples, 1), needs=PEER),
            "captum-5": Entry(make=partial(captum, examples, 5), needs=PEER),
        },
        limit=Entry(make=partial(common.products, examples * POSITIONS, examples * 5)),
        shapes={"examples": examples, "window": WINDOW, "side": common.SIDE},
    )


def ours(examples: int) -> Work:
    from jaxnn.analysis import attribution

    return common.ours(lambda f, x: attribution.occlusion(f, x, window=WINDOW), examples)


def captum(examples: int, held: int) -> Work:
    from captum.attr import Occlusion

    network, x, targets = common.torch_setting(examples)
    method: Any = Occlusion(network)

    def call() -> Any:
        window = (WINDOW, WINDOW)
        maps = method.attribute(x, window, target=targets, perturbations_per_eval=held)
        return maps.detach().numpy()

    return Work(call=call)
