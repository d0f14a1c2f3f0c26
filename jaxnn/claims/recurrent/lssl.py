"""Linear state-space layers: three views of one system, and what its transition remembers.

The task of memory is to give back noise without periods below 20 steps as it was 100 steps ago,
by ridge regression on 64 states, fitted on one half of 8,192 steps and scored on the other. Both
systems go 0.01 at each step, so that 100 steps are the slowest time constant of HiPPO's, 1. The
other transition is of normal numbers of variance 1/64, shifted so that its slowest mode is as
slow. The paper's gate is a backward Euler step at exp(z); here it is the exact step at
softplus(z), which is the same gate.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.layers.recurrent import (
    discretize,
    hippo_legs,
    state_space_convolution,
    state_space_kernel,
    state_space_scan,
)

LENGTH, STATES, STEP, DELAY, PERIOD = 8192, 64, 0.01, 100, 20


def identities(key: jax.Array) -> list[Check]:
    """One state with A = -1 is a gated average; the two views give the same outputs."""
    random = generator(key)
    z = jnp.asarray(random.normal(size=8), jnp.float32)
    ones = jnp.ones((8, 1))
    kept, taken = discretize(-ones[..., None], ones, jax.nn.softplus(z), method="zoh")
    gate = jax.nn.sigmoid(z)
    a, b = hippo_legs(16)
    a, b = discretize(a[None], b[None], jnp.array([0.05]))
    x, c = (jnp.asarray(random.normal(size=size), jnp.float32) for size in ((512, 1), (1, 16)))
    scan = jax.jit(state_space_scan)(x, a, b, c)[0]
    whole = jax.jit(state_space_convolution)(x, a, b, c)
    return [
        Check("what is kept, from 1 - σ(z)", abs(kept[:, 0, 0] - (1 - gate)).max(), "<=", 1e-6),
        Check("what is taken up, from σ(z)", abs(taken[:, 0] - gate).max(), "<=", 1e-6),
        Check("512 steps: convolution's distance from the recurrence",
              abs(scan - whole).max(), "<=", 1e-4),
    ]  # fmt: skip


def agreements(key: jax.Array) -> list[Check]:
    """The bilinear discretisation and its outputs against SciPy."""
    from scipy.signal import cont2discrete, dlsim

    random = generator(key)
    step = float(random.uniform(0.01, 0.1))
    a, b = hippo_legs(8)
    got_a, got_b = discretize(a, b, jnp.float32(step))
    c = random.normal(size=(1, 8))
    system = (np.asarray(a, np.float64), np.asarray(b, np.float64)[:, None], c, np.zeros((1, 1)))
    theirs: Any = cont2discrete(system, step, "bilinear")
    want_a, want_b = theirs[:2]
    x = random.normal(size=(200, 1)).astype(np.float32)
    y = jax.jit(state_space_scan)(
        jnp.asarray(x), got_a[None], got_b[None], jnp.asarray(c, jnp.float32)
    )[0]
    # SciPy reads the state before the input of a step, this after it.
    want = dlsim((want_a, want_b, c @ want_a, c @ want_b, 1), x)[1]
    return [
        Check("transition: distance from SciPy's", np.abs(got_a - want_a).max(), "<=", 1e-5),
        Check("input map: distance from SciPy's", np.abs(got_b - want_b[:, 0]).max(), "<=", 1e-5),
        Check("200 outputs: distance from SciPy's", np.abs(y - want).max(), "<=", 1e-4),
    ]


def effects(key: jax.Array) -> list[Check]:
    """R² of what a linear readout of the states recalls of 100 steps ago."""
    random = generator(key)
    a, b = (np.asarray(each) for each in hippo_legs(STATES))
    other = random.normal(size=a.shape) / STATES**0.5
    other -= (np.linalg.eigvals(other).real.max() + 1) * np.eye(STATES)
    spectrum = np.fft.rfft(random.normal(size=LENGTH))
    spectrum[LENGTH // PERIOD :] = 0
    u = np.fft.irfft(spectrum, LENGTH)
    u /= u.std()
    return [
        Check("HiPPO: R² at 100 steps", _recall(a, b, u), ">=", 0.8),
        Check("random transition: R² at 100 steps", _recall(other, b, u), "<=", 0.5),
    ]


def _recall(a: np.ndarray, b: np.ndarray, u: np.ndarray) -> float:
    from scipy.signal import fftconvolve

    system = discretize(jnp.asarray(a, "float32"), jnp.asarray(b), jnp.float32(STEP))

    @jax.jit
    def answers(a, b):
        return jax.vmap(lambda c: state_space_kernel(a, b, c, time=LENGTH))(jnp.eye(STATES))

    kernels = np.asarray(answers(*system), np.float64)
    states = fftconvolve(kernels, u[None], axes=1)[:, :LENGTH].T
    # From 10 time constants on, what came before the first step is forgotten.
    begin = 10 * DELAY
    h, y = states[begin:], u[begin - DELAY : LENGTH - DELAY]
    h = h / h.std(axis=0)
    half = len(h) // 2
    gram = h[:half].T @ h[:half] + 1e-6 * half * np.eye(STATES)
    readout = np.linalg.solve(gram, h[:half].T @ y[:half])
    error = y[half:] - h[half:] @ readout
    return 1 - float(np.mean(error**2) / np.var(y[half:]))


CLAIM = Claim(
    name="lssl",
    title="Combining Recurrent, Convolutional, and Continuous-time Models with Linear State-Space"
    " Layers",
    year=2021,
    says="one linear system is a recurrence and a convolution, and with the right A remembers",
    identities=identities,
    agreements=agreements,
    effects=effects,
)
