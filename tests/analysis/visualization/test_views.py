"""Views of attention hold what they were given."""

import numpy as np
import pytest

from jaxnn.analysis import visualization

RNG = np.random.default_rng(0)


def test_head_view_has_a_line_for_each_weight_as_opaque_as_it_is_large():
    weights = np.array([[[1.0, 0.0, 0.0], [0.3, 0.7, 0.0], [0.01, 0.59, 0.4]]])
    axes = visualization.attention_lines(weights, ["a", "b", "c"]).axes[0]
    (lines,) = axes.collections
    ends = [tuple(int(y) for _, y in segment) for segment in lines.get_segments()]
    opacity = dict(zip(ends, lines.get_colors()[:, 3], strict=True))
    assert opacity == pytest.approx(
        {(0, 0): 1, (1, 0): 0.3, (1, 1): 0.7, (2, 1): 0.59, (2, 2): 0.4}
    )
    assert all([x for x, _ in segment] == [0, 1] for segment in lines.get_segments())
    both = np.concatenate([weights, weights[:, ::-1]])
    one = visualization.attention_lines(both, ["a", "b", "c"], heads=[1], query=0).axes[0]
    assert [[y for _, y in s] for s in one.collections[0].get_segments()] == [[0, 1], [0, 2]]


def test_neuron_view_computes_the_weights_from_query_and_keys():
    q, k = RNG.normal(size=4), RNG.normal(size=(3, 4))
    axes = visualization.attention_neurons(q, k, ["a", "b", "c"]).axes[0]
    shown = [np.asarray(image.get_array()) for image in axes.images]
    logits = np.array([sum(q * row) / 2 for row in k])
    weights = np.exp(logits) / np.exp(logits).sum()
    for got, want in zip(
        shown, [np.stack([q] * 3), k, q[None] * k, logits[:, None], weights[:, None]], strict=True
    ):
        np.testing.assert_allclose(got, want)
    for image, values in zip(axes.images, shown, strict=True):
        assert image.get_clim() == pytest.approx((-np.abs(values).max(), np.abs(values).max()))
    words = {text.get_text() for text in axes.texts}
    assert {"a", "b", "c", "q × k", "softmax", "query: c"} <= words


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: visualization.attention_lines(np.ones((1, 2, 2)), ["a"]), r"\(heads, 1, 1\)"),
        (
            lambda: visualization.attention_lines(np.ones((1, 1, 1)), ["a"], heads=[1]),
            "`heads` is .* some of the 1 heads",
        ),
        (
            lambda: visualization.attention_neurons(np.ones(2), np.ones((2, 3)), ["a", "b"]),
            r"`keys` is .* needs shape \(2, 2\)",
        ),
    ],
)
def test_rejects(call, match):
    with pytest.raises(ValueError, match=match):
        call()
