"""Rows of ``layers.position``."""

import jax
import jax.numpy as jnp

from jaxnn.layers import position
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.position"
X = jnp.ones((2, 3, 1, 4))
NO_ARRAYS = "takes no arrays, only a number of heads"

CASES = [
    Case(
        name=f"{HOME}.sinusoidal_embedding",
        function=lambda positions: position.sinusoidal_embedding(positions, 6),
        inputs=lambda key: normal(key, (5,)),
        parity="tests/layers/position/test_sinusoidal.py",
        rejects=(
            Reject(
                call=lambda: position.sinusoidal_embedding(jnp.arange(3), 5),
                error=ValueError,
                match=r"sinusoidal_embedding: `features` is 5; it needs an even number",
            ),
            Reject(
                call=lambda: position.sinusoidal_embedding(3, 4),  # pyright: ignore
                error=TypeError,
                match=r"sinusoidal_embedding: `positions` is 3; it needs a JAX or NumPy array",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.sinusoidal_embedding_2d",
        function=lambda rows, columns: position.sinusoidal_embedding_2d(rows, columns, 8),
        inputs=lambda key: normal(key, (3, 4), (3, 4)),
        parity="tests/layers/position/test_sinusoidal.py",
        rejects=(
            Reject(
                call=lambda: position.sinusoidal_embedding_2d(jnp.ones(3), jnp.ones(3), 6),
                error=ValueError,
                match=r"sinusoidal_embedding_2d: `features` is 6; it needs a multiple of four",
            ),
            Reject(
                call=lambda: position.sinusoidal_embedding_2d(jnp.ones(3), jnp.ones(4), 8),
                error=ValueError,
                match=r"sinusoidal_embedding_2d: `columns` is .*\(4,\).* needs shape \(3,\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.rotary_embedding",
        function=position.rotary_embedding,
        inputs=lambda key: normal(key, (2, 3, 2, 4), (3,)),
        parity="tests/layers/position/test_rotary.py",
        rejects=(
            Reject(
                call=lambda: position.rotary_embedding(X[..., :3], jnp.arange(3)),
                error=ValueError,
                match=r"rotary_embedding: `x` .* needs an even width",
            ),
            Reject(
                call=lambda: position.rotary_embedding(X, jnp.arange(4)),
                error=ValueError,
                match=r"rotary_embedding: `positions` is .*\(4,\).* needs shape \(3,\) or \(2, 3\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.alibi_slopes",
        function=lambda: position.alibi_slopes(6),
        inputs=lambda key: (),
        parity="tests/layers/position/test_alibi.py",
        rejects=(
            Reject(
                call=lambda: position.alibi_slopes(0),
                error=ValueError,
                match="alibi_slopes: `num_heads` is 0; it needs a finite number above zero",
            ),
            Reject(
                call=lambda: position.alibi_slopes(2.5),  # pyright: ignore
                error=ValueError,
                match=r"alibi_slopes: `num_heads` is 2.5; it needs a whole number",
            ),
        ),
        exempt=dict.fromkeys(("vmap", "gradients", "extremes", "bfloat16"), NO_ARRAYS),
    ),
    Case(
        name=f"{HOME}.alibi_bias",
        function=position.alibi_bias,
        inputs=lambda key: normal(key, (2, 3), (2, 4), (5,)),
        parity="tests/layers/position/test_alibi.py",
        rejects=(
            Reject(
                call=lambda: position.alibi_bias(jnp.arange(3), jnp.ones((2, 3)), jnp.ones(2)),
                error=ValueError,
                match=r"alibi_bias: `key_positions` is .*needs leading axes \(\)",
            ),
            Reject(
                call=lambda: position.alibi_bias(jnp.arange(3), jnp.arange(3), jnp.ones((2, 1))),
                error=ValueError,
                match=r"alibi_bias: `slopes` is .*needs shape \(heads,\)",
            ),
        ),
    ),
    module_case(
        f"{HOME}.PositionEmbedding",
        position.PositionEmbedding(6),
        shape=(2, 5, 3),
        parity="tests/layers/position/test_learned.py",
        equals={"a sum": lambda v, x: x + v["params"]["embedding"][None, :5]},
        rejects=(
            Reject(
                call=lambda: position.PositionEmbedding(2).init(jax.random.key(0), X[..., 0]),
                error=ValueError,
                match="PositionEmbedding: `x` .* needs at most 2 time steps",
            ),
            Reject(
                call=lambda: position.PositionEmbedding(5).init(
                    jax.random.key(0), X[..., 0], jnp.arange(4)
                ),
                error=ValueError,
                match="PositionEmbedding: `positions` .* one per time step",
            ),
        ),
    ),
]
