"""Writing on: a prompt is read once, then each token is chosen and read in turn.

All of it is one program: the prompt is read into a cache (see
:class:`~jaxnn.layers.attention.MultiHeadAttention`), and a ``lax.while_loop`` reads one token a
turn until every row has written a stop token or no room is left.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Integer

from jaxnn._check import describe, require, require_count, require_key
from jaxnn._numeric import accumulation_dtype
from jaxnn.models.generation._cache import init_cache
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
from jaxnn.models.generation._samplers import apply_transform, greedy, needs_seen, sample

Sampler = Callable[[Any, jax.Array], jax.Array]


class Generated(NamedTuple):
    """What was written, without the prompts.

    Attributes:
      tokens: ``(batch, new_tokens)``; after a stop token there is padding.
      lengths: how many tokens of each row count, ``(batch,)``; a stop token does.
      log_probs: of each token under the model, transforms aside, ``(batch, new_tokens)``, 0 for
        padding; ``None`` unless asked for.
    """

    tokens: Integer[Array, "*batch new_tokens"]
    lengths: Integer[Array, "*batch"]
    log_probs: Float[Array, "*batch new_tokens"] | None


def generate(
    model: Any,
    variables: Any,
    prompts: Integer[Array, "batch time"] | np.ndarray,
    *,
    new_tokens: int | None = None,
    max_length: int | None = None,
    key: jax.Array | None = None,
    sampler: Sampler | None = None,
    transform: Callable[..., Any] | None = None,
    stop_tokens: Sequence[int] = (),
    pad_token: int = 0,
    valid: Bool[Array, "batch time"] | np.ndarray | None = None,
    log_probs: bool = False,
    cache_dtype: Dtype | None = None,
    first: Mapping[str, Any] | None = None,
    **inputs: Any,
) -> Generated:
    r"""Continue prompts with a causal model of tokens.

    .. math:: x_t \sim s(f(z_t)), \quad z_t = \mathrm{model}(x_{<t})

    with s ``sampler``, f ``transform``.

    It is compiled once for a model, the shape of the prompts and the number of new tokens;
    other prompts, parameters, keys, temperatures need no other program. It can be called under
    ``jax.jit`` and mapped over ``key``. Rows are independent: padding changes nothing, and a
    row that has stopped waits for the others.

    Args:
      model: linen module from tokens ``(batch, time)`` to logits ``(batch, time, vocabulary)``
        that can read on through the collection ``cache``, as
        :class:`~jaxnn.models.Transformer` can with any attention.
      variables: its variables.
      prompts: tokens; shorter ones padded on the left, see :func:`pad_prompts`.
      new_tokens: how many tokens to write at the most.
      max_length: instead of ``new_tokens``, the length of prompt and new tokens together,
        padding included.
      key: random key; the t-th tokens are drawn with ``fold_in(key, t)``.
      sampler: called as ``sampler(key, logits)``; ``None`` is :func:`sample` if a key is given,
        else :func:`greedy`.
      transform: changes the logits, in float32 or wider, before a token is chosen, e.g.
        ``chain(temperature(0.8), top_k(40))``.
      stop_tokens: tokens that end a row.
      pad_token: stands after the end of a row.
      valid: False for the padding of the prompts.
      log_probs: whether to give the log-probabilities of the tokens.
      cache_dtype: dtype of the keys and values kept; see :func:`init_cache`.
      first: further keyword arguments of the model when it reads the prompts, such as the
        ``context`` that a decoder keeps.
      inputs: further keyword arguments of the model in every call.

    Returns:
      Tokens, lengths and, if asked for, log-probabilities.

    Raises:
      TypeError: ``prompts`` are not whole numbers, or ``key`` is no key.
      ValueError: shapes disagree, neither or both of ``new_tokens`` and ``max_length`` are
        given, or prompts are padded on the right.

    Example:
      >>> model = Transformer(vocabulary=8)
      >>> prompts, valid = pad_prompts([[1, 2, 3], [4]])
      >>> variables = model.init(jax.random.key(0), prompts)
      >>> written = generate(model, variables, prompts, valid=valid, new_tokens=5)
      >>> written.tokens.shape, written.lengths.tolist()
      ((2, 5), [5, 5])
    """
    where = "generate"
    check_prompts(where, prompts, valid)
    count = count_new(where, prompts.shape[1], new_tokens, max_length)
    if key is not None:
        require_key(where, key)
    if sampler is None:
        sampler = greedy if key is None else sample
    require(
        key is not None or sampler is not sample, where, "key", key, "a random key to sample with"
    )
    for name, value in (("sampler", sampler), ("transform", transform)):
        if not (callable(value) or (name == "transform" and value is None)):
            raise TypeError(f"{where}: `{name}` is {describe(value)}; it needs a function.")
    options = (sampler, transform, dict(first or {}), inputs)
    return _program(
        variables,
        prompts,
        valid,
        key,
        *partition(options),
        model=model,
        count=count,
        stops=check_stops(where, stop_tokens),
        pad_token=int(pad_token),
        log_probs=bool(log_probs),
        cache_dtype=cache_dtype,
    )


@functools.partial(
    jax.jit,
    static_argnums=(5, 6),
    static_argnames=("model", "count", "stops", "pad_token", "log_probs", "cache_dtype"),
)
def _program(
    variables, prompts, valid, key, data, fixed, structure, *,
    model, count, stops, pad_token, log_probs, cache_dtype,
):  # fmt: skip
    sampler, transform, first, inputs = combine(data, fixed, structure)
    batch, time = prompts.shape
    prompts = prompts.astype(jnp.int32)
    rows = jnp.arange(batch)
    read = reader(model, variables, inputs)
    cache = init_cache(model, variables, batch, time + count, dtype=cache_dtype, **first, **inputs)
    masked = {} if valid is None else {"valid": valid}
    logits, cache = read(cache, prompts, **masked, **first)
    logits = last_logits("generate", model, logits, batch)
    seen = None
    if needs_seen(transform):
        real = jnp.ones(prompts.shape, bool) if valid is None else valid
        seen = jnp.zeros(logits.shape, bool).at[rows[:, None], prompts].max(real)

    def choose(i: Any, logits: jax.Array, state: dict[str, Any]) -> dict[str, Any]:
        """Write the i-th token of each row that has not stopped."""
        logits = logits.astype(accumulation_dtype(logits.dtype))
        changed = logits
        if transform is not None:
            changed = apply_transform(transform, logits, state["seen"])
        token = sampler(None if key is None else jax.random.fold_in(key, i), changed)
        stopped = state["stopped"]
        token = jnp.where(stopped, pad_token, token).astype(jnp.int32)
        after = {
            "token": token,
            "tokens": state["tokens"].at[:, i].set(token),
            "lengths": state["lengths"] + ~stopped,
            "stopped": stopped | is_stop(token, stops),
            "seen": state["seen"],
            "log_probs": state["log_probs"],
        }
        if seen is not None:
            after["seen"] = state["seen"].at[rows, token].max(~stopped)
        if log_probs:
            own = jnp.take_along_axis(jax.nn.log_softmax(logits), token[:, None], -1)[:, 0]
            own = jnp.where(stopped, 0.0, own).astype(jnp.float32)
            after["log_probs"] = state["log_probs"].at[:, i].set(own)
        return after

    def unfinished(carry: tuple[Any, ...]) -> jax.Array:
        i, _, state = carry
        return (i < count) & ~jnp.all(state["stopped"])

    def turn(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        i, cache, state = carry
        logits, cache = read(cache, state["token"][:, None])
        return i + 1, cache, choose(i, logits[:, -1], state)

    start = {
        "tokens": jnp.full((batch, count), pad_token, jnp.int32),
        "lengths": jnp.zeros((batch,), jnp.int32),
        "stopped": jnp.zeros((batch,), bool),
        "seen": seen,
        "log_probs": jnp.zeros((batch, count), jnp.float32) if log_probs else None,
    }
    carry = (jnp.int32(1), cache, choose(0, logits, start))
    _, _, state = jax.lax.while_loop(unfinished, turn, carry)
    return Generated(state["tokens"], state["lengths"], state["log_probs"])


def pad_prompts(
    prompts: Sequence[Any],
    *,
    length: int | None = None,
    multiple: int = 1,
    pad_token: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Pad sequences of tokens on the left to one length.

    Args:
      prompts: sequences or arrays of whole numbers, none empty.
      length: of the result; that of the longest prompt if ``None``.
      multiple: the length is rounded up to a multiple of this, so that few programs serve
        prompts of many lengths.
      pad_token: stands for what is not there.

    Returns:
      Tokens, int32, and booleans that are False for padding; both ``(batch, length)``, on the
      host.

    Raises:
      ValueError: there are no prompts, one is empty, or one is longer than ``length``.
      TypeError: a prompt holds something else than whole numbers.

    Example:
      >>> tokens, valid = pad_prompts([[1, 2, 3], [4]])
      >>> tokens.tolist(), valid.tolist()
      ([[1, 2, 3], [0, 0, 4]], [[True, True, True], [False, False, True]])
    """
    where = "pad_prompts"
    require_count(where, multiple=multiple)
    require(len(prompts) > 0, where, "prompts", prompts, "at least one prompt")
    rows = [np.asarray(prompt) for prompt in prompts]
    for i, row in enumerate(rows):
        require(
            row.ndim == 1 and row.size > 0,
            where,
            f"prompts[{i}]",
            prompts[i],
            "a sequence of at least one token",
        )
        if not np.issubdtype(row.dtype, np.integer):
            raise TypeError(
                f"{where}: `prompts[{i}]` is {describe(prompts[i])}; it needs whole numbers."
            )
    longest = max(map(len, rows))
    if length is not None:
        require_count(where, length=length)
        needs = f"at least {longest}, the length of the longest prompt"
        require(length >= longest, where, "length", length, needs)
    size = -(-(length or longest) // multiple) * multiple
    tokens = np.full((len(rows), size), pad_token, np.int32)
    valid = np.zeros((len(rows), size), bool)
    for i, row in enumerate(rows):
        tokens[i, size - len(row) :] = row
        valid[i, size - len(row) :] = True
    return tokens, valid
