from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import cont2discrete, dlsim

from jaxnn.layers import recurrent

LAYER = recurrent.S4D(3, states=8)
RUN = jax.jit(recurrent.s4d, static_argnames="form")
METHODS = ("zoh", "bilinear")


def parts(a):
    """Write one complex state as a real system of two, driven in the first."""
    matrix = np.array([[a.real, -a.imag], [a.imag, a.real]])
    return matrix, np.array([[1.0], [0.0]])


def test_spectra_are_their_tables(unchecked):
    lin = recurrent.s4d_transition(4)
    np.testing.assert_allclose(lin, [-0.5 + 1j * np.pi * n for n in range(4)], rtol=1e-6)
    inv = recurrent.s4d_transition(2, spectrum="inv")
    np.testing.assert_allclose(inv, [-0.5 + 12j / np.pi, -0.5 + 4j / np.pi / 3], rtol=1e-6)
    real = recurrent.s4d_transition(3, spectrum="real")
    np.testing.assert_array_equal(real, [-1, -2, -3])
    with pytest.raises(ValueError, match="s4d_transition: `spectrum` is 'log'; it needs one of"):
        recurrent.s4d_transition(2, spectrum=cast("Any", "log"))


def test_inverse_spectrum_is_near_that_of_hippo():
    """HiPPO with its low-rank term: eigenvalues at -1/2, frequencies near the inverse law."""
    a, _ = (np.asarray(each, np.float64) for each in recurrent.hippo_legs(64))
    p = np.sqrt(np.arange(64) + 0.5)
    values = np.linalg.eigvals(a + np.outer(p, p))
    np.testing.assert_allclose(values.real, -0.5, atol=1e-5)
    theirs = np.sort(values.imag)[:-4:-1]
    ours = recurrent.s4d_transition(32, spectrum="inv").imag[:3]
    np.testing.assert_allclose(ours, theirs, rtol=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_discretization_is_that_of_scipy(method: Literal["zoh", "bilinear"]):
    """Also where ΔA is so small that the quotient is taken by its series."""
    a = np.array([[-0.5 + 9j, -0.5], [-2.0 + 0.3j, -1e-4 + 1e-3j]], np.complex64)
    steps = np.array([0.3, 0.02], np.float32)
    got_a, got_b = recurrent.s4d_discretize(jnp.asarray(a), jnp.asarray(steps), method=method)
    for c, n in np.ndindex(2, 2):
        matrix, drive = parts(a[c, n])
        system: Any = (matrix, drive, np.zeros((1, 2)), [[0]])
        want_a, want_b = cast("Any", cont2discrete(system, steps[c], method))[:2]
        np.testing.assert_allclose(got_a[c, n], want_a[0, 0] + 1j * want_a[1, 0], rtol=2e-6)
        np.testing.assert_allclose(got_b[c, n], want_b[0, 0] + 1j * want_b[1, 0], rtol=2e-6)
    one = recurrent.s4d_discretize(jnp.asarray(a.real), jnp.asarray(steps), method=method)
    dense = recurrent.discretize(
        jnp.asarray(a.real[:, :1, None]), jnp.ones((2, 1)), jnp.asarray(steps), method=method
    )
    np.testing.assert_allclose(one[0][:, :1], dense[0][..., 0], rtol=1e-5)
    np.testing.assert_allclose(one[1][:, :1], dense[1], rtol=1e-5)


def test_a_held_input_has_the_closed_form():
    """After a time t of ones, each state is (exp(A t) - 1) / A, whatever the number of steps."""
    a = jnp.broadcast_to(recurrent.s4d_transition(4), (2, 4))
    system = recurrent.s4d_discretize(a, jnp.array([0.05, 0.1]))
    _, last = RUN(jnp.ones((20, 2)), *system, jnp.ones_like(a))
    exact = np.asarray(a, np.complex128)
    times = np.array([[1.0], [2.0]])
    np.testing.assert_allclose(last, (np.exp(exact * times) - 1) / exact, atol=1e-5)


@pytest.mark.parametrize("turns", [True, False])
def test_outputs_are_those_of_scipy(turns):
    """A state and its conjugate, as real systems of two, for channels of two states."""
    random = np.random.default_rng(0)
    x, skip = random.normal(size=(30, 2)), random.normal(size=2)
    a, c = random.uniform(-2, -0.1, (2, 2)), random.normal(size=(2, 2))
    if turns:
        a, c = a + 1j * random.normal(size=(2, 2)), c + 1j * random.normal(size=(2, 2))
    system = recurrent.s4d_discretize(jnp.asarray(a), jnp.array([0.1, 0.3]))
    args = [
        jnp.asarray(v, jnp.complex64 if np.iscomplexobj(v) else jnp.float32) for v in (x, c, skip)
    ]
    want = skip * x
    for k, n in np.ndindex(2, 2):
        bar_a, bar_b = (np.asarray(each)[k, n] for each in system)
        if turns:
            # The output is that of h and its conjugate with C and its conjugate.
            matrix, drive = np.diag([bar_a, bar_a.conj()]), np.array([bar_b, bar_b.conj()])
            reading = np.array([c[k, n], c[k, n].conj()])
        else:
            matrix, drive, reading = np.array([[bar_a]]), np.array([bar_b]), c[k, n : n + 1]
        h = np.zeros(len(drive), complex)
        for t in range(30):
            h = matrix @ h + drive * x[t, k]
            want[t, k] = want[t, k] + (reading @ h).real
    for form in ("convolution", "recurrence"):
        y, _ = RUN(args[0], *system, *args[1:], form=form)
        np.testing.assert_allclose(y, want, atol=1e-5)
    if not turns:
        # SciPy reads the state before the input of a step, this after it.
        bar_a, bar_b = (np.asarray(each, np.float64)[0] for each in system)
        theirs: Any = (np.diag(bar_a), bar_b[:, None], (c[0] * bar_a)[None], [[c[0] @ bar_b]], 1)
        np.testing.assert_allclose(y[:, 0], dlsim(theirs, x[:, 0])[1][:, 0] + skip[0] * x[:, 0],
                                   atol=1e-5)  # fmt: skip


def test_the_layer_is_its_function(key):
    x = jnp.asarray(np.random.default_rng(2).normal(size=(16, 2)), jnp.float32)
    variables = jax.jit(LAYER.init)(key, x)
    got, state = jax.jit(LAYER.apply)(variables, x)
    p = variables["params"]
    a = jax.lax.complex(-jnp.exp(p["log_rate"]), p["frequency"])
    c = jax.lax.complex(p["output_map"][..., 0], p["output_map"][..., 1])
    y, last = RUN(x, *recurrent.s4d_discretize(a, jnp.exp(p["log_step"])), c, p["skip"])
    want = jax.nn.gelu(y) @ p["outputs"]["kernel"] + p["outputs"]["bias"][None]
    np.testing.assert_allclose(got, want, atol=1e-5)
    np.testing.assert_allclose(state, last, atol=1e-5)
    np.testing.assert_allclose(a[0], recurrent.s4d_transition(8), rtol=1e-6)


def test_stretches_of_time_join_over_long_sequences(key):
    """2,048 steps: the recurrence, the convolution, and stretches from state to state."""
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2048, 2)), jnp.float32)
    variables = jax.jit(LAYER.init)(key, x[:1])
    apply = jax.jit(LAYER.apply)
    whole, last = apply(variables, x)
    stepwise, end = apply(variables, x, jnp.zeros((2, 8), jnp.complex64))
    np.testing.assert_allclose(stepwise, whole, atol=1e-4)
    np.testing.assert_allclose(end, last, atol=1e-4)
    first, state = apply(variables, x[:1024])
    second, state = apply(variables, x[1024:], state)
    np.testing.assert_allclose(jnp.concatenate([first, second]), whole, atol=1e-4)
    np.testing.assert_allclose(state, last, atol=1e-4)
