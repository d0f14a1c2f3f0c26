import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import position

WIDTH, BASE, FACTOR, LENGTH = 32, 10_000.0, 4.0, 2048


def wave(i, base=BASE):
    """The frequency of pair i, as RoFormer writes it."""
    return 1 / base ** (2 * i / WIDTH)


def interpolated(i):
    return wave(i) / FACTOR


def ntk(i):
    return wave(i, BASE * FACTOR ** (WIDTH / (WIDTH - 2)))


def dynamic(i, length=3 * LENGTH):
    stretch = max(1.0, FACTOR * length / LENGTH - (FACTOR - 1))
    return wave(i, BASE * stretch ** (WIDTH / (WIDTH - 2)))


def yarn(i):
    """The released code's ramp over pairs, ends found by search, not by logarithms."""
    turns = [LENGTH * wave(n) / (2 * math.pi) for n in range(WIDTH)]
    low = max(n for n in range(WIDTH) if turns[n] >= 32)
    high = min(n for n in range(WIDTH) if turns[n] <= 1)
    slowed = min(1.0, max(0.0, (i - low) / (high - low)))
    return wave(i) * (1 - slowed) + wave(i) / FACTOR * slowed


def llama3(i):
    """The released code's three cases, by wavelengths."""
    length = 2 * math.pi / wave(i)
    if length < LENGTH / 4:
        return wave(i)
    if length > LENGTH:
        return wave(i) / FACTOR
    smooth = (LENGTH / length - 1) / (4 - 1)
    return (1 - smooth) * wave(i) / FACTOR + smooth * wave(i)


SETS = {
    "rotary": (lambda: position.rotary_frequencies(WIDTH), wave),
    "interpolated": (
        lambda: position.interpolated_frequencies(WIDTH, factor=FACTOR),
        interpolated,
    ),
    "ntk": (lambda: position.ntk_frequencies(WIDTH, factor=FACTOR), ntk),
    "dynamic": (
        lambda: position.dynamic_ntk_frequencies(
            WIDTH, 3 * LENGTH, original_length=LENGTH, factor=FACTOR
        ),
        dynamic,
    ),
    "yarn": (
        lambda: position.yarn_frequencies(WIDTH, factor=FACTOR, original_length=LENGTH),
        yarn,
    ),
    "llama3": (
        lambda: position.llama3_frequencies(
            WIDTH, factor=FACTOR, original_length=LENGTH, base=BASE
        ),
        llama3,
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_equal_the_papers_pair_by_pair(name):
    got, want = SETS[name]
    np.testing.assert_allclose(got(), [want(i) for i in range(WIDTH // 2)], rtol=1e-5)


def test_every_scaled_set_slows_something_and_turns_nothing_faster():
    plain = np.asarray(position.rotary_frequencies(WIDTH))
    for name, (scaled, _) in SETS.items():
        ratio = np.asarray(scaled()) / plain
        assert (ratio <= 1 + 1e-5).all()
        assert name == "rotary" or ratio[-1] < 0.5


def test_a_short_sequence_is_not_slowed_and_the_length_may_be_traced():
    scaled = jax.jit(
        lambda n: position.dynamic_ntk_frequencies(WIDTH, n, original_length=LENGTH, factor=FACTOR)
    )
    np.testing.assert_array_equal(scaled(LENGTH // 2), position.rotary_frequencies(WIDTH))
    np.testing.assert_allclose(
        scaled(2 * LENGTH), [dynamic(i, 2 * LENGTH) for i in range(WIDTH // 2)], rtol=1e-5
    )


def test_the_whole_longer_sequence_fits_into_the_angles_trained_on():
    """What the slowest pairs were never turned by, they are not turned by after scaling."""
    longest = LENGTH * FACTOR * position.interpolated_frequencies(WIDTH, factor=FACTOR)
    np.testing.assert_allclose(longest, LENGTH * position.rotary_frequencies(WIDTH), rtol=1e-6)
    for name in ("ntk", "yarn", "llama3"):
        slowest = SETS[name][0]()[-1]
        np.testing.assert_allclose(slowest * FACTOR, wave(WIDTH // 2 - 1), rtol=1e-5)


def test_attention_factor_is_the_papers_fit():
    """Section 3.4: the square root of 1/t is 0.1 ln s + 1."""
    assert position.yarn_attention_factor(1.0) == 1.0
    np.testing.assert_allclose(position.yarn_attention_factor(math.e**2), 1.2)


def test_equal_transformers():
    rope = pytest.importorskip("transformers.modeling_rope_utils").ROPE_INIT_FUNCTIONS
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")

    def theirs(kind, seq_len=None, **options):
        config = transformers.LlamaConfig(
            hidden_size=WIDTH * 2,
            num_attention_heads=2,
            max_position_embeddings=LENGTH,
            rope_parameters={
                "rope_type": kind,
                "rope_theta": BASE,
                "factor": FACTOR,
                "original_max_position_embeddings": LENGTH,
                **options,
            },
        )
        frequencies, factor = rope[kind](config, "cpu", seq_len=seq_len)
        return frequencies.numpy(), factor

    for kind, name, options in (
        ("linear", "interpolated", {}),
        ("dynamic", "dynamic", {"seq_len": 3 * LENGTH}),
        ("yarn", "yarn", {}),
        ("llama3", "llama3", {"low_freq_factor": 1.0, "high_freq_factor": 4.0}),
    ):
        frequencies, factor = theirs(kind, **options)
        np.testing.assert_allclose(SETS[name][0](), frequencies, rtol=1e-5, err_msg=kind)
        ours = position.yarn_attention_factor(FACTOR) if kind == "yarn" else 1.0
        np.testing.assert_allclose(factor, ours)


def test_scaled_frequencies_turn_as_squeezed_positions_do(key):
    x = jax.random.normal(key, (2, 5, 3, WIDTH))
    slowed = position.interpolated_frequencies(WIDTH, factor=FACTOR)
    got = position.rotary_embedding(x, jnp.arange(5), frequencies=slowed)
    want = position.rotary_embedding(x, jnp.arange(5) / FACTOR)
    np.testing.assert_allclose(got, want, atol=1e-5)
