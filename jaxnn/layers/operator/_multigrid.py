r"""The multigrid layer: a V-cycle whose stencils are learned, a linear map of whole functions.

On each grid l, from the finest, the cycle smooths, restricts what is left, adds the coarser
grid's correction, and smooths again:

.. math::
    u &\leftarrow u + S_{li} * (f_l - A_l * u), \quad i = 1 \dots \nu_1, \quad u = 0 \text{ first}
    \\ f_{l+1} &= R_l *_2 (f_l - A_l * u), \qquad u \leftarrow u + P_l *^2 u_{l+1} \\
    u &\leftarrow u + S'_{li} * (f_l - A_l * u), \quad i = 1 \dots \nu_2

The coarsest grid smooths ν₁ + ν₂ times. Every operation is a convolution, so that the cycle
costs about as much as its finest grid, yet every output depends on every input.

===========  ====================================================================
f, u         given function and the cycle's answer, ``(*batch, *space, channels)``
A            ``operator``, channels of u to those of f
S, S'        ``pre`` and ``post``, one kernel for each step, channels of f to u
R, \*₂       ``restriction``, a convolution at every second place
P, \*²       ``prolongation``, a convolution of the coarse values with zeros between
===========  ====================================================================

Grids, by boundary, with n places of which the next grid keeps

- ``"dirichlet"``: the second, fourth, ...; beyond the edges everything is 0. The edges
  themselves are not on the grid; n = 2^k - 1 nests them exactly.
- ``"neumann"``: the first, third, ...; values reflect at the edges, which are on the grid;
  n = 2^k + 1 nests them exactly.
- ``"periodic"``: the first, third, ...; values wrap around; n must be even.

On grids that do not nest, learned kernels adapt, but classical ones may diverge at the edges.

Source: "MgNO: Efficient Parameterization of Linear Operators via Multigrid" (2024). Differs from
the authors' code, which also restricts u as the coarse grid's first guess and learns an A for
every step: the correction from 0 with one A is the classical cycle, and is held as a case.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers._convolution import convolve, require_convolution

Boundary = Literal["dirichlet", "neumann", "periodic"]
MODES = {"dirichlet": "constant", "neumann": "reflect", "periodic": "wrap"}
# What torch's convolutions begin with, and so the authors' code: small enough that the sums of
# a cycle of many grids stay near the size of their input.
KERNEL_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class MultigridLevel(NamedTuple):
    """Kernels of one grid, each ``(*kernel_size, channels in, channels out)``, sizes odd.

    Attributes:
      operator: A.
      pre: S, with a leading axis over the steps before the coarser grid, at least one.
      post: S', with a leading axis over the steps after it; none if ``None``.
      restriction: R; ``None``, or not used, on the coarsest grid.
      prolongation: P; likewise.
    """

    operator: Float[Array, "*kernel u f"]
    pre: Float[Array, "before *kernel f u"]
    post: Float[Array, "after *kernel f u"] | None = None
    restriction: Float[Array, "*kernel f f"] | None = None
    prolongation: Float[Array, "*kernel u u"] | None = None


def multigrid_cycle(
    f: Float[Array, "... f"],
    levels: Sequence[MultigridLevel],
    *,
    boundary: Boundary = "dirichlet",
) -> Float[Array, "... u"]:
    r"""Apply one linear V-cycle: u = W f, near A⁻¹ f if the kernels are chosen so.

    Args:
      f: ``(*batch, *space, channels)``, with one to three axes of space, as the kernels have.
      levels: kernels of each grid, from the finest; one grid is one smoother. The same object
        may stand for several grids.
      boundary: what lies beyond the edges, and which places the coarser grid keeps.

    Returns:
      ``(*batch, *space, channels of u)`` in the dtype of ``f``; sums are in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: kernels do not fit each other, or a grid is too small to be halved so often.

    Example:
      >>> f = jnp.ones((7, 7, 1))  # solve -Δu = 1, by cycles on what is left
      >>> levels, u = poisson_levels(3), jnp.zeros_like(f)
      >>> for _ in range(10):
      ...     padded = jnp.pad(u, ((1, 1), (1, 1), (0, 0)))
      ...     around = padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]
      ...     u = u + multigrid_cycle(f - 4 * u + around, levels)
      >>> print(round(float(u[3, 3, 0]) / 64, 4))  # spacing 1/8; the exact solution has 0.0737
      0.0728
    """
    where = "multigrid_cycle"
    require(boundary in MODES, where, "boundary", boundary, f"one of {', '.join(MODES)}")
    require(len(levels) > 0, where, "levels", levels, "at least one grid")
    require_array(where, f=f)
    for grid, level in enumerate(levels):
        _check_level(where, f, level, f"levels[{grid}]", last=grid + 1 == len(levels))
    axes = levels[0].operator.ndim - 2
    _check_sizes(where, f.shape[-1 - axes : -1], levels, boundary)
    wide = accumulation_dtype(f.dtype)
    levels = [jax.tree.map(lambda k: k.astype(wide), level) for level in levels]
    return _cycle(f.astype(wide), levels, boundary).astype(f.dtype)


def _cycle(f: jax.Array, levels: list[MultigridLevel], boundary: Boundary) -> jax.Array:
    level, coarser = levels[0], levels[1:]
    first, *pre = level.pre
    post = [] if level.post is None else [*level.post]

    def residual(u: jax.Array) -> jax.Array:
        return f - _convolve(u, level.operator, boundary)

    u = _convolve(f, first, boundary)  # from u = 0, where the residual is f
    for smoother in pre:
        u = u + _convolve(residual(u), smoother, boundary)
    if coarser and level.restriction is not None and level.prolongation is not None:
        rest = _restrict(residual(u), level.restriction, boundary)
        correction = _cycle(rest, coarser, boundary)
        space = f.shape[-1 - _axes(level) : -1]
        u = u + _prolong(correction, level.prolongation, space, boundary)
    for smoother in post:
        u = u + _convolve(residual(u), smoother, boundary)
    return u


def _axes(level: MultigridLevel) -> int:
    return level.operator.ndim - 2


def _offset(boundary: Boundary) -> int:
    """Give the first place that the coarser grid keeps."""
    return 1 if boundary == "dirichlet" else 0


def _convolve(
    x: jax.Array, kernel: jax.Array, boundary: Boundary, *, strides: int = 1
) -> jax.Array:
    """Correlate over the axes of space, the boundary deciding what lies beyond them."""
    axes = kernel.ndim - 2
    reach = [(size // 2, size // 2) for size in kernel.shape[:axes]]
    if strides > 1:  # windows centred on the places that are kept
        reach = [(low - _offset(boundary), high) for low, high in reach]
    if boundary != "dirichlet":
        widths = [(0, 0)] * (x.ndim - 1 - axes) + reach + [(0, 0)]
        x, reach = jnp.pad(x, widths, mode=MODES[boundary]), [(0, 0)] * axes
    return convolve("multigrid_cycle", x, lambda rows: rows, kernel, strides=strides, padding=reach)


def _restrict(f: jax.Array, kernel: jax.Array, boundary: Boundary) -> jax.Array:
    return _convolve(f, kernel, boundary, strides=2)


def _prolong(
    u: jax.Array, kernel: jax.Array, space: Sequence[int], boundary: Boundary
) -> jax.Array:
    """Put coarse values on their places in the fine grid, zeros between, and convolve."""
    start, axes = _offset(boundary), len(space)
    gaps = [(0, 0, 0)] * u.ndim
    for axis, n in enumerate(space, start=u.ndim - 1 - axes):
        gaps[axis] = (start, n - start - (2 * u.shape[axis] - 1), 1)
    return _convolve(jax.lax.pad(u, jnp.zeros((), u.dtype), gaps), kernel, boundary)


def poisson_levels(
    levels: int, *, axes: int = 2, damping: float | None = None
) -> tuple[MultigridLevel, ...]:
    r"""Give the kernels of the classical V(1,1) cycle for Poisson's equation.

    A is the stencil of -h²Δ with 2 d + 1 points, S is ω over its middle (damped Jacobi), P is
    linear interpolation and R four times its full weighting, for the coarser grid's h².

    Args:
      levels: how many grids.
      axes: d, of space, 1 to 3.
      damping: ω; the best if ``None``: 2/3, 4/5 and 6/7.

    Returns:
      As many equal levels, for ``multigrid_cycle``, in float32. In two dimensions one cycle
      reduces the error to about 0.36 of itself or less, whatever the size of nested grids.

    Raises:
      ValueError: a number is out of range.
    """
    where = "poisson_levels"
    require_count(where, levels=levels)
    require(axes in (1, 2, 3), where, "axes", axes, "1, 2 or 3")
    omega = 2 * axes / (2 * axes + 1) if damping is None else damping
    require(0 < omega < 2, where, "damping", damping, "a number in (0, 2)")
    middle = (1,) * axes
    operator = jnp.zeros((3,) * axes).at[middle].set(2 * axes)
    for axis in range(axes):
        for side in (0, 2):
            operator = operator.at[(*middle[:axis], side, *middle[axis + 1 :])].set(-1)
    smoother = jnp.zeros((3,) * axes).at[middle].set(omega / (2 * axes))
    hat = interpolation = jnp.array([0.5, 1.0, 0.5])
    for _ in range(axes - 1):
        interpolation = jnp.tensordot(interpolation, hat, axes=0)
    operator, smoother, interpolation = (
        k[..., None, None] for k in (operator, smoother, interpolation)
    )
    weighting = 4 * interpolation / 2**axes
    level = MultigridLevel(operator, smoother[None], smoother[None], weighting, interpolation)
    return (level,) * levels


def _check_level(where: str, f: jax.Array, level: MultigridLevel, name: str, *, last: bool) -> None:
    """Raise unless a level's kernels fit the channels of ``f`` and each other."""
    *kernel, u_channels, f_channels = level.operator.shape
    require_convolution(where, f, kernel)
    odd = f"{name}.operator"
    require(all(size % 2 for size in kernel), where, odd, level.operator, "odd sizes")
    ok = f_channels == f.shape[-1]
    require(ok, where, odd, level.operator, f"{f.shape[-1]} channels out, as `f` has")
    wanted = {
        "pre": (level.pre, "steps", f_channels, u_channels),
        "post": (level.post, "steps", f_channels, u_channels),
        "restriction": (level.restriction, "", f_channels, f_channels),
        "prolongation": (level.prolongation, "", u_channels, u_channels),
    }
    for part, (value, steps, inner, outer) in wanted.items():
        if value is None:
            needed = part == "pre" or (part != "post" and not last)
            require(not needed, where, f"{name}.{part}", value, "a kernel")
            continue
        require_array(where, **{f"{name}.{part}": value})
        *sizes, got_in, got_out = value.shape[1:] if steps else value.shape
        ok = len(sizes) == len(kernel) and all(size % 2 for size in sizes)
        ok = ok and (got_in, got_out) == (inner, outer) and value.shape[0] > 0
        shape = f"({'steps, ' * bool(steps)}{len(kernel)} odd sizes, {inner}, {outer})"
        require(ok, where, f"{name}.{part}", value, f"shape {shape}")


