"""Beam search with room for everything is exhaustive search."""

import importlib.util
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.models.generation import beam_search, generate, pad_prompts
from tests.models.generation.models import Table, compiled, network, read_anew

STOP = 3
PROMPTS = [[0, 1, 2], [2]]
COUNT = 3


def every_sequence(model, variables, prompt):
    """Give the log-probability of every sequence that stops or is as long as may be."""
    full = np.array(list(itertools.product(range(4), repeat=COUNT)))
    tokens = np.zeros((len(full), 3 + COUNT), np.int32)
    end = len(prompt) + COUNT
    tokens[:, :end] = np.concatenate([np.tile(prompt, (len(full), 1)), full], axis=1)
    logits = compiled(model)(variables, tokens)
    gains = np.asarray(jax.nn.log_softmax(logits), np.float64)[:, len(prompt) - 1 : end - 1]
    found = {}
    for row, gain in zip(full, gains, strict=True):
        stops = np.flatnonzero(row == STOP)
        length = int(stops[0]) + 1 if len(stops) else COUNT
        found[tuple(row[:length].tolist())] = gain[np.arange(length), row[:length]].sum()
    assert len(found) == 1 + 3 + 9 * 4
    return found


def test_enough_beams_are_exhaustive():
    model, variables = network(vocabulary=4, num_key_value_heads=1)
    prompts, valid = pad_prompts(PROMPTS)
    totals = [every_sequence(model, variables, prompt) for prompt in PROMPTS]
    options = {"beams": 40, "new_tokens": COUNT, "stop_tokens": (STOP,), "pad_token": 9}
    for penalty in (0.0, 2.0):  # each is a program
        got = beam_search(model, variables, prompts, valid=valid, length_penalty=penalty, **options)
        for i, found in enumerate(totals):
            scored = [(total / len(tokens) ** penalty, tokens) for tokens, total in found.items()]
            want = sorted(scored, reverse=True)
            np.testing.assert_allclose(got.scores[i], [score for score, _ in want], atol=1e-4)
            for row, length, (_, tokens) in zip(got.tokens[i], got.lengths[i], want, strict=True):
                assert row.tolist() == [*tokens, *[9] * (COUNT - len(tokens))]
                assert length == len(tokens)


@pytest.mark.slow
def test_few_beams_equal_a_search_without_a_cache():
    """The rows of the cache must follow their beams, wherever their axis is."""
    model, variables = network(scan=True, depth=2)
    beams, count, prompt = 2, 5, [1, 2, 3]
    alive, crossed = [((), 0.0)], False
    for _ in range(count):
        texts = [[*prompt, *tokens] for tokens, _ in alive]
        z = read_anew(model, variables, texts)[: len(alive), len(texts[0]) - 1]
        longer = [
            ((*tokens, token), total + float(gain))
            for (tokens, total), row in zip(alive, jax.nn.log_softmax(z), strict=True)
            for token, gain in enumerate(row)
        ]
        before, alive = alive, sorted(longer, key=lambda item: -item[1])[:beams]
        crossed |= [tokens[:-1] for tokens, _ in alive] != [tokens for tokens, _ in before]
    assert crossed
    got = beam_search(
        model, variables, np.array([prompt]), beams=beams, new_tokens=count, length_penalty=0.0
    )
    assert [tuple(row) for row in got.tokens[0].tolist()] == [tokens for tokens, _ in alive]
    np.testing.assert_allclose(got.scores[0], [total for _, total in alive], atol=1e-4)


def test_one_beam_is_greedy(key):
    variables = Table().init(key, np.zeros((1, 1), np.int32))
    prompts = np.array([[1], [6]])
    want = generate(Table(), variables, prompts, new_tokens=5, log_probs=True)
    got = beam_search(Table(), variables, prompts, new_tokens=5, beams=1)
    np.testing.assert_array_equal(got.tokens[:, 0], want.tokens)
    np.testing.assert_allclose(got.scores[:, 0], want.log_probs.mean(1), atol=1e-5)


def test_a_search_without_end_is_cut_short():
    """What is found is better than all that is still open: the loop need not go on."""
    table = np.full((8, 8), -4.0, np.float32)
    table[:, STOP] = 4.0
    variables = {"params": {"table": jnp.asarray(table)}}
    options = {"beams": 2, "new_tokens": 6, "stop_tokens": (STOP,), "length_penalty": 0.0}
    got = beam_search(Table(), variables, np.array([[1]]), **options)
    assert got.tokens[0, 0].tolist() == [STOP, 0, 0, 0, 0, 0]
    assert got.lengths.tolist() == [[1, 2]]


@pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="extra hub")
def test_beams_equal_those_of_transformers():
    import torch
    from transformers import GenerationConfig, GenerationMixin, PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutput

    class Theirs(PreTrainedModel, GenerationMixin):
        config_class = PretrainedConfig
        main_input_name = "input_ids"

        def __init__(self, config, table):
            super().__init__(config)
            self.table = torch.nn.Parameter(torch.tensor(table))

        def forward(self, input_ids, attention_mask=None, **_):
            return CausalLMOutput(logits=self.table[input_ids])

    for seed, penalty in enumerate((0.0, 1.0, 0.5, -0.5)):
        table = np.random.default_rng(seed).normal(size=(8, 8)).astype(np.float32)
        theirs = Theirs(PretrainedConfig(vocab_size=8, num_hidden_layers=1), table)
        options = GenerationConfig(
            num_beams=3,
            num_return_sequences=3,
            max_new_tokens=5,
            eos_token_id=STOP,
            pad_token_id=0,
            length_penalty=penalty,
            early_stopping="never",
            use_cache=False,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
        )
        prompt = np.array([[1], [6]])
        want = theirs.generate(
            torch.tensor(prompt),
            attention_mask=torch.ones(2, 1, dtype=torch.long),
            generation_config=options,
        )
        got = beam_search(
            Table(),
            {"params": {"table": jnp.asarray(table)}},
            prompt,
            beams=3,
            new_tokens=5,
            length_penalty=penalty,
            stop_tokens=(STOP,),
            pad_token=STOP,
        )
        scores = want.sequences_scores.numpy().reshape(2, 3)
        np.testing.assert_allclose(got.scores, scores, atol=1e-5)
        sequences = want.sequences.numpy()[:, 1:].reshape(2, 3, -1)
        np.testing.assert_array_equal(got.tokens[..., : sequences.shape[-1]], sequences)


@pytest.mark.usefixtures("unchecked")
def test_bad_values_are_named():
    model, variables = Table(), {"params": {}}
    prompts = np.ones((1, 2), np.int32)
    with pytest.raises(ValueError, match="beam_search: `beams` is 0"):
        beam_search(model, variables, prompts, beams=0, new_tokens=2)
    with pytest.raises(ValueError, match=r"beam_search: `new_tokens` is None and"):
        beam_search(model, variables, prompts)
    with pytest.raises(TypeError, match=r"beam_search: `prompts` .*whole numbers"):
        beam_search(model, variables, prompts * 1.0, new_tokens=2)
