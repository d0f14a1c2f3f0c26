"""Files as the hub has them, loaded, run and written back, against the hub's own library.

What that library computed lies in references/, with the files; make_references.py made them.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from jaxnn.models import presets
from tests.models.presets.check import TOLERANCE, check_round_trip, check_table, run, worst
from tests.models.presets.make_references import CAUSAL, FOLDER, POSITIONS, VALID


@pytest.mark.parametrize("name", CAUSAL)
def test_language_models(name, tmp_path):
    folder = FOLDER / name
    model, params, config = presets.load(folder)
    reference = load_file(folder / "reference.safetensors")
    whole, in_pieces = run(model, params, reference["tokens"])
    assert worst(whole, reference["logits"]) < TOLERANCE
    assert worst(in_pieces, reference["logits"]) < TOLERANCE
    # Figures of size one, so that the bound above means something.
    assert np.std(reference["logits"]) > 0.1
    check_table(config)
    check_round_trip(config, params, folder, tmp_path)


def test_bert(tmp_path):
    folder = FOLDER / "bert"
    model, params, config = presets.load(folder)
    reference = load_file(folder / "reference.safetensors")
    tokens, types = jnp.asarray(reference["tokens"]), jnp.asarray(reference["types"])
    pooled = config.build(pooling="first")
    for module in (model, pooled):
        got = jax.jit(module.apply)(
            {"params": params},
            tokens,
            valid=jnp.asarray(VALID),
            positions=jnp.asarray(POSITIONS),
            types=types,
        )
        if module is model:
            assert worst(got, reference["logits"]) < TOLERANCE
        else:
            # The second row begins with padding.
            np.testing.assert_allclose(got[::2], reference["pooled"][::2], atol=TOLERANCE)
    check_table(config, pooling="first")
    check_round_trip(config, params, folder, tmp_path)


@pytest.mark.parametrize("name", ["t5", "t5-tied"])
def test_t5(name, tmp_path):
    folder = FOLDER / name
    model, params, config = presets.load(folder)
    reference = load_file(folder / "reference.safetensors")
    tokens, targets = jnp.asarray(reference["tokens"]), jnp.asarray(reference["targets"])
    valid, variables = jnp.asarray(VALID), {"params": params}
    got = jax.jit(model.apply)(variables, tokens, targets, valid=valid)
    np.testing.assert_allclose(got, reference["logits"], atol=TOLERANCE)
    assert np.std(reference["logits"]) > 0.1
    check_table(config, tokens, targets)
    check_round_trip(config, params, folder, tmp_path)
    if config.tie_word_embeddings:
        return

    def decode(variables, cache, token, context):
        return model.apply(
            {**variables, **cache},
            token,
            context,
            context_valid=valid,
            method="decode",
            mutable=["cache"],
        )

    encode = functools.partial(model.apply, method="encode")
    context = jax.jit(encode)(variables, tokens, valid=valid)
    _, cache = jax.eval_shape(decode, variables, {}, targets, context)
    cache = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), cache)
    rows, step = [], jax.jit(decode)
    for t in range(targets.shape[1]):
        # The first step reads the context, and the others what it left.
        y, cache = step(variables, cache, targets[:, t : t + 1], context if t == 0 else None)
        rows.append(y)
    np.testing.assert_allclose(jnp.concatenate(rows, 1), reference["logits"], atol=TOLERANCE)


def test_vit(tmp_path):
    folder = FOLDER / "vit"
    model, params, config = presets.load(folder)
    reference = load_file(folder / "reference.safetensors")
    images = jnp.asarray(reference["images"])
    got = jax.jit(model.apply)({"params": params}, images)
    np.testing.assert_allclose(got, reference["logits"], atol=TOLERANCE)
    assert np.std(reference["logits"]) > 0.1
    check_table(config, images)
    written = load_file(config.to_safetensors(params, tmp_path))
    again = config.from_safetensors(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, again, params)
    for name, x in load_file(folder / "model.safetensors").items():
        if name not in ("vit.embeddings.cls_token", "vit.embeddings.position_embeddings"):
            assert written[name].tobytes() == x.tobytes(), name
