import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import kan
from jaxnn.models import KAN

update = jax.jit(kan.update_grid, static_argnums=0)
score = jax.jit(kan.edge_scores, static_argnums=0)


@pytest.fixture
def network(key):
    model, x = KAN((4, 3, 2)), jax.random.uniform(key, (50, 3), minval=-1.0)
    return model, jax.jit(model.init)(key, x), x


def test_curves_are_the_functions_of_single_edges(network):
    """Feeding one input alone moves each output by the difference along its edge's curve."""
    _, variables, _ = network
    params = variables["params"]["layers_0"]
    xs, ys = kan.edge_curves(**params, points=11)
    assert xs.shape == (3, 11)
    assert ys.shape == (3, 4, 11)
    rows = jnp.zeros((11, 3)).at[:, 1].set(xs[1])
    outputs = kan.kan_layer(rows, **params)
    np.testing.assert_allclose(outputs - outputs[:1], ys[1].T - ys[1, :, 0][None], atol=1e-5)
    splines = kan.edge_curves(params["coefficients"], points=11)[1]
    base = params["base_kernel"][:, :, None] * jax.nn.silu(xs)[:, None, :]
    np.testing.assert_allclose(ys - splines, base, atol=1e-5)


def test_curves_over_adapted_knots(network):
    model, variables, x = network
    updated = update(model, variables, x * 0.3)
    params, grid = updated["params"]["layers_0"], updated["grid"]["layers_0"]
    xs, ys = kan.edge_curves(**params, **grid, points=21)
    np.testing.assert_allclose(xs[:, 0], 0.3 * x.min(axis=0), atol=1e-6)
    old = kan.edge_functions(xs.T, **variables["params"]["layers_0"])
    np.testing.assert_allclose(ys, jnp.moveaxis(old, 0, -1), atol=0.2)


def test_scores_are_mean_magnitudes_and_penalty_of_equal_edges_is_known(network):
    model, variables, x = network
    scores = score(model, variables, x)
    params = variables["params"]
    want = np.abs(np.asarray(kan.edge_functions(x, **params["layers_0"]))).mean(axis=0)
    np.testing.assert_allclose(scores["layers_0"]["edges"], want, atol=1e-5)
    hidden = kan.kan_layer(x, **params["layers_0"])
    want = np.abs(np.asarray(kan.edge_functions(hidden, **params["layers_1"]))).mean(axis=0)
    np.testing.assert_allclose(scores["layers_1"]["edges"], want, atol=1e-5)
    equal = {"a": jnp.full((2, 3), 0.5), "b": jnp.array([[2.0, 0.0]])}
    got = kan.regularization(equal, l1=2.0, entropy=3.0)
    np.testing.assert_allclose(got, 2 * (3 + 2) + 3 * np.log(6), rtol=1e-6)
    slope = jax.grad(lambda s: kan.regularization(s))(jnp.zeros((2, 2)))
    assert jnp.isfinite(slope).all()


def test_pruned_edges_are_gone_and_the_others_unchanged(network):
    model, variables, x = network
    scores = score(model, variables, x)
    threshold = float(jnp.median(scores["layers_1"]["edges"]))
    pruned = kan.prune_edges(variables, scores, threshold=threshold)
    mask = pruned["mask"]["layers_1"]["edges"]
    np.testing.assert_array_equal(mask, scores["layers_1"]["edges"] > threshold)
    hidden = kan.kan_layer(x, **variables["params"]["layers_0"])
    edges = kan.edge_functions(hidden, **variables["params"]["layers_1"])
    left = kan.edge_functions(hidden, **pruned["params"]["layers_1"])
    np.testing.assert_allclose(left, edges * mask[None], atol=1e-6)
    again = kan.prune_edges(pruned, jax.tree.map(jnp.ones_like, scores))
    np.testing.assert_array_equal(again["mask"]["layers_1"]["edges"], mask)
    np.testing.assert_allclose(model.apply(again, x), model.apply(pruned, x), atol=1e-6)


