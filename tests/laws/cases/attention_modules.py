"""Rows of the attentions that change what queries, keys and values are made of."""

import jax
import jax.numpy as jnp

from jaxnn.layers import attention
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.attention"
X = jnp.ones((2, 3, 8))


def temperatures(key):
    """Draw f and α for three tokens and two heads."""
    return normal(key, (2, 3, 2), (2,))


CASES = [
    Case(
        name=f"{HOME}.selective_temperature",
        function=lambda f, a: attention.selective_temperature(f, jnp.array([4, 0, 2]), a),
        inputs=temperatures,
        parity="tests/layers/attention/test_selective.py",
        rejects=(
            Reject(
                call=lambda: attention.selective_temperature(X, jnp.arange(2), X[0, 0]),
                error=ValueError,
                match=r"selective_temperature: `positions` .*needs shape \(3,\) or \(2, 3\)",
            ),
            Reject(
                call=lambda: attention.selective_temperature(X, jnp.arange(3), X[0]),
                error=ValueError,
                match=r"selective_temperature: `position_logit` .*needs shape \(8,\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.collinear_query_key",
        function=attention.collinear_query_key,
        inputs=lambda key: normal(key, (2, 3, 2, 4), (2, 5, 2, 2)),
        parity="tests/layers/attention/test_collinear.py",
        rejects=(
            Reject(
                call=lambda: attention.collinear_query_key(X, X),
                error=ValueError,
                match=r"collinear_query_key: `scale` .*half the width of `query`",
            ),
            Reject(
                call=lambda: attention.collinear_query_key(X[..., :3], X),
                error=ValueError,
                match="collinear_query_key: `query` .*needs an even width",
            ),
        ),
    ),
    module_case(
        f"{HOME}.SelectiveAttention",
        attention.SelectiveAttention(2, share_heads=False),
        shape=(2, 3, 8),
        parity="tests/layers/attention/test_selective.py",
        rejects=(
            Reject(
                call=lambda: attention.SelectiveAttention(3).init(jax.random.key(0), X),
                error=ValueError,
                match="SelectiveAttention: `num_heads` is 3; it needs a divisor of the 8",
            ),
        ),
    ),
    module_case(
        f"{HOME}.CollinearAttention",
        attention.CollinearAttention(2),
        shape=(2, 3, 8),
        parity="tests/layers/attention/test_collinear.py",
        rejects=(
            Reject(
                call=lambda: attention.CollinearAttention(2, rotary=None).init(
                    jax.random.key(0), X
                ),
                error=ValueError,
                match="CollinearAttention: `rotary` is None; it needs rotary positions",
            ),
        ),
    ),
    module_case(
        f"{HOME}.InteractingLayer",
        attention.InteractingLayer(2, 4),
        shape=(2, 3, 8),
        parity="tests/layers/attention/test_interacting.py",
        rejects=(
            Reject(
                call=lambda: attention.InteractingLayer(3).init(jax.random.key(0), X),
                error=ValueError,
                match="InteractingLayer: `num_heads` is 3; it needs a divisor of the 8",
            ),
        ),
    ),
]
