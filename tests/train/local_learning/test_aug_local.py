"""Local learning with auxiliary networks, against the same networks written by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.train import local_learning, losses

WIDTHS = (5, 4, 3, 6)
CLASSES = 3


def layer(width):
    return nn.Sequential([nn.Dense(width), jnp.tanh])


def setting(**options):
    network = local_learning.AugLocal([layer(n) for n in WIDTHS], nn.Dense(CLASSES), **options)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(7, 4)), jnp.float32)
    y = jnp.asarray(rng.integers(0, CLASSES, 7))
    shapes = jax.eval_shape(network.init, jax.random.key(0), x)["params"]
    params = jax.tree.map(lambda s: jnp.asarray(rng.normal(size=s.shape), jnp.float32), shapes)
    return network, params, x, y


def test_layers_are_picked_at_equal_steps():
    """Worked by hand from the formulas; depths 4, 3.5, 3, 2.5, 2 of six following layers."""
    found = local_learning.auxiliary_layers(7, deepest=4, shallowest=2)
    assert [len(one) for one in found] == [4, 4, 3, 3, 2, 1]
    # 1.5, 3, 4.5, 6 from layer 0, halves to even; 1 + 5 i / 4 from layer 1.
    assert found[:3] == ((2, 3, 4, 6), (2, 4, 5, 6), (3, 5, 6))
    assert found[-2:] == ((5, 6), (6,))
    assert local_learning.auxiliary_layers(3, deepest=0, shallowest=0) == ((), ())
    assert local_learning.auxiliary_layers(1) == ()
    for one, picked in enumerate(local_learning.auxiliary_layers(20, deepest=9, shallowest=1)):
        assert picked[-1] == 19
        assert picked[0] > one
        assert all(np.diff(picked) > 0)


def dense(p, x):
    return x @ p["kernel"] + p["bias"][None]


def test_each_part_has_the_gradient_of_its_own_loss():
    """Of networks written out: layers 0 and 1 with auxiliaries like 2 and 3, layer 2 like 3."""
    network, params, x, y = setting(deepest=2, shallowest=1)
    found, metrics = jax.jit(local_learning.aug_local(network, losses.cross_entropy))(
        params, (x, y), jax.random.key(0)
    )
    widths = [
        [p["kernel"].shape for p in (params[f"auxiliary_{i}"][n]["layers_0"] for n in names)]
        for i, names in enumerate([["layers_0", "layers_1"]] * 2 + [["layers_0"]])
    ]
    assert widths == [[(5, 3), (3, 6)], [(4, 3), (3, 6)], [(3, 6)]]

    def inputs(params, i):
        h = x
        for k in range(i):
            h = jnp.tanh(dense(params[f"layers_{k}"]["layers_0"], h))
        return h

    def loss(own, h):
        h = jnp.tanh(dense(own["layer"]["layers_0"], h))
        hidden = sorted(name for name in own["after"] if name != "head")
        for name in hidden:
            h = jnp.tanh(dense(own["after"][name]["layers_0"], h))
        z = dense(own["after"]["head"], h)
        return -jnp.mean(jax.nn.log_softmax(z)[jnp.arange(7), y])

    values = []
    for i in range(4):
        after = params[f"auxiliary_{i}"] if i < 3 else {"head": params["head"]}
        own = {"layer": params[f"layers_{i}"], "after": after}
        value, wanted = jax.jit(jax.value_and_grad(loss))(own, inputs(params, i))
        values.append(float(value))
        got = found[f"auxiliary_{i}"] if i < 3 else {"head": found["head"]}
        close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
        jax.tree.map(close, {"layer": found[f"layers_{i}"], "after": got}, wanted)
    np.testing.assert_allclose(metrics["loss"], values[-1], rtol=1e-5)
    np.testing.assert_allclose(metrics["local_loss"], sum(values[:-1]), rtol=1e-5)


def test_auxiliary_networks_can_be_thrown_away():
    network, params, x, _ = setting()
    kept = {name: leaf for name, leaf in params.items() if not name.startswith("auxiliary")}
    assert len(kept) == 5
    plain = network.apply({"params": kept}, x)
    own = network.apply({"params": params}, x, method="local_outputs")[-1]
    np.testing.assert_allclose(plain, own, rtol=1e-6)
    h = x
    for i in range(4):
        h = jnp.tanh(dense(kept[f"layers_{i}"]["layers_0"], h))
    np.testing.assert_allclose(plain, dense(kept["head"], h), rtol=1e-5, atol=1e-6)


def test_errors_name_the_argument():
    with pytest.raises(ValueError, match=r"auxiliary_layers: `layers` is 0"):
        local_learning.auxiliary_layers(0)
    with pytest.raises(ValueError, match=r"auxiliary_layers: `shallowest` is 3.* in \[0, 2\]"):
        local_learning.auxiliary_layers(4, deepest=2, shallowest=3)
    with pytest.raises(ValueError, match=r"AugLocal: `layers` .* a layer or more"):
        local_learning.AugLocal([], nn.Dense(2)).init(jax.random.key(0), jnp.ones((1, 2)))
