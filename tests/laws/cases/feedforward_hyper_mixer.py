"""Rows of ``layers.feedforward``: HyperMixer."""

import jax
import jax.numpy as jnp

from jaxnn.layers import feedforward
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.feedforward"
PARITY = "tests/layers/feedforward/test_hyper_mixer.py"
X, W = jnp.ones((4, 2, 3)), jnp.ones((4, 2, 5))


def init(module, *, shape=(4, 6), **options):
    return module.init(jax.random.key(0), jnp.ones(shape), **options)


CASES = [
    Case(
        name=f"{HOME}.hyper_mixing",
        function=feedforward.hyper_mixing,
        inputs=lambda key: normal(key, (4, 2, 3), (4, 2, 5), (4, 2, 5)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: feedforward.hyper_mixing(X, W[:3], W),
                error=ValueError,
                match=r"hyper_mixing: `in_weights` is .* needs shape \(4, 2, 'hidden'\)",
            ),
            Reject(
                call=lambda: feedforward.hyper_mixing(X, W, W[..., :4]),
                error=ValueError,
                match="hyper_mixing: `out_weights` is .* needs 5 hidden units",
            ),
            Reject(
                call=lambda: feedforward.hyper_mixing(X, W, W, mask=jnp.ones((4, 4), bool)),
                error=ValueError,
                match=r"hyper_mixing: `mask` is .*\(1, 1, 4\): all tokens read the same ones",
            ),
            Reject(
                call=lambda: feedforward.hyper_mixing(X, W, W, mask=jnp.ones((1, 1, 4))),
                error=TypeError,
                match="hyper_mixing: `mask` has dtype float32; it needs booleans",
            ),
        ),
    ),
    module_case(
        f"{HOME}.HyperMixer",
        feedforward.HyperMixer(2, 8),
        shape=(4, 6),
        parity=PARITY,
        extreme=1e2,  # the result is of fourth degree before it is normalised
        rejects=(
            Reject(
                call=lambda: init(feedforward.HyperMixer(4)),
                error=ValueError,
                match="HyperMixer: `num_heads` is 4; it needs a divisor of the 6 features",
            ),
            Reject(
                call=lambda: init(feedforward.HyperMixer(), bias=jnp.ones((4, 4))),
                error=ValueError,
                match="HyperMixer: `bias` is .* needs None",
            ),
            Reject(
                call=lambda: init(feedforward.HyperMixer(), is_causal=True),
                error=ValueError,
                match="HyperMixer: `is_causal` is True; it needs False",
            ),
        ),
    ),
]
