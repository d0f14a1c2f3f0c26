"""The vision transformer: an image is a sequence of patches.

Sources: "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale" (2020);
mean pooling and fixed positions from "Better plain ViT baselines for ImageNet-1k" (2022).
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer
from jax import lax
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive
from jaxnn.layers.attention import dot_product_attention
from jaxnn.layers.feedforward import Dense
from jaxnn.layers.normalization import LayerNorm
from jaxnn.layers.position import PositionEmbedding, sinusoidal_embedding_2d
from jaxnn.models._block import TransformerBlock
from jaxnn.models._stack import run_blocks
from jaxnn.models._transformer import ATTENTIONS, check_sizes


class VisionTransformer(nn.Module):
    """Images to logits.

    Submodules are ``patches`` (the affine map of each patch), ``position`` if learned,
    ``blocks_0`` ..., ``norm`` and ``head``; the class token is the parameter ``cls``. The
    vectors that ``head`` reads are sown into ``intermediates`` as ``features``.

    Attributes:
      outputs: number of logits.
      features: width of the patch vectors.
      depth: number of blocks.
      num_heads: number of query heads.
      patch_size: side of a square patch; it divides height and width.
      position: ``"learned"`` vectors or ``"sincos2d"``, fixed sinusoids; the latter let one set
        of parameters see images of several sizes.
      pooling: the logits read the ``"mean"`` of the patches or a ``"cls"`` token.
      position_init: initialiser of learned positions. Its default is of the size of patches of
        pixels in [0, 1]; from the usual 0.02 the order of the patches is learned too slowly to
        matter in a short training.
      zero_head: whether the head starts at zero, so that all classes start equally likely.
      shift: when a ``dropout`` key is given, each image is moved by up to this many pixels along
        both axes, zeros filling in.
      block: factory of the blocks, or several, used in turn, called as ``block(name=...,
        dtype=..., param_dtype=...)``; ``None`` is :class:`~jaxnn.models.TransformerBlock` with
        the fields below.
      attention: attention function of the blocks.
      feedforward: factory of the blocks' second part; see
        :class:`~jaxnn.models.TransformerBlock`.
      norm: factory of the normalisations.
      dense: factory of the affine maps, the head's included.
      hidden_features: hidden width of the default feed-forward network; 4 times ``features``
        if ``None``.
      normalize_qk: whether to layer-normalise each head's queries and keys.
      scan: whether the blocks run in one ``lax.scan``; see
        :class:`~jaxnn.models.TransformerStack`.
      remat: whether the blocks' inner values are computed again for the gradient and not kept;
        a policy of ``jax.checkpoint_policies`` says which are.
      dropout_rate: applied in the blocks when a ``dropout`` key is given.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    outputs: int
    features: int = 48
    depth: int = 2
    num_heads: int = 4
    patch_size: int = 2
    position: Literal["learned", "sincos2d"] = "learned"
    pooling: Literal["mean", "cls"] = "mean"
    position_init: Initializer = nn.initializers.normal(0.5)
    zero_head: bool = False
    shift: int = 1
    block: Callable[..., nn.Module] | Sequence[Callable[..., nn.Module]] | None = None
    attention: Callable[..., Any] = dot_product_attention
    feedforward: Callable[..., nn.Module] | None = None
    norm: Callable[..., nn.Module] = LayerNorm
    dense: Callable[..., nn.Module] = Dense
    hidden_features: int | None = None
    normalize_qk: bool = False
    scan: bool = False
    remat: bool | Callable[..., Any] = False
    dropout_rate: float = 0.0
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width *channels"], deterministic: bool | None = None
    ) -> Float[Array, "batch outputs"]:
        """Map ``(batch, height, width)``, or with channels last, to ``(batch, outputs)``.

        ``deterministic=None`` shifts images and drops units exactly when a ``dropout`` key was
        given.
        """
        where = "VisionTransformer"
        require_array(where, x=x)
        _check_image(where, "x", x, x.shape[1:], self.patch_size)
        require_positive(where, outputs=self.outputs, depth=self.depth)
        options = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        silent = not self.has_rng("dropout") if deterministic is None else deterministic
        if x.ndim == 3:
            x = x[..., None]
        if self.shift and not silent:
            x = _shift(x, self.make_rng("dropout"), self.shift)
        x = _patches(x, self.patch_size)
        batch, rows, columns, _ = x.shape
        embed: Any = self.dense(self.features, name="patches", **options)
        x = embed(x.reshape(batch, rows * columns, x.shape[-1]))
        if self.position == "learned":
            x = PositionEmbedding(
                rows * columns, embedding_init=self.position_init, name="position", **options
            )(x)
        else:
            row, column = jnp.indices((rows, columns)).reshape(2, rows * columns)
            added = sinusoidal_embedding_2d(row, column, self.features).astype(x.dtype)
            x = x + jnp.broadcast_to(added, x.shape)
        if self.pooling == "cls":
            init = nn.initializers.zeros_init()
            cls = self.param("cls", init, (self.features,), self.param_dtype)
            cls = jnp.broadcast_to(cls.astype(x.dtype), (batch, 1, self.features))
            x = jnp.concatenate([cls, x], axis=1)
        x = nn.Dropout(self.dropout_rate)(x, deterministic=silent)
        x = run_blocks(
            self,
            self.block or self._default_block(),
            self.norm,
            x,
            positions=jnp.arange(x.shape[1]),
            deterministic=deterministic,
        )
        x = x[:, 0] if self.pooling == "cls" else jnp.mean(x, axis=1)
        self.sow("intermediates", "features", x)
        zeros = {"kernel_init": nn.initializers.zeros_init()} if self.zero_head else {}
        head: Any = self.dense(self.outputs, name="head", **zeros, **options)
        return head(x)

    def _default_block(self) -> Callable[..., nn.Module]:
        return functools.partial(
            TransformerBlock,
            self.num_heads,
            attention=self.attention,
            feedforward=self.feedforward,
            norm=self.norm,
            dense=self.dense,
            hidden_features=self.hidden_features,
            normalize_qk=self.normalize_qk,
            dropout_rate=self.dropout_rate,
        )


