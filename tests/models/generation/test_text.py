"""Text through bytes, and through a tokenizer of another library."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.models.generation import ByteTokenizer, generate_text
from tests.models.generation.models import Table


def test_bytes_there_and_back():
    tokenizer = ByteTokenizer()
    for text in ("def f(x):\n\treturn x", "héllo – 你好 🙂", ""):
        ids = tokenizer.encode(text)
        assert ids == list(text.encode())
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode(jnp.asarray(ids, jnp.int32)) == text
    # Half a character is no error: a model may write one.
    assert tokenizer.decode([104, 195]) == "h\N{REPLACEMENT CHARACTER}"
    assert tokenizer.decode([255, 104]) == "\N{REPLACEMENT CHARACTER}h"


class Words:
    """What a tokenizers.Tokenizer does, for the words it knows."""

    words = ("stop", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j")

    class Encoding:
        def __init__(self, ids):
            self.ids = ids

    def encode(self, text):
        return self.Encoding([self.words.index(word) for word in text.split()])

    def decode(self, ids):
        return " ".join(self.words[i] for i in ids)


def check(tokenizer):
    variables = Table(11).init(jax.random.key(3), np.zeros((1, 1), np.int32))
    following = np.asarray(variables["params"]["table"]).argmax(-1)
    options = {"tokenizer": tokenizer, "multiple": 4, "new_tokens": 5}
    texts = generate_text(Table(11), variables, ["a b c", "d"], **options)
    chains = []
    for token in (3, 4):
        chains.append([])
        for _ in range(5):
            token = following[token]
            chains[-1].append(int(token))
    assert texts == [" ".join(Words.words[i] for i in chain) for chain in chains]
    second = chains[0][1]
    cut = generate_text(Table(11), variables, ["a b c"], stop_tokens=(second,), **options)
    end = chains[0].index(second)
    assert cut == [" ".join(Words.words[i] for i in chains[0][:end])]


def test_any_object_with_the_two_methods_will_do():
    check(Words())


def test_a_tokenizer_of_the_tokenizers_library_will_do():
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {word: i for i, word in enumerate(Words.words)}
    words = tokenizers.models.WordLevel(vocabulary, unk_token="stop")
    tokenizer = tokenizers.Tokenizer(words)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    check(tokenizer)


@pytest.mark.usefixtures("unchecked")
def test_bad_use_is_named():
    model, variables = Table(), {"params": {}}
    with pytest.raises(TypeError, match=r"generate_text: `prompts` is 'def '; .*a list of texts"):
        generate_text(model, variables, "def ", new_tokens=1)
    with pytest.raises(TypeError, match=r"generate_text: `tokenizer` is 3; .*encode and decode"):
        generate_text(model, variables, ["def "], tokenizer=3, new_tokens=1)
    with pytest.raises(ValueError, match=r"pad_prompts: `prompts\[0\]` is \[\]"):
        generate_text(model, variables, [""], new_tokens=1)
    with pytest.raises(ValueError, match=r"ByteTokenizer.decode: `ids` is \[256\]; .*0 ... 255"):
        ByteTokenizer().decode([256])
