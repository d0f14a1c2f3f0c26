from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.interpolate import make_lsq_spline

from jaxnn.layers import kan
from jaxnn.models import KAN

update = jax.jit(kan.update_grid, static_argnums=0)
extend = jax.jit(kan.extend_grid, static_argnums=0, static_argnames="grid")
adapt = jax.jit(kan.adapt_knots, static_argnames="grid_eps")
POINTS = jnp.linspace(-1, 0.999, 301)


@partial(jax.jit, static_argnums=0)
def apply(model, variables, x):
    return model.apply(variables, x)


@partial(jax.jit, static_argnums=0)
def init(model, key, x):
    return model.init(key, x)


@partial(jax.jit, static_argnums=1)
def smooth_layer(key, layer, x):
    """Make a layer whose splines are smooth curves, fitted to sines of random frequency."""
    variables = layer.init(key, x)
    frequency = jax.random.uniform(key, (x.shape[-1], layer.features), minval=0.5, maxval=2.5)
    knots = kan.uniform_knots(jnp.array(-1.0), jnp.array(1.0), grid=layer.grid, degree=layer.degree)
    points = jnp.tile(POINTS[:, None], (1, x.shape[-1]))
    curves = jnp.sin(points[:, :, None] * frequency[None])
    fitted = kan.fit_coefficients(points, curves, knots, degree=layer.degree)
    return {"params": {**variables["params"], "coefficients": fitted}}


def rms(a, b):
    return float(jnp.sqrt(jnp.mean((a - b) ** 2)))


def test_fit_equals_scipy():
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(-1, 1, (120, 2)), axis=0)
    y = rng.normal(size=(120, 2, 3))
    knots = np.sort(rng.uniform(-1, 1, (2, 4)))
    knots = np.concatenate([np.full((2, 4), -1.0), knots, np.full((2, 4), 1.0)], axis=1)
    arrays = [jnp.asarray(v, jnp.float32) for v in (x, y, knots)]
    got = kan.fit_coefficients(*arrays)
    for i in range(2):
        want = make_lsq_spline(x[:, i], y[:, i], knots[i], k=3).c
        np.testing.assert_allclose(got[:, i], want, atol=5e-3)


def test_fit_of_empty_intervals_is_finite():
    x = jnp.linspace(-1, -0.5, 20)[:, None]
    fitted = kan.fit_coefficients(x, jnp.sin(x)[..., None], jnp.linspace(-2, 2, 21))
    assert jnp.isfinite(fitted).all()
    assert not fitted[-4:].any()


def test_refined_uniform_grid_is_the_finer_uniform_grid():
    ends = jnp.array([-1.0, 0.0]), jnp.array([1.0, 3.0])
    coarse = kan.uniform_knots(*ends, grid=4, degree=3)
    for grid in (4, 7, 12):
        fine = kan.uniform_knots(*ends, grid=grid, degree=3)
        np.testing.assert_allclose(kan.refine_knots(coarse, grid=grid), fine, atol=1e-6)


@pytest.mark.parametrize(
    "degree", [1, 3, *(pytest.param(k, marks=pytest.mark.slow) for k in (2, 5))]
)
def test_extension_to_a_multiple_is_exact(key, degree):
    """Old splines are in the space of the new: only rounding is left, whatever they are."""
    layer, x = kan.KANLayer(4, grid=3, degree=degree), jnp.tile(POINTS[:, None], (1, 2))
    variables = init(layer, key, x)
    extended = extend(layer, variables, x, grid=6)
    assert extended["params"]["coefficients"].shape == (6 + degree, 2, 4)
    assert "grid" not in extended
    before, after = apply(layer, variables, x), apply(layer.clone(grid=6), extended, x)
    assert rms(before, after) < 1e-5


@pytest.mark.parametrize(
    "grids", [(5, 8), *(pytest.param(g, marks=pytest.mark.slow) for g in ((5, 20), (7, 10)))]
)
def test_extension_of_smooth_functions_is_near(key, grids):
    layer, x = kan.KANLayer(4, grid=grids[0]), jnp.tile(POINTS[:, None], (1, 2))
    variables = smooth_layer(key, layer, x)
    extended = extend(layer, variables, x, grid=grids[1])
    assert rms(apply(layer, variables, x), apply(layer.clone(grid=grids[1]), extended, x)) < 1e-3


def test_adapted_knots_follow_the_quantiles(key):
    x = jax.random.normal(key, (1000, 1)) ** 3
    old = kan.uniform_knots(jnp.array(-1.0), jnp.array(1.0), grid=4, degree=3)
    knots = adapt(x, old, grid_eps=0.0)[0]
    counts, _ = np.histogram(x, bins=np.asarray(knots[3:-3]))
    np.testing.assert_allclose(counts, 250, atol=1)
    assert (jnp.diff(knots) > 0).all()
    even = adapt(x, old, grid_eps=1.0)
    want = kan.uniform_knots(x.min(axis=0), x.max(axis=0), grid=4, degree=3)
    np.testing.assert_allclose(even, want, rtol=1e-5, atol=1e-4)
    mixed = adapt(x, old, grid_eps=0.25)
    np.testing.assert_allclose(mixed[0], 0.75 * knots + 0.25 * want[0], rtol=1e-4, atol=1e-4)


