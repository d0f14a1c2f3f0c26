import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import attention
from jaxnn.layers.position import rotary_embedding
from tests.layers.attention.test_multi_head import perturbed, run


def logits_by_loop(query, scale, base=10_000.0):
    """Turn the query and its own scaled copy plane by plane, for one head."""
    time, half = scale.shape
    angles = base ** (-np.arange(half) / half)
    want = np.zeros((time, time))
    for m, n, j in np.ndindex(time, time, half):
        plane = query[m, j] + 1j * query[m, j + half]
        turned_query = plane * np.exp(1j * m * angles[j])
        turned_key = scale[n, j] * plane * np.exp(1j * n * angles[j])
        want[m, n] += (turned_query * np.conj(turned_key)).real
    return want


def test_products_are_those_of_a_query_and_its_scaled_self(key):
    query = jax.random.normal(key, (6, 1, 8))
    scale = jax.random.uniform(jax.random.fold_in(key, 1), (6, 1, 4))
    q, k = attention.collinear_query_key(query, scale)
    steps = jnp.arange(6)
    q, k = rotary_embedding(q, steps), rotary_embedding(k, steps)
    got = q[:, 0] @ k[:, 0].T
    want = logits_by_loop(np.asarray(query[:, 0]), np.asarray(scale[:, 0]))
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_module_attends_with_these_logits(key):
    x = jax.random.normal(key, (1, 6, 8))
    module = attention.CollinearAttention(1)
    variables = perturbed(jax.jit(module.init)(key, x), key)
    p = variables["params"]
    assert p["key"]["kernel"].shape == (8, 4)

    def affine(name):
        return np.asarray(x[0] @ p[name]["kernel"] + p[name]["bias"][None])

    logits = logits_by_loop(affine("query"), np.maximum(affine("key"), 0)) / np.sqrt(8)
    logits = np.where(np.tri(6, dtype=bool), logits, -np.inf)
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    y = weights / weights.sum(-1, keepdims=True) @ affine("value")
    want = y @ np.asarray(p["out"]["kernel"]) + np.asarray(p["out"]["bias"])
    got = run(module, variables, x, is_causal=True)
    np.testing.assert_allclose(got[0], want, atol=1e-4)


@pytest.mark.usefixtures("unchecked")
def test_without_rotary_positions_it_says_so(key):
    x = jnp.ones((2, 3, 8))
    for options in ({"rotary": None}, {"normalize_qk": True}):
        module = attention.CollinearAttention(2, **options)  # pyright: ignore[reportArgumentType]
        with pytest.raises(ValueError, match=r"CollinearAttention: .*needs rotary positions"):
            module.init(key, x)
