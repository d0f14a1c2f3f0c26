"""Every row of the catalogue against its formula, its metadata, and its kin elsewhere.

All rows share one table of values and gradients, for each costs more to compile than to run.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn import models
from jaxnn.claims.activations._formulas import evaluate
from jaxnn.layers import activations

CATALOGUE = activations.CATALOGUE
# Near no kink, and near none within the step of a finite difference.
NEAR = np.linspace(-8, 8, 200) + 0.00137
DENSE = np.linspace(-30, 30, 6001)
FAR = np.geomspace(30, 1e12, 60)
WIDE = np.concatenate([-FAR[::-1], DENSE, FAR])
EXTREME = np.array([0.0, 1e4, -1e4])
X = np.concatenate([NEAR, WIDE, EXTREME]).astype(np.float32)
PARTS = dict(zip(("near", "wide", "extreme"), np.split(X, [200, len(X) - 3]), strict=True))


@functools.cache
def table():
    """Give values, slopes and the parameters' slopes of all rows, each at every point of X.

    Eagerly: one program of all gradients would take five times as long to compile.
    """
    found = {}
    x = jnp.asarray(X)
    for entry in CATALOGUE.values():
        parameters = [jnp.full(X.shape, p, jnp.float32) for p in entry.parameters.values()]
        y, pullback = jax.vjp(entry.function, x, *parameters)
        rows = np.stack([np.asarray(a) for a in (y, *pullback(jnp.ones_like(y)))])
        found[entry.name] = dict(zip(PARTS, np.split(rows, [200, len(X) - 3], axis=1), strict=True))
    return found


def relative(got, want):
    return np.max(np.abs(got - want) / np.maximum(1.0, np.abs(want)))


def all_rows(check):
    """Collect what ``check(entry, table)`` says is wrong, of all rows at once."""
    wrong = {name: check(entry, table()[name]) for name, entry in CATALOGUE.items()}
    return {name: said for name, said in wrong.items() if said}


def test_there_are_enough_of_them_and_all_say_where_they_are_from():
    assert len(CATALOGUE) >= 160
    assert sum(bool(entry.trained) for entry in CATALOGUE.values()) >= 60
    for name, entry in CATALOGUE.items():
        assert name == entry.name == name.lower()
        assert entry.source.startswith("§") or entry.source[-6:-5] == "(" or "Torch" in entry.source
        assert set(entry.trained) <= set(entry.parameters)
        assert all(p in entry.formula for p in entry.parameters), name


def test_values_equal_the_published_formulas():
    # float32 carries 6e-8 a step through chains of up to a hundred steps and factors.
    def check(entry, rows):
        worst = relative(rows["near"][0], evaluate(entry, PARTS["near"]))
        return worst if not worst <= 2e-5 else None

    assert all_rows(check) == {}


def test_gradients_equal_differences_of_the_formulas():
    x = PARTS["near"].astype(np.float64)

    def check(entry, rows):
        step = 1e-6
        wanted = [(evaluate(entry, x + step) - evaluate(entry, x - step)) / (2 * step)]
        for name, value in entry.parameters.items():
            high, low = (evaluate(entry, x, {name: value + s}) for s in (step, -step))
            wanted.append((high - low) / (2 * step))
        worst = [relative(g, w) for g, w in zip(rows["near"][1:], wanted, strict=True)]
        return worst if not max(worst) <= 2e-4 else None

    assert all_rows(check) == {}


def test_values_and_gradients_are_finite_far_out_and_at_zero():
    def check(entry, rows):
        return None if np.isfinite(rows["extreme"]).all() else rows["extreme"]

    assert all_rows(check) == {}


def problems(entry, y):
    """Say which of range and monotonicity is not what the values ``y`` on WIDE show."""
    wrong = []
    for bound, reached in zip(entry.range, (y.min(), y.max()), strict=True):
        if np.isinf(bound):
            # The slowest to grow are logarithms, and ln 1e12 is 27.
            if not reached * np.sign(bound) >= 20:
                wrong.append(f"is bounded, by {reached}")
        elif not abs(reached - bound) <= 1e-4 * max(1, abs(bound)):
            wrong.append(f"comes to {reached}, not {bound}")
    y = np.clip(y[60:-60].astype(np.float64), -1e3, 1e3)
    falls = np.max(np.maximum.accumulate(y) - y)
    rises = np.max(y - np.minimum.accumulate(y))
    if entry.monotonic != (min(falls, rises) <= 2e-4):
        wrong.append(f"falls by {falls}, rises by {rises}")
    return wrong


def test_ranges_and_monotonicity_are_as_listed():
    assert all_rows(lambda entry, rows: problems(entry, rows["wide"][0])) == {}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mish", {"range": (-0.31, np.inf)}),
        ("sigmoid", {"range": (0, np.inf)}),
        ("relu", {"range": (0, 6)}),
        ("softplus", {"range": (-np.inf, np.inf)}),
        ("gelu", {"monotonic": True}),
        ("elu", {"monotonic": False}),
    ],
)
def test_a_wrong_row_is_seen(name, change):
    entry = dataclasses.replace(CATALOGUE[name], **change)
    assert problems(entry, table()[name]["wide"][0])


def test_all_compile_as_branches_of_one_program(key):
    """A two-layer network under every activation, by ``lax.switch`` and by the table's loop."""
    x = jnp.asarray(PARTS["near"]).reshape(20, 10)
    order = np.random.default_rng(0).permutation(10)
    up, down = jnp.eye(10)[order], jax.random.normal(key, (10, 2))
    entries = list(CATALOGUE.values())

    @jax.jit
    @jax.vmap
    def network(i):
        return jax.lax.switch(i, entries, x @ up) @ down

    got = network(jnp.arange(len(entries)))
    values = np.stack([table()[entry.name]["near"][0] for entry in entries])
    want = values.reshape(-1, 20, 10)[:, :, np.argsort(order)] @ np.asarray(down)
    scale = np.abs(want).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(got / scale, want / scale, atol=1e-5)


