"""Text to tokens and back, by bytes or by a tokenizer of one's own."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from jaxnn._check import describe, require
from jaxnn.models.generation._generate import generate, pad_prompts


@runtime_checkable
class Tokenizer(Protocol):
    """What turns text into tokens and back; a ``tokenizers.Tokenizer`` does."""

    def encode(self, text: str) -> Any:
        """Give the tokens of a text: whole numbers, or an object that has them as ``ids``."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Give the text of tokens."""
        ...


class ByteTokenizer:
    """Bytes of UTF-8 as tokens 0 ... 255.

    Example:
      >>> ByteTokenizer().encode("né")
      [110, 195, 169]
      >>> ByteTokenizer().decode([110, 195])
      'n�'
    """

    def encode(self, text: str) -> list[int]:
        """Give the bytes of a text."""
        return list(text.encode("utf-8"))

    def decode(self, ids: Any) -> str:
        """Give the text of bytes, a sequence or an array; what is not UTF-8 becomes �.

        Raises:
          ValueError: a token is not in 0 ... 255.
        """
        ids = np.asarray(ids, np.int64).ravel()
        bytes_ = ((ids >= 0) & (ids < 256)).all()
        require(bool(bytes_), "ByteTokenizer.decode", "ids", ids.tolist(), "numbers in 0 ... 255")
        return ids.astype(np.uint8).tobytes().decode("utf-8", errors="replace")


def encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Give the tokens of a text as a list, whatever the tokenizer gives them in."""
    found = tokenizer.encode(text)
    return [int(token) for token in getattr(found, "ids", found)]


def generate_text(
    model: Any,
    variables: Any,
    prompts: Sequence[str],
    *,
    tokenizer: Tokenizer | None = None,
    multiple: int = 32,
    **options: Any,
) -> list[str]:
    """Continue texts; :func:`generate` between a tokenizer's two ends.

    Args:
      model: as :func:`generate` takes it.
      variables: its variables.
      prompts: texts, none empty.
      tokenizer: what has ``encode`` and ``decode``, such as a ``tokenizers.Tokenizer``; ``None``
        is :class:`ByteTokenizer`.
      multiple: prompts are padded to a multiple of this many tokens, so that few programs serve
        many prompts.
      options: those of :func:`generate`.

    Returns:
      What was written after each prompt, without stop tokens.

    Raises:
      TypeError: ``prompts`` is one text, or the tokenizer lacks a method.
      ValueError: as :func:`generate` and :func:`pad_prompts` say.

    Example:
      >>> model = Transformer(vocabulary=256)
      >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 4), jnp.int32))
      >>> len(generate_text(model, variables, ["def ", "class "], new_tokens=4))
      2
    """
    where = "generate_text"
    tokenizer = ByteTokenizer() if tokenizer is None else tokenizer
    if isinstance(prompts, str):
        raise TypeError(f"{where}: `prompts` is {describe(prompts)}; it needs a list of texts.")
    if not isinstance(tokenizer, Tokenizer):
        raise TypeError(
            f"{where}: `tokenizer` is {describe(tokenizer)}; it needs methods encode and decode."
        )
    tokens, valid = pad_prompts([encode(tokenizer, text) for text in prompts], multiple=multiple)
    written = generate(model, variables, tokens, valid=valid, **options)
    stops = set(options.get("stop_tokens", ()))
    texts = []
    for row, length in zip(np.asarray(written.tokens), np.asarray(written.lengths), strict=True):
        ids = row[:length].tolist()
        texts.append(tokenizer.decode(ids[:-1] if ids[-1] in stops else ids))
    return texts
