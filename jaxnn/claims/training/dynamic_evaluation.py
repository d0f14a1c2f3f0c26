r"""A model that learns from what it is scored on follows a stream whose source changes.

A gated recurrent network of 32 units over 16 symbols, trained for 400 steps of Adam at rate 0.005
on 32 rows of 20 symbols from one table of bigrams, drawn row by row from Dirichlet(0.3). It is then
scored on 8000 symbols in segments of 20: from tables that change every 2000 symbols, each half the
trained one and half a new one, or from the trained table alone. Five networks, each with its own
tables.

The rules' rates and decays, of six rates a factor of 10 to the 1/2 apart and of three decays, are
chosen on other streams of 4000 symbols, averaged over the networks: of those that cost less than
half a percent where nothing changes, the one that scores best where tables change. Plain descent
has no decay. Tried before, without that condition: at seed 0 the least gain was 17.0 percent, and
the loss where nothing changes 3.3 percent higher. With it, at seeds 0 to 2: 12.0, 10.6 and 9.9, and
0.3, 0.3 and 0.4.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.train import adaptation

SYMBOLS, UNITS, SEEDS, LENGTH, TOPIC = 16, 32, 5, 20, 2000
RATES = 10 ** np.linspace(-4, -1.5, 6)
DECAYS = (0.0, 0.001, 0.01)
PLAIN = 10 ** np.linspace(-2, 0.5, 6)


def identities(key: jax.Array) -> list[Check]:
    """No rate is static evaluation; a full decay restores the trained weights."""
    random = generator(key)
    params = {"kernel": _array(random.normal(size=(4, 3))), "bias": _array(random.normal(size=3))}
    x, y = _array(random.normal(size=(6, 5, 4))), jnp.asarray(random.integers(0, 3, (6, 5)))
    squares = jax.tree.map(lambda p: _array(random.uniform(0.1, 1, p.shape)), params)
    ones = jax.tree.map(jnp.ones_like, params)
    moved = jax.tree.map(lambda p: p + 3, params)

    @jax.jit
    def run(params):
        still = adaptation.dynamic_evaluation(squares, learning_rate=0.0, decay=0.1)
        values, after, _ = adaptation.evaluate_dynamically(_linear, still, params, (x, y))
        static = jax.vmap(lambda x, y: _linear(params, (), (x, y))[0])(x, y)
        back = adaptation.dynamic_evaluation(ones, learning_rate=0.0, decay=1e3)
        pull, _ = back.update(ones, back.init(params), moved)
        live = adaptation.dynamic_evaluation(squares, learning_rate=0.1)
        changed, *_ = adaptation.evaluate_dynamically(_linear, live, params, (x, y))
        return (
            jnp.abs(values - static).max(),
            _apart(after, params),
            _apart(optax.apply_updates(moved, pull), params),
            jnp.abs(changed - static)[0],
            jnp.abs(changed - static)[1:].max(),
        )

    values = [float(value) for value in run(params)]
    return [
        Check("rate 0: losses apart from static ones", values[0], "<=", 1e-6),
        Check("rate 0: weights apart from the trained", values[1], "=", 0),
        Check("decay of 1: weights apart from the trained", values[2], "<=", 1e-6),
        Check("rate above 0: first segment's loss apart from static", values[3], "<=", 1e-6),
        Check("rate above 0: a later one's", values[4], ">", 1e-3),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The rule over a stream of regressions against NumPy."""
    random = generator(key)
    x, y = random.normal(size=(6, 5, 4)), random.normal(size=(6, 5))
    start, squares = random.normal(size=4), random.uniform(0.1, 2, 4)
    theta, roots, wanted = start, np.sqrt(squares), []
    for i in range(6):
        error = x[i] @ theta - y[i]
        wanted.append(np.mean(error**2))
        step = 2 * x[i].T @ error / 5 / (roots + 0.01)
        theta = theta - 0.05 * step + np.minimum(0.8 * roots / roots.mean(), 1) * (start - theta)

    def loss(theta, carry, segment):
        return jnp.mean((segment[0] @ theta - segment[1]) ** 2), carry

    tx = adaptation.dynamic_evaluation(_array(squares), learning_rate=0.05, decay=0.8, epsilon=0.01)
    run = functools.partial(adaptation.evaluate_dynamically, loss, tx)
    found, end, _ = jax.jit(run)(_array(start), (_array(x), _array(y)))
    errors = np.abs(found - np.asarray(wanted)).max() / np.max(wanted), np.abs(end - theta).max()
    return [Check("losses and weights against NumPy", max(errors), "<=", 1e-5)]


