"""Small models that write, and the same without a cache."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jaxnn.models import Transformer

VOCABULARY = 11
ROOM = 10  # of everything written here, so that one program serves many tests


@functools.cache
def _network(options):
    sizes = {"vocabulary": VOCABULARY, "features": 8, "depth": 1, "num_heads": 2}
    model = Transformer(**{**sizes, **dict(options)})
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 3), jnp.int32))
    # Larger weights than a start of training has, or one token would always win.
    params = jax.tree.map(lambda x: 3 * x if x.ndim > 1 else x, variables["params"])
    return model, {"params": params}


def network(**options):
    """Make a transformer whose next tokens depend on what it read."""
    return _network(tuple(sorted(options.items())))


class Table(nn.Module):
    """The next token depends on the last one alone; nothing need be remembered."""

    vocabulary: int = 8

    @nn.compact
    def __call__(self, tokens, valid=None):
        del valid
        shape = (self.vocabulary, self.vocabulary)
        table = self.param("table", nn.initializers.normal(2.0), shape)
        self.variable("cache", "read", jnp.zeros, tokens.shape[:1], jnp.int32)
        return table[tokens]


@functools.cache
def compiled(model):
    return jax.jit(model.apply)


def read_anew(model, variables, texts):
    """Give the logits at each place of texts of any lengths, at most two."""
    whole = np.zeros((2, ROOM), np.int32)
    for row, text in zip(whole, texts, strict=False):
        row[: len(text)] = text
    # What stands further right is not seen by a causal model.
    return np.asarray(compiled(model)(variables, whole))


def write_anew(model, variables, prompts, count, choose=lambda _, z: z.argmax(-1)):
    """Write after prompts by reading everything anew for each token."""
    texts, logits = [list(prompt) for prompt in prompts], []
    for i in range(count):
        z = read_anew(model, variables, texts)
        logits.append(np.stack([row[len(text) - 1] for row, text in zip(z, texts, strict=False)]))
        for text, token in zip(texts, np.asarray(choose(i, logits[-1])), strict=True):
            text.append(int(token))
    return np.array([text[-count:] for text in texts]), np.stack(logits, axis=1)