JAX = {
    "celu": jax.nn.celu,
    "elu": jax.nn.elu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": jax.nn.gelu,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_swish": jax.nn.hard_swish,
    "hard_tanh": jax.nn.hard_tanh,
    "identity": jax.nn.identity,
    "leaky_relu": jax.nn.leaky_relu,
    "log_sigmoid": jax.nn.log_sigmoid,
    "mish": jax.nn.mish,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "squareplus": jax.nn.squareplus,
    "swish": jax.nn.swish,
    "tanh": jnp.tanh,
}


def test_equals_jax_where_jax_has_it():
    for name, function in JAX.items():
        y, pullback = jax.vjp(function, jnp.asarray(X))
        slope = pullback(jnp.ones_like(y))[0]
        got = table()[name]["near"]
        assert relative(got[0], np.asarray(y)[:200]) <= 1e-6, name
        assert relative(got[1], np.asarray(slope)[:200]) <= 1e-5, name


def test_equals_torch_where_torch_has_it():
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    theirs = {
        "celu": functional.celu,
        "elu": functional.elu,
        "gelu": functional.gelu,
        "gelu_tanh": functools.partial(functional.gelu, approximate="tanh"),
        "hard_shrink": functional.hardshrink,
        "hard_sigmoid": functional.hardsigmoid,
        "hard_swish": functional.hardswish,
        "hard_tanh": functional.hardtanh,
        "leaky_relu": functional.leaky_relu,
        "log_sigmoid": functional.logsigmoid,
        "mish": functional.mish,
        "prelu": lambda x: functional.prelu(x, torch.tensor(0.25)),
        "relu": functional.relu,
        "relu6": functional.relu6,
        "selu": functional.selu,
        "sigmoid": functional.sigmoid,
        "silu": functional.silu,
        "soft_shrink": functional.softshrink,
        "softplus": functional.softplus,
        "softsign": functional.softsign,
        "tanh": functional.tanh,
        "tanh_shrink": functional.tanhshrink,
    }
    for name, function in theirs.items():
        x = torch.tensor(PARTS["near"], requires_grad=True)
        y = function(x)
        y.sum().backward()
        got = table()[name]["near"]
        assert relative(got[0], y.detach().numpy()) <= 1e-6, name
        assert relative(got[1], x.grad.numpy()) <= 1e-5, name


