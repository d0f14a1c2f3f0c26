"""Rows of ``layers.attention``: relative distances, and memory that is compressed."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.layers import attention
from jaxnn.layers.attention import MemorySlots
from tests.laws.case import Case, Plain, Reject
from tests.laws.cases.attention import HOME, K, Q, X
from tests.laws.makers import module_case, normal

RELATIVE = "tests/layers/attention/test_relative.py"
MEMORY = "tests/layers/attention/test_memory.py"
COMPRESSIVE = "tests/layers/attention/test_compressive.py"
R, B = jnp.ones((5, 4, 2)), jnp.ones((4, 2))
FULL = MemorySlots(jnp.ones((2, 6, 4)), jnp.ones((2, 6), bool), jnp.zeros((2, 6)))
VALID = jnp.array([True, True, False, False, True, False, True])
SHORT = r"`slots` is .* needs at least 7 slots, which make one"


def related(key):
    """Three queries and five keys, of four and two heads, five distances and both biases."""
    return normal(key, (2, 3, 4, 6), (2, 5, 2, 6), (2, 5, 2, 6), (5, 4, 6), (4, 6), (4, 6))


def remembered(key):
    """Seven states, two of them empty for good."""
    return (jax.random.normal(key, (7, 4)),)


def slots(states):
    return MemorySlots(states, VALID, jnp.zeros(7, states.dtype))


def compressed(function):
    """Take states alone, as what is valid has no gradient."""
    return lambda states, *rest: function(slots(states), *rest)


def pushed(states, new):
    memory = slots(states)
    return attention.memory_push(memory, MemorySlots(new, VALID[:3], memory.usage[:3]))


def pushed_by_hand(states, new):
    joined = jnp.concatenate([states, new])
    valid = jnp.concatenate([VALID, VALID[:3]])
    usage = jnp.zeros(10, states.dtype)
    return (
        MemorySlots(joined[3:], valid[3:], usage[3:]),
        MemorySlots(joined[:3], valid[:3], usage[:3]),
    )


def used(states, usage):
    most = functools.partial(attention.most_used_compression, rate=3)
    return most(MemorySlots(states, VALID, usage))


class Read(attention.CompressiveAttention):
    """The module reading two segments, as one function of both."""

    def apply(self, variables, x, **options):
        first, second = x[..., :4, :], x[..., 4:, :]
        _, after = super().apply(variables, first, mutable=["memory"])
        variables = {**variables, **after}
        y, after = super().apply(variables, second, mutable=["memory"], **options)
        slots: Any = after["memory"]["compressed"]
        return y, slots.states


CASES = [
    Case(
        name=f"{HOME}.relative_shift",
        function=attention.relative_shift,
        inputs=lambda key: normal(key, (2, 3, 5)),
        parity=RELATIVE,
        rejects=(
            Reject(
                call=lambda: attention.relative_shift(jnp.ones(3)),
                error=ValueError,
                match=r"relative_shift: `logits` .* needs shape \(\*batch, queries, distances\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.relative_attention",
        function=functools.partial(attention.relative_attention, is_causal=True),
        inputs=related,
        parity=RELATIVE,
        rejects=(
            Reject(
                call=lambda: attention.relative_attention(K, Q, Q, R, B, B),
                error=ValueError,
                match="relative_attention: `key` is .* needs at least the 5 positions of `query`",
            ),
            Reject(
                call=lambda: attention.relative_attention(Q, K, K, R, B, B),
                error=ValueError,
                match=r"`distance_key` is .* needs shape \(7, 4, 2\), a row for .* 4 \.\.\. -2",
            ),
            Reject(
                call=lambda: attention.relative_attention(Q, K, K, R, B, B[0], is_causal=True),
                error=ValueError,
                match=r"relative_attention: `position_bias` is .* needs shape \(4, 2\)",
            ),
        ),
    ),
    Plain(
        name=f"{HOME}.MemorySlots",
        reason="a named tuple of arrays",
        parity=MEMORY,
    ),
    Case(
        name=f"{HOME}.memory_init",
        function=lambda x: attention.memory_init(x.shape[:1], 3, x.shape[1]),
        inputs=lambda key: normal(key, (2, 4)),
        parity=MEMORY,
        exempt=dict.fromkeys(
            ("gradients", "extremes", "bfloat16"), "the result is empty, whatever is read"
        ),
        rejects=(
            Reject(
                call=lambda: attention.memory_init((2,), -1, 4),
                error=ValueError,
                match="memory_init: `slots` is -1; it needs a whole number of at least 0",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.memory_push",
        function=pushed,
        inputs=lambda key: normal(key, (7, 4), (3, 4)),
        parity=MEMORY,
        equals={"slices of what is joined": pushed_by_hand},
        rejects=(
            Reject(
                call=lambda: attention.memory_push(FULL, X),  # pyright: ignore
                error=TypeError,
                match="memory_push: `new` is ArrayImpl; it needs MemorySlots",
            ),
            Reject(
                call=lambda: attention.memory_push(FULL, FULL._replace(valid=FULL.valid[:, 1:])),
                error=ValueError,
                match=r"memory_push: `new.valid` is .* needs shape \(2, 6\)",
            ),
            Reject(
                call=lambda: attention.memory_push(attention.memory_init((2,), 3, 5), FULL),
                error=ValueError,
                match=r"memory_push: `new` is .* needs states of shape \(2, 'slots', 5\)",
            ),
        ),
    ),
    *(
        Case(
            name=f"{HOME}.{name}",
            function=compressed(functools.partial(getattr(attention, name), rate=2)),
            inputs=remembered,
            parity=MEMORY,
            rejects=(
                Reject(
                    call=lambda name=name: getattr(attention, name)(FULL, rate=7),
                    error=ValueError,
                    match=f"{name}: {SHORT}",
                ),
            ),
        )
        for name in ("mean_compression", "max_compression")
    ),
    Case(
        name=f"{HOME}.most_used_compression",
        function=used,
        inputs=lambda key: normal(key, (7, 4), (7,)),
        parity=MEMORY,
        rejects=(
            Reject(
                call=lambda: attention.most_used_compression(FULL, rate=7),
                error=ValueError,
                match=f"most_used_compression: {SHORT}",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.convolution_compression",
        function=compressed(functools.partial(attention.convolution_compression, dilation=2)),
        inputs=lambda key: normal(key, (7, 4), (3, 4, 4), (4,)),
        parity=MEMORY,
        rejects=(
            Reject(
                call=lambda: attention.convolution_compression(FULL, jnp.ones((2, 3, 4))),
                error=ValueError,
                match=r"convolution_compression: `kernel` .* needs shape \('rate', 4, 'outputs'\)",
            ),
            Reject(
                call=lambda: attention.convolution_compression(FULL, jnp.ones((7, 4, 4))),
                error=ValueError,
                match=f"convolution_compression: {SHORT}",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.attention_reconstruction_loss",
        function=attention.attention_reconstruction_loss,
        inputs=lambda key: normal(
            key, (2, 3, 2, 4), (2, 6, 2, 4), (2, 6, 2, 4), (2, 2, 2, 4), (2, 2, 2, 4)
        ),
        parity=MEMORY,
        differentiable=(3, 4),  # no gradient reaches the others, by design
        rejects=(
            Reject(
                call=lambda: attention.attention_reconstruction_loss(Q, K, K, K, K[..., :1]),
                error=ValueError,
                match=r"attention_reconstruction_loss: `compressed_value` .* last axes \(4, 2\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.ConvolutionCompression",
        function=lambda variables, states: attention.ConvolutionCompression(3).apply(
            variables, slots(states)
        ),
        inputs=lambda key: (
            attention.ConvolutionCompression(3).init(key, slots(jnp.ones((7, 4)))),
            *remembered(key),
        ),
        parity=COMPRESSIVE,
        equals={
            "the function on its parameters": lambda v, x: attention.convolution_compression(
                slots(x), v["params"]["kernel"], v["params"]["bias"]
            )
        },
        rejects=(
            Reject(
                call=lambda: attention.ConvolutionCompression(0).init(jax.random.key(0), FULL),
                error=ValueError,
                match="ConvolutionCompression: `rate` is 0; it needs a whole number above zero",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.FixedCompression",
        function=lambda states: attention.FixedCompression(2).apply({}, slots(states)),
        inputs=remembered,
        parity=COMPRESSIVE,
        equals={"the function": lambda states: attention.mean_compression(slots(states), rate=2)},
        rejects=(
            Reject(
                call=lambda: attention.FixedCompression(7).apply({}, FULL),
                error=ValueError,
                match=SHORT,
            ),
        ),
    ),
    module_case(
        f"{HOME}.CompressiveAttention",
        Read(
            2,
            memory=3,
            compressed_memory=2,
            compression=functools.partial(attention.ConvolutionCompression, 2),
        ),
        shape=(2, 8, 8),
        parity=COMPRESSIVE,
        rejects=(
            Reject(
                call=lambda: attention.CompressiveAttention(3).init(jax.random.key(0), X),
                error=ValueError,
                match="CompressiveAttention: `num_heads` is 3; it needs a divisor of the 8",
            ),
            Reject(
                call=lambda: attention.CompressiveAttention(2).init(
                    jax.random.key(0), X, bias=jnp.ones((2, 3, 3))
                ),
                error=ValueError,
                match="CompressiveAttention: `bias` is .* needs None; distances are its own",
            ),
            Reject(
                call=lambda: attention.CompressiveAttention(2).init(
                    jax.random.key(0), X, mask=jnp.ones((3, 3), bool)
                ),
                error=ValueError,
                match=r"CompressiveAttention: `mask` is .* needs shape \(2, 1, 1, 3\)",
            ),
            Reject(
                call=lambda: attention.CompressiveAttention(2, memory=-1).init(
                    jax.random.key(0), X
                ),
                error=ValueError,
                match="CompressiveAttention: `memory` is -1; it needs a whole number of at least",
            ),
        ),
    ),
]
