import jax
import numpy as np
import pytest

from jaxnn.layers import attention
from tests.layers.attention.test_multi_head import perturbed, run


@pytest.mark.parametrize("use_residual", [True, False])
def test_equals_the_papers_sums(key, use_residual):
    x = jax.random.normal(key, (2, 5, 6))
    module = attention.InteractingLayer(2, 8, use_residual=use_residual)
    variables = perturbed(jax.jit(module.init)(key, x), key)
    p = {name: np.asarray(v["kernel"], np.float64) for name, v in variables["params"].items()}
    e = np.asarray(x, np.float64)
    want = np.zeros((2, 5, 8))
    for b, m, h in np.ndindex(2, 5, 2):
        part = slice(4 * h, 4 * h + 4)
        query = e[b, m] @ p["query"][:, part]
        powers = np.exp([query @ (e[b, k] @ p["key"][:, part]) for k in range(5)])
        for k in range(5):
            want[b, m, part] += powers[k] / powers.sum() * (e[b, k] @ p["value"][:, part])
    if use_residual:
        want += e @ p["residual"]
    np.testing.assert_allclose(run(module, variables, x), np.maximum(want, 0), atol=1e-5)


def test_weights_are_sown(key):
    x = jax.random.normal(key, (2, 5, 6))
    module = attention.InteractingLayer(2, 8)
    variables = jax.jit(module.init)(key, x)
    assert set(variables) == {"params"} or "intermediates" in variables
    _, sown = module.apply(variables, x, mutable=["intermediates"])
    weights = sown["intermediates"]["attention_weights"][-1]
    np.testing.assert_allclose(weights.sum(-1), np.ones((2, 2, 5)), atol=1e-5)