def test_node_pruning_makes_a_smaller_network_of_the_same_function(network):
    """A node that nothing reaches, one that nothing leaves, and one that lives from the first."""
    model, variables, x = network
    scores = jax.tree.map(jnp.ones_like, score(model, variables, x))
    first, second = scores["layers_0"]["edges"], scores["layers_1"]["edges"]
    scores["layers_0"] = {"edges": first.at[:, 1].set(0)}
    scores["layers_1"] = {"edges": second.at[2, :].set(0).at[jnp.array([0, 3]), 2].set(0)}
    small = kan.prune_nodes(update(model, variables, x), scores)
    shapes = [small["params"][f"layers_{i}"]["base_kernel"].shape for i in range(3)]
    assert shapes == [(3, 2), (2, 2), (2, 2)]
    assert small["grid"]["layers_1"]["knots"].shape == (2, 12)
    # The same by masks: all edges of the nodes 1 and 2, and of node 2 one layer on.
    masks = {
        "layers_0": {"edges": first.at[:, 1:3].set(0)},
        "layers_1": {"edges": second.at[1:3, :].set(0).at[:, 2].set(0)},
        "layers_2": {"edges": scores["layers_2"]["edges"].at[2, :].set(0)},
    }
    masked = kan.prune_edges(variables, masks)
    got = model.clone(features=(2, 2, 2)).apply(kan.prune_nodes(variables, scores), x)
    np.testing.assert_allclose(got, model.apply(masked, x), atol=1e-5)
    carried = kan.prune_nodes(masked, scores)
    assert carried["mask"]["layers_1"]["edges"].shape == (2, 2)


def test_node_order_is_by_number(key):
    """After `jit`, ``layers_10`` comes before ``layers_2`` in the tree."""
    model, x = KAN((2,) * 10 + (3, 2), grid=1, degree=1), jnp.ones((2, 2))
    variables = jax.eval_shape(model.init, key, x)
    variables = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), variables)
    scores = {
        name: {"edges": np.ones(layer["base_kernel"].shape)}
        for name, layer in sorted(variables["params"].items())
    }
    assert list(scores)[1] == "layers_1"
    assert list(scores)[2] == "layers_10"
    small = kan.prune_nodes(variables, scores)
    jax.tree.map(lambda a, b: np.testing.assert_equal(a.shape, b.shape), variables, small)


def test_curves_of_another_basis_are_its_own(key):
    """Powers with known coefficients: the curve of an edge is its polynomial, over the range."""
    coefficients = jax.random.normal(key, (2, 3, 2))
    xs, ys = kan.edge_curves(
        coefficients,
        grid_range=(-2.0, 3.0),
        points=6,
        basis=lambda x: jnp.stack([x, x**2], axis=-2),
    )
    np.testing.assert_allclose(xs, np.tile(np.arange(-2.0, 4.0), (3, 1)), atol=1e-6)
    a, b = (np.asarray(c)[..., None] for c in coefficients)
    np.testing.assert_allclose(ys, a * xs[:, None] + b * xs[:, None] ** 2, atol=1e-4)


def test_coefficient_penalty_by_hand(key):
    """As in the published code: sums over functions and inputs, means over outputs."""
    c = np.asarray(jax.random.normal(key, (5, 3, 2)))
    size = np.abs(c).mean(axis=2).sum()
    variation = np.abs(c[1:] - c[:-1]).mean(axis=2).sum()
    got = kan.coefficient_penalty(jnp.asarray(c), l1=2.0, difference=3.0)
    np.testing.assert_allclose(got, 2 * size + 3 * variation, rtol=1e-5)


def test_gain_is_the_slope_of_a_line_whatever_it_adds(key):
    x = jax.random.normal(key, (50, 2))
    edges = jnp.stack([3 * x + 5, jnp.zeros_like(x) + 2], -1)
    spread = np.asarray(x).std(0, ddof=1)
    want = np.stack([3 * spread / (spread + 0.1), np.zeros(2)], -1)
    np.testing.assert_allclose(kan.edge_gains(edges, x), want, rtol=1e-5)
    slope = jax.grad(lambda e: kan.edge_gains(e, x).sum())(edges)
    assert jnp.isfinite(slope).all()


def test_layer_penalises_the_gain_of_its_edges(key):
    x = jax.random.uniform(key, (20, 3), minval=-1.0)
    layer = kan.KANLayer(2, regularization=0.5, entropy=2.0, measure="gain")
    variables = layer.init(key, x)
    _, sown = layer.apply(variables, x, mutable=["losses"])
    edges = kan.edge_functions(x, **variables["params"])
    want = 0.5 * kan.regularization(kan.edge_gains(edges, x), entropy=2.0)
    np.testing.assert_allclose(sown["losses"]["regularization"][0], want, rtol=1e-5)
