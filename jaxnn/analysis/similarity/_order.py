r"""Agreement on the order of learning: do networks come to know the same examples first?

=======  ====================================================
c        ``correct``, 0 or 1, ``(models, times, examples)``
p        accuracy of each model at each time
N, n     models, examples
=======  ====================================================

Source: "Let's Agree to Agree: Neural Networks Share Classification Order on Real Datasets"
(2020), section 2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array
from jaxnn._numeric import root
from jaxnn.analysis.similarity._pairs import compiled, widen


class OrderAgreement(NamedTuple):
    """How far models agree on which examples they know, against chance.

    Attributes:
      agreement: share of the models that are right on an example at a time,
        ``(times, examples)``.
      variance: its variance over the examples, ``(times,)``.
      expected: the mean of that variance if each model had the same accuracy but knew examples
        independent of those the others know.
      deviation: its standard deviation then; (variance - expected) / deviation is the excess.
    """

    agreement: Float[Array, "times examples"]
    variance: Float[Array, " times"]
    expected: Float[Array, " times"]
    deviation: Float[Array, " times"]


def accessibility(correct: Float[Array, "models times examples"]) -> Float[Array, " examples"]:
    """Measure how early and by how many models each example is learned.

    Args:
      correct: 1 where a model is right about an example at a time, else 0, e.g.
        ``(predictions == labels).astype(jnp.float32)`` after every epoch.

    Returns:
      The mean over models and times, from 0 (never known) to 1 (known by all at all times).
      Rank correlations of two ensembles' scores compare the orders of two architectures.

    Raises:
      TypeError: ``correct`` is not an array of floating-point numbers.
      ValueError: it has other than three axes.

    Example:
      >>> accessibility(jnp.array([[[0.0, 1, 1], [0, 0, 1]]])).tolist()
      [0.0, 0.5, 1.0]
    """
    _check("accessibility", correct, 1)
    return jnp.mean(widen(correct), (0, 1))


def order_agreement(correct: Float[Array, "models times examples"]) -> OrderAgreement:
    r"""Compare how far models agree on the examples they know with chance, at every time.

    .. math:: a = \frac{1}{N} \sum_m c_m, \quad
       \mathrm{E}[\operatorname{var} a] = \frac{1}{N^2} \sum_m p_m (1 - p_m), \quad
       \operatorname{Var}[\operatorname{var} a]
       = \frac{4}{N^4 (n - 1)} \sum_{m < m'} p_m (1 - p_m) \, p_{m'} (1 - p_{m'})

    Expectation and variance are over all ways to deal what each model knows anew to the
    examples, independent of the other models. They are exact: nothing is drawn.

    Args:
      correct: 1 where a model is right about an example at a time, else 0; of two models or
        more and two examples or more.

    Returns:
      The agreement and its variance over the examples, which is largest if all models know the
      same examples (a is 0 or 1, p (1 - p)), with its mean and deviation under chance.

    Raises:
      TypeError: ``correct`` is not an array of floating-point numbers.
      ValueError: it has other than three axes, fewer than two models or examples.

    Example:
      >>> same = jnp.tile(jnp.array([[[0.0, 1, 1, 0]]]), (2, 1, 1))
      >>> result = order_agreement(same)
      >>> result.variance.item(), result.expected.item()
      (0.25, 0.125)
    """
    _check("order_agreement", correct, 2)
    return _agreement(correct)


@compiled
def _agreement(correct: jax.Array) -> OrderAgreement:
    correct = widen(correct)
    models, _, examples = correct.shape
    agreement = jnp.mean(correct, 0)
    spread = jnp.var(correct, -1)
    total = jnp.sum(spread, 0)
    pairs = (total**2 - jnp.sum(spread**2, 0)) / 2
    deviation = root(4 * pairs / (models**4 * (examples - 1)))
    return OrderAgreement(agreement, jnp.var(agreement, -1), total / models**2, deviation)


def _check(where: str, correct: jax.Array, least: int) -> None:
    require_array(where, correct=correct)
    shape = correct.shape
    ok = len(shape) == 3 and shape[0] >= least and shape[2] >= least and shape[1] > 0
    needs = f"shape (models, times, examples), at least {least} models and examples"
    require(ok, where, "correct", correct, needs)
