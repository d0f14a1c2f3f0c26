r"""Logits by distance end at the class centres, at a finite size, and need no long wait.

The linear model: 64 pixels of the library's digits to 10 logits without a bias, all training images
in each of 10000 steps of Adam at 1e-2; exponent 8, the square root of 64. Cosines are of a class's
weights with its mean image, averaged over classes.

Addition: the table modulo 31, 40 % of it to train on, a hidden layer of 128 units that square, no
biases, full batches for 1000 steps of Adam at 1e-2 without weight decay, from half of He's scale;
both losses share starts and splits. The exponent is again the square root of the layer's inputs.

The last check fails: neither loss gets to 95 % of the held-out entries within the budget (nor in
1500 or 3000 steps), for any start of key 0. Two other settings, for one start each, do not either,
though the harmonic loss is ahead: modulus 31, He's scale, exponent 8 and weight decay 0.5 (best
held-out accuracy 76 %, and 39 % with the cross-entropy); modulus 37, the same with weight decay 1
(92 % and 84 %).
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.analysis.dynamics import grokking_steps
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator
from jaxnn.claims.training import _digits, _modular
from jaxnn.layers.feedforward import harmonic_logits
from jaxnn.train import losses

STEPS, SHORT, RATE = 10_000, 1000, 1e-2
MODULUS, UNITS, SEEDS, BUDGET = 31, 128, 5, 1000


def identities(key: jax.Array) -> list[Check]:
    """Scale changes nothing; at the label's centre the loss is zero and pulls no further."""
    random = generator(key)
    x, kernel = (jnp.asarray(random.normal(size=s), jnp.float32) for s in ((32, 16), (16, 10)))
    y = jnp.asarray(random.integers(0, 10, 32), jnp.int32)
    c = np.float32(random.uniform(0.01, 100))

    def loss(x, kernel):
        return losses.cross_entropy(harmonic_logits(x, kernel), y)

    change = jnp.max(
        jnp.abs(
            jax.nn.softmax(harmonic_logits(c * x, c * kernel))
            - jax.nn.softmax(harmonic_logits(x, kernel))
        )
    )
    at = kernel.T[y]
    pull = jax.grad(lambda k: jnp.sum(loss(at, k)))(kernel)
    distances = np.linalg.norm(
        np.asarray(x, float)[:, :, None] - np.asarray(kernel, float)[None], axis=1
    )
    of_distances = losses.harmonic_loss(jnp.asarray(distances, jnp.float32), y, exponent=4.0)
    return [
        Check("scale: largest change of a probability", change, "<", 1e-6),
        Check("at the centres: largest loss", jnp.max(loss(at, kernel)), "<", 1e-6),
        Check("at the centres: largest slope of the weights", jnp.max(jnp.abs(pull)), "<", 1e-5),
        Check(
            "largest distance from the loss of NumPy's distances",
            jnp.max(jnp.abs(loss(x, kernel) - of_distances)),
            "<",
            1e-4,
        ),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Centres of digits, and addition."""
    random = generator(key)
    centres, growth, accuracy = _linear(random, harmonic_logits)
    plain_centres, plain_growth, plain_accuracy = _linear(random, jnp.matmul)
    harmonic, plain = _addition(random)
    return [
        Check("digits: weight norm at 10000 steps over 1000", growth, "<", 1.1),
        Check("the same with the cross-entropy", plain_growth, ">", 1.3),
        Check("digits: cosine of weights and class means", centres, ">=", 0.95),
        Check("the same with the cross-entropy", plain_centres, "<=", 0.7),
        Check(
            "accuracy below the cross-entropy's, points", 100 * (plain_accuracy - accuracy), "<=", 4
        ),
        Check("addition: seeds of 5 that generalise sooner", np.sum(harmonic < plain), ">=", 4),
    ]


def _linear(random, head):
    x, y, test_x, test_y = _digits.digits()
    start = jnp.asarray(random.normal(size=(64, 10)) / 8, jnp.float32)
    tx, x_all, y_all = optax.adam(RATE), jnp.asarray(x), jnp.asarray(y)

    @jax.jit
    def run(kernel):
        def step(carry, _):
            kernel, state = carry
            gradient = jax.grad(lambda k: jnp.mean(losses.cross_entropy(head(x_all, k), y_all)))(
                kernel
            )
            updates, state = tx.update(gradient, state, kernel)
            kernel = optax.apply_updates(kernel, updates)
            return (kernel, state), jnp.linalg.norm(kernel)

        (kernel, _), norms = jax.lax.scan(step, (kernel, tx.init(kernel)), length=STEPS)
        return kernel, norms, head(jnp.asarray(test_x), kernel)

    kernel, norms, z = map(np.asarray, run(start))
    means = np.stack([x[y == c].mean(0) for c in range(10)], axis=1)
    cosines = (
        (kernel * means).sum(0) / np.linalg.norm(kernel, axis=0) / np.linalg.norm(means, axis=0)
    )
    return cosines.mean(), norms[-1] / norms[SHORT - 1], np.mean(z.argmax(-1) == test_y)


def _addition(random):
    """Give the steps from memorised to generalised of both, infinite for never."""
    starts = [_modular.start(random, MODULUS, UNITS, 0.5) for _ in range(SEEDS)]
    kepts = [_modular.table(MODULUS, 0.4, int(random.integers(2**31))) for _ in range(SEEDS)]
    runs = jax.tree.map(lambda *leaves: jnp.stack(leaves), *starts), jnp.asarray(np.stack(kepts))
    delays = []
    for readout in (harmonic_logits, jnp.matmul):

        def one(start, readout=readout):
            return _modular.train(
                *start,
                loss=losses.cross_entropy,
                tx=optax.adam(RATE),
                steps=BUDGET,
                activation=jnp.square,
                readout=readout,
                until=0.95,
            )[1]

        curves = jax.jit(lambda runs, one=one: jax.lax.map(one, runs))(runs)
        delay = grokking_steps(curves.train, curves.test, train_threshold=0.95).delay
        delays.append(np.asarray(delay))
    return delays


CLAIM = Claim(
    name="harmonic-loss",
    title="Harmonic Loss Trains Interpretable AI Models",
    year=2025,
    says="with logits by distance weights end as class centres, at a finite size, and networks "
    "generalise without grokking",
    identities=identities,
    effects=effects,
    quick=False,
)
