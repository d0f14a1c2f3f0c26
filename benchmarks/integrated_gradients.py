"""Integrated gradients of 256 examples in 50 steps, of a function that nothing is known of.

``captum`` is given the whole batch, 50 steps and its default of no chunks. The limit is the
four products that a gradient at 50 points takes.
"""

from typing import Any

from benchmarks import _attribution as common
from benchmarks._harness import Benchmark, Entry, Work

EXAMPLES, STEPS = 256, 50
CHUNK = 5  # as our own default; more at a time made the products no faster


def benchmark() -> Benchmark:
    return Benchmark(
        name="integrated-gradients",
        ours=Entry(make=ours),
        others={"captum": Entry(make=captum, needs=("torch", "captum"))},
        limit=Entry(make=limit),
        shapes={"examples": EXAMPLES, "steps": STEPS, "sizes": "-".join(map(str, common.SIZES))},
    )


def ours() -> Work:
    from jaxnn.analysis import attribution

    return common.ours(lambda f, x: attribution.integrated_gradients(f, x, steps=STEPS), EXAMPLES)


def limit() -> Work:
    return common.products(EXAMPLES * STEPS, EXAMPLES * CHUNK, gradient=True)


def captum() -> Work:
    from captum.attr import IntegratedGradients

    network, x, targets = common.torch_setting(EXAMPLES)
    method: Any = IntegratedGradients(network)

    def call() -> Any:
        maps = method.attribute(x, target=targets, n_steps=STEPS)
        return maps.detach().numpy()

    return Work(call=call)
