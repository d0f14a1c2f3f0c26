import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxnn.layers import kan
from jaxnn.models import TransformerBlock

GELU = functools.partial(jax.nn.gelu, approximate=False)
MODEL = kan.MLPKAN(2, 2, hidden_features=3, features=5, grid=4, activation=GELU)
NAMES = {"mlp": ("up_kernel", "up_bias", "down_kernel", "down_bias"), "kan": ("inner", "outer")}
init, apply = jax.jit(MODEL.init), jax.jit(functools.partial(MODEL.apply, mutable="intermediates"))


@functools.cache
def network():
    x_key, init_key, key = jax.random.split(jax.random.key(5), 3)
    x = jax.random.normal(x_key, (2, 6, 4))
    # Biases start at 0, where a test would not see them.
    leaves, tree = jax.tree.flatten(init(init_key, x)["params"])
    keys = jax.random.split(key, len(leaves))
    noise = [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(tree, [a + 0.3 * b for a, b in zip(leaves, noise, strict=True)]), x


def perceptron(params, e, x):
    """One expert and token, from the formula, in float64."""
    hidden = x @ params["up_kernel"][e] + params["up_bias"][e]
    hidden = hidden * (1 + special.erf(hidden / np.sqrt(2))) / 2
    return hidden @ params["down_kernel"][e] + params["down_bias"][e]


def switches(coefficients, x):
    x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    functions, inputs, outputs = coefficients.shape
    step = 4 / (functions - 1)
    y = np.zeros(outputs)
    for m, i in np.ndindex(functions, inputs):
        y += coefficients[m, i] / np.cosh((x[i] + 2 - m * step) / step) ** 2
    return y


def function_expert(params, e, x):
    return switches(params["outer"][e], switches(params["inner"][e], x))


def answers(params, x):
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    x = np.asarray(x, np.float64)
    return [f(params, e, x) for f in (perceptron, function_expert) for e in range(2)]


def test_equals_a_loop_over_tokens_and_experts():
    params, x = network()
    y, sown = apply({"params": params}, x)
    gates = np.asarray(sown["intermediates"]["gates"][0])
    chosen = set()
    for b, t in np.ndindex(2, 6):
        token = np.asarray(x[b, t], np.float64)
        odds = np.exp(token @ np.asarray(params["gate_kernel"], np.float64))
        odds /= odds.sum()
        best = np.argsort(-odds)[:2]
        chosen |= set(best)
        experts = answers(params, token)
        want = sum(odds[e] * experts[e] for e in best) / odds[best].sum()
        np.testing.assert_allclose(y[b, t], want, atol=1e-5)
        np.testing.assert_allclose(gates[b, t, best], odds[best] / odds[best].sum(), atol=1e-6)
    assert chosen == {0, 1, 2, 3}  # every expert has been asked
    assert y.shape == (2, 6, 5)
    np.testing.assert_array_equal(np.sum(gates > 0, axis=-1), 2)
    np.testing.assert_allclose(gates.sum(axis=-1), 1, atol=1e-6)


@pytest.mark.parametrize("kind", ["mlp", "kan"])
def test_one_expert_is_that_expert(kind):
    params, x = network()
    one = MODEL.clone(mlp_experts=int(kind == "mlp"), kan_experts=int(kind == "kan"), k=1)
    own = {name: params[name][1:] for name in NAMES[kind]}
    y = jax.jit(one.apply)({"params": {**own, "gate_kernel": params["gate_kernel"][:, :1]}}, x)
    expert = 1 if kind == "mlp" else 3
    want = [[answers(params, token)[expert] for token in row] for row in x]
    np.testing.assert_allclose(y, want, atol=1e-5)
    if kind == "kan":
        basis = functools.partial(kan.switch_basis, grid=4, low=-2.0, high=2.0)
        alone = jax.jit(functools.partial(kan.switch_kan, basis=basis))
        np.testing.assert_allclose(y, alone(x, own["inner"][0], own["outer"][0]), atol=1e-6)


def test_gates_are_a_softmax_of_the_kept(key):
    logits = 3 * jax.random.normal(key, (20, 6))
    odds = np.asarray(jax.nn.softmax(logits, axis=-1))
    gates = jax.jit(kan.top_k_gates, static_argnames="k")
    for k in (1, 2, 6):
        got = np.asarray(gates(logits, k=k))
        kept = odds >= np.sort(odds, axis=-1)[:, -k][:, None]
        want = odds * kept / (odds * kept).sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(got, want, atol=1e-6)
    # Of equal logits the first are kept, and no more than k.
    assert gates(jnp.zeros((1, 4)), k=2)[0].tolist() == [0.5, 0.5, 0, 0]


def test_experts_that_are_not_chosen_get_no_gradient():
    params, x = network()

    @jax.jit
    @jax.grad
    def gradient(params, x):
        return jnp.sum(jnp.sin(MODEL.apply({"params": params}, x)))

    token = x[0, :1]
    chosen = np.argsort(-np.asarray(token @ params["gate_kernel"])[0])[:2]
    slopes = gradient(params, token)
    alive = [np.any(slopes[n][e]) for n in ("up_kernel", "outer") for e in range(2)]
    np.testing.assert_array_equal(alive, np.isin(range(4), chosen))
    np.testing.assert_array_equal(np.any(slopes["gate_kernel"], axis=0), np.isin(range(4), chosen))


def test_fits_the_slot_of_a_block(key):
    experts = functools.partial(kan.MLPKAN, 1, 1, grid=3)
    block = TransformerBlock(2, feedforward=experts)
    x = jax.random.normal(key, (2, 3, 8))
    variables = jax.eval_shape(block.init, key, x)
    assert variables["params"]["feedforward"]["inner"].shape == (1, 3, 8, 4)
    assert jax.eval_shape(block.apply, variables, x).shape == x.shape


def test_keeps_the_size_of_inputs_at_the_start(key):
    x = jax.random.normal(key, (256, 32))
    for counts, low in (((0, 1), 0.5), ((1, 0), 0.1)):  # gelu halves: a third of the power at least
        model = kan.MLPKAN(*counts, k=1, hidden_features=64)
        y = jax.jit(model.init_with_output)(key, x)[0]
        assert low < jnp.mean(y**2) < 2
