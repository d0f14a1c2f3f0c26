"""Rows of ``analysis.dynamics``."""

import jax.numpy as jnp

from jaxnn.analysis import dynamics
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import uniform

PARITY = "tests/analysis/dynamics/test_grokking.py"


def curves(key):
    # They end mastered: a step of infinity would not be near another.
    rise = jnp.linspace(0.5, 1.5, 12)[None]
    both = jnp.minimum(uniform(key, (6, 12), 0.6, 1.0) * rise, 1.0)
    return both[:3], both[3:]


CASES = [
    Case(
        name="analysis.dynamics.grokking_steps",
        function=lambda train, test: tuple(
            dynamics.grokking_steps(train, test, train_threshold=0.6, test_threshold=0.8)
        ),
        inputs=curves,
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: dynamics.grokking_steps(jnp.ones(3), jnp.ones(4)),
                error=ValueError,
                match=r"grokking_steps: `test_accuracy` is .*\(4,\).* needs shape \(3,\)",
            ),
        ),
        exempt={
            "gradients": "a step function of the accuracies",
            "extremes": "infinity says that a threshold is never reached; the parity file has it",
            "bfloat16": "an accuracy rounded across its threshold moves the step",
        },
    ),
    Plain(
        name="analysis.dynamics.GrokkingSteps",
        reason="what grokking_steps returns",
        parity=PARITY,
    ),
]