def _check_image(where, argument, got, shape, patch_size):
    require(
        len(shape) in (2, 3), where, argument, got, "images (height, width) or with channels last"
    )
    require_positive(where, patch_size=patch_size)
    require(
        shape[0] % patch_size == 0 and shape[1] % patch_size == 0 and min(shape) > 0,
        where,
        argument,
        got,
        f"a height and width that the patch size {patch_size} divides",
    )


def _patches(x, size):
    """Cut ``(batch, h, w, c)`` into ``(batch, h / size, w / size, size * size * c)``."""
    batch, height, width, channels = x.shape
    rows, columns = height // size, width // size
    x = x.reshape(batch, rows, size, columns, size, channels)
    return jnp.swapaxes(x, 2, 3).reshape(batch, rows, columns, size * size * channels)


def _shift(x, key, most):
    """Move each image by its own whole number of pixels along both axes, filling with zeros."""
    padded = jnp.pad(x, ((0, 0), (most, most), (most, most), (0, 0)))
    offsets = jax.random.randint(key, (x.shape[0], 2), 0, 2 * most + 1)

    def cut(image, offset):
        return lax.dynamic_slice(image, (offset[0], offset[1], 0), x.shape[1:])

    return jax.vmap(cut)(padded, offsets)


@dataclasses.dataclass(frozen=True)
class VisionTransformerConfig:
    """A vision transformer."""

    width: int = 48
    """Width of the patch vectors."""
    depth: int = 2
    """Number of blocks."""
    num_heads: int = 4
    """Number of attention heads."""
    hidden: int = 192
    """Hidden width of the feed-forward networks."""
    patch_size: int = 2
    """Side of a square patch; it divides height and width."""
    attention: Literal["softmax", "sigmoid"] = "softmax"
    """Attention function."""
    position: Literal["learned", "sincos2d"] = "learned"
    """Trained vectors, or fixed sinusoids of row and column."""
    pooling: Literal["mean", "cls"] = "mean"
    """What the logits read: the mean of the patches, or a class token."""
    dropout: float = 0.0
    """Share of units dropped in training."""
    shift: int = 1
    """In training, move images by up to this many pixels."""

    def build(self, input_shape: tuple[int, ...], outputs: int) -> VisionTransformer:
        """Make the network for images (height, width[, channels]) and this many outputs."""
        where = "VisionTransformerConfig"
        _check_image(where, "input_shape", input_shape, input_shape, self.patch_size)
        check_sizes(where, self)
        require(self.shift >= 0, where, "shift", self.shift, "a number of pixels of at least 0")
        return VisionTransformer(
            outputs=outputs,
            features=self.width,
            depth=self.depth,
            num_heads=self.num_heads,
            hidden_features=self.hidden,
            patch_size=self.patch_size,
            attention=ATTENTIONS[self.attention],
            position=self.position,
            pooling=self.pooling,
            dropout_rate=self.dropout,
            shift=self.shift,
        )
