"""Row of ``layers.attention.blockwise_attention``."""

import functools

import jax.numpy as jnp

from jaxnn.layers import attention
from tests.laws.case import Case, Reject
from tests.laws.makers import normal

Q, K = jnp.ones((3, 4, 2)), jnp.ones((5, 4, 2))
NAME = "blockwise_attention"

blockwise = functools.partial(attention.blockwise_attention, query_block=2, key_block=3)


def masked(function):
    """Fix a mask that leaves the first query nothing, and pass the bias."""
    mask = jnp.array([[False] * 4, [True, False, True, True], [True] * 4])
    return lambda query, key, value, bias: function(query, key, value, mask=mask, bias=bias)


CASES = [
    Case(
        name=f"layers.attention.{NAME}",
        function=masked(blockwise),
        inputs=lambda key: normal(key, (2, 3, 4, 6), (2, 4, 2, 6), (2, 4, 2, 6), (2, 4, 3, 4)),
        parity="tests/layers/attention/test_blockwise.py",
        equals={"the plain form": masked(attention.dot_product_attention)},
        rejects=(
            Reject(
                call=lambda: attention.blockwise_attention(Q, K, K[1:]),
                error=ValueError,
                match=rf"{NAME}: `value` is .*\(4, 4, 2\).* needs shape \(5, 4, .*shifted",
            ),
            Reject(
                call=lambda: attention.blockwise_attention(Q, K, K, key_block=0),
                error=ValueError,
                match=f"{NAME}: `key_block` is 0; it needs a whole number above zero",
            ),
            Reject(
                call=lambda: attention.blockwise_attention(Q, K, K, window=1.5),  # pyright: ignore
                error=ValueError,
                match=f"{NAME}: `window` is 1.5; it needs a whole number above zero",
            ),
            Reject(
                call=lambda: attention.blockwise_attention(Q, K, K, mask=jnp.ones((3, 5))),
                error=TypeError,
                match=f"{NAME}: `mask` has dtype float32; it needs booleans",
            ),
        ),
    ),
]
