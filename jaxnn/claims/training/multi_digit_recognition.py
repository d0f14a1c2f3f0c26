"""Numbers of several digits read by one network, with a head for how many there are.

Strips of 8 x 32 pixels hold one to four of the library's digits from the left, with uniform noise
of 0.2 all over; training strips are of training digits only, and 2000 of test digits are held out.
A network 256-256-128 has five outputs for the length and ten for each place; 1000 steps of Adam at
1e-3 in batches of 128, two starts. The other model shares starts and strips; in the length's
place each head has an eleventh class for blank, and reads up to the first.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.claims.training import _digits
from jaxnn.train import losses

SEEDS, STEPS, BATCH, PLACES, TEST = 2, 1000, 128, 4, 2000


def identities(key: jax.Array) -> list[Check]:
    """Heads after the end, the sum of all probabilities, and decoding by enumeration."""
    random = generator(key)
    sequences = [s for n in range(4) for s in itertools.product(range(3), repeat=n)]
    count = jnp.asarray([len(s) for s in sequences], jnp.int32)
    padded = jnp.asarray([[*s, 0, 0, 0][:3] for s in sequences], jnp.int32)
    length = jnp.asarray(2 * random.normal(size=(64, 4)), jnp.float32)
    symbols = jnp.asarray(2 * random.normal(size=(64, 3, 3)), jnp.float32)
    loss = losses.multi_digit_loss
    every = np.asarray(
        jax.jit(
            jax.vmap(
                lambda o: jax.vmap(lambda *t: loss(o, t))(count, padded),
            )
        )((length, symbols))
    )
    found = jax.jit(losses.decode_multi_digit)((length, symbols))
    best = [[*sequences[i], -1, -1, -1][:3] for i in every.argmin(1)]
    own = jnp.asarray(random.integers(0, 4, 64), jnp.int32)
    targets = own, jnp.zeros((64, 3), jnp.int32)
    pull = np.asarray(jax.jit(jax.grad(lambda s: jnp.sum(loss((length, s), targets))))(symbols))
    after = np.arange(3)[None] >= np.asarray(own)[:, None]
    total = np.exp(-every.astype(float)).sum(1)
    return [
        Check("heads after the end: largest slope", np.abs(pull[after]).max(), "=", 0),
        Check("all sequences: largest distance of the sum from 1", abs(total - 1).max(), "<", 1e-5),
        Check(
            "decoded otherwise than by enumeration", np.sum(found.symbols != np.array(best)), "=", 0
        ),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Whole numbers, with the length's head and with a class for blank."""
    random = generator(key)
    x, y, test_x, test_y = _digits.digits()
    strips, count, symbols = _strips(random, x, y, SEEDS * STEPS * BATCH)
    batches = tuple(
        jnp.asarray(v.reshape(SEEDS, STEPS, BATCH, *v.shape[1:])) for v in (strips, count, symbols)
    )
    new, n, s = _strips(random, test_x, test_y, TEST)
    start = _digits.mlp(random, (256, 256, 128), seeds=SEEDS)
    points = jnp.asarray(new, jnp.float32)

    def run(outputs, loss, decode):
        head = _digits.mlp(random, (128, outputs), seeds=SEEDS)

        def value(params, batch):
            strips, *targets = batch
            return jnp.mean(loss(_digits.forward(params, strips.astype(jnp.float32)), targets))

        def one(params, batches):
            params, _ = train(value, optax.adam(1e-3), params, batches)
            return decode(_digits.forward(params, points))

        return jax.jit(jax.vmap(one))([*start, *head], batches)

    def heads(z):
        return z[:, : PLACES + 1], z[:, PLACES + 1 :].reshape(-1, PLACES, 10)

    def with_blanks(z, targets):
        count, symbols = targets
        place = jnp.arange(PLACES)[None]
        classes = jnp.where(place < count[:, None], symbols, 10)
        return jnp.sum(losses.cross_entropy(z.reshape(-1, PLACES, 11), classes), axis=-1)

    def to_blank(z):
        best = jnp.argmax(z.reshape(-1, PLACES, 11), axis=-1)
        return jnp.where(jnp.cumsum(best == 10, axis=-1) > 0, -1, best)

    found: Any = run(
        5 + 10 * PLACES,
        lambda z, t: losses.multi_digit_loss(heads(z), tuple(t)),
        lambda z: losses.decode_multi_digit(heads(z)),
    )
    want = np.where(np.arange(PLACES)[None] < n[:, None], s, -1)[None]
    right = np.all(np.asarray(found.symbols) == want, axis=-1)
    blank = np.all(np.asarray(run(11 * PLACES, with_blanks, to_blank)) == want, axis=-1)
    sure = np.asarray(found.log_probability)
    answered = sure >= np.quantile(sure, 0.1, axis=1, keepdims=True)
    return [
        Check("whole numbers right, %", 100 * right.mean(), ">=", 80),
        Check(
            "below the model with a class for blank, points",
            100 * (blank.mean() - right.mean()),
            "<=",
            1,
        ),
        Check(
            "the surest 90 % over all, points",
            100 * (right[answered].mean() - right.mean()),
            ">",
            0,
        ),
    ]


def _strips(
    random: np.random.Generator, x: np.ndarray, y: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give strips in rows, how many digits each has, and which."""
    rows = random.integers(0, len(y), (size, PLACES))
    count = random.integers(1, PLACES + 1, size)
    kept = np.arange(PLACES)[None] < count[:, None]
    # Half precision: there are 256000 of them.
    images = (x.astype(np.float16)[rows] * kept[..., None]).reshape(size, PLACES, 8, 8)
    strips = images.transpose(0, 2, 1, 3).reshape(size, -1)
    noise = random.random(size=strips.shape, dtype=np.float32) * np.float32(0.2)
    return strips + noise.astype(np.float16), count.astype(np.int32), y[rows].astype(np.int32)


CLAIM = Claim(
    name="multi-digit-recognition",
    title="Multi-digit Number Recognition from Street View Imagery using Deep Convolutional Neural "
    "Networks",
    year=2013,
    says="one network with heads for the length and for each place reads whole numbers, and knows "
    "which of them it reads well",
    identities=identities,
    effects=effects,
    quick=False,
)
