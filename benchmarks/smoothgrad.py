"""The gradient averaged over 50 noisy copies of 256 examples.

``captum`` is its NoiseTunnel around Saliency, with its default of all copies at once;
``captum-chunks`` holds 5 at a time, as ours does. Noise differs, so that the witness is the
same work with noise too small to see. The limit is the four products of each gradient.
"""

from functools import partial
from typing import Any

import jax

from benchmarks import _attribution as common
from benchmarks._harness import Benchmark, Entry, Work

EXAMPLES, SAMPLES, STDEV, NEXT_TO_NONE = 256, 50, 0.1, 1e-7
PEER = ("torch", "captum")


def benchmark() -> Benchmark:
    return Benchmark(
        name="smoothgrad",
        ours=Entry(make=ours),
        others={
            "captum": Entry(make=partial(captum, SAMPLES), needs=PEER),
            "captum-chunks": Entry(make=partial(captum, 5), needs=PEER),
        },
        limit=Entry(make=partial(common.products, EXAMPLES * SAMPLES, EXAMPLES * 5, gradient=True)),
        tolerance=1e-3,
        shapes={"examples": EXAMPLES, "samples": SAMPLES},
    )


def ours() -> Work:
    from jaxnn.analysis import attribution

    smoothed = attribution.smooth(attribution.gradient)

    def run(stdev: float) -> Any:
        return common.vmapped(
            lambda f, x, key: smoothed(f, x, key=key, stdev=stdev, samples=SAMPLES),
            EXAMPLES,
            jax.random.key(0),
        )

    return Work(call=run(STDEV), witness=run(NEXT_TO_NONE))


def captum(chunk: int) -> Work:
    from captum.attr import NoiseTunnel, Saliency

    network, x, targets = common.torch_setting(EXAMPLES)
    method: Any = NoiseTunnel(Saliency(network))

    def run(stdev: float) -> Any:
        return (
            method.attribute(
                x.clone().requires_grad_(),
                target=targets,
                nt_type="smoothgrad",
                nt_samples=SAMPLES,
                nt_samples_batch_size=chunk,
                stdevs=stdev,
                abs=False,
            )
            .detach()
            .numpy()
        )

    return Work(call=partial(run, STDEV), witness=partial(run, NEXT_TO_NONE))
