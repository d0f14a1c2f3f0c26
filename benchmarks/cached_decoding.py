"""A token written by a small GPT through its cache: at length 100, at length 1,000, without one.

Every entry writes the same tokens greedily after the same 100, with room for 1,024. ``at-1000``
stands 900 steps further on, behind padding that nothing attends to, so that its logits, the
witness, are those at 100: its ratio is what a token costs at length 1,000 by what it costs at
100. ``full`` has no cache and reads the whole text, no longer than it is, again for each token.
Reading the prompt is not timed.
"""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._harness import Benchmark, Entry, Work

VOCABULARY, WIDTH, DEPTH, HEADS = 256, 256, 4, 4
ROOM, SHORT, LONG, TOKENS = 1024, 100, 1000, 16


def benchmark() -> Benchmark:
    return Benchmark(
        name="cached-decoding",
        ours=Entry(make=partial(cached, SHORT)),
        others={"at-1000": Entry(make=partial(cached, LONG)), "full": Entry(make=full)},
        units=TOKENS,
        shapes={
            "batch": 1,
            "width": WIDTH,
            "depth": DEPTH,
            "heads": HEADS,
            "room": ROOM,
            "length": SHORT,
            "tokens": TOKENS,
        },
    )


@cache
def setting() -> tuple[Any, Any, np.ndarray]:
    """Make the model, its variables and the prompt."""
    from jaxnn.models import Transformer

    model = Transformer(
        VOCABULARY, features=WIDTH, depth=DEPTH, num_heads=HEADS, hidden_features=4 * WIDTH
    )
    prompt = np.random.default_rng(0).integers(0, VOCABULARY, (1, SHORT)).astype(np.int32)
    return model, jax.jit(model.init)(jax.random.key(0), prompt), prompt


def cached(length: int) -> Work:
    from jaxnn.models.generation import init_cache, pad_prompts

    model, variables, prompt = setting()
    tokens, valid = pad_prompts([prompt[0]], length=length)
    empty = init_cache(model, variables, 1, ROOM)

    @jax.jit
    def read(variables: Any, cache: Any, tokens: Any, valid: Any) -> tuple[jax.Array, Any]:
        everything = {**variables, "cache": cache}
        logits, state = model.apply(everything, tokens, valid=valid, mutable=["cache"])
        return logits[:, -1], state["cache"]

    @jax.jit
    def write(variables: Any, cache: Any, logits: jax.Array) -> jax.Array:
        def turn(carry: tuple[Any, jax.Array], _: None) -> tuple[Any, jax.Array]:
            cache, logits = carry
            token = jnp.argmax(logits, axis=-1)[:, None]
            everything = {**variables, "cache": cache}
            logits, state = model.apply(everything, token, mutable=["cache"])
            return (state["cache"], logits[:, -1]), logits[0, -1]

        return jax.lax.scan(turn, (cache, logits), None, TOKENS)[1]

    logits, start = read(variables, empty, tokens, valid)
    call = partial(write, variables, start, logits)
    return Work(call=call, witness=call)


def full() -> Work:
    model, variables, prompt = setting()

    @jax.jit
    def write(variables: Any, text: jax.Array, first: jax.Array) -> jax.Array:
        def turn(carry: tuple[jax.Array, jax.Array], i: jax.Array) -> Any:
            text, logits = carry
            token = jnp.argmax(logits, axis=-1).astype(text.dtype)
            text = text.at[:, SHORT + i].set(token)
            logits = model.apply(variables, text)[:, SHORT + i]
            return (text, logits), logits[0]

        return jax.lax.scan(turn, (text, first), jnp.arange(TOKENS))[1]

    # Padded on the right, where a causal model does not look, up to what will be written.
    text = jnp.pad(prompt, ((0, 0), (0, TOKENS)))
    first = jax.jit(model.apply)(variables, text)[:, SHORT - 1]
    call = partial(write, variables, text, first)
    return Work(call=call, witness=call)
