"""Least squares of curves most of whose parameters are factors of columns."""

from collections.abc import Callable

import numpy as np


def fit_columns(
    columns: Callable[[np.ndarray], np.ndarray],
    starts: np.ndarray,
    y: np.ndarray,
    *,
    positive: bool = False,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Minimise ``|columns(p) @ factors - y|`` over both, on the host, by variable projection.

    Args:
      columns: logarithms of the other parameters to a matrix, ``(points, factors)``.
      starts: logarithms tried first, ``(tries, parameters)``; the best three are refined, within
        the range of all.
      y: what is fitted.
      positive: whether no factor may be negative.

    Returns:
      The parameters' logarithms, the factors, and the share of the variance explained.
    """
    from scipy import optimize

    low, high = starts.min(0), starts.max(0)

    def solve(p: np.ndarray) -> tuple[np.ndarray, float]:
        matrix = columns(np.clip(p, low, high))
        if positive:
            factors = optimize.nnls(matrix, y)[0]
        else:
            factors = np.linalg.lstsq(matrix, y, rcond=1e-12)[0]
        return factors, float(np.sum((matrix @ factors - y) ** 2))

    errors = np.asarray([solve(p)[1] for p in starts])
    tries = [
        optimize.minimize(
            lambda p: solve(p)[1],
            starts[i],
            method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-14 * max(float(y @ y), 1e-300), "maxiter": 600},
        ).x
        for i in np.argsort(errors)[:3]
    ]
    best = np.clip(min(tries, key=lambda p: solve(p)[1]), low, high)
    factors, error = solve(best)
    spread = float(np.sum((y - y.mean()) ** 2))
    return best, factors, 1 - error / spread if spread > 0 else float(error == 0)
