"""Massive activations: planted ones are flagged, and their emergence follows the paper's curve.

In training the curve is better than a straight line in both blocks of a small causal model. That it
explains nine tenths of the variance of the log ratio holds in the second block (0.94, 0.93, 0.98 on
seeds 0, 1, 2) and not in the first (0.89, 0.87, 0.89), where this fails. Two settings before this
one, on seed 0, explained less: 0.81 and 0.90 with a warm-up of a tenth of the steps and one ratio
for all sequences, 0.83 and 0.92 with the mean of the sequences' ratios; here the warm-up is a
hundredth, as that of the models in the paper.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.analysis import activations, sparsity
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, next_byte_loss, rows_of_text, text
from jaxnn.models import Transformer

START = 256  # a token before every row
LENGTH = 48
RECORDS, BETWEEN = 40, 10  # of the ratio, and steps between two
STREAM = tuple(f"blocks_{i}" for i in range(2))

MODEL = Transformer(vocabulary=257, features=64, depth=2, num_heads=4)
# Random curves that have levelled by t = 1; noise of a five-hundredth of their range.
CURVES, POINTS, NOISE = 5, 400, 0.002


def identities(key: jax.Array) -> list[Check]:
    """One channel of one token raised by 500, in the stream of a random model; noisy curves."""
    random = generator(key)
    tokens = random.integers(0, 256, (2, 12)).astype(np.int32)
    place = tuple(int(random.integers(size)) for size in (2, 12, 64))

    @jax.jit
    def flags(key, tokens):
        params = MODEL.init(key, tokens)["params"]
        found = {}
        for name, amount in (("planted", 500.0), ("left alone", 0.0)):
            raised = {STREAM[0]: lambda h, amount=amount: h.at[place].add(amount)}
            _, values = activations.capture(
                MODEL, {"params": params}, tokens, names=STREAM, patches=raised
            )
            # A small model's stream has a median of about one: a smaller ratio than the paper's.
            found[name] = sparsity.massive_activations(values[STREAM[0]], ratio=100.0)
        return found

    found = {name: np.asarray(mask) for name, mask in flags(key, tokens).items()}
    checks = [
        Check("planted: flagged", found["planted"][place], "=", 1.0),
        Check("planted: others flagged", found["planted"].sum() - 1, "=", 0.0),
        Check("left alone: flagged", found["left alone"].sum(), "=", 0.0),
    ]
    explained, off = [], []
    t = np.linspace(0, 1, POINTS)
    for _ in range(CURVES):
        truth, y = _noisy(random, t)
        fit, share = sparsity.fit_emergence(t, y)
        explained.append(share)
        off.append([abs(fit.amplitude / truth.amplitude - 1), abs(fit.limit / truth.limit - 1)])
    return [
        *checks,
        Check("noisy curves: variance explained, least of 5", min(explained), ">", 0.98),
        Check("noisy curves: A from the truth, relative, worst", np.max(off, 0)[0], "<=", 0.05),
        Check("noisy curves: K from the truth, relative, worst", np.max(off, 0)[1], "<=", 0.05),
    ]


def _noisy(random: np.random.Generator, t: np.ndarray) -> tuple[sparsity.Emergence, np.ndarray]:
    """Draw a curve that rises, peaks and levels, with noise in proportion to its range."""
    truth = sparsity.Emergence(
        amplitude=random.uniform(4, 8),
        decay=random.uniform(0.3, 0.6),
        rate=random.uniform(18, 25),
        offset=random.uniform(0.4, 0.8),
        limit=random.uniform(2, 5),
    )
    x = truth.rate * t + truth.offset
    y = truth.amplitude * np.exp(-truth.decay * x) * np.log(x) + truth.limit
    return truth, y + NOISE * np.ptp(y) * random.normal(size=t.shape)


def agreements(key: jax.Array) -> list[Check]:
    """The fit beside scipy's, begun at the truth; the ratio beside NumPy's."""
    from scipy.optimize import curve_fit

    random = generator(key)
    t = np.linspace(0, 1, 60)
    truth, y = _noisy(random, t)

    def curve(t, amplitude, decay, rate, offset, limit):
        x = np.maximum(rate * t + offset, 1e-9)
        return amplitude * np.exp(-decay * x) * np.log(x) + limit

    theirs = curve_fit(curve, t, y, p0=np.asarray(truth), maxfev=20_000)[0]
    errors = [np.sum((curve(t, *p) - y) ** 2) for p in (sparsity.fit_emergence(t, y)[0], theirs)]
    h = random.standard_t(2, size=(3, 50)).astype(np.float32)
    want = [np.abs(row).max() / np.median(np.abs(row)) for row in h]
    got = np.asarray(sparsity.median_ratio(jnp.asarray(h), axis=1))
    return [
        Check("squared error over scipy's, begun at the truth", errors[0] / errors[1], "<=", 1.001),
        Check("ratio to the median from NumPy's, relative", abs(got / want - 1).max(), "<=", 1e-5),
    ]


def effects(key: jax.Array) -> list[Check]:
    """A causal model of bytes after a start token: the ratio of each block in training."""
    random = generator(key)
    source, held_out = text()
    begin = random.integers(0, len(source) - LENGTH, (RECORDS * BETWEEN, 16))
    batches = _started(rows_of_text(source, begin, LENGTH))
    batches = batches.reshape(RECORDS, BETWEEN, 16, LENGTH + 2)
    seen = _started(rows_of_text(held_out, np.linspace(0, 5e4, 16).astype(int), LENGTH))
    ratios = np.log(np.asarray(_run(key, jnp.asarray(batches), jnp.asarray(seen[:, :-1]))))
    t = np.linspace(0, 1, RECORDS + 1)
    checks = []
    for layer, y in enumerate(ratios.T):
        _, explained = sparsity.fit_emergence(t, y)
        line = np.polyval(np.polyfit(t, y, 1), t)
        left = (1 - explained) * np.sum((y - y.mean()) ** 2)
        gain = len(t) * np.log(left / np.sum((line - y) ** 2)) + 2 * (5 - 2)
        checks += [
            Check(f"block {layer + 1}: variance of the log ratio explained", explained, ">=", 0.9),
            Check(f"block {layer + 1}: AIC above that of a straight line", gain, "<", 0.0),
        ]
    return checks


def _started(rows: np.ndarray) -> np.ndarray:
    """Put the start token before every row."""
    return np.concatenate([np.full((*rows.shape[:-1], 1), START, np.int32), rows], -1)


@jax.jit
def _run(key: jax.Array, batches: jax.Array, seen: jax.Array) -> jax.Array:
    """Train, and give the ratio of each block, ``(records + 1, blocks)``."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, 5e-3, 4, RECORDS * BETWEEN)
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule))
    params: Any = MODEL.init(key, seen)["params"]
    slope = jax.grad(functools.partial(next_byte_loss, MODEL))

    def step(carry, rows):
        params, state = carry
        updates, state = tx.update(slope(params, rows), state, params)
        return (optax.apply_updates(params, updates), state), None

    def record(carry, batches):
        _, values = activations.capture(MODEL, {"params": carry[0]}, seen, names=STREAM)
        ratio = jnp.stack(
            [jnp.mean(sparsity.median_ratio(values[name], axis=(1, 2))) for name in STREAM]
        )
        return jax.lax.scan(step, carry, batches)[0], ratio

    carry, ratios = jax.lax.scan(record, (params, tx.init(params)), batches)
    _, last = record(carry, batches[0])
    return jnp.concatenate([ratios, last[None]])


CLAIM = Claim(
    name="massive-activations",
    title="Hidden Dynamics of Massive Activations in Transformer Training",
    year=2025,
    says="the ratio of a layer's largest activation to the median follows, in training, a "
    "logarithm that an exponential damps",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
