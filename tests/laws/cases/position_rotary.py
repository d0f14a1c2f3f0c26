"""Rows of the frequencies of rotary positions."""

import jax
import jax.numpy as jnp

from jaxnn.layers import position
from tests.laws.case import Case, Reject

HOME = "layers.position"
PARITY = "tests/layers/position/test_frequencies.py"
NO_ARRAYS = "takes no arrays, only sizes and factors"
EXEMPT = dict.fromkeys(("vmap", "gradients", "extremes", "bfloat16"), NO_ARRAYS)


def row(name, *bad, **options):
    """Make the row of a function of static numbers; ``bad`` are its misuses and what they say."""
    function = getattr(position, name)
    rejects = [
        Reject(call=lambda call=call: call(function), error=ValueError, match=f"{name}: {match}")
        for call, match in bad
    ]
    return Case(
        name=f"{HOME}.{name}",
        function=lambda: function(8, **options),
        inputs=lambda key: (),
        parity=PARITY,
        rejects=tuple(rejects),
        exempt=EXEMPT,
    )


CASES = [
    row(
        "rotary_frequencies",
        (lambda f: f(3), "`width` is 3; it needs an even number"),
        (lambda f: f(4, base=0.0), "`base` is 0.0; it needs a finite number above zero"),
    ),
    row(
        "interpolated_frequencies",
        (lambda f: f(4, factor=0.5), "`factor` is 0.5; it needs a number of at least one"),
        factor=2.0,
    ),
    row(
        "ntk_frequencies",
        (lambda f: f(2, factor=2.0), "`width` is 2; it needs at least four"),
        factor=2.0,
    ),
    row(
        "yarn_frequencies",
        (
            lambda f: f(8, factor=2.0, original_length=64, fast=1.0, slow=2.0),
            "`fast` is 1.0; it needs more turns than `slow`",
        ),
        factor=2.0,
        original_length=64,
    ),
    row(
        "llama3_frequencies",
        (
            lambda f: f(8, high_factor=1.0),
            "`high_factor` is 1.0; it needs more turns than `low_factor`",
        ),
    ),
    Case(
        name=f"{HOME}.dynamic_ntk_frequencies",
        function=lambda length: position.dynamic_ntk_frequencies(8, length, original_length=2),
        inputs=lambda key: (4 + 8 * jax.random.uniform(key),),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: position.dynamic_ntk_frequencies(8, 9, original_length=0),
                error=ValueError,
                match="dynamic_ntk_frequencies: `original_length` is 0; it needs",
            ),
        ),
        exempt={
            "gradients": "computed in float32 whatever the length's dtype",
            "bfloat16": "frequencies are float32 whatever the length's dtype",
        },
    ),
    Case(
        name=f"{HOME}.yarn_attention_factor",
        function=lambda: jnp.asarray(position.yarn_attention_factor(4.0)),
        inputs=lambda key: (),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: position.yarn_attention_factor(0.5),
                error=ValueError,
                match="yarn_attention_factor: `factor` is 0.5; it needs a number of at least one",
            ),
        ),
        exempt=EXEMPT,
    ),
]
