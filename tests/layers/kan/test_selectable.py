import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import BSpline

from jaxnn.layers import kan
from jaxnn.models import KAN

POOL = ("bspline", "chebyshev", "fourier")  # 5, 5 and 4 functions
SIZES = (5, 5, 4)
LAYER = kan.SelectableKANLayer(2, grid=3, degree=2, basis=POOL)
apply = jax.jit(LAYER.apply)


@functools.cache
def network():
    """A layer of random coefficients and uneven gates, and inputs."""
    keys = jax.random.split(jax.random.key(3), 3)
    x = jax.random.uniform(keys[0], (40, 3), minval=-1.0)
    params = dict(jax.jit(LAYER.init)(keys[1], x)["params"])
    params["gates"] = jax.random.normal(keys[2], params["gates"].shape)
    return {"params": params}, x


def by_hand(basis, x):
    """Values of one basis at one number, in float64, from its own definition."""
    if basis == "bspline":
        knots = -1 + (np.arange(8) - 2) * (2 / 3)
        return [float(BSpline(knots, row, 2)(x)) for row in np.eye(5)]
    if basis == "chebyshev":
        return [np.cos(n * np.arccos(np.tanh(x))) for n in range(5)]
    angle = np.pi * x / 2
    return [np.cos(angle), np.cos(2 * angle), np.sin(angle), np.sin(2 * angle)]


@pytest.mark.parametrize("gate", ["node", "edge"])
def test_equals_a_loop_over_edges_and_bases(gate, key):
    layer = kan.SelectableKANLayer(2, grid=3, degree=2, basis=POOL, gate=gate)
    x = jax.random.uniform(key, (6, 3), minval=-1.0)
    params = dict(jax.jit(layer.init)(key, x)["params"])
    assert params["gates"].shape == (3, 3 if gate == "edge" else 1, 2)
    params["gates"] = jax.random.normal(key, params["gates"].shape)
    c, w, logits = (
        np.asarray(params[name], np.float64) for name in ("coefficients", "base_kernel", "gates")
    )
    want = np.zeros((6, 2))
    for n, i, j in np.ndindex(6, 3, 2):
        value = float(x[n, i])
        gates = np.exp(logits[:, i if gate == "edge" else 0, j])
        gates /= gates.sum()
        want[n, j] += w[i, j] * value / (1 + np.exp(-value))
        start = 0
        for alpha, basis, size in zip(gates, POOL, SIZES, strict=True):
            want[n, j] += alpha * np.dot(c[start : start + size, i, j], by_hand(basis, value))
            start += size
    got = jax.jit(layer.apply)({"params": params}, x)
    np.testing.assert_allclose(got, want, atol=2e-6)


@pytest.mark.parametrize("chosen", range(3))
def test_one_hot_gates_are_the_layer_of_one_basis(chosen):
    variables, x = network()
    start = sum(SIZES[:chosen])
    alone = {
        "coefficients": variables["params"]["coefficients"][start : start + SIZES[chosen]],
        "base_kernel": variables["params"]["base_kernel"],
    }
    single = kan.KANLayer(2, grid=3, degree=2, basis=POOL[chosen])
    gates = jnp.zeros((3, 1, 2)).at[chosen].set(1.0)
    got = apply({**variables, "selection": {"gates": gates}}, x)
    # Only the order of the sum differs.
    np.testing.assert_allclose(got, jax.jit(single.apply)({"params": alone}, x), atol=1e-6)


def test_selection_keeps_the_function_if_the_others_had_no_weight():
    variables, x = network()
    best = jnp.array([[[2, 0]]])
    gates = jnp.where(jnp.arange(3)[:, None, None] == best, 0.0, -200.0)
    variables = {"params": {**variables["params"], "gates": gates}}
    selected = kan.select_bases(variables)
    assert selected["selection"]["gates"].tolist() == [[[0, 1]], [[0, 0]], [[1, 0]]]
    assert jnp.array_equal(apply(selected, x), apply(variables, x))


