"""Linear recurrences keep the whole input, and a nonlinear map of each state does the rest.

A sequence of 64 numbers is read back from the last state alone: eigenvalues on the unit circle
keep it, as many real ones between 0 and 1 do not. The sequence to sequence map to learn is
y_k = (Σ_j 0.8^j u_{k-j})² u_{k-3} for uniform u; R² is over the later half of held-out sequences.
A linear readout cannot reach more than the share of y that is linear in the inputs, which has a
closed form. It is above 0.3 for this map: that linear recurrences alone stay below that cannot
hold, and the bound is the closed form.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.layers.recurrent import LRU, diagonal_state_space, linear_recurrence

LENGTH = 64
DECAY, DELAY = 0.8, 3
STEPS, BATCH = 800, 32


class Network(nn.Module):
    """A linear recurrence, then a map of each step: linear, or two hidden layers."""

    nonlinear: bool

    @nn.compact
    def __call__(self, x):
        """Map ``(batch, time, 1)`` to one number a step."""
        x, _ = LRU(32, states=32, use_skip=False)(x)
        if self.nonlinear:
            for _ in range(2):
                x = nn.gelu(nn.Dense(64)(x))
        return nn.Dense(1)(x)[..., 0]


def identities(key: jax.Array) -> list[Check]:
    """A sequence as long as the state is wide, from the last state, by least squares."""
    u = generator(key).normal(size=LENGTH)
    drive = jnp.broadcast_to(jnp.asarray(u, jnp.float32)[:, None], (LENGTH, LENGTH))
    numbers = np.arange(LENGTH)
    roots = np.exp(2j * np.pi * numbers / LENGTH)
    real = (numbers + 1) / (LENGTH + 1)

    def error(decay, dtype):
        state = linear_recurrence(jnp.asarray(decay, dtype), drive.astype(dtype))[-1]
        # Powers of each eigenvalue: the last input's is the first column from the right.
        powers = decay[:, None] ** numbers[::-1]
        found = np.linalg.lstsq(powers, np.asarray(state), rcond=None)[0]
        return np.linalg.norm(found - u) / np.linalg.norm(u)

    return [
        Check(
            "roots of unity: error of the inputs read back", error(roots, "complex64"), "<", 1e-4
        ),
        Check("real eigenvalues in (0, 1): the same", error(real, "float32"), ">", 0.1),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Complex states: an associative scan, a plain one, and a filter of SciPy."""
    from scipy.signal import lfilter

    random = generator(key)
    decay = random.uniform(0.5, 0.99, 3) * np.exp(1j * random.uniform(0, 6, 3))
    x = jnp.asarray(random.normal(size=(200, 1)), jnp.float32)
    b, c = (jnp.asarray(random.normal(size=size), jnp.float32) for size in ((1, 6), (6, 1)))
    scan, joined = (
        diagonal_state_space(x, jnp.asarray(decay, "complex64"), b, c, method=method)[0]
        for method in ("scan", "associative")
    )
    heard = [lfilter([1], [1, -a], np.asarray(x[:, 0], np.complex128)) for a in decay]
    gains = np.asarray((b[0, :3] + 1j * b[0, 3:]) * (c[:3, 0] + 1j * c[3:, 0]))
    want = np.real(np.stack(heard, axis=-1) @ gains)
    size = np.abs(want).max()
    return [
        Check(
            "associative scan: distance from a plain one",
            abs(joined - scan).max(),
            "<=",
            1e-5 * size,
        ),
        Check("distance from SciPy's filters", np.abs(scan[:, 0] - want).max() / size, "<=", 1e-5),
    ]


def effects(key: jax.Array) -> list[Check]:
    """R² of the same recurrence with a nonlinear and with a linear readout."""
    nonlinear, linear = (_r2(key, Network(nonlinear)) for nonlinear in (True, False))
    return [
        Check("recurrence and perceptron: R²", nonlinear, ">", 0.95),
        Check("recurrence and linear readout: R²", linear, "<", _linear_share() + 0.05),
    ]


def _linear_share() -> float:
    """Give the R² of the best linear map of all inputs, for uniform inputs of variance one.

    With s the sum less its term w u of the delayed input u, y = (s + w u)² u has the covariances
    E[y u] = E s² + w² E u⁴ and, with each other input, 2 w times its weight in s.
    """
    weights = DECAY ** np.arange(LENGTH)
    w, fourth, sixth = weights[DELAY], 9 / 5, 27 / 7
    others = np.delete(weights, DELAY)
    variance = np.sum(others**2)
    kurtosis = 3 * variance**2 + (fourth - 3) * np.sum(others**4)
    explained = (variance + w**2 * fourth) ** 2 + 4 * w**2 * variance
    return float(explained / (kurtosis + 6 * w**2 * variance * fourth + w**4 * sixth))


def _r2(key: jax.Array, model: Network) -> float:
    random = generator(key)

    def sequences(*shape):
        u = random.uniform(-(3**0.5), 3**0.5, (*shape, LENGTH))
        total = np.zeros_like(u)
        for t in range(LENGTH):
            total[..., t] = u[..., t] + (DECAY * total[..., t - 1] if t else 0)
        y = np.zeros_like(u)
        y[..., DELAY:] = total[..., DELAY:] ** 2 * u[..., :-DELAY]
        return jnp.asarray(u[..., None], jnp.float32), jnp.asarray(y, jnp.float32)

    rows, (x, y) = sequences(STEPS, BATCH), sequences(256)
    schedule = optax.warmup_cosine_decay_schedule(0.0, 5e-3, STEPS // 10, STEPS)
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    def error(params: Any, batch: Any) -> jax.Array:
        return (jnp.asarray(model.apply({"params": params}, batch[0])) - batch[1]) ** 2

    @jax.jit
    def run(key, rows):
        start = model.init(key, rows[0][0])["params"]
        params, _ = train(lambda p, batch: jnp.mean(error(p, batch)), tx, start, rows)
        late = slice(LENGTH // 2, None)
        return 1 - jnp.mean(error(params, (x, y))[:, late]) / jnp.var(y[:, late])

    return float(run(key, rows))


CLAIM = Claim(
    name="universality-of-linear-recurrences",
    title="On the Universality of Linear Recurrences Followed by Nonlinear Projections",
    year=2023,
    says="linear recurrences and a perceptron on each state are a universal map between sequences",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