def test_a_feature_without_spread_keeps_its_grid():
    x = jnp.stack([jnp.zeros(10), jnp.linspace(0, 1, 10)], axis=1)
    old = kan.uniform_knots(jnp.array(-1.0), jnp.array(1.0), grid=4, degree=3)
    knots = adapt(x, old)
    np.testing.assert_array_equal(knots[0], old)
    np.testing.assert_allclose(knots[1, [3, 7]], [0, 1], atol=1e-6)


def test_update_moves_the_grid_and_keeps_the_function(key):
    layer = kan.KANLayer(4, grid=8)
    x = jax.random.beta(key, 2, 5, (400, 3)) * 1.5 - 0.8
    variables = smooth_layer(key, layer, x)
    updated = update(layer, variables, x)
    assert rms(apply(layer, variables, x), apply(layer, updated, x)) < 1e-3
    knots = updated["grid"]["knots"]
    assert knots.shape == (3, 15)
    np.testing.assert_allclose(knots[:, 3], x.min(axis=0), atol=1e-6)
    np.testing.assert_allclose(knots[:, -4], x.max(axis=0), atol=1e-6)


def test_update_to_a_grid_of_the_same_span_is_exact(key):
    """With every second knot in place already, nothing is approximated."""
    layer, x = kan.KANLayer(4, grid=6), jnp.tile(jnp.linspace(-1, 1, 101)[:, None], (1, 3))
    variables = init(layer, key, x)
    updated = update(layer, variables, x)
    assert rms(apply(layer, variables, x), apply(layer, updated, x)) < 1e-5
    extended = extend(layer, updated, x, grid=12)
    assert extended["grid"]["knots"].shape == (3, 19)
    finer = layer.clone(grid=12)
    assert rms(apply(layer, variables, x[:-1]), apply(finer, extended, x[:-1])) < 1e-5


def test_every_layer_of_a_network_is_updated_for_what_it_sees(key):
    model, x = KAN((3, 2), grid=10), jax.random.uniform(key, (300, 2, 2)) * 1.8 - 0.9
    variables = init(model, key, x)
    updated = update(model, variables, x)
    hidden = model.apply(variables, x, mutable=["intermediates"])[1]["intermediates"]["hidden_0"][0]
    knots = updated["grid"]["layers_1"]["knots"]
    np.testing.assert_allclose(knots[:, 3], hidden.min(axis=0), atol=1e-5)
    np.testing.assert_allclose(knots[:, -4], hidden.max(axis=0), atol=1e-5)
    assert updated["grid"]["layers_0"]["knots"].shape == (4, 17)
    jax.tree.map(
        lambda a, b: np.testing.assert_equal(a.shape, b.shape),
        variables["params"],
        updated["params"],
    )


@pytest.mark.usefixtures("unchecked")
def test_models_without_kan_layers_are_refused(key):
    from flax import linen as nn

    model, x = nn.Dense(2), jnp.ones((2, 3))
    with pytest.raises(
        ValueError, match=r"(?s)update_grid: `model` is Dense.* at least one KANLayer"
    ):
        kan.update_grid(model, model.init(key, x), x)


def test_moments_follow_the_centres_of_the_functions(key):
    """Means linear in the place stay so, for any grid; other means and counts stay."""
    params = {"coefficients": jnp.zeros((8, 2, 3)), "base_kernel": jnp.zeros((2, 3))}
    slope = jax.random.normal(key, (2, 3))
    line = lambda grid: slope[None] * (jnp.arange(grid + 3) - 1)[:, None, None] / grid + 2.0  # noqa: E731
    tx = optax.chain(optax.clip(1.0), optax.adam(0.1))
    state = tx.init(params)
    _, state = tx.update(jax.tree.map(jnp.ones_like, params), state, params)
    state = optax.tree_utils.tree_set(state, mu={"coefficients": line(5), "base_kernel": slope})
    finer = {**params, "coefficients": jnp.zeros((10, 2, 3))}
    after = kan.extend_moments(tx, state, finer)
    means, squares = (optax.tree_utils.tree_get(after, name) for name in ("mu", "nu"))
    np.testing.assert_allclose(means["coefficients"], line(7), atol=1e-6)
    np.testing.assert_allclose(squares["coefficients"], np.full((10, 2, 3), 1e-3), rtol=1e-5)
    np.testing.assert_array_equal(means["base_kernel"], slope)
    assert int(optax.tree_utils.tree_get(after, "count")) == 1
    tx.update(finer, after, finer)  # the state of these parameters


def test_moments_of_other_parameters_are_refused():
    tx = optax.adam(0.1)
    state = tx.init({"coefficients": jnp.zeros((8, 2, 3))})
    with pytest.raises(ValueError, match=r"extend_moments: `opt_state` .* fit parameters"):
        kan.extend_moments(tx, state, {"coefficients": jnp.zeros((10, 2, 4))})
