"""Generation: causal models that write on, with a cache, one token at a time.

``generate`` continues prompts, greedily or at random; ``beam_search`` looks for likely
sequences. ``greedy`` and ``sample`` choose a token from logits, after ``temperature``,
``top_k``, ``top_p``, ``min_p`` or ``repetition_penalty``, composed by ``chain``.
``generate_text`` does it for text, by bytes or with a tokenizer of your own.
"""

from typing import TYPE_CHECKING

from jaxnn import _lazy

if TYPE_CHECKING:
    from jaxnn.models.generation._beam import Beams as Beams
    from jaxnn.models.generation._beam import beam_search as beam_search
    from jaxnn.models.generation._cache import init_cache as init_cache
    from jaxnn.models.generation._generate import Generated as Generated
    from jaxnn.models.generation._generate import generate as generate
    from jaxnn.models.generation._generate import pad_prompts as pad_prompts
    from jaxnn.models.generation._samplers import chain as chain
    from jaxnn.models.generation._samplers import greedy as greedy
    from jaxnn.models.generation._samplers import min_p as min_p
    from jaxnn.models.generation._samplers import repetition_penalty as repetition_penalty
    from jaxnn.models.generation._samplers import sample as sample
    from jaxnn.models.generation._samplers import temperature as temperature
    from jaxnn.models.generation._samplers import top_k as top_k
    from jaxnn.models.generation._samplers import top_p as top_p
    from jaxnn.models.generation._text import ByteTokenizer as ByteTokenizer
    from jaxnn.models.generation._text import Tokenizer as Tokenizer
    from jaxnn.models.generation._text import generate_text as generate_text

_HOMES = {
    "Beams": "_beam",
    "ByteTokenizer": "_text",
    "Generated": "_generate",
    "Tokenizer": "_text",
    "beam_search": "_beam",
    "chain": "_samplers",
    "generate": "_generate",
    "generate_text": "_text",
    "greedy": "_samplers",
    "init_cache": "_cache",
    "min_p": "_samplers",
    "pad_prompts": "_generate",
    "repetition_penalty": "_samplers",
    "sample": "_samplers",
    "temperature": "_samplers",
    "top_k": "_samplers",
    "top_p": "_samplers",
}

__all__ = [
    "Beams",
    "ByteTokenizer",
    "Generated",
    "Tokenizer",
    "beam_search",
    "chain",
    "generate",
    "generate_text",
    "greedy",
    "init_cache",
    "min_p",
    "pad_prompts",
    "repetition_penalty",
    "sample",
    "temperature",
    "top_k",
    "top_p",
]

__getattr__, __dir__ = _lazy.attach(__name__, names=_HOMES)
