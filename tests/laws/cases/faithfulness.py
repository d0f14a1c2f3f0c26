"""Rows of ``analysis.faithfulness``."""

import jax.numpy as jnp

from jaxnn.analysis import faithfulness
from tests.laws.case import Case, Reject
from tests.laws.cases.attribution import X, f
from tests.laws.makers import normal

HOME = "analysis.faithfulness"


def curve_case(name):
    """Make the row of one curve, with respect to the example and the baseline."""
    curve = getattr(faithfulness, name)
    return Case(
        name=f"{HOME}.{name}",
        function=lambda x, a, b: curve(f, x, a, baseline=b, steps=4),
        inputs=lambda key: normal(key, (2, 3), (2, 3), (2, 3)),
        differentiable=(0, 2),  # the order is a constant of the attributions
        parity="tests/analysis/faithfulness/test_curves.py",
        rejects=(
            Reject(
                call=lambda: curve(f, X, jnp.ones(3)),
                error=ValueError,
                match=rf"{name}: `attributions` is .*\(3,\).* needs the shape \(2, 3\)",
            ),
            Reject(
                call=lambda: curve(lambda x: x, X, X),
                error=ValueError,
                match=rf"{name}: `f\(x\)` is .* needs shape \(\)",
            ),
            Reject(
                call=lambda: curve(f, X, X, steps=0),
                error=ValueError,
                match=f"{name}: `steps` is 0",
            ),
        ),
    )


CASES = [curve_case("deletion_curve"), curve_case("insertion_curve")]
