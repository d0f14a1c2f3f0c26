"""Pure perceptrons on pixels: depth through residuals, augmentation, and a law of the data size.

The baseline is the paper's standard perceptron, layers of normalisation, GELU and a map of
equal width, without residuals, and with as many parameters.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxnn import data
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import train
from jaxnn.layers import feedforward
from jaxnn.layers.normalization import LayerNorm
from jaxnn.models import ResidualMLP

WIDTH = 48
STEPS = 600
BATCH = 64
SEEDS = 3
SIZES = (100, 200, 400, 800, 1200)


class _StandardLayer(nn.Module):
    """Normalise, bend, map: the width is the input's, and nothing is added."""

    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return feedforward.Dense(x.shape[-1])(jax.nn.gelu(LayerNorm()(x)))


def _residual(depth: int) -> ResidualMLP:
    return ResidualMLP(10, features=WIDTH, depth=depth)


def _standard(depth: int) -> ResidualMLP:
    # A block has 8 m² weights, a layer w²: equal for w = √8 m.
    return ResidualMLP(10, features=round(8**0.5 * WIDTH), depth=depth, block=_StandardLayer)


def identities(key: jax.Array) -> list[Check]:
    """Blocks that add nothing are the identity; the two kinds have equally many parameters."""
    x = jax.random.normal(key, (4, 64))
    model = _residual(6)
    params = jax.jit(model.init)(key, x)["params"]
    silent = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.zeros_like(leaf) if "down" in str(path) else leaf, params
    )
    got = jax.jit(model.apply)({"params": silent}, x)
    ends = [feedforward.Dense(size) for size in (WIDTH, 10)]
    want = x
    for end, name in zip(ends, ("inputs", "outputs"), strict=True):
        want = end.apply({"params": params[name]}, want)
    sizes = [
        sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(m.init, key, x)))
        for m in (_standard(6), model)
    ]
    return [
        Check(
            "blocks that add nothing: distance from their absence", abs(got - want).max(), "=", 0.0
        ),
        Check(
            "parameters of the standard network over the other's",
            sizes[0] / sizes[1],
            "=",
            1.0,
            0.1,
        ),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """The authors' network in NumPy, in float64."""
    from scipy import special

    x = jax.random.normal(key, (16, 8, 8))
    exact = functools.partial(jax.nn.gelu, approximate=False)
    block = functools.partial(feedforward.InvertedBottleneck, activation=exact)
    model = ResidualMLP(10, features=WIDTH, depth=6, block=block)
    variables = jax.jit(model.init)(key, x)
    got = np.asarray(jax.jit(model.apply)(variables, x))
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])

    def affine(v, name):
        return v @ name["kernel"] + name["bias"]

    h = affine(np.asarray(x, np.float64).reshape(16, 64), p["inputs"])
    for i in range(6):
        centred = h - h.mean(1, keepdims=True)
        normal = centred / np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + 1e-6)
        up = affine(normal, p[f"blocks_{i}"]["feedforward"]["up"])
        bent = up * special.ndtr(up)
        h = h + affine(bent, p[f"blocks_{i}"]["feedforward"]["down"])
    want = affine(h, p["outputs"])
    worst = np.abs(got - want).max() / np.abs(want).max()
    return [Check("relative distance from NumPy", worst, "<=", 1e-5)]


def effects(key: jax.Array) -> list[Check]:
    """Test errors on digits, shifted by up to a pixel in training, over several seeds."""
    keys = jax.random.split(key, SEEDS)
    every = data.load("digits").train.x.shape[0]

    def error(model, *, shifted=True, size=every):
        return np.mean([_error(model, shifted, k, size) for k in keys])

    deep, shallow = error(_residual(12)), error(_residual(6))
    standard_deep, standard = error(_standard(12)), error(_standard(6))
    plain = error(_residual(6), shifted=False)
    curve = [error(_residual(6), size=size) for size in SIZES]
    fit = np.corrcoef(np.log(SIZES), np.log(curve))[0, 1]
    return [
        Check("depth 6: error below the standard network's, points", standard - shallow, ">", 0.0),
        Check(
            "what depth 12 costs the standard network more, points",
            (standard_deep - standard) - (deep - shallow),
            ">=",
            2.0,
        ),
        Check("error with shifted images over that without", shallow / plain, "<=", 0.7),
        Check("squared correlation of log error and log size", fit**2, ">=", 0.95),
        Check("slope's sign: correlation", fit, "<", 0.0),
    ]


def _error(model: Any, shifted: bool, key: jax.Array, size: int) -> float:
    """Train on the first of a shuffled set; give the test error in percent."""
    digits = data.load("digits")
    order_key, rows_key, run_key = jax.random.split(key, 3)
    order = jax.random.permutation(order_key, len(digits.train.x))
    rows = order[jax.random.randint(rows_key, (STEPS, BATCH), 0, size)]
    arrays = [jnp.asarray(v) for v in (*digits.train, *digits.test)]
    return float(_run(model, shifted, run_key, rows, *arrays))


@functools.partial(jax.jit, static_argnums=(0, 1))
def _run(model, shifted, key, rows, x, y, test_x, test_y):
    init_key, shift_key = jax.random.split(key)

    def shift(key, image):
        corner = jax.random.randint(key, (2,), 0, 3)
        return jax.lax.dynamic_slice(jnp.pad(image, 1), corner, image.shape)

    def loss(params, batch):
        rows, key = batch
        images = x[rows]
        if shifted:
            images = jax.vmap(shift)(jax.random.split(key, BATCH), images)
        labels = optax.smooth_labels(jax.nn.one_hot(y[rows], 10), 0.1)
        logits = model.apply({"params": params}, images)
        return optax.softmax_cross_entropy(logits, labels).mean()

    schedule = optax.warmup_cosine_decay_schedule(0.0, 2e-3, STEPS // 10, STEPS)
    start = model.init(init_key, x[:1])["params"]
    batches = (rows, jax.random.split(shift_key, STEPS))
    params, _ = train(loss, optax.adamw(schedule, weight_decay=1e-3), start, batches)
    guess = jnp.argmax(model.apply({"params": params}, test_x), axis=-1)
    return 100 * jnp.mean(guess != test_y)


CLAIM = Claim(
    name="scaling-mlps",
    title="Scaling MLPs: A Tale of Inductive Bias",
    year=2023,
    says="residual inverted bottlenecks let a pure MLP be deep, and its error falls with data "
    "and augmentation as a power law",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
