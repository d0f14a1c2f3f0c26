import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnn.analysis import activations
from tests.analysis.activations.models import Block, Model

MODEL, X = Model(), jax.random.normal(jax.random.key(1), (5, 3))


@pytest.fixture(scope="module")
def variables():
    return jax.jit(MODEL.init)(jax.random.key(0), X)


@pytest.fixture(scope="module")
def values(variables):
    return jax.jit(lambda v, x: activations.capture(MODEL, v, x))(variables, X)[1]


def block(params, x):
    """The block by hand."""
    hidden = x @ params["up"]["kernel"] + params["up"]["bias"][None, :]
    return x + nn.relu(hidden) @ params["down"]["kernel"] + params["down"]["bias"][None, :]


def test_values_equal_the_computation_by_hand(variables, values):
    params = variables["params"]
    first = block(params["first"], X)
    once = block(params["shared"], first)
    saved = block(params["saved"], block(params["shared"], once))
    layers = [jax.tree.map(lambda p, i=i: p[i], params["layers"]["block"]) for i in range(2)]
    below = 2 * block(params["twice"], saved)
    want = {
        "first": first,
        "shared:0": once,
        "shared:1": block(params["shared"], once),
        "saved": saved,
        "twice": below,
        "layers/block": jnp.stack(
            [block(layers[0], below), block(layers[1], block(layers[0], below))]
        ),
        "first/hidden": X @ params["first"]["up"]["kernel"]
        + params["first"]["up"]["bias"][None, :],
    }
    for name, value in want.items():
        np.testing.assert_allclose(values[name], value, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(values["first/hidden"], values["first/up"])
    np.testing.assert_array_equal(values["cell/0"], values["cell/1"])


def test_outputs_are_the_models_and_order_is_that_of_the_calls(variables):
    outputs, values = activations.capture(MODEL, variables, X)
    np.testing.assert_array_equal(outputs, MODEL.apply(variables, X))
    np.testing.assert_allclose(values["head"], outputs)
    names = list(values)
    assert names[:4] == ["first/up", "first/down", "first/hidden", "first"]
    assert names[-1] == "head"


def test_every_captured_value_that_a_module_returns_can_be_patched(variables, values):
    """Replacing a value by itself changes nothing; by something else, the output."""
    outputs = MODEL.apply(variables, X)

    @jax.jit
    def replaced(amount):
        changed = {}
        for name, value in values.items():
            if "hidden" in name or name.startswith("layers"):
                continue
            replacement = {name: value + amount}
            changed[name] = activations.patch(MODEL, variables, X, patches=replacement)
        return changed

    for name, got in replaced(0.0).items():
        np.testing.assert_allclose(got, outputs, atol=1e-5, err_msg=name)
    for name, got in replaced(1.0).items():
        assert jnp.abs(got - outputs).max() > 1e-3, name


@pytest.mark.parametrize("name", ["first", "saved", "twice", "head"])
def test_a_function_is_applied_exactly_once(name, variables, values):
    """Lifted and inherited calls come by the interceptor twice."""
    doubled = activations.patch(MODEL, variables, X, patches={name: lambda h: 2 * h})
    given = activations.patch(MODEL, variables, X, patches={name: 2 * values[name]})
    np.testing.assert_allclose(doubled, given, atol=1e-5)


def test_calls_of_a_shared_module_are_told_apart(variables, values):
    zero = jnp.zeros_like
    both = activations.patch(MODEL, variables, X, patches={"shared": zero})
    second = activations.patch(MODEL, variables, X, patches={"shared:1": zero})
    np.testing.assert_allclose(both, second, atol=1e-6)
    inner = activations.patch(MODEL, variables, X, patches={"shared/up:1": zero})
    _, seen = activations.capture(MODEL, variables, X, patches={"shared/up:1": zero})
    np.testing.assert_array_equal(seen["shared/up:0"], values["shared/up:0"])
    np.testing.assert_array_equal(seen["shared/up:1"], jnp.zeros((5, 4)))
    assert jnp.abs(inner - MODEL.apply(variables, X)).max() > 1e-4


def test_a_patch_inside_scan_acts_on_every_step(variables):
    patches = {"layers/block/down": jnp.zeros_like}
    _, values = activations.capture(MODEL, variables, X, patches=patches)
    np.testing.assert_allclose(values["layers/block"], jnp.stack([values["twice"]] * 2), atol=1e-6)
    with pytest.raises(ValueError, match=r"layers/block:0.* needs no number"):
        activations.patch(MODEL, variables, X, patches={"layers/block:0": jnp.zeros_like})


def test_names_choose(variables, values):
    _, listed = activations.capture(MODEL, variables, X, names=["head", "first"])
    assert list(listed) == ["head", "first"]
    _, chosen = activations.capture(MODEL, variables, X, names=lambda n: n.endswith("/up"))
    assert set(chosen) == {name for name in values if name.endswith("/up")}


def test_unknown_paths_list_the_nearest(variables):
    with pytest.raises(ValueError, match=r"capture: `names` is 'frist'; .* nearest: first"):
        activations.capture(MODEL, variables, X, names=["frist"])
    with pytest.raises(ValueError, match=r"patch: `patches` is 'savde'; .* nearest: saved"):
        activations.patch(MODEL, variables, X, patches={"savde": jnp.zeros_like})
    before, after = activations.cut(MODEL, variables, "haed")
    with pytest.raises(ValueError, match=r"cut: `name` is 'haed'; .* nearest: .*head"):
        before(X)
    with pytest.raises(ValueError, match=r"cut: `name` is 'haed'; .* nearest: .*head"):
        after(X, X)


def test_cut_is_the_model_in_two_parts_whose_slopes_chain(variables):
    model, small = Block(), {"params": variables["params"]["first"]}
    before, after = activations.cut(model, small, "up")
    x = X[0]
    np.testing.assert_allclose(after(before(x), x), model.apply(small, x), atol=1e-6)
    # d y / d x = d after / d h . d before / d x + the way past the maps.
    through = jax.jacobian(after)(before(x), x) @ jax.jacobian(before)(x)
    past = jax.jacobian(lambda x: after(before(X[0]), x))(x)
    np.testing.assert_allclose(past, jnp.eye(3), atol=1e-6)
    whole = jax.jacobian(lambda x: model.apply(small, x))(x)
    np.testing.assert_allclose(through + past, whole, atol=1e-5)
    by_hand = small["params"]["down"]["kernel"].T * (before(x) > 0)[None, :]
    np.testing.assert_allclose(jax.jacobian(after)(before(x), x), by_hand, atol=1e-6)


def test_the_part_before_a_replaced_value_is_not_computed(variables):
    _, after = activations.cut(MODEL, variables, "head")
    h = MODEL.apply(variables, X)
    program = jax.jit(after).lower(h, X).compile().as_text()
    assert " dot(" not in program
    assert " dot(" in jax.jit(lambda x: MODEL.apply(variables, x)).lower(X).compile().as_text()


def test_gradients_flow_through_a_replacement(variables):
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), variables)
        direction = jnp.arange(15.0).reshape(5, 3)

        def output(size):
            return activations.patch(
                MODEL,
                wide,
                X.astype(jnp.float64),
                patches={"first": lambda h: h + size * direction},
            ).sum()

        step = 1e-6
        central = (output(step) - output(-step)) / (2 * step)
        np.testing.assert_allclose(jax.grad(output)(0.0), central, rtol=1e-6)


def test_keys_methods_and_old_intermediates_are_passed_on(key):
    class Noisy(nn.Module):
        def setup(self):
            self.inner = nn.Dense(3)

        def __call__(self, x):
            return self.inner(x)

        def noisy(self, x, *, scale):
            return self.inner(x) + scale * jax.random.normal(self.make_rng("noise"), x.shape)

    x = jnp.ones((2, 3))
    variables = Noisy().init(key, x)
    stale = {**variables, "intermediates": {"inner": {"__call__": (jnp.zeros(1),)}}}
    options = {"rngs": {"noise": key}, "scale": 0.5, "method": "noisy"}
    outputs, values = activations.capture(Noisy(), stale, x, **options)
    np.testing.assert_allclose(values["inner"], Noisy().apply(variables, x))
    np.testing.assert_allclose(outputs, Noisy().apply(variables, x, **options))
    assert list(values) == ["inner"]
