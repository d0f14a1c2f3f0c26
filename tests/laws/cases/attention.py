"""Rows of ``layers.attention``."""

import jax
import jax.numpy as jnp

from jaxnn.layers import attention
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.attention"
Q, K = jnp.ones((3, 4, 2)), jnp.ones((5, 4, 2))
X = jnp.ones((2, 3, 8))


def inputs(key):
    """Three queries and four keys, of four and two heads, with a bias."""
    return normal(key, (2, 3, 4, 6), (2, 4, 2, 6), (2, 4, 2, 6), (2, 4, 3, 4))


def masked(function):
    """Fix a mask that leaves the first query nothing, and pass the bias."""
    mask = jnp.array([[False] * 4, [True, False, True, True], [True] * 4])
    return lambda query, key, value, bias: function(query, key, value, mask=mask, bias=bias)


def projected(v, x):
    """Do by hand what the module does, with the plain function of ``jax.nn``."""
    p = v["params"]
    heads = [
        (x @ p[n]["kernel"] + p[n]["bias"][None, None]).reshape(2, 5, 2, 4)
        for n in ("query", "key", "value")
    ]
    y = jax.nn.dot_product_attention(*heads).reshape(2, 5, 8)
    return y @ p["out"]["kernel"] + p["out"]["bias"][None, None]


def rejects(function, name):
    return (
        Reject(
            call=lambda: function(Q, K, K[1:]),
            error=ValueError,
            match=rf"{name}: `value` is .*\(4, 4, 2\).* needs shape \(5, 4, .*shifted",
        ),
        Reject(
            call=lambda: function(Q, K[..., :1], K),
            error=ValueError,
            match=rf"{name}: `key` is .*\(5, 4, 1\).* needs shape \('keys', 'heads', 2\)",
        ),
        Reject(
            call=lambda: function(Q, K[:, :3], K[:, :3]),
            error=ValueError,
            match=rf"{name}: `key` .* a number of heads that divides the 4",
        ),
        Reject(
            call=lambda: function(Q, K, K, mask=jnp.ones((3, 5))),
            error=TypeError,
            match=rf"{name}: `mask` has dtype float32; it needs booleans",
        ),
        Reject(
            call=lambda: function(Q, K, K, mask=jnp.ones((5, 3), bool)),
            error=ValueError,
            match=rf"{name}: `mask` is .*\(5, 3\).* broadcasts to \(4, 3, 5\)",
        ),
        Reject(
            call=lambda: function(Q, K, K, bias=jnp.ones((2, 3, 5))),
            error=ValueError,
            match=rf"{name}: `bias` is .*\(2, 3, 5\).* broadcasts to \(4, 3, 5\)",
        ),
        Reject(
            call=lambda: function(Q, K, K, dropout_rate=0.5),
            error=TypeError,
            match=rf"{name}.*: `key` is None; it needs a random key",
        ),
    )


CASES = [
    Case(
        name=f"{HOME}.dot_product_attention",
        function=masked(attention.dot_product_attention),
        inputs=inputs,
        parity="tests/layers/attention/test_dot_product.py",
        equals={"jax.nn": masked(jax.nn.dot_product_attention)},
        rejects=rejects(attention.dot_product_attention, "dot_product_attention"),
    ),
    Case(
        name=f"{HOME}.sigmoid_attention",
        function=masked(attention.sigmoid_attention),
        inputs=inputs,
        parity="tests/layers/attention/test_sigmoid.py",
        rejects=(
            *rejects(attention.sigmoid_attention, "sigmoid_attention"),
            Reject(
                call=lambda: attention.sigmoid_attention(Q, K, K, logit_bias=jnp.ones(4)),  # pyright: ignore
                error=ValueError,
                match="sigmoid_attention: `logit_bias` is .* Pass an array as `bias`",
            ),
        ),
    ),
    module_case(
        f"{HOME}.MultiHeadAttention",
        attention.MultiHeadAttention(2),
        shape=(2, 5, 8),
        parity="tests/layers/attention/test_multi_head.py",
        equals={"jax.nn between projections": projected},
        rejects=(
            Reject(
                call=lambda: attention.MultiHeadAttention(3).init(jax.random.key(0), X),
                error=ValueError,
                match="MultiHeadAttention: `num_heads` is 3; it needs a divisor of the 8",
            ),
            Reject(
                call=lambda: attention.MultiHeadAttention(4, num_key_value_heads=3).init(
                    jax.random.key(0), X
                ),
                error=ValueError,
                match="MultiHeadAttention: `num_key_value_heads` is 3; it needs a divisor",
            ),
            Reject(
                call=lambda: attention.MultiHeadAttention(2).init(jax.random.key(0), X, X[0]),
                error=ValueError,
                match=r"MultiHeadAttention: `context` is .*needs shape \(2, 'keys'",
            ),
        ),
    ),
]
