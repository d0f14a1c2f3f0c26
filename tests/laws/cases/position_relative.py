"""Rows of relative positions in buckets."""

import jax
import jax.numpy as jnp

from jaxnn.layers import position
from tests.laws.case import Case, Reject

HOME = "layers.position"
STEPS = jnp.arange(5)
WHOLE = "whole numbers in, whole numbers out"


def table_alone(variables):
    """Bias by a sum over buckets instead of by reading the table."""
    bucket = position.relative_position_bucket(STEPS[None, :] - STEPS[:, None])
    chosen = (bucket[..., None] == jnp.arange(32)[None, None]).astype(jnp.float32)
    return jnp.einsum("qkb,bh->hqk", chosen, variables["params"]["embedding"])


CASES = [
    Case(
        name=f"{HOME}.relative_position_bucket",
        function=position.relative_position_bucket,
        inputs=lambda key: (jax.random.randint(key, (3, 4), -200, 200),),
        parity="tests/layers/position/test_relative.py",
        rejects=(
            Reject(
                call=lambda: position.relative_position_bucket(jnp.ones(3)),  # pyright: ignore
                error=TypeError,
                match="relative_position_bucket: `relative_positions` has dtype float32",
            ),
            Reject(
                call=lambda: position.relative_position_bucket(STEPS, num_buckets=7),
                error=ValueError,
                match="relative_position_bucket: `num_buckets` is 7; it needs at least two",
            ),
            Reject(
                call=lambda: position.relative_position_bucket(STEPS, max_distance=8),
                error=ValueError,
                match="relative_position_bucket: `max_distance` is 8; it needs .* beyond the 8",
            ),
        ),
        exempt=dict.fromkeys(("gradients", "extremes", "bfloat16"), WHOLE),
    ),
    Case(
        name=f"{HOME}.RelativePositionBias",
        function=lambda variables: position.RelativePositionBias(3).apply(variables, STEPS, STEPS),
        inputs=lambda key: (position.RelativePositionBias(3).init(key, STEPS, STEPS),),
        parity="tests/layers/position/test_relative.py",
        equals={"a sum over buckets": table_alone},
        rejects=(
            Reject(
                call=lambda: position.RelativePositionBias(3).init(
                    jax.random.key(0), STEPS, STEPS[None]
                ),
                error=ValueError,
                match=r"RelativePositionBias: `key_positions` is .*needs leading axes \(\)",
            ),
            Reject(
                call=lambda: position.RelativePositionBias(0).init(jax.random.key(0), STEPS, STEPS),
                error=ValueError,
                match="RelativePositionBias: `num_heads` is 0; it needs a whole number above zero",
            ),
        ),
    ),
]
