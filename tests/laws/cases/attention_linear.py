"""Rows of ``layers.attention`` that are linear in the keys, or fit a line."""

import functools

import jax.numpy as jnp

from jaxnn.layers import attention
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import normal

HOME = "layers.attention"
TESTS = "tests/layers/attention"
Q, K = jnp.ones((3, 4, 2)), jnp.ones((5, 4, 2))
# For the two examples of four keys; the first has no padding.
REAL = jnp.array([[True] * 4, [True, False, True, True]])


def inputs(key):
    """Four queries and keys, of four and two heads."""
    return normal(key, (2, 4, 4, 6), (2, 4, 2, 6), (2, 4, 2, 5))


def padded(function, **options):
    """Fix a mask of padding, which all linear forms take."""
    return lambda *x: function(*x, mask=REAL[:, None, None], **options)


def in_pieces(attend):
    """Read the sequence recurrently, two steps and then two more."""

    def read(query, key, value):
        state = attend.initial_state((2,), 2, 6, 5, query.dtype)
        pieces = []
        for piece in (slice(0, 2), slice(2, 4)):
            x = (array[:, piece] for array in (query, key, value))
            output, state = attend.extend(state, *x, mask=REAL[:, piece])
            pieces.append(output)
        return jnp.concatenate(pieces, axis=1)

    return read


def shapes(function, name):
    """List calls that no attention function takes."""
    return (
        Reject(
            call=lambda: function(Q, K, K[1:]),
            error=ValueError,
            match=rf"{name}: `value` is .*\(4, 4, 2\).* needs shape \(5, 4, .*shifted",
        ),
        Reject(
            call=lambda: function(Q, K.astype(int), K),
            error=TypeError,
            match=rf"{name}: `key` .*floating-point",
        ),
        Reject(
            call=lambda: function(Q, K, K, mask=jnp.ones((3, 5))),
            error=TypeError,
            match=rf"{name}: `mask` has dtype float32; it needs booleans",
        ),
    )


def linear(function, name):
    """List calls that forms without an n by n matrix cannot take."""
    return (
        *shapes(function, name),
        Reject(
            call=lambda: function(Q, K, K, bias=jnp.ones((4, 3, 5))),
            error=ValueError,
            match=rf"{name}: `bias` is .*\(4, 3, 5\).* needs None, as no logits .*rotary",
        ),
        Reject(
            call=lambda: function(Q, K, K, mask=jnp.ones((3, 5), bool)),
            error=ValueError,
            match=rf"{name}: `mask` is .*\(3, 5\).* needs shape \(1, 1, 5\).*`is_causal`",
        ),
    )


def number(function, name, argument, got, needs):
    return Reject(
        call=lambda: function(Q, K, K, **{argument: got}),
        error=ValueError,
        match=rf"{name}: `{argument}` is {got}; it needs {needs}",
    )


def recurrent(kind, function, name, **options):
    """Make the rows of a function and of the class with its recurrent form."""
    attend = kind(chunk_size=3)
    count = number(function, name, "chunk_size", 0, "a whole number above zero")
    shared = {"inputs": inputs, "parity": f"{TESTS}/test_{options.pop('file')}.py", **options}
    return (
        Case(
            name=f"{HOME}.{name}",
            function=padded(function),
            rejects=(*linear(function, name), count),
            **shared,
        ),
        Case(
            name=f"{HOME}.{kind.__name__}",
            function=padded(attend, is_causal=True),
            equals={
                "function": padded(function, is_causal=True),
                "read in pieces": in_pieces(attend),
            },
            rejects=linear(attend, name),
            **shared,
        ),
    )


def positive(x):
    return jnp.einsum("bij,bkj->bik", x, x) + jnp.eye(3, dtype=x.dtype)[None]


def adjugate(x):
    """Invert 3 by 3 matrices by Cramer's rule."""
    rows = jnp.moveaxis(positive(x), 1, 0)
    columns = jnp.stack([jnp.cross(rows[i - 2], rows[i - 1]) for i in range(3)], axis=-1)
    determinant = jnp.sum(rows[0] * columns[..., 0], axis=-1)
    return columns / determinant[:, None, None]


SOFT = functools.partial(attention.softmax_free_attention, num_landmarks=2)

CASES = [
    *recurrent(
        attention.LinearAttention, attention.linear_attention, "linear_attention", file="linear"
    ),
    *recurrent(
        attention.NormAwareAttention,
        attention.norm_aware_attention,
        "norm_aware_attention",
        file="norm_aware",
    ),
    *recurrent(
        attention.MagnitudeAwareAttention,
        attention.magnitude_aware_attention,
        "magnitude_aware_attention",
        file="magnitude_aware",
    ),
    Plain(
        name=f"{HOME}.RecurrentAttention",
        reason="a protocol: it says which methods a mechanism has",
        parity=f"{TESTS}/test_recurrent.py",
    ),
    Plain(
        name=f"{HOME}.PlacedAttention",
        reason="a protocol: it says which method a mechanism has",
        parity="tests/models/test_cache.py",
    ),
    Case(
        name=f"{HOME}.elu_plus_one",
        function=attention.elu_plus_one,
        inputs=lambda key: normal(key, (5, 3)),
        parity=f"{TESTS}/test_linear.py",
        rejects=(
            Reject(
                call=lambda: attention.elu_plus_one(jnp.arange(3)),
                error=TypeError,
                match="elu_plus_one: `x` .*floating-point",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.softmax_free_attention",
        function=padded(SOFT),
        inputs=inputs,
        parity=f"{TESTS}/test_softmax_free.py",
        rejects=(
            *linear(attention.softmax_free_attention, "softmax_free_attention"),
            number(SOFT, "softmax_free_attention", "is_causal", True, "False, as every query"),
            number(SOFT, "softmax_free_attention", "num_landmarks", 0, "a whole number"),
            number(SOFT, "softmax_free_attention", "ridge", -1.0, "a number of at least zero"),
        ),
    ),
    Case(
        name=f"{HOME}.newton_inverse",
        function=lambda x: attention.newton_inverse(positive(x)),
        inputs=lambda key: normal(key, (2, 3, 3)),
        parity=f"{TESTS}/test_softmax_free.py",
        equals={"cross products": adjugate},
        rejects=(
            Reject(
                call=lambda: attention.newton_inverse(Q),
                error=ValueError,
                match=r"newton_inverse: `matrix` is .*\(3, 4, 2\).*needs shape \(\*batch, n, n\)",
            ),
            Reject(
                call=lambda: attention.newton_inverse(jnp.eye(2), iterations=0),
                error=ValueError,
                match="newton_inverse: `iterations` is 0; it needs a whole number",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.local_linear_attention",
        function=lambda *x: attention.local_linear_attention(*x[:3], bias=x[3], is_causal=True),
        inputs=lambda key: (*inputs(key), *normal(key, (4, 4, 4))),
        parity=f"{TESTS}/test_local_linear.py",
        rejects=(
            *shapes(attention.local_linear_attention, "local_linear_attention"),
            number(
                attention.local_linear_attention,
                "local_linear_attention",
                "ridge",
                0.0,
                "a finite number above zero",
            ),
        ),
    ),
]