def effects(key: jax.Array) -> list[Check]:
    """Streams whose source changes, and one whose source does not."""
    random = generator(key)
    base = random.dirichlet(np.full(SYMBOLS, 0.3), (SEEDS, SYMBOLS))
    rows = _draw(random, np.repeat(base[:, None], 400 * 32, 1), LENGTH + 1)
    batches = jnp.asarray(rows.reshape(SEEDS, 400, 32, LENGTH + 1))
    streams = ((2, 0.5), (2, 0.0), (4, 0.5), (4, 0.0))
    tuning, calm, changing, still = (_stream(random, base, *kind) for kind in streams)
    params, squares = _train(_start(random), batches)
    # Each row a rule: with mean squares or without, its rate, its decay.
    rules = [(1.0, rate, decay) for rate in RATES for decay in DECAYS]
    rules += [(0.0, rate, 0.0) for rate in PLAIN]
    rules.append((1.0, 0.0, 0.0))
    scores, calm_scores = (
        _evaluate(params, squares, stream, _array(rules)).mean(0) for stream in (tuning, calm)
    )
    scores = np.where(calm_scores < 1.005 * calm_scores[-1], scores, np.inf)
    first = len(RATES) * len(DECAYS)
    best = scores[:first].argmin(), first + scores[first:-1].argmin()
    kept = _array([rules[-1], *(rules[i] for i in best)])
    static, rms, plain = _evaluate(params, squares, changing, kept).T
    static_still, rms_still, _ = _evaluate(params, squares, still, kept).T
    return [
        Check(
            "changing: least a network gains, percent", (100 * (1 - rms / static)).min(), ">=", 5
        ),
        Check(
            "changing: loss above plain descent's without decay, nats",
            np.mean(rms - plain),
            "<=",
            0,
        ),
        Check(
            "not changing: change of the mean loss, percent",
            abs(100 * (np.mean(rms_still) / np.mean(static_still) - 1)),
            "<",
            1,
        ),
    ]


class _Model(nn.Module):
    """Symbols to logits, with the state to go on from."""

    @nn.compact
    def __call__(self, carry, symbols):
        cell = nn.RNN(nn.GRUCell(UNITS), return_carry=True)
        carry, h = cell(jax.nn.one_hot(symbols, SYMBOLS), initial_carry=carry)
        return carry, nn.Dense(SYMBOLS)(h)


def _score(params, carry, symbols):
    """Score one row, or several together: each symbol after the first."""
    model: Any = _Model()
    carry, logits = model.apply({"params": params}, carry, symbols[..., :-1])
    values = optax.softmax_cross_entropy_with_integer_labels(logits, symbols[..., 1:])
    return jnp.mean(values), carry


def _start(random: np.random.Generator):
    """Draw parameters of all networks with NumPy: kernels of variance 1 / inputs, biases 0."""
    carry, symbols = jnp.zeros(UNITS), jnp.zeros(2, jnp.int32)
    shapes = jax.eval_shape(_Model().init, jax.random.key(0), carry, symbols)["params"]

    def draw(leaf):
        if len(leaf.shape) < 2:
            return jnp.zeros((SEEDS, *leaf.shape))
        return _array(random.normal(size=(SEEDS, *leaf.shape)) / leaf.shape[0] ** 0.5)

    return jax.tree.map(draw, shapes)


