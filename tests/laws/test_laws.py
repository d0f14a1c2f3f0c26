"""The laws themselves, each run over every row it applies to."""

import importlib
import inspect
import zlib
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.laws.case import LAWS, Case, Plain
from tests.laws.registry import public_names, rows

ROOT = Path(__file__).parents[2]
EPSILON = 1e-4  # of the central differences
CASES = [row for row in rows() if isinstance(row, Case)]


def under(law, slow=lambda case: False):
    """Parametrise a test over the rows that are not exempt from ``law``."""
    held = [
        pytest.param(case, id=case.name, marks=pytest.mark.slow if slow(case) else ())
        for case in CASES
        if law not in case.exempt
    ]
    return pytest.mark.parametrize("case", held)


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_dtype_promotion("strict"):
        yield


def is_float(leaf):
    return jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating)


# What the laws do to arrays is done in NumPy, which compiles nothing.
def changed(tree, change, *others):
    """Change the floating-point arrays of a tree in NumPy, with those of others beside them."""

    def apply(leaf, *beside):
        return jnp.asarray(change(np.asarray(leaf), *beside)) if is_float(leaf) else leaf

    return jax.tree.map(apply, tree, *others)


def cast(tree, dtype):
    return changed(tree, lambda leaf: leaf.astype(dtype))


def stack(trees):
    def together(*leaves):
        keys = jnp.issubdtype(leaves[0].dtype, jax.dtypes.prng_key)
        return jnp.stack(leaves) if keys else jnp.asarray(np.stack(leaves))

    return jax.tree.map(together, *trees)


def assert_near(got, want, tolerance, what):
    """Compare the worst entry of each leaf with the scale of the wanted leaf."""
    chex.assert_trees_all_equal_structs(got, want)
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        g, w = np.asarray(g), np.asarray(w)
        assert g.shape == w.shape, f"{what}: shapes {g.shape} and {w.shape}"
        if not np.issubdtype(w.dtype, np.number) and w.dtype != jnp.bfloat16:
            assert (g == w).all(), what
            continue
        g, w = g.astype(np.float64), w.astype(np.float64)
        if w.size:
            worst = np.abs(g - w).max()
            assert worst <= tolerance * max(1.0, np.abs(w).max()), f"{what}: off by {worst:.3g}"


def differentiable(case, inputs):
    """Split off the arguments to differentiate: a function of them, and their values."""
    argnums = case.differentiable
    if argnums is None:
        argnums = tuple(
            i
            for i, value in enumerate(inputs)
            if i != case.key and all(is_float(leaf) for leaf in jax.tree.leaves(value))
        )
    if not argnums:
        raise AssertionError(f"{case.name}: no float argument; exempt it from the gradient laws")

    def function(*values):
        full = list(inputs)
        for i, value in zip(argnums, values, strict=True):
            full[i] = value
        return [leaf for leaf in jax.tree.leaves(case.function(*full)) if is_float(leaf)]

    return function, tuple(inputs[i] for i in argnums)


def test_every_public_name_has_one_row():
    names = [row.name for row in rows()]
    assert sorted(names) == sorted(set(names)), "a name has two rows"
    assert set(public_names()) == set(names)


@pytest.mark.parametrize("row", rows(), ids=[row.name for row in rows()])
def test_row_says_where_its_values_are_checked(row):
    assert (ROOT / row.parity).is_file(), f"{row.name}: {row.parity} is missing"
    if isinstance(row, Plain):
        assert row.reason
        return
    assert set(row.exempt) <= set(LAWS), f"{row.name}: unknown law in {set(row.exempt)}"
    assert all(len(reason) > 10 for reason in row.exempt.values())
    assert row.rejects or "rejects" in row.exempt, f"{row.name}: no bad call is tested"


@pytest.mark.parametrize("row", rows(), ids=[row.name for row in rows()])
def test_public_name_is_documented(row):
    home, _, name = row.name.rpartition(".")
    value = getattr(importlib.import_module(f"jaxnn.{home}"), name)
    if not callable(value):
        return  # a table has no docstring of its own; its module and its type have
    doc = value.__doc__
    assert doc, f"{row.name} has no docstring"
    assert doc.strip().splitlines()[0].rstrip().endswith((".", ":")), f"{row.name}: no summary line"


def is_module(case):
    """Most modules hand on to a function of theirs, which has its own row for the same laws."""
    home, _, name = case.name.rpartition(".")
    return inspect.isclass(getattr(importlib.import_module(f"jaxnn.{home}"), name))


def all_but(law, one_of):
    """Leave the law to `make claims`, but for one row of so many, told by its name, and modules."""

    def slow(case):
        return is_module(case) or zlib.crc32(f"{law} {case.name}".encode()) % one_of != 0

    return slow


