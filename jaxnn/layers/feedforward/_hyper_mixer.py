r"""HyperMixing: a perceptron over the tokens, whose weights are made from the tokens themselves.

Source: "HyperMixer: An MLP-based Low Cost Alternative to Transformers" (2022), equation 3; heads
as in the authors' code. Each token says how strongly it speaks to each of d' hidden units and
how strongly it listens to each, so any number of tokens can be mixed, at a cost linear in it.

===========  ====================================================================
x            values, ``(*batch, time, heads, width)``
W            ``in_weights``, ``(*batch, time, heads, hidden)``
V            ``out_weights``, likewise; W itself if they are tied
s, t         tokens read and written; u: hidden units
===========  ====================================================================
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Bool, Float, Num

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.normalization import LayerNorm


def hyper_mixing(
    x: Float[Array, "*batch time heads width"],
    in_weights: Float[Array, "*batch time heads hidden"],
    out_weights: Float[Array, "*batch time heads hidden"],
    *,
    mask: Bool[Array, "..."] | None = None,
    activation: Callable[[jax.Array], jax.Array] = jax.nn.gelu,
) -> Float[Array, "*batch time heads width"]:
    r"""Pass the tokens through a two-layer perceptron along time.

    .. math:: y_t = \sum_u V_{t u} \, \phi\Big(\sum_s W_{s u} \, x_s\Big)

    Where W and V are functions of their tokens, permuted tokens give permuted results.

    Args:
      x: what is mixed.
      in_weights: W, of each token to each hidden unit.
      out_weights: V, of each token from each hidden unit.
      mask: True where a token is read, for all that read: a shape that broadcasts to
        ``(*batch, 1, 1, time)``, as padding masks of attention do.
      activation: the element-wise φ.

    Returns:
      An array of the shape and dtype of ``x``; sums accumulate in float32 or wider. Tokens
      that are masked read like any other and are read by none.

    Raises:
      TypeError: an array is not of floating-point numbers, or ``mask`` not of booleans.
      ValueError: shapes do not fit together, or ``mask`` tells readers apart.
    """
    where = "hyper_mixing"
    require_array(where, x=x, in_weights=in_weights, out_weights=out_weights)
    require_rank(where, "x", x, 3, "(*batch, time, heads, width)")
    for name, weights in (("in_weights", in_weights), ("out_weights", out_weights)):
        needs = f"shape {(*x.shape[:-1], 'hidden')}, as `x` is {x.shape}"
        require(weights.shape[:-1] == x.shape[:-1], where, name, weights, needs)
    needs = f"{in_weights.shape[-1]} hidden units, as `in_weights`"
    require(out_weights.shape == in_weights.shape, where, "out_weights", out_weights, needs)
    if mask is not None:
        read = _padding(where, mask, x.shape[:-2])
        in_weights = jnp.where(read[..., None, None], in_weights, 0)
    wide = accumulation_dtype(x.dtype)
    inside = jnp.einsum("...shu,...shw->...huw", in_weights, x, preferred_element_type=wide)
    hidden = activation(inside).astype(x.dtype)
    y = jnp.einsum("...thu,...huw->...thw", out_weights, hidden, preferred_element_type=wide)
    return y.astype(x.dtype)


def _padding(where, mask, shape):
    """Check that a mask is one of keys only, and give it as ``(*batch, time)``."""
    require_array(where, floating=False, mask=mask)
    if mask.dtype != jnp.bool_:
        raise TypeError(f"{where}: `mask` has dtype {mask.dtype}; it needs booleans.")
    full = (*shape[:-1], 1, 1, shape[-1])
    padded = (1,) * (len(full) - mask.ndim) + mask.shape
    fits = len(padded) == len(full) and all(
        have in (1, want) for have, want in zip(padded, full, strict=True)
    )
    needs = f"a shape that broadcasts to {full}: all tokens read the same ones"
    require(fits, where, "mask", mask, needs)
    return jnp.broadcast_to(mask, full)[..., 0, 0, :]


class HyperMixer(nn.Module):
    """Token mixing that stands where attention stands in a transformer block.

    Two small perceptrons, one head at a time, make each token's weights; the result is
    layer-normalised. It is called as attention is: ``TransformerBlock(mixer=HyperMixer)``.

    Parameters are ``in_up``, ``in_down`` and, unless tied, ``out_up``, ``out_down``,
    ``(heads, inputs, outputs)``, and the submodule ``norm``.

    Attributes:
      num_heads: number of perceptrons over the tokens, each on its share of the features. The
        paper has one.
      hidden_features: hidden units d' of all heads together; twice the input's features, as in
        the paper, if ``None``.
      tied: whether a token listens as it speaks, which halves the parameters.
      position: makes what is added to the tokens before weights are made of them, called as
        ``position(positions, features)``, e.g.
        :func:`jaxnn.layers.position.sinusoidal_embedding`. ``None`` leaves the order of tokens
        to what they hold.
      activation: element-wise non-linearity of all perceptrons.
      norm: factory of the normalisation.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of the perceptrons, with its axes as in ``(heads, in, out)``.
    """

    num_heads: int = 1
    hidden_features: int | None = None
    tied: bool = False
    position: Callable[[jax.Array, int], jax.Array] | None = None
    activation: Callable[[jax.Array], jax.Array] = jax.nn.gelu
    norm: Callable[..., nn.Module] = LayerNorm
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.variance_scaling(
        2.0, "fan_avg", "uniform", batch_axis=(0,)
    )

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time features"],
        *,
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
        is_causal: bool = False,
        positions: Num[Array, "..."] | None = None,
        deterministic: bool | None = None,
    ) -> Float[Array, "*batch time features"]:
        """Map ``(*batch, time, features)`` to the same shape.

        ``mask`` may only tell padding, ``(*batch, 1, 1, time)``; ``bias`` and ``is_causal`` are
        refused. ``positions`` count from 0 if ``None``. There is nothing to drop.
        """
        del deterministic
        where = "HyperMixer"
        require_array(where, x=x)
        require_rank(where, "x", x, 2, "(*batch, time, features)")
        needs = "None: there are no pairs of tokens that it could be added to"
        require(bias is None, where, "bias", bias, needs)
        needs = "False: a token's hidden units are sums over all tokens"
        require(not is_causal, where, "is_causal", is_causal, needs)
        features = x.shape[-1]
        hidden = self.hidden_features or 2 * features
        require_count(where, num_heads=self.num_heads, hidden_features=hidden)
        for name, size in (("features", features), ("hidden_features", hidden)):
            needs = f"a divisor of the {size} {name}"
            require(size % self.num_heads == 0, where, "num_heads", self.num_heads, needs)
        source = x
        if self.position is not None:
            steps = jnp.arange(x.shape[-2]) if positions is None else positions
            source = x + jnp.broadcast_to(self.position(steps, features), x.shape).astype(x.dtype)
        width, units = features // self.num_heads, hidden // self.num_heads
        shapes = {"up": (self.num_heads, width, width), "down": (self.num_heads, width, units)}
        kernels = [
            self.param(f"{way}_{part}", self.kernel_init, shape, self.param_dtype)
            for way in (("in",) if self.tied else ("in", "out"))
            for part, shape in shapes.items()
        ]
        x, source, *kernels = promote_dtype(x, source, *kernels, dtype=self.dtype)
        tokens, source = (v.reshape(*v.shape[:-1], self.num_heads, width) for v in (x, source))
        in_weights = self._weights(source, *kernels[:2])
        out_weights = in_weights if self.tied else self._weights(source, *kernels[2:])
        y = hyper_mixing(
            tokens, in_weights, out_weights, mask=mask, activation=self.activation
        ).reshape(x.shape)
        norm: Any = self.norm(name="norm", dtype=self.dtype, param_dtype=self.param_dtype)
        return norm(y)

    def _weights(self, source: jax.Array, up: jax.Array, down: jax.Array) -> jax.Array:
        """Make weights ``(*batch, time, heads, hidden)`` of tokens in heads."""
        wide = accumulation_dtype(source.dtype)

        def apply(v, kernel):
            y = jnp.einsum("...hi,hio->...ho", v, kernel, preferred_element_type=wide)
            return y.astype(v.dtype)

        return apply(self.activation(apply(source, up)), down)
