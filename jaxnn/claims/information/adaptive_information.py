"""Estimators that follow the activations: scale, closed forms, and what rectifiers forget."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.analysis import information
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.claims.information import _bits

SEEDS, STAGES, STEPS = 10, 20, 100
DECAY = 2e-3
SCALES = (0.1, 10.0, 100.0)


def identities(key: jax.Array) -> list[Check]:
    """Scaling the activations, and a Gaussian, whose bounds are known."""
    random = generator(key)
    t = jnp.asarray(np.maximum(random.normal(size=(500, 3)), 0), jnp.float32)
    labels = jnp.asarray(random.integers(0, 2, 500))

    def change(estimator):
        point = jax.jit(lambda t: estimator(t, labels).inputs)
        return max(abs(float(point(c * t)) - float(point(t))) for c in SCALES)

    noise, deviation = 0.5, 1.5
    sample = jnp.asarray(deviation * random.normal(size=(2000, 1)), jnp.float32)
    lower, upper = information.mixture_information(sample, noise)
    ratio = deviation**2 / noise
    true = 0.5 * np.log1p(ratio)
    return [
        Check(
            "adaptive bins: change when scaled, nats",
            change(information.adaptive_binned_information),
            "<",
            1e-3,
        ),
        Check(
            "adaptive noise: change when scaled, nats",
            change(information.adaptive_kde_information),
            "<",
            1e-3,
        ),
        Check(
            "fixed bins: change when scaled, nats",
            change(information.binned_information),
            ">",
            0.5,
        ),
        Check(
            "Gaussian: upper bound less ½ ln(1 + s²/σ²) + ½ s²/(s² + σ²), nats",
            upper - (true + 0.5 * ratio / (1 + ratio)),
            "=",
            0.0,
            0.05,
        ),
        Check("Gaussian: upper bound less the truth, nats", upper - true, ">", 0.0),
        Check("Gaussian: lower bound less the truth, nats", lower - true, "<", 0.0),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The bins against NumPy's quantiles, the information against scikit-learn and SciPy."""
    from scipy.special import logsumexp
    from sklearn.metrics import mutual_info_score

    random = generator(key)
    t = np.maximum(random.normal(size=(300, 2)), 0).astype(np.float32)
    labels = random.integers(0, 3, 300)
    values, ranks = np.unique(t, return_inverse=True)
    states = (ranks.reshape(t.shape) * 30 // len(values)) @ [30, 1]
    point = information.adaptive_binned_information(jnp.asarray(t), jnp.asarray(labels))
    square = ((t[:, None] - t[None]).astype(np.float64) ** 2).sum(-1)
    exponents = -square / (2 * 1e-3 * float(t.max()) ** 2)
    want = np.mean(np.log(len(t)) - logsumexp(exponents, axis=1))
    smooth = information.adaptive_kde_information(jnp.asarray(t), jnp.asarray(labels))
    return [
        Check(
            "adaptive bins: I(X; T) less scikit-learn's, nats",
            point.inputs - mutual_info_score(states, states),
            "=",
            0.0,
            1e-5,
        ),
        Check(
            "adaptive bins: I(T; Y) less scikit-learn's, nats",
            point.labels - mutual_info_score(states, labels),
            "=",
            0.0,
            1e-5,
        ),
        Check("adaptive noise: I(X; T) less SciPy's, nats", smooth.inputs - want, "=", 0.0, 1e-4),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Tangents and rectifiers, with weight decay in the loss and without; adaptive bins."""
    kinds = [(0.0, 0.0), (0.0, DECAY), (1.0, 0.0), (1.0, DECAY)]
    networks = _bits.draw(generator(key), SEEDS, kinds, stages=STAGES, steps=STEPS)

    def measure(layers, network):
        return information.adaptive_binned_information(layers[-2], network.labels).inputs

    seen, _, accuracy = _bits.watch(networks, measure)
    known = np.asarray(seen).reshape(len(kinds), SEEDS, -1)
    final = known[..., -1].mean(1)
    drops = known.max(-1) - known[..., -1]
    accuracy = np.asarray(accuracy).reshape(len(kinds), SEEDS).mean(1)
    return [
        Check("held-out accuracy of the worst of four kinds, %", 100 * accuracy.min(), ">", 60),
        Check("tangents: final I(X; T) without decay less with, nats", final[0] - final[1], ">", 0),
        Check("rectifiers: the same, nats", final[2] - final[3], ">", 0),
        Check("rectifiers: largest fall from the peak of ten, nats", drops[2].max(), ">", 0.1),
        Check("rectifiers: deviation of it over starts, nats", drops[2].std(), ">", 0.0),
    ]


CLAIM = Claim(
    name="adaptive-information",
    title="Adaptive Estimators Show Information Compression in Deep Neural Networks",
    year=2019,
    says="estimators that follow the range of the activations show that networks without "
    "saturation compress too, and that weight decay makes them compress more",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
