"""Beam search: the sequences that a model finds likely, not those it would draw.

Of each prompt the ``beams`` likeliest beginnings are kept and extended together; what ends with
a stop token is set aside with its score, its log-probability divided by a power of its length.
Source of the length penalty: "Google's Neural Machine Translation System: Bridging the Gap
between Human and Machine Translation" (2016), section 7, in the plain form len ** penalty.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Integer

from jaxnn._check import require_count
from jaxnn._numeric import accumulation_dtype
from jaxnn.models.generation._cache import batch_axes, init_cache, pick_rows, repeat_rows
from jaxnn.models.generation._read import (
    check_prompts,
    check_stops,
    combine,
    count_new,
    is_stop,
    last_logits,
    partition,
    reader,
)


class Beams(NamedTuple):
    """The sequences found for each prompt, the best first, without the prompt.

    Attributes:
      tokens: ``(batch, beams, new_tokens)``; after a stop token there is padding.
      lengths: how many tokens count, ``(batch, beams)``; a stop token does.
      scores: log-probability divided by length ** ``length_penalty``, ``(batch, beams)``; -inf
        where fewer sequences than beams were found.
    """

    tokens: Integer[Array, "batch beams new_tokens"]
    lengths: Integer[Array, "batch beams"]
    scores: Float[Array, "batch beams"]


def beam_search(
    model: Any,
    variables: Any,
    prompts: Integer[Array, "batch time"] | np.ndarray,
    *,
    beams: int = 4,
    new_tokens: int | None = None,
    max_length: int | None = None,
    length_penalty: float = 1.0,
    stop_tokens: Sequence[int] = (),
    pad_token: int = 0,
    valid: Bool[Array, "batch time"] | np.ndarray | None = None,
    cache_dtype: Dtype | None = None,
    first: Mapping[str, Any] | None = None,
    **inputs: Any,
) -> Beams:
    r"""Find likely continuations of prompts.

    .. math:: \mathrm{score}(x) = |x|^{-\alpha} \sum_t \log p(x_t | x_{<t})

    with α ``length_penalty``: 0 ranks by probability, 1 by the mean over tokens; above it, long
    sequences are favoured.

    A row is done when no beginning can end with a better score than the ``beams`` sequences
    found (``early_stopping="never"`` of the ``transformers`` library, whose other choices may
    miss one). A stop token ends a sequence only where it is among the ``beams`` likeliest
    extensions, as there. Compiled once, as :func:`generate` is.

    Args:
      model: as :func:`generate` takes it.
      variables: its variables.
      prompts: tokens; shorter ones padded on the left, see :func:`pad_prompts`.
      beams: how many beginnings are kept for each prompt.
      new_tokens: how many tokens to write at the most.
      max_length: instead of ``new_tokens``, the length of prompt and new tokens together.
      length_penalty: α.
      stop_tokens: tokens that end a sequence.
      pad_token: stands after the end of a sequence.
      valid: False for the padding of the prompts.
      cache_dtype: dtype of the keys and values kept; see :func:`init_cache`.
      first: further keyword arguments of the model when it reads the prompts.
      inputs: further keyword arguments of the model in every call.

    Returns:
      Tokens, lengths and scores.

    Raises:
      TypeError: ``prompts`` are not whole numbers.
      ValueError: shapes disagree, or neither or both of ``new_tokens`` and ``max_length`` are
        given.

    Example:
      >>> model = Transformer(vocabulary=8)
      >>> prompts = jnp.array([[1, 2, 3]])
      >>> variables = model.init(jax.random.key(0), prompts)
      >>> found = beam_search(model, variables, prompts, beams=3, new_tokens=4)
      >>> found.tokens.shape, bool(found.scores[0, 0] >= found.scores[0, 1])
      ((1, 3, 4), True)
    """
    where = "beam_search"
    check_prompts(where, prompts, valid)
    require_count(where, beams=beams)
    count = count_new(where, prompts.shape[1], new_tokens, max_length)
    return _program(
        variables,
        prompts,
        valid,
        float(length_penalty),
        *partition((dict(first or {}), inputs)),
        model=model,
        beams=beams,
        count=count,
        stops=check_stops(where, stop_tokens),
        pad_token=int(pad_token),
        cache_dtype=cache_dtype,
    )


@functools.partial(
    jax.jit,
    static_argnums=(5, 6),
    static_argnames=("model", "beams", "count", "stops", "pad_token", "cache_dtype"),
)
def _program(
    variables, prompts, valid, penalty, data, fixed, structure, *,
    model, beams, count, stops, pad_token, cache_dtype,
):  # fmt: skip
    first, inputs = combine(data, fixed, structure)
    batch, time = prompts.shape
    room, every = time + count, {**first, **inputs}
    plain = {name: x for name, x in variables.items() if name != "cache"}
    axes = batch_axes(model, plain, batch, room, every)
    cache = init_cache(model, plain, batch, room, dtype=cache_dtype, **every)
    masked = {} if valid is None else {"valid": valid}
    prompts = prompts.astype(jnp.int32)
    logits, cache = reader(model, plain, inputs)(cache, prompts, **masked, **first)
    logits = last_logits("beam_search", model, logits, batch)
    # From here on each prompt has a row for each of its beams.
    rows = jnp.arange(batch * beams).reshape(batch, beams)
    cache = pick_rows(cache, axes, rows.ravel() // beams)
    read = reader(model, plain, repeat_rows(inputs, batch, beams))
    vocabulary = logits.shape[-1]
    # Enough for `beams` extensions that do not stop.
    candidates = min(beams * (1 + len(stops)), beams * vocabulary)

    def extend(i: Any, logits: jax.Array, state: dict[str, Any]) -> dict[str, Any]:
        """Choose the i-th tokens of the beams, and set aside what stops."""
        wide = logits.astype(accumulation_dtype(logits.dtype))
        gain = jax.nn.log_softmax(wide).reshape(batch, beams, vocabulary)
        total = (state["scores"][..., None] + gain).reshape(batch, -1)
        scores, places = jax.lax.top_k(total, candidates)
        parents, token = places // vocabulary, (places % vocabulary).astype(jnp.int32)
        tokens = jnp.take_along_axis(state["tokens"], parents[..., None], 1)
        tokens = tokens.at[:, :, i].set(token)
        stop = is_stop(token, stops)
        ended = jnp.where(stop, scores, -jnp.inf)[:, :beams]
        found = merge(state["found"], finish(tokens[:, :beams], ended, i + 1))
        scores, best = jax.lax.top_k(jnp.where(stop, -jnp.inf, scores), beams)
        parents, token = (jnp.take_along_axis(x, best, 1) for x in (parents, token))
        return {
            "scores": scores,
            "tokens": jnp.take_along_axis(tokens, best[..., None], 1),
            "token": token,
            "rows": rows[:, :1] + parents,
            "found": found,
        }

    def finish(tokens: jax.Array, totals: jax.Array, length: Any) -> Beams:
        lengths = jnp.full(totals.shape, length, jnp.int32)
        return Beams(tokens, lengths, totals / _power(length, penalty))

    def merge(a: Beams, b: Beams) -> Beams:
        both = jax.tree.map(lambda x, y: jnp.concatenate([x, y], axis=1), a, b)
        scores, best = jax.lax.top_k(both.scores, beams)
        tokens = jnp.take_along_axis(both.tokens, best[..., None], 1)
        return Beams(tokens, jnp.take_along_axis(both.lengths, best, 1), scores)

    def unfinished(carry: tuple[Any, ...]) -> jax.Array:
        i, _, state = carry
        # Totals only fall: the best end of a beginning is the longest, or the next if length
        # is no help.
        hope = state["scores"][:, 0] / _power(jnp.where(penalty > 0, count, i + 1), penalty)
        return (i < count) & jnp.any(state["found"].scores[:, -1] < hope)

    def turn(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        i, cache, state = carry
        cache = pick_rows(cache, axes, state["rows"].ravel())
        logits, cache = read(cache, state["token"].reshape(-1, 1))
        return i + 1, cache, extend(i, logits[:, -1], state)

    # One beginning for each prompt: the others are impossible until it was extended.
    first_scores = jnp.where(jnp.arange(beams) == 0, 0.0, -jnp.inf)
    blank = jnp.full((batch, beams, count), pad_token, jnp.int32)
    none = jnp.zeros((batch, beams), jnp.int32)
    dtype = accumulation_dtype(logits.dtype)
    worst = jnp.full((batch, beams), -jnp.inf, dtype)
    start = {
        "scores": jnp.broadcast_to(first_scores[None].astype(dtype), (batch, beams)),
        "tokens": blank,
        "found": Beams(blank, none, worst),
    }
    state = extend(0, jnp.repeat(logits, beams, axis=0), start)
    i, _, state = jax.lax.while_loop(unfinished, turn, (jnp.int32(1), cache, state))
    rest = jnp.where(i == count, state["scores"], -jnp.inf)
    return merge(state["found"], finish(state["tokens"], rest, i))


def _power(length: Any, penalty: jax.Array) -> jax.Array:
    return jnp.asarray(length, jnp.float32) ** jnp.asarray(penalty, jnp.float32)
