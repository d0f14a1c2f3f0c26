import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.interpolate import BSpline

from jaxnn.layers import kan


def test_equals_a_numpy_loop():
    """The paper's sum over edges, one edge and one spline at a time."""
    rng = np.random.default_rng(0)
    x, c, w = rng.uniform(-1, 1, (6, 3)), rng.normal(size=(8, 3, 2)), rng.normal(size=(3, 2))
    knots = -1 + (np.arange(12) - 3) * 0.4
    want = np.zeros((6, 2))
    for n in range(6):
        for i in range(3):
            for j in range(2):
                spline = BSpline(knots, c[:, i, j], 3)(x[n, i])
                want[n, j] += w[i, j] * x[n, i] / (1 + np.exp(-x[n, i])) + spline
    arrays = [jnp.asarray(v, jnp.float32) for v in (x, c, w)]
    np.testing.assert_allclose(kan.kan_layer(*arrays), want, atol=1e-5)
    np.testing.assert_allclose(kan.edge_functions(*arrays).sum(axis=1), want, atol=1e-5)
    layer = kan.KANLayer(2)
    variables = {"params": {"coefficients": arrays[1], "base_kernel": arrays[2]}}
    np.testing.assert_allclose(layer.apply(variables, arrays[0]), want, atol=1e-5)
    adaptive = {**variables, "grid": {"knots": jnp.tile(jnp.asarray(knots, jnp.float32), (3, 1))}}
    np.testing.assert_allclose(layer.apply(adaptive, arrays[0]), want, atol=1e-5)


def test_knots_are_those_of_the_variables(key):
    layer, x = kan.KANLayer(2), jax.random.uniform(key, (5, 3))
    variables = layer.init(key, x)
    assert set(variables) == {"params"}
    knots = kan.uniform_knots(jnp.zeros(3), jnp.arange(1.0, 4.0), grid=5)
    moved = layer.apply({**variables, "grid": {"knots": knots}}, x)
    basis = lambda x: kan.bspline_basis(x, knots)  # noqa: E731
    np.testing.assert_allclose(
        moved, kan.kan_layer(x, **variables["params"], basis=basis), atol=1e-6
    )
    assert not np.allclose(moved, layer.apply(variables, x), atol=1e-2)


def test_takes_any_basis_and_no_base(key):
    """Powers as the basis make a polynomial."""
    x = jax.random.normal(key, (2, 4, 1))
    powers = lambda x: jnp.stack([jnp.ones_like(x), x, x**2], axis=-2)  # noqa: E731
    got = kan.kan_layer(x, jnp.array([1.0, -2.0, 3.0]).reshape(3, 1, 1), basis=powers)
    np.testing.assert_allclose(got, 1 - 2 * x + 3 * x**2, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("grid_range", [(-1.0, 1.0), (-3.0, 3.0), (0.0, 2.0)])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_initialisation_keeps_the_second_moment(grid_range, share, key):
    """64 inputs, 256 outputs, 512 examples: the sampling error is about 3 percent."""
    x_key, key = jax.random.split(key)
    low, high = grid_range
    x = jax.random.uniform(x_key, (512, 64), minval=low, maxval=high)
    layer = kan.KANLayer(256, grid_range=grid_range, spline_share=share)
    y = layer.apply(layer.init(key, x), x)
    assert 0.85 < jnp.mean(y**2) / jnp.mean(x**2) < 1.15


def test_removed_edges_get_no_gradient(key):
    layer, x = kan.KANLayer(2), jax.random.uniform(key, (5, 3))
    variables = layer.init(key, x)
    mask = {"edges": jnp.ones((3, 2)).at[1, 0].set(0)}
    gradient = jax.grad(lambda p: jnp.sum(layer.apply({"params": p, "mask": mask}, x) ** 2))(
        variables["params"]
    )
    removed = [gradient["coefficients"][:, 1, 0], gradient["base_kernel"][1, 0]]
    assert not any(g.any() for g in removed)
    assert gradient["coefficients"][:, 1, 1].any()
    params = jax.tree.map(lambda p: p.at[..., 1, 0].set(0), variables["params"])
    np.testing.assert_allclose(
        layer.apply({**variables, "mask": mask}, x), layer.apply({"params": params}, x), atol=1e-6
    )


def test_sows_its_penalty_when_asked(key):
    layer, x = kan.KANLayer(2, regularization=0.1, entropy=2.0), jax.random.uniform(key, (5, 3))
    variables = layer.init(key, x)
    assert set(variables) == {"params"}
    _, sown = layer.apply(variables, x, mutable=["losses"])
    norms = kan.edge_norms(kan.edge_functions(x, **variables["params"]))
    share = norms / norms.sum()
    want = 0.1 * (norms.sum() - 2 * jnp.sum(share * jnp.log(share)))
    np.testing.assert_allclose(sown["losses"]["regularization"][0], want, rtol=1e-5)
    more = layer.clone(coefficient_l1=0.5, coefficient_difference=2.0)
    _, sown = more.apply(variables, x, mutable=["losses"])
    extra = kan.coefficient_penalty(variables["params"]["coefficients"], l1=0.5, difference=2.0)
    np.testing.assert_allclose(sown["losses"]["regularization"][0], want + 0.1 * extra, rtol=1e-5)
    silent = kan.KANLayer(2).apply(variables, x, mutable=["losses"])[1]
    assert not jax.tree.leaves(silent)


def test_product_is_one_matrix_product_of_rows(key):
    """All edges of all functions go through one product of two matrices, with the base function."""
    x, c = jnp.ones((4, 5, 3)), jnp.ones((8, 3, 2))
    products = [
        e
        for e in jax.make_jaxpr(kan.kan_layer)(x, c, jnp.ones((3, 2))).eqns
        if "dot" in e.primitive.name
    ]
    assert sorted(e.invars[0].aval.shape for e in products) == [(20, 27)]
