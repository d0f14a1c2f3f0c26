"""Rows of ``layers.kernel``."""

import jax
import jax.numpy as jnp

from jaxnn.layers import kernel
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.kernel"
TESTS = "tests/layers/kernel/test_kernel.py"
X, G = jnp.ones((2, 3)), jnp.ones((4, 3))
DRAWS = kernel.Spectrum(*(0.3 * a for a in normal(jax.random.key(5), *[(4,)] * 4)))
INT = {"gradients": "constants have no slope", "extremes": "no float argument"}
RANDOM = {**INT, "bfloat16": "numbers drawn from a key, always float32"}
DENSE = kernel.SNNKDense(2, 4)


def features_case(name, function, reject, **options):
    return Case(
        name=f"{HOME}.{name}",
        function=function,
        inputs=lambda key: normal(key, (2, 3), (4, 3)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: reject(G[:, :2]),
                error=ValueError,
                match=rf"{name}: `directions` is .*\(4, 2\).* needs shape \(features, 3\)",
            ),
        ),
        **options,
    )


def constant_spectrum(name):
    function = getattr(kernel, name)
    return Case(
        name=f"{HOME}.{name}",
        function=lambda key: function(key, 4),
        inputs=lambda key: (key,),
        key=0,
        parity=TESTS,
        exempt=RANDOM,
        rejects=(
            Reject(
                call=lambda: function(jax.random.key(0), 0),
                error=ValueError,
                match=f"{name}: `features` is 0; it needs a whole number above zero",
            ),
        ),
    )


CASES = [
    Plain(name=f"{HOME}.Spectrum", reason="four arrays; universal_phi takes it", parity=TESTS),
    *map(constant_spectrum, ("sine_spectrum", "cosine_spectrum", "exponential_spectrum")),
    constant_spectrum("gaussian_spectrum"),
    Case(
        name=f"{HOME}.random_directions",
        function=lambda key: kernel.random_directions(key, 3, 4),
        inputs=lambda key: (key,),
        key=0,
        parity=TESTS,
        exempt=RANDOM,
        rejects=(
            Reject(
                call=lambda: kernel.random_directions(3, 3, 4),
                error=TypeError,
                match="random_directions: `key` is 3; it needs a random key",
            ),
        ),
    ),
    features_case(
        "universal_phi",
        lambda x, g: kernel.universal_phi(x, g, DRAWS),
        lambda g: kernel.universal_phi(X, g, DRAWS),
        extreme=2.0,  # features of waves grow as exp(|x|²), by definition
    ),
    features_case(
        "universal_psi",
        kernel.universal_psi,
        lambda g: kernel.universal_psi(X, g),
        extreme=3.0,  # exp(|g|² / 2) for weights along g, by definition
    ),
    features_case("relu_features", kernel.relu_features, lambda g: kernel.relu_features(X, g)),
    Case(
        name=f"{HOME}.arc_cosine_kernel",
        function=kernel.arc_cosine_kernel,
        inputs=lambda key: normal(key, (2, 3), (2, 3)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: kernel.arc_cosine_kernel(X, X[:1]),
                error=ValueError,
                match=r"arc_cosine_kernel: `w` is .* needs shape \(2, 3\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.bundle",
        function=lambda w, b, v, c: kernel.bundle(
            {"kernel": w, "bias": b}, {"kernel": v, "bias": c}
        ),
        inputs=lambda key: normal(key, (4, 3), (3,), (3, 2), (2,)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: kernel.bundle({"kernel": G}, {"kernel": G}),
                error=ValueError,
                match=r"bundle: `second\['kernel'\]` is .* needs shape \(3, outputs\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.fit_readout",
        function=lambda values, y: kernel.fit_readout(values, y, ridge=1.0),
        inputs=lambda key: normal(key, (6, 3), (6, 2)),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: kernel.fit_readout(G, X),
                error=ValueError,
                match=r"fit_readout: `y` is .* needs shape \(4, outputs\)",
            ),
        ),
    ),
    module_case(
        f"{HOME}.SNNKDense",
        DENSE,
        shape=(2, 3),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: kernel.SNNKDense(2, 0).init(jax.random.key(0), X),
                error=ValueError,
                match="SNNKDense: `random_features` is 0; it needs a whole number",
            ),
        ),
    ),
    module_case(
        f"{HOME}.SNNKAdapter",
        kernel.SNNKAdapter(4),
        shape=(2, 3),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: kernel.SNNKAdapter(4).init(jax.random.key(0), X.astype(int)),
                error=TypeError,
                match="SNNKAdapter: `x` .*floating-point",
            ),
        ),
    ),
    module_case(
        f"{HOME}.BundledSNNK",
        kernel.BundledSNNK(2, (4, 3)),
        shape=(2, 3),
        parity=TESTS,
        rejects=(
            Reject(
                call=lambda: kernel.BundledSNNK(2, ()).init(jax.random.key(0), X),
                error=ValueError,
                match=r"BundledSNNK: `random_features` is \(\); it needs at least one layer",
            ),
        ),
    ),
]
