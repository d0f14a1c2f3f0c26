"""The recurrent forms against the causal forms they must equal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention
from tests.layers.attention.test_dot_product import arrays
from tests.layers.attention.test_linear import REAL

MECHANISMS = (
    attention.LinearAttention(chunk_size=3),
    attention.NormAwareAttention(chunk_size=3),
    attention.MagnitudeAwareAttention(chunk_size=3),
    attention.MagnitudeAwareAttention(scale=0.5, chunk_size=3),
)


def under(mechanisms):
    return pytest.mark.parametrize("attend", mechanisms, ids=lambda a: type(a).__name__)


@under(MECHANISMS)
def test_reading_in_pieces_equals_the_causal_form(key, attend):
    query, key_, value = arrays(key, 7, 7, key_heads=2)
    mask = jnp.asarray(REAL)
    whole = jax.jit(lambda *x: attend(*x, is_causal=True, mask=mask[:, None, None]))
    want = whole(query, key_, value)
    state = attend.initial_state((2,), 2, 5, 3, jnp.float32)
    extend = jax.jit(lambda state, mask, *x: attend.extend(state, *x, mask=mask))
    pieces = []
    for piece in (slice(0, 3), slice(3, 4), slice(4, 7)):
        x = (array[:, piece] for array in (query, key_, value))
        output, state = extend(state, mask[:, piece], *x)
        pieces.append(output)
    np.testing.assert_allclose(jnp.concatenate(pieces, axis=1), want, atol=1e-5)


@under(MECHANISMS[:3])
def test_token_by_token_in_a_scan_keeps_the_state_as_it_is(key, attend):
    """Also in bfloat16: the state stays float32, so that a scan can carry it."""
    query, key_, value = (x[0].astype(jnp.bfloat16) for x in arrays(key, 7, 7))
    start = attend.initial_state((), 4, 5, 3, jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(start)} == {jnp.dtype("float32")}

    def step(state, token):
        output, state = attend.extend(state, *(x[None] for x in token))
        return state, output[0]

    _, got = jax.jit(lambda *x: jax.lax.scan(step, start, x))(query, key_, value)
    assert got.dtype == jnp.bfloat16
    want = jax.jit(lambda *x: attend(*x, is_causal=True))(query, key_, value)
    # One rounding to bfloat16, on values of up to 4.
    np.testing.assert_allclose(got.astype(jnp.float32), want.astype(jnp.float32), atol=0.04)


@under(MECHANISMS[:3])
def test_padding_leaves_the_state_unchanged(key, attend):
    query, key_, value = arrays(key, 4, 4)
    state = attend.initial_state((2,), 4, 5, 3, jnp.float32)
    _, state = attend.extend(state, query, key_, value)
    _, after = attend.extend(state, query, key_, value, mask=jnp.zeros((2, 4), bool))
    for before, now in zip(state, after, strict=True):
        np.testing.assert_array_equal(before, now)


def test_protocol_tells_who_has_a_recurrent_form():
    assert all(isinstance(attend, attention.RecurrentAttention) for attend in MECHANISMS)
    for attend in (attention.dot_product_attention, attention.linear_attention):
        assert not isinstance(attend, attention.RecurrentAttention)


@under(MECHANISMS[:3])
def test_fits_the_slot_of_multi_head_attention(key, attend):
    x = jax.random.normal(key, (2, 5, 8))
    module = attention.MultiHeadAttention(2, attention=attend)
    variables = jax.jit(module.init)(key, x)

    @jax.jit
    def run(x):
        return module.apply(variables, x, is_causal=True)

    changed = run(x.at[:, 3].add(1.0))
    np.testing.assert_allclose(run(x)[:, :3], changed[:, :3], atol=1e-6)
    assert not np.allclose(run(x)[:, 3:], changed[:, 3:], atol=1e-3)


@pytest.mark.usefixtures("unchecked")
@under(MECHANISMS[:3])
def test_what_does_not_fit_is_named(key, attend):
    query, key_, value = arrays(key, 4, 4)
    state = attend.initial_state((3,), 4, 5, 3, jnp.float32)
    where = f"{type(attend).__name__}.extend"
    with pytest.raises(ValueError, match=rf"{where}: `state.sums` is .*needs shape \(2, 4,.*batch"):
        attend.extend(state, query, key_, value)
    with pytest.raises(ValueError, match=rf"{where}: `mask` is .*booleans of shape \(2, 4\)"):
        attend.extend(state, query, key_, value, mask=jnp.ones((2, 1, 1, 4), bool))
    with pytest.raises(ValueError, match=rf"{where}: `key` is .*one key for each of the 3 queries"):
        attend.extend(state, query[:, :3], key_, value)
