"""Rows of massive activations, of units by what they do, and of truncated feed-forward networks.

Measures stay float32 for bfloat16 input, by design; the rows cast them so that their values
are still compared.
"""

import jax.numpy as jnp
import numpy as np

from jaxnn.analysis import information, sparsity
from tests.laws.case import LAWS, Case, Plain, Reject
from tests.laws.makers import normal

HOME = "analysis.sparsity"
MASSIVE, NEURONS, TRUNCATION = (
    f"tests/analysis/sparsity/test_{name}.py" for name in ("massive", "neurons", "truncation")
)
X = jnp.ones((2, 3))
ACTIVE, TOKENS = jnp.ones((2, 3, 4), bool), jnp.zeros((2, 3), int)
COUNTED = "counting has no gradient"
FLAGS = "flags and counts have no gradient and are always finite"
HOST = dict.fromkeys((law for law in LAWS if law != "rejects"), "runs on the host, as its doc says")
HELD = {"gradients": COUNTED, "extremes": FLAGS, "bfloat16": "the inputs are not floats"}


def reads(key):
    """Draw activity of three units, and tokens."""
    x, t = normal(key, (3, 6, 3), (3, 6))
    return x > 0, (2 * t).astype(jnp.int32)


def one_by_one(active):
    """Measure positional information from frequencies of states."""
    place = jnp.broadcast_to(jnp.arange(6)[None], (3, 6)).ravel()
    return jnp.stack(
        [information.discrete_mutual_information(active[..., u].ravel(), place) for u in range(3)]
    )