def _check_sizes(
    where: str, space: tuple[int, ...], levels: Sequence[MultigridLevel], boundary: Boundary
) -> None:
    """Raise unless every grid is large enough for its kernels."""
    sizes = space
    for grid, level in enumerate(levels):
        for n, taps in zip(sizes, level.operator.shape, strict=False):
            least = taps // 2 + 1 if boundary == "neumann" else 1
            needs = f"at least {least} places on each of {len(levels)} grids, not {n}"
            require(n >= least, where, "f", space, needs, "Use fewer levels.")
            even = boundary != "periodic" or grid + 1 == len(levels) or n % 2 == 0
            require(even, where, "f", space, "sizes that halve evenly, being periodic")
        sizes = tuple((n + 1 - _offset(boundary)) // 2 for n in sizes)


class MgConv(nn.Module):
    r"""The operator layer σ(W u + B u); see :func:`multigrid_cycle` for the linear W.

    W maps all channels in to all channels out, each pair by its own part of one cycle. B, where
    ``use_local`` asks for it, is the affine map at each place that the authors' code has for
    the paper's function B. Without ``use_local`` and ``activation`` the layer is exactly linear.

    Parameters are ``operator_0``, ``pre_0``, ``post_0``, ``restriction_0``, ``prolongation_0``,
    ``operator_1``, ...; without numbers if ``shared``. The layer takes any size of grid.

    Attributes:
      features: channels of the output, and of u inside the cycle.
      levels: how many grids.
      axes: of space, 1 to 3.
      steps: ν₁ and ν₂, smoothing steps before and after the coarser grid.
      kernel_size: taps along each axis of every kernel, odd.
      boundary: ``"dirichlet"``, ``"neumann"`` or ``"periodic"``.
      shared: whether all grids have the same kernels.
      use_local: whether to add B.
      activation: σ; none if ``None``.
      dtype: compute in this dtype; ``None`` promotes input and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of every kernel.
      bias_init: initialiser of the constant part of B.
    """

    features: int
    levels: int = 4
    axes: int = 2
    steps: tuple[int, int] = (1, 1)
    kernel_size: int = 3
    boundary: Boundary = "dirichlet"
    shared: bool = False
    use_local: bool = False
    activation: Callable[[jax.Array], jax.Array] | None = None
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = KERNEL_INIT
    bias_init: Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: Float[Array, "... inputs"]) -> Float[Array, "... features"]:
        """Map ``(*batch, *space, inputs)`` to ``(*batch, *space, features)``."""
        where = "MgConv"
        counts = {"features": self.features, "levels": self.levels, "axes": self.axes}
        require_count(where, **counts, kernel_size=self.kernel_size)
        require(self.kernel_size % 2 == 1, where, "kernel_size", self.kernel_size, "an odd size")
        before, after = self.steps
        ok = before >= 1 and after >= 0
        require(ok, where, "steps", self.steps, "at least one step before, none or more after")
        require_convolution(where, x, (self.kernel_size,) * self.axes)
        if self.shared:
            levels = [self._level(x.shape[-1], "", coarsest=self.levels == 1)] * self.levels
        else:
            last = self.levels - 1
            levels = [
                self._level(x.shape[-1], f"_{grid}", coarsest=grid == last)
                for grid in range(self.levels)
            ]
        leaves, tree = jax.tree.flatten(levels)
        x, *leaves = promote_dtype(x, *leaves, dtype=self.dtype)
        y = multigrid_cycle(x, jax.tree.unflatten(tree, leaves), boundary=self.boundary)
        if self.use_local:
            local = nn.Dense(
                self.features,
                dtype=y.dtype,
                param_dtype=self.param_dtype,
                kernel_init=self.kernel_init,
                bias_init=self.bias_init,
                name="local",
            )
            y = y + local(x)
        return y if self.activation is None else self.activation(y)

    def _level(self, inputs: int, suffix: str, *, coarsest: bool) -> MultigridLevel:
        taps = (self.kernel_size,) * self.axes

        def kernel(name: str, *ends: int) -> jax.Array:
            return self.param(name + suffix, self.kernel_init, (*taps, *ends), self.param_dtype)

        def kernels(name: str, steps: int, *ends: int) -> jax.Array:
            def init(key: jax.Array, shape: tuple[int, ...], dtype: Dtype) -> jax.Array:
                keys = jax.random.split(key, steps)
                return jnp.stack([jnp.asarray(self.kernel_init(k, shape, dtype)) for k in keys])

            return self.param(name + suffix, init, (*taps, *ends), self.param_dtype)

        before, after = self.steps
        f, u = inputs, self.features
        return MultigridLevel(
            operator=kernel("operator", u, f),
            pre=kernels("pre", before, f, u),
            post=kernels("post", after, f, u) if after else None,
            restriction=None if coarsest else kernel("restriction", f, f),
            prolongation=None if coarsest else kernel("prolongation", u, u),
        )
