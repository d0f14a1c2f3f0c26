"""Row of clipped softmax attention."""

import functools

import jax
import jax.numpy as jnp

from jaxnn.layers import attention
from tests.laws.case import Case, Reject
from tests.laws.cases.attention import HOME, K, Q, inputs, masked, rejects

function = attention.clipped_softmax_attention
# Cut at both ends, and at zero for some weights only.
clipped = functools.partial(function, zeta=1.05, gamma=-0.05)


def by_hand(query, key, value, *, mask, bias):
    """Clip the weights of ``jax.nn``, read by giving each key its own unit as value."""
    keys, heads, width = key.shape[-3:]
    unit = jnp.broadcast_to(jnp.eye(keys, width)[None, :, None], key.shape).astype(key.dtype)
    weights = jax.nn.dot_product_attention(query, key, unit, mask=mask, bias=bias)[..., :keys]
    shared = jnp.repeat(value, query.shape[-2] // heads, axis=-2)
    return jnp.einsum("bqhk,bkhd->bqhd", jnp.clip(1.1 * weights - 0.05, 0, 1), shared)


CASES = [
    Case(
        name=f"{HOME}.clipped_softmax_attention",
        function=masked(clipped),
        inputs=inputs,
        parity="tests/layers/attention/test_clipped.py",
        equals={"jax.nn, clipped": masked(by_hand)},
        rejects=(
            *rejects(function, "clipped_softmax_attention"),
            Reject(
                call=lambda: function(Q, K, K, zeta=0.9),
                error=ValueError,
                match=r"clipped_softmax_attention: `zeta` is 0.9; it needs a finite .* least 1",
            ),
            Reject(
                call=lambda: function(Q, K, K, gamma=0.1),
                error=ValueError,
                match=r"clipped_softmax_attention: `gamma` is 0.1; it needs .* at most 0",
            ),
            Reject(
                call=lambda: function(Q, K, K, alpha=-1.0),
                error=ValueError,
                match=r"clipped_softmax_attention: `alpha` is -1.0; it needs .* at least 0",
            ),
        ),
    ),
]
