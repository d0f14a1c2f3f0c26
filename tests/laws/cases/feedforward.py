"""Rows of ``layers.feedforward``."""

import jax
import jax.numpy as jnp

from jaxnn.layers import feedforward
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.feedforward"
X = jnp.ones((2, 3))

CASES = [
    Case(
        name=f"{HOME}.dense",
        function=feedforward.dense,
        inputs=lambda key: normal(key, (5, 3), (3, 4), (4,)),
        parity="tests/layers/feedforward/test_dense.py",
        rejects=(
            Reject(
                call=lambda: feedforward.dense(X, jnp.ones((4, 5))),
                error=ValueError,
                match=r"dense: `x` is .*\(2, 3\).* needs a last axis of 4",
            ),
            Reject(
                call=lambda: feedforward.dense(X, jnp.ones((3, 5)), jnp.ones(4)),
                error=ValueError,
                match=r"dense: `bias` is .*needs shape \(5,\)",
            ),
            Reject(
                call=lambda: feedforward.dense(X.astype(int), jnp.ones((3, 5))),
                error=TypeError,
                match=r"dense: `x` .*floating-point",
            ),
        ),
    ),
    module_case(
        f"{HOME}.Dense",
        feedforward.Dense(4),
        shape=(5, 3),
        parity="tests/layers/feedforward/test_dense.py",
        equals={
            "dense": lambda v, x: feedforward.dense(x, v["params"]["kernel"], v["params"]["bias"])
        },
        rejects=(
            Reject(
                call=lambda: feedforward.Dense(0).init(jax.random.key(0), X),
                error=ValueError,
                match="Dense: `features` is 0; it needs a finite number above zero",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.feed_forward",
        function=feedforward.feed_forward,
        inputs=lambda key: normal(key, (5, 3), (3, 8), (8,), (8, 3), (3,)),
        parity="tests/layers/feedforward/test_feed_forward.py",
        rejects=(
            Reject(
                call=lambda: feedforward.feed_forward(X, jnp.ones((4, 5)), None, X, None),
                error=ValueError,
                match="dense: `x` .* needs a last axis of 4",
            ),
        ),
    ),
    module_case(
        f"{HOME}.FeedForward",
        feedforward.FeedForward(8),
        shape=(5, 3),
        parity="tests/layers/feedforward/test_feed_forward.py",
        equals={
            "feed_forward": lambda v, x: feedforward.feed_forward(
                x,
                v["params"]["up"]["kernel"],
                v["params"]["up"]["bias"],
                v["params"]["down"]["kernel"],
                v["params"]["down"]["bias"],
            )
        },
        rejects=(
            Reject(
                call=lambda: feedforward.FeedForward(-1).init(jax.random.key(0), X),
                error=ValueError,
                match="FeedForward: `hidden_features` is -1",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.gated_feed_forward",
        function=feedforward.gated_feed_forward,
        inputs=lambda key: normal(key, (5, 3), (3, 8), (3, 8), (8, 3)),
        parity="tests/layers/feedforward/test_gated.py",
        rejects=(
            Reject(
                call=lambda: feedforward.gated_feed_forward(X, jnp.ones((4, 5)), X, X),
                error=ValueError,
                match="dense: `x` .* needs a last axis of 4",
            ),
        ),
    ),
    module_case(
        f"{HOME}.GatedFeedForward",
        feedforward.GatedFeedForward(8),
        shape=(5, 3),
        parity="tests/layers/feedforward/test_gated.py",
        equals={
            "gated_feed_forward": lambda v, x: feedforward.gated_feed_forward(
                x,
                v["params"]["gate"]["kernel"],
                v["params"]["up"]["kernel"],
                v["params"]["down"]["kernel"],
            )
        },
        rejects=(
            Reject(
                call=lambda: feedforward.GatedFeedForward(4).init(jax.random.key(0), X > 0),
                error=TypeError,
                match="GatedFeedForward: `x` .*floating-point",
            ),
        ),
    ),
]
