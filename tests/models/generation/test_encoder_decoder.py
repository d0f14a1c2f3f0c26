"""A decoder that reads a context writes through a cache what it writes without one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.models import EncoderDecoder
from jaxnn.models.generation import beam_search, generate

SOURCE = jnp.array([[3, 1, 4, 1], [5, 9, 0, 0]])
VALID = jnp.array([[True] * 4, [True, True, False, False]])
START, NEW = 1, 5


@functools.cache
def network():
    model = EncoderDecoder(10, features=8, depth=1, num_heads=2)
    variables = jax.jit(model.init)(jax.random.key(0), SOURCE, SOURCE[:, :1])
    params = jax.tree.map(lambda x: 3 * x if x.ndim > 1 else x, variables["params"])
    return model, {"params": params}


def written_anew(model, variables):
    apply = jax.jit(model.apply)
    targets = np.full((2, 1 + NEW), START, np.int32)
    for i in range(NEW):
        logits = apply(variables, SOURCE, jnp.asarray(targets), valid=VALID)
        targets[:, i + 1] = logits[:, i].argmax(-1)
    return targets[:, 1:]


@pytest.mark.slow
def test_the_context_is_read_once_and_its_padding_never():
    model, variables = network()
    want = written_anew(model, variables)
    context = jax.jit(functools.partial(model.apply, method="encode"))(
        variables, SOURCE, valid=VALID
    )
    start = np.full((2, 1), START, np.int32)
    options = {"method": "decode", "first": {"context": context}, "context_valid": VALID}
    got = generate(model, variables, start, new_tokens=NEW, **options)
    np.testing.assert_array_equal(got.tokens, want)
    found = beam_search(model, variables, start, new_tokens=NEW, beams=3, **options)
    # What is found is scored as the model scores it without a cache.
    targets = np.concatenate([start, np.asarray(found.tokens[:, 0])], axis=1)
    logits = jax.jit(model.apply)(variables, SOURCE, jnp.asarray(targets), valid=VALID)
    own = np.take_along_axis(jax.nn.log_softmax(logits[:, :-1]), targets[:, 1:, None], -1)
    np.testing.assert_allclose(found.scores[:, 0], own.mean((1, 2)), atol=1e-5)