def test_selection_takes_away_the_other_parts_and_their_gradients():
    variables, x = network()
    scores = {"gates": jnp.zeros((3, 1, 2)).at[1, 0, 0].set(1.0).at[2, 0, 1].set(1.0)}
    selected = kan.select_bases(variables, scores)
    alpha = jax.nn.softmax(variables["params"]["gates"], axis=0)
    kept = np.zeros((14, 3, 2))
    kept[5:10, :, 0] = alpha[1, 0, 0]
    kept[10:, :, 1] = alpha[2, 0, 1]
    c = variables["params"]["coefficients"]
    bases = [kan.make_basis(name, grid=3, degree=2) for name in POOL]

    def joined(rows):
        return jnp.concatenate([basis(rows) for basis in bases], axis=1)

    kernel = variables["params"]["base_kernel"]
    want = kan.kan_layer(x, c * kept.astype(c.dtype), kernel, basis=joined)
    np.testing.assert_allclose(apply(selected, x), want, atol=1e-6)

    @jax.jit
    @jax.grad
    def gradient(params):
        return jnp.sum(jnp.sin(LAYER.apply({**selected, "params": params}, x)))

    slopes = gradient(selected["params"])
    np.testing.assert_array_equal(np.asarray(slopes["coefficients"]) != 0, kept != 0)
    assert not np.any(slopes["gates"])


@pytest.mark.parametrize("gate", ["node", "edge"])
def test_scores_equal_least_squares_and_find_what_was_planted(gate):
    layer = kan.SelectableKANLayer(2, grid=3, degree=2, basis=POOL, gate=gate)
    variables, x = network()
    params = dict(variables["params"])
    # The first node is made of Chebyshev polynomials, the second of waves.
    alive = np.zeros((14, 3, 2), np.float32)
    alive[5:10, :, 0] = alive[10:, :, 1] = 1
    params["coefficients"] = params["coefficients"] * alive
    params["gates"] = jnp.zeros((3, 3 if gate == "edge" else 1, 2))
    score = jax.jit(functools.partial(kan.basis_scores, layer))
    scores = np.asarray(score({"params": params}, x)["gates"])
    assert scores.shape == params["gates"].shape
    assert np.all(np.argmax(scores, axis=0) == [1, 2])
    np.testing.assert_allclose(np.max(scores, axis=0), 0, atol=1e-9)
    # Splines instead, by NumPy's solver: of the whole node, or of one edge but for a constant.
    c, w = (np.asarray(params[name], np.float64) for name in ("coefficients", "base_kernel"))
    rows = np.asarray(x, np.float64)
    joined = [[[v for b in POOL for v in by_hand(b, value)] for value in row] for row in rows]
    base = rows / (1 + np.exp(-rows))
    edges = np.einsum("nib,bio->nio", np.array(joined), c / 3) + base[:, :, None] * w
    splines = np.concatenate([np.array(joined)[:, :, :5], base[:, :, None]], axis=2)
    for j in range(2):
        if gate == "node":
            columns, target = splines.reshape(len(x), -1), edges[:, :, j].sum(axis=1)
        else:
            columns, target = splines[:, 1], edges[:, 1, j]
            columns, target = columns - columns.mean(axis=0), target - target.mean()
        left = target - columns @ np.linalg.lstsq(columns, target, rcond=1e-6)[0]
        got = scores[0, 1 if gate == "edge" else 0, j]
        np.testing.assert_allclose(got, -np.mean(left**2), rtol=1e-2)