@jax.jit
def _train(params, batches):
    """Train each network; give its weights and mean squared gradients of single rows."""

    def one(params, batches):
        def loss(params, rows):
            return _score(params, jnp.zeros((len(rows), UNITS)), rows)[0]

        params, _ = train(loss, optax.adam(5e-3), params, batches)

        def segment(params, carry, row):
            return _score(params, jnp.zeros(UNITS), row)[0], carry

        single = batches[:16].reshape(-1, LENGTH + 1)
        return params, adaptation.mean_squared_gradients(segment, params, single)

    return jax.vmap(one)(params, batches)


def _evaluate(params, squares, stream, rules) -> np.ndarray:
    """Give the mean loss of each network by each rule, ``(networks, rules)``."""
    return np.asarray(_evaluate_all(params, squares, stream, rules), float)


@jax.jit
def _evaluate_all(params, squares, stream, rules):
    def one(params, squares, stream, rule):
        scaled, rate, decay = rule
        # Roots of 1 make the plain rule.
        given = jax.tree.map(lambda s: jnp.where(scaled > 0, s, 1), squares)
        tx = adaptation.dynamic_evaluation(given, learning_rate=rate, decay=decay)
        carry = jnp.zeros(UNITS)
        losses, *_ = adaptation.evaluate_dynamically(_score, tx, params, stream, carry=carry)
        return jnp.mean(losses)

    by_rule = jax.vmap(one, in_axes=(None, None, None, 0))
    return jax.vmap(by_rule, in_axes=(0, 0, 0, None))(params, squares, stream, rules)


def _stream(random: np.random.Generator, base: np.ndarray, topics: int, share: float) -> jax.Array:
    """Give segments, each with the last symbol of the one before, ``(networks, segments, _)``."""
    parts = []
    for _ in range(topics):
        new = random.dirichlet(np.full(SYMBOLS, 0.3), (SEEDS, SYMBOLS))
        parts.append(_draw(random, (1 - share) * base + share * new, TOPIC))
    symbols = np.concatenate(parts, axis=-1)
    before = np.pad(symbols[:, :-1], ((0, 0), (1, 0)))
    cut = before.reshape(SEEDS, -1, LENGTH), symbols.reshape(SEEDS, -1, LENGTH)
    return jnp.asarray(np.concatenate([cut[0], cut[1][..., -1:]], axis=-1))


def _draw(random: np.random.Generator, tables: np.ndarray, length: int) -> np.ndarray:
    """Draw symbols from tables of bigrams ``(*batch, symbols, symbols)``."""
    sums = np.cumsum(tables, axis=-1)
    first = random.integers(0, SYMBOLS, tables.shape[:-2])
    draws = random.uniform(size=(length - 1, *first.shape))
    # What would follow each symbol at each time, of which the symbol before then picks one.
    after = np.minimum((sums < draws[..., None, None]).sum(-1), SYMBOLS - 1).astype(np.int32)

    def follow(now, after):
        now = jnp.take_along_axis(after, now[..., None], axis=-1)[..., 0]
        return now, now

    _, later = jax.lax.scan(follow, jnp.asarray(first, jnp.int32), jnp.asarray(after))
    return np.moveaxis(np.concatenate([first[None], np.asarray(later)]), 0, -1).astype(np.int32)


def _linear(params, carry, segment):
    x, y = segment
    logits = x @ params["kernel"] + params["bias"][None]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), carry


def _apart(one, other) -> jax.Array:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return jnp.stack([jnp.abs(a - b).max() for a, b in pairs]).max()


def _array(values) -> jax.Array:
    return jnp.asarray(np.asarray(values), jnp.float32)


CLAIM = Claim(
    name="dynamic-evaluation",
    title="Dynamic Evaluation of Neural Sequence Models",
    year=2018,
    says="a model of sequences that learns from each segment once it is scored predicts the next",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