# Eagerly each operation is a program of its own. What is slow is run by `make claims`.
@under("jit", slow=all_but("jit", 4))
def test_jit_equals_eager(case, key):
    inputs = case.inputs(key)
    eager = case.function(*inputs)
    assert_near(jax.jit(case.function)(*inputs), eager, case.tolerance, case.name)


@under("vmap", slow=all_but("vmap", 3))
def test_vmap_equals_a_loop(case, key):
    examples = [case.inputs(k) for k in jax.random.split(key, 3)]
    compiled = jax.jit(case.function)
    loop = stack([compiled(*example) for example in examples])
    got = jax.jit(jax.vmap(case.function))(*stack(examples))
    assert_near(got, loop, case.tolerance, case.name)


@under("gradients", slow=all_but("gradients", 3))
def test_gradients_equal_finite_differences(case, key):
    inputs = case.inputs(key)
    with jax.enable_x64(True):
        inputs = cast(inputs, jnp.float64)
        function, values = differentiable(case, inputs)
        random = np.random.default_rng(0)

        def like(tree):
            return jax.tree.map(lambda leaf: random.normal(size=leaf.shape), tree)

        weights, along = like(jax.eval_shape(function, *values)), like(values)

        def total(values):
            return sum(
                jnp.vdot(w, leaf) for w, leaf in zip(weights, function(*values), strict=True)
            )

        # The value beside the pullback is the derivative rule's own; it must be the function's.
        plain = jax.jit(total)
        value, pullback = jax.jit(jax.value_and_grad(total))(values)
        np.testing.assert_allclose(value, plain(values), rtol=1e-9, atol=1e-9)
        plus, minus = (
            plain(changed(values, lambda x, v, step=step: x + step * v, along))
            for step in (EPSILON, -EPSILON)
        )
        slope = sum(jax.tree.leaves(jax.tree.map(np.vdot, along, pullback)))
        # float64 central differences with step 1e-4 leave errors of about 1e-8.
        np.testing.assert_allclose(slope, (plus - minus) / (2 * EPSILON), rtol=2e-5, atol=2e-5)


@under("extremes", slow=all_but("extremes", 3))
def test_values_and_gradients_stay_finite_at_extremes(case, key):
    inputs = case.inputs(key)
    function, values = differentiable(case, inputs)

    def total(*values):
        return sum(jnp.sum(leaf.astype(jnp.float32)) for leaf in function(*values))

    program = jax.jit(jax.value_and_grad(total, argnums=tuple(range(len(values)))))
    for factor in (0.0, case.extreme, -case.extreme):
        scaled = changed(values, lambda leaf, factor=factor: leaf * np.float32(factor))
        for leaf in jax.tree.leaves(program(*scaled)):
            assert np.isfinite(leaf).all(), f"{case.name}: not finite for inputs x {factor}"


@under("bfloat16")
def test_bfloat16_is_near_float32_and_kept(case, key):
    # Both see the rounded inputs, so that only the computation differs.
    low = cast(case.inputs(key), jnp.bfloat16)
    compiled = jax.jit(case.function)
    got, want = compiled(*low), compiled(*cast(low, jnp.float32))
    for leaf in jax.tree.leaves(got):
        assert not is_float(leaf) or leaf.dtype == jnp.bfloat16, f"{case.name}: became {leaf.dtype}"
    assert_near(got, want, case.tolerance_bfloat16, case.name)


@under("compiles_once")
def test_two_calls_compile_once(case, key):
    traces = []

    def counted(*inputs):
        traces.append(1)
        return case.function(*inputs)

    jitted = jax.jit(counted)  # each trace is a program: compiling them would only take time
    for k in jax.random.split(key):
        jitted.trace(*case.inputs(k))
    assert len(traces) == 1


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c.key is not None],
    ids=[c.name for c in CASES if c.key is not None],
)
def test_typed_and_legacy_keys_agree(case, key):
    inputs = list(case.inputs(key))
    typed = case.function(*inputs)
    inputs[case.key] = jax.random.key_data(inputs[case.key])
    assert_near(case.function(*inputs), typed, 0.0, case.name)


EQUALS = [(case, name) for case in CASES for name in case.equals]


@pytest.mark.parametrize(("case", "name"), EQUALS, ids=[f"{c.name}-{n}" for c, n in EQUALS])
def test_forms_agree(case, name, key):
    inputs = case.inputs(key)
    want = jax.jit(case.equals[name])(*inputs)
    assert_near(jax.jit(case.function)(*inputs), want, case.tolerance, f"{case.name} and {name}")


REJECTS = [(case, i) for case in CASES for i in range(len(case.rejects))]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("case", "index"), REJECTS, ids=[f"{c.name}-{i}" for c, i in REJECTS])
def test_bad_input_is_named(case, index):
    reject = case.rejects[index]
    assert reject.error in (ValueError, TypeError)
    with pytest.raises(reject.error, match=reject.match):
        reject.call()