# Closed forms between rows: (name, its parameters, what it then is).
RELATIONS = [
    ("prelu", {"slope": 0.0}, "relu"),
    ("acon_c", {"p": 1.0, "q": 0.25, "beta": 1.0}, "acon_b"),
    ("aria_2", {"a": 1.0, "b": 1.0}, "silu"),
    ("soft_bent_identity", {"a": 0.5}, "bent_identity"),
    ("crrelu", {"epsilon": 0.0}, "relu"),
    ("deformable_elu", {"b": 1 - 1e-3}, "elu"),
    ("eis_3", {"d": 1.0, "e": 1.702}, "gelu_sigmoid"),
    ("leaf", {}, "silu"),
    ("pelu", {}, "elu"),
    ("repu", {"a": 1.0}, "relu"),
    ("rsig_elu", {"a": 0.0}, "relu"),
    ("serlu", {"a": 1.0, "b": 1.0}, "reu"),
    ("smooth_activation_unit", {"a": 0.0, "b": 1e4}, "relu"),
    ("smooth_maximum_unit", {"a": 0.01, "b": 1e4}, "leaky_relu"),
    ("soft_exponential", {"a": 0.0}, "identity"),
    ("soft_modulus_t", {"a": 1.0}, "lisht"),
    ("swim", {"a": 1.0}, "power_function_linear_unit"),
    ("universal", {}, "identity"),
]


@pytest.mark.parametrize(("name", "parameters", "other"), RELATIONS)
def test_relations_between_rows(name, parameters, other):
    # A thousandth off the limit, a deformed exponential is a few ten-thousandths off.
    tolerance = 1e-3 if name == "deformable_elu" else 1e-5
    got = activations.activation(name, **parameters)(jnp.asarray(X))
    assert relative(np.asarray(got)[:200], table()[other]["near"][0]) <= tolerance


def test_soft_exponential_runs_from_logarithm_to_exponential():
    x = jnp.array([0.5, 1.0, 3.0])
    entry = CATALOGUE["soft_exponential"]
    np.testing.assert_allclose(entry(x, a=1.0), jnp.exp(x), rtol=1e-6)
    np.testing.assert_allclose(entry(x, a=-1.0), jnp.log(x), atol=1e-6)


def test_gains_in_closed_form():
    for name, gain in {
        "identity": 1.0,
        "relu": 2**0.5,
        "leaky_relu": (2 / (1 + 0.01**2)) ** 0.5,
        "selu": 1.0,  # its published constants are made for this
        "star_relu": 1.0,  # and so are these
    }.items():
        np.testing.assert_allclose(CATALOGUE[name].gain(), gain, rtol=2e-4)


def test_parameters_may_be_arrays_and_bfloat16_is_kept(key):
    x = jax.random.normal(key, (5, 3))
    slopes = jnp.array([0.0, 0.5, 1.0])
    got = activations.activation("prelu", slope=slopes)(x)
    np.testing.assert_allclose(got, np.where(x > 0, x, np.asarray(slopes)[None, :] * x), rtol=1e-6)
    assert (
        activations.activation("prelu", slope=slopes)(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    )


def test_adaptive_starts_as_published_and_trains_what_its_source_trains(key):
    x = jax.random.normal(key, (5, 3))
    unit = activations.Adaptive("deformable_elu", per="unit")
    variables = unit.init(key, x)
    np.testing.assert_array_equal(variables["params"]["a"], np.ones(3))
    assert set(variables["params"]) == {"a"}
    np.testing.assert_allclose(unit.apply(variables, x), CATALOGUE["deformable_elu"](x), rtol=1e-6)
    both = activations.Adaptive("deformable_elu", train=("a", "b"), start={"b": 0.8})
    parameters = both.init(key, x)["params"]
    assert {name: float(p) for name, p in parameters.items()} == {"a": 1.0, "b": pytest.approx(0.8)}
    # A fixed activation with constants has them all trained.
    assert set(activations.Adaptive("scaled_tanh").init(key, x)["params"]) == {"a", "b"}


def test_adaptive_takes_an_entry_of_ones_own_and_fits_a_slot(key):
    own = dataclasses.replace(CATALOGUE["swish"], name="own", trained=())
    model = models.MLP((6, 2), activation=activations.Adaptive(own, per="unit"))
    x = jax.random.normal(key, (5, 3))
    params = jax.jit(model.init)(key, x)["params"]
    assert params["activation"]["beta"].shape == (6,)

    @jax.jit
    @jax.grad
    def gradient(params):
        return jnp.sum(jnp.asarray(model.apply({"params": params}, x)) ** 2)

    assert (jnp.abs(gradient(params)["activation"]["beta"]) > 0).all()
