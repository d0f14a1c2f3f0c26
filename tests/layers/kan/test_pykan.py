"""Parity with pykan, where it is installed (extra ``peers``)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import kan
from jaxnn.models import KAN


@pytest.fixture(scope="module")
def theirs():
    torch = pytest.importorskip("torch")
    layers = pytest.importorskip("kan.KANLayer")
    torch.manual_seed(0)
    return torch, [
        layers.KANLayer(in_dim=i, out_dim=o, num=4, k=3, grid_range=[-2, 2])
        for i, o in ((3, 5), (5, 2))
    ]


def copied(layer):
    """Give a layer's arrays as our variables: scales go into coefficients, the grid is knots."""
    c = np.asarray(layer.coef.detach()) * np.asarray(layer.scale_sp.detach())[..., None]
    params = {
        "coefficients": jnp.asarray(np.moveaxis(c, -1, 0)),
        "base_kernel": jnp.asarray(layer.scale_base.detach().numpy()),
    }
    return params, {"knots": jnp.asarray(layer.grid.detach().numpy())}


def test_forward_pass_equals_pykan_with_copied_coefficients(theirs):
    torch, layers = theirs
    x = np.random.default_rng(0).uniform(-1.9, 1.9, (64, 3)).astype(np.float32)
    value = torch.from_numpy(x)
    for layer in layers:
        value = layer(value)[0]
    parts = [copied(layer) for layer in layers]
    params = {f"layers_{i}": part[0] for i, part in enumerate(parts)}
    grids = {f"layers_{i}": part[1] for i, part in enumerate(parts)}
    model = KAN((5, 2), grid=4, grid_range=(-2.0, 2.0))
    want = value.detach().numpy()
    got = jax.jit(model.apply)({"params": params, "grid": grids}, x)
    np.testing.assert_allclose(got, want, atol=1e-5)
    # Their first grids are even: the parameters alone give the same.
    np.testing.assert_allclose(jax.jit(model.apply)({"params": params}, x), want, atol=1e-5)


def test_grid_from_samples_equals_pykan(theirs):
    """Quantiles of the samples and a share of an even grid, to the distance of two samples."""
    torch, (layer, _) = theirs
    x = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    before = jnp.asarray(layer.grid.detach().numpy())
    layer.update_grid_from_samples(torch.from_numpy(x))
    got = kan.adapt_knots(jnp.asarray(x), before, degree=3, grid_eps=0.02)
    np.testing.assert_allclose(got[:, 3:-3], layer.grid.detach().numpy()[:, 3:-3], atol=0.05)


def test_gains_equal_what_pykan_penalises(theirs):
    """``edge_forward_spline_n``, as its forward pass takes it from a layer's values."""
    torch, (layer, _) = theirs
    x = np.random.default_rng(2).uniform(-1.9, 1.9, (64, 3)).astype(np.float32)
    _, preacts, values, _ = layer(torch.from_numpy(x))
    want = (torch.std(values, dim=0) / (torch.std(preacts, dim=0) + 0.1)).detach().numpy()
    params, grid = copied(layer)
    basis = lambda x: kan.bspline_basis(x, grid["knots"], degree=3)  # noqa: E731
    edges = kan.edge_functions(jnp.asarray(x), **params, basis=basis)
    np.testing.assert_allclose(kan.edge_gains(edges, jnp.asarray(x)), want.T, atol=1e-5)