def test_the_convolution_is_a_layer_at_every_place(key):
    conv = kan.SelectableKANConv(2, (1,), grid=3, degree=2, basis=POOL)
    variables, x = network()
    params = {name: value[None] for name, value in variables["params"].items()}
    params["gates"] = variables["params"]["gates"][:, None]
    rows = x.reshape(4, 10, 3)
    assert jax.eval_shape(conv.init, key, rows)["params"]["gates"].shape == (3, 1, 1, 2)
    run = jax.jit(conv.apply)
    want = apply(variables, x).reshape(4, 10, 2)
    np.testing.assert_allclose(run({"params": params}, rows), want, atol=1e-6)
    selected = kan.select_bases({"params": params})
    want = apply(kan.select_bases(variables), x).reshape(4, 10, 2)
    np.testing.assert_allclose(run(selected, rows), want, atol=1e-6)


def test_one_hot_gates_of_the_convolution_are_the_convolution_of_one_basis(key):
    conv = kan.SelectableKANConv(2, (2, 3), 2, grid=3, degree=2, basis=POOL, gate="edge")
    x = jax.random.uniform(key, (2, 5, 4, 3), minval=-1.0)
    params = jax.jit(conv.init)(key, x)["params"]
    assert params["gates"].shape == (3, 2, 3, 3, 2)
    gates = jnp.zeros_like(params["gates"]).at[1].set(1.0)
    alone = {
        "coefficients": params["coefficients"][:, :, 5:10],
        "base_kernel": params["base_kernel"],
    }
    single = kan.KANConv(2, (2, 3), 2, grid=3, degree=2, basis="chebyshev")
    got = jax.jit(conv.apply)({"params": params, "selection": {"gates": gates}}, x)
    np.testing.assert_allclose(got, jax.jit(single.apply)({"params": alone}, x), atol=1e-6)


def test_starts_with_the_variance_of_inputs(key):
    layer = kan.SelectableKANLayer(64, basis=POOL, grid_range=(-2.0, 2.0), base=jnp.tanh)
    x = jax.random.uniform(key, (256, 64), minval=-2, maxval=2)
    y = jax.jit(layer.init_with_output)(key, x)[0]
    assert 0.8 < jnp.mean(y**2) / jnp.mean(x**2) < 1.25


def test_a_network_selects_layer_by_layer(key):
    model = KAN((3, 1), grid=3, degree=2, basis=POOL, layer=kan.SelectableKANLayer)
    x = jax.random.uniform(key, (40, 2), minval=-1.0)

    @jax.jit
    def start(key, x):
        variables = model.init(key, x)
        return variables, kan.basis_scores(model, variables, x)

    variables, scores = start(key, x)
    selected = kan.select_bases(variables, scores)
    assert {name: leaf["gates"].shape for name, leaf in selected["selection"].items()} == {
        "layers_0": (3, 1, 3),
        "layers_1": (3, 1, 1),
    }
    for name, leaf in selected["selection"].items():
        best = jnp.argmax(scores[name]["gates"], axis=0)
        np.testing.assert_allclose(leaf["gates"], jax.nn.one_hot(best, 3, axis=0) / 3, rtol=1e-6)
    assert jax.eval_shape(model.apply, selected, x).shape == (40, 1)


def test_sows_the_penalty_of_the_mixed_edges(key):
    layer = kan.SelectableKANLayer(2, grid=3, degree=2, basis=POOL, regularization=0.5)
    plain = kan.KANLayer(2, grid=3, degree=2, basis="chebyshev", regularization=0.5)
    variables, x = network()
    gates = jnp.zeros((3, 1, 2)).at[1].set(1.0)
    variables = {**variables, "selection": {"gates": gates}}
    alone = dict(variables["params"])
    alone = {"coefficients": alone["coefficients"][5:10], "base_kernel": alone["base_kernel"]}
    penalty = functools.partial(jax.jit, static_argnums=0)(
        lambda layer, *args: layer.apply(*args, mutable="losses")[1]["losses"]["regularization"][0]
    )
    got, want = penalty(layer, variables, x), penalty(plain, {"params": alone}, x)
    np.testing.assert_allclose(got, want, rtol=1e-5)