CASES = [
    Case(
        name=f"{HOME}.massive_activations",
        function=lambda h: sparsity.massive_activations(h, magnitude=0.5, ratio=1.5, axis=-1),
        inputs=lambda key: normal(key, (4, 7)),
        parity=MASSIVE,
        rejects=(
            Reject(
                call=lambda: sparsity.massive_activations(X.astype(int)),
                error=TypeError,
                match="massive_activations: `h` .*floating-point",
            ),
            Reject(
                call=lambda: sparsity.massive_activations(X, ratio=0.0),
                error=ValueError,
                match=r"massive_activations: `ratio` is 0\.0; it needs a finite number above zero",
            ),
        ),
        exempt={"gradients": FLAGS, "extremes": FLAGS},
    ),
    Case(
        name=f"{HOME}.median_ratio",
        function=lambda h: sparsity.median_ratio(h, axis=-1).astype(h.dtype),
        inputs=lambda key: normal(key, (4, 7)),
        parity=MASSIVE,
        rejects=(
            Reject(
                call=lambda: sparsity.median_ratio(X[:0]),
                error=ValueError,
                match="median_ratio: `axis` is None; it needs at least one entry",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.fit_emergence",
        function=sparsity.fit_emergence,
        inputs=lambda key: normal(key, (9,), (9,)),
        parity=MASSIVE,
        rejects=(
            Reject(
                call=lambda: sparsity.fit_emergence(np.arange(5.0), np.arange(5.0)),
                error=ValueError,
                match="fit_emergence: `t` is .* more than five different times",
            ),
            Reject(
                call=lambda: sparsity.fit_emergence(np.arange(9.0), np.arange(8.0)),
                error=ValueError,
                match=r"fit_emergence: `y` is .* needs shape \(9,\)",
            ),
        ),
        exempt=HOST,
    ),
    Plain(name=f"{HOME}.Emergence", reason="what fit_emergence returns", parity=MASSIVE),
    Case(
        name=f"{HOME}.ngram_detectors",
        function=lambda active, tokens: tuple(
            sparsity.ngram_detectors(active, tokens, n=2, most=2, least=3)
        ),
        inputs=reads,
        parity=NEURONS,
        rejects=(
            Reject(
                call=lambda: sparsity.ngram_detectors(X[None], TOKENS),
                error=TypeError,
                match="ngram_detectors: `active` has dtype float32; it needs booleans",
            ),
            Reject(
                call=lambda: sparsity.ngram_detectors(ACTIVE, TOKENS[:1]),
                error=ValueError,
                match=r"ngram_detectors: `tokens` is .* needs shape \(2, 3\)",
            ),
            Reject(
                call=lambda: sparsity.ngram_detectors(ACTIVE, TOKENS, n=4),
                error=ValueError,
                match="ngram_detectors: `tokens` is .* at least 4 tokens in a row",
            ),
        ),
        exempt=HELD,
    ),
    Plain(name=f"{HOME}.NGramDetectors", reason="what ngram_detectors returns", parity=NEURONS),
    Case(
        name=f"{HOME}.positional_information",
        function=sparsity.positional_information,
        inputs=lambda key: reads(key)[:1],
        parity=NEURONS,
        equals={"frequencies of states": one_by_one},
        rejects=(
            Reject(
                call=lambda: sparsity.positional_information(ACTIVE[0]),
                error=ValueError,
                match=r"positional_information: `active` is .* needs shape \(batch, time, units\)",
            ),
        ),
        exempt=HELD,
    ),
    Case(
        name=f"{HOME}.suppressed_tokens",
        function=lambda down, tokens: sparsity.suppressed_tokens(down, tokens, count=2),
        inputs=lambda key: normal(key, (3, 4), (4, 6)),
        parity=NEURONS,
        rejects=(
            Reject(
                call=lambda: sparsity.suppressed_tokens(X, X),
                error=ValueError,
                match=r"suppressed_tokens: `unembedding` is .* needs shape \(3, vocabulary\)",
            ),
            Reject(
                call=lambda: sparsity.suppressed_tokens(X, X.T, count=3),
                error=ValueError,
                match="suppressed_tokens: `count` is 3; it needs at most 2",
            ),
        ),
        exempt={"gradients": FLAGS, "extremes": FLAGS},
    ),
    Case(
        name=f"{HOME}.truncate_units",
        function=lambda hidden, down: sparsity.truncate_units(hidden, down, 1.0),
        inputs=lambda key: normal(key, (2, 6), (6, 3)),
        parity=TRUNCATION,
        rejects=(
            Reject(
                call=lambda: sparsity.truncate_units(X, X, 1.0),
                error=ValueError,
                match=r"truncate_units: `down` is .* needs shape \(3, features\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.cett",
        function=lambda hidden, down: sparsity.cett(hidden, down, 1.0).astype(hidden.dtype),
        inputs=lambda key: normal(key, (2, 6), (6, 3)),
        parity=TRUNCATION,
        equals={
            "what truncation takes": lambda hidden, down: (
                jnp.linalg.norm(
                    (hidden - sparsity.truncate_units(hidden, down, 1.0)) @ down, axis=1
                )
                / jnp.linalg.norm(hidden @ down, axis=1)
            )
        },
        rejects=(
            Reject(
                call=lambda: sparsity.cett(X.astype(int), X.T, 1.0),
                error=TypeError,
                match="cett: `hidden` .*floating-point",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.cett_threshold",
        function=lambda hidden, down: sparsity.cett_threshold(hidden, down, 0.3, iterations=4),
        inputs=lambda key: normal(key, (2, 6), (6, 3)),
        parity=TRUNCATION,
        rejects=(
            Reject(
                call=lambda: sparsity.cett_threshold(X, X.T, 0.1, iterations=0),
                error=ValueError,
                match="cett_threshold: `iterations` is 0; it needs a whole number above zero",
            ),
        ),
        exempt={
            "gradients": "which half to take has no gradient",
            "bfloat16": "float32 whatever the input",
        },
    ),
    Case(
        name=f"{HOME}.ppl_p_sparsity",
        function=lambda x: tuple(
            sparsity.ppl_p_sparsity(
                lambda c: (jnp.mean(jnp.abs(x)) * (1 + c), c), increase=0.3, iterations=4
            )
        ),
        inputs=lambda key: normal(key, (3,)),
        parity=TRUNCATION,
        rejects=(
            Reject(
                call=lambda: sparsity.ppl_p_sparsity(lambda c: (c, c), increase=0.0),
                error=ValueError,
                match=r"ppl_p_sparsity: `increase` is 0\.0",
            ),
            Reject(
                call=lambda: sparsity.ppl_p_sparsity(lambda c: (c, X)),
                error=ValueError,
                match=r"ppl_p_sparsity: `evaluate\(c\), the sparsity` is .* needs one number",
            ),
        ),
        exempt={
            "gradients": "which half to take has no gradient",
            "extremes": "losses are handed on as they are",
            "bfloat16": "float32 whatever the input",
        },
    ),
    Plain(name=f"{HOME}.PPLSparsity", reason="what ppl_p_sparsity returns", parity=TRUNCATION),
    Case(
        name=f"{HOME}.fit_activation_law",
        function=lambda data, ratio: sparsity.fit_activation_law(data, ratio, rises=True),
        inputs=lambda key: normal(key, (9,), (9,)),
        parity=TRUNCATION,
        rejects=(
            Reject(
                call=lambda: sparsity.fit_activation_law(np.arange(9.0), np.ones(9), rises=True),
                error=ValueError,
                match="fit_activation_law: `data` is .* more than four amounts above zero",
            ),
        ),
        exempt=HOST,
    ),
    Plain(
        name=f"{HOME}.ActivationLaw", reason="what fit_activation_law returns", parity=TRUNCATION
    ),
]
