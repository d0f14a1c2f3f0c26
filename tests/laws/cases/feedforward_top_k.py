"""Rows of ``layers.feedforward``: the block of the k largest units."""

import functools

import jax
import jax.numpy as jnp

from jaxnn.layers import feedforward
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.feedforward"
PARITY = "tests/layers/feedforward/test_top_k.py"
X = jnp.ones((2, 3))
block = functools.partial(feedforward.top_k_feed_forward, k=3)

CASES = [
    Case(
        name=f"{HOME}.keep_top_k",
        function=lambda h: feedforward.keep_top_k(h, 3),
        inputs=lambda key: normal(key, (5, 8)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: feedforward.keep_top_k(X, 4),
                error=ValueError,
                match="keep_top_k: `k` is 4; it needs at most 3, the number of units",
            ),
            Reject(
                call=lambda: feedforward.keep_top_k(X, 0),
                error=ValueError,
                match="keep_top_k: `k` is 0; it needs a whole number above zero",
            ),
            Reject(
                call=lambda: feedforward.keep_top_k(X > 0, 2),
                error=TypeError,
                match="keep_top_k: `h` .*floating-point",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.top_k_feed_forward",
        function=functools.partial(block, compute="gathered"),
        inputs=lambda key: normal(key, (5, 3), (3, 8), (8,), (8, 3), (3,)),
        parity=PARITY,
        equals={"dense": functools.partial(block, compute="dense")},
        rejects=(
            Reject(
                call=lambda: block(X, jnp.ones((4, 5)), None, X, None),
                error=ValueError,
                match="dense: `x` .* needs a last axis of 4",
            ),
            Reject(
                call=lambda: block(X, X.T, None, X, None),
                error=ValueError,
                match="top_k_feed_forward: `k` is 3; it needs at most 2",
            ),
            Reject(
                call=lambda: block(X, X.T @ X, None, X.T, None, compute="sparse"),
                error=ValueError,
                match="top_k_feed_forward: `compute` is 'sparse'; it needs None",
            ),
            Reject(
                call=lambda: block(X[:1], X.T @ X, None, X.T, jnp.ones(3), compute="gathered"),
                error=ValueError,
                match=r"top_k_feed_forward: `down_bias` is .* needs shape \(2,\)",
            ),
        ),
    ),
    module_case(
        f"{HOME}.TopKFeedForward",
        feedforward.TopKFeedForward(3, 8, activation=jax.nn.gelu),
        shape=(5, 3),
        parity=PARITY,
        equals={
            "top_k_feed_forward": lambda v, x: block(
                x,
                v["params"]["up"]["kernel"],
                v["params"]["up"]["bias"],
                v["params"]["down"]["kernel"],
                v["params"]["down"]["bias"],
                activation=jax.nn.gelu,
            )
        },
        rejects=(
            Reject(
                call=lambda: feedforward.TopKFeedForward(9, 8).init(jax.random.key(0), X),
                error=ValueError,
                match="TopKFeedForward: `k` is 9; it needs at most 8",
            ),
        ),
    ),
]
