"""Attention with a memory of what was read before, part of it compressed.

Sources: "Compressive Transformers for Long-Range Sequence Modelling" (2019); without compressed
slots it is "Transformer-XL: Attentive Language Models beyond a Fixed-Length Context" (2019).
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jax import lax
from jaxtyping import Array, Bool, Float, Num

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn.layers.attention._memory import (
    MemorySlots,
    attention_reconstruction_loss,
    convolution_compression,
    mean_compression,
    memory_init,
    memory_push,
)
from jaxnn.layers.attention._relative import relative_attention
from jaxnn.layers.feedforward import Dense
from jaxnn.layers.position import sinusoidal_embedding


class ConvolutionCompression(nn.Module):
    """The convolution with its parameters ``kernel`` and ``bias``.

    See :func:`convolution_compression`.

    Attributes:
      rate: states that become one.
      dilation: from one state of a field to the next.
      use_bias: whether to add ``bias``.
      dtype: computation dtype; ``None`` promotes states and parameters.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of ``kernel``, ``(rate, features, features)``.
    """

    rate: int
    dilation: int = 1
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, slots: MemorySlots) -> MemorySlots:
        """Map n slots to ⌊n / rate⌋."""
        require_count("ConvolutionCompression", rate=self.rate)
        width = slots.states.shape[-1]
        shape = (self.rate, width, width)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            zeros = nn.initializers.zeros_init()
            bias = self.param("bias", zeros, (width,), self.param_dtype)
        states, kernel, bias = promote_dtype(slots.states, kernel, bias, dtype=self.dtype)
        slots = slots._replace(states=states)
        return convolution_compression(slots, kernel, bias, dilation=self.dilation)


class FixedCompression(nn.Module):
    """A compression without parameters, for slots that take a module.

    Attributes:
      rate: states that become one.
      function: called as ``function(slots, rate=)``.
      dtype: unused; the states keep theirs.
      param_dtype: unused.
    """

    rate: int
    function: Callable[..., MemorySlots] = mean_compression
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, slots: MemorySlots) -> MemorySlots:
        """Map n slots to ⌊n / rate⌋."""
        return self.function(slots, rate=self.rate)


class CompressiveAttention(nn.Module):
    """Attend to a segment of a sequence and to a memory of the segments before.

    It fits the ``mixer`` slot of :class:`~jaxnn.models.TransformerBlock`. Keys and values are made
    of compressed slots, recent slots and the segment, in this order, and distances are counted in
    them (:func:`relative_attention`). Submodules ``query``, ``key``, ``value``, ``out`` and
    ``distance`` are the projections, ``compression`` is there if anything is compressed;
    parameters ``content_bias`` and ``position_bias`` are ``(num_heads, width)``.

    The memory is the collection ``memory``, with entries ``recent`` and ``compressed``, both
    :class:`MemorySlots` of inputs ``x``:

    - absent and not mutable, there is none, and parameters alone will do;
    - given and not mutable, it is read and left as it is;
    - mutable, it is read, or made empty if absent, and what it is after this segment is returned:

    ``y, after = module.apply({"params": params, "memory": memory}, x, mutable=["memory"])``

    Gradients flow into a memory as into anything else; ``jax.lax.stop_gradient(memory)`` before
    each segment, or a memory that is no argument of the differentiated function, gives the
    papers' training.

    While the collections ``memory`` and ``losses`` are mutable, the mean over examples of
    :func:`attention_reconstruction_loss` is sown into ``losses`` as ``attention_reconstruction``.
    Its gradient reaches the parameters of ``compression`` only; if there are none it is left out.
    The weights are sown into ``intermediates`` as ``attention_weights``.

    Attributes:
      num_heads: number of heads.
      memory: slots for recent inputs.
      compressed_memory: slots for compressed ones.
      compression: factory of what compresses, called as ``compression(name=..., dtype=...,
        param_dtype=...)``; the module maps :class:`MemorySlots` to fewer.
      qkv_features: width of all heads together; the input's if ``None``.
      dropout_rate: share of the weights dropped when a ``dropout`` key is given.
      dense: factory of the projections, called as ``dense(features, name=..., ...)``.
      use_bias: whether the projections, but that of distances, have biases.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    num_heads: int
    memory: int = 0
    compressed_memory: int = 0
    compression: Callable[..., nn.Module] = functools.partial(ConvolutionCompression, 3)
    qkv_features: int | None = None
    dropout_rate: float = 0.0
    dense: Callable[..., nn.Module] = Dense
    use_bias: bool = False
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time features"],
        *,
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
        is_causal: bool = True,
        positions: Num[Array, "..."] | None = None,
        deterministic: bool | None = None,
    ) -> Float[Array, "*batch time features"]:
        """Map ``(*batch, time, features)`` to the same shape.

        ``mask`` is that of padding, ``(*batch, 1, 1, time)``, and is remembered. ``bias`` must be
        ``None``, and ``positions`` do not matter. ``deterministic=None`` drops weights exactly
        when a ``dropout`` key was given.
        """
        where = "CompressiveAttention"
        del positions
        self._check(where, x, mask, bias)
        *batch, time, features = x.shape
        started = not self.is_initializing()
        writes = started and self.is_mutable_collection("memory")
        real = jnp.ones((time,), bool) if mask is None else mask[..., 0, 0, :]
        new = MemorySlots(
            x, jnp.broadcast_to(real, (*batch, time)), jnp.zeros((*batch, time), jnp.float32)
        )
        reads = writes or (started and self.has_variable("memory", "recent"))
        compressed = self._recall(where, "compressed", self.compressed_memory * reads, x)
        recent = self._recall(where, "recent", self.memory * reads, x)

        parts = [slots.states.astype(x.dtype) for slots in (compressed, recent, new)]
        states = jnp.concatenate(parts, axis=-2)
        valid = jnp.concatenate([slots.valid for slots in (compressed, recent, new)], axis=-1)
        width = self.qkv_features or features
        heads = {name: self._dense(name, width) for name in ("query", "key", "value")}
        query = self._split(heads["query"](x))
        key, value = (self._split(heads[name](states)) for name in ("key", "value"))
        counted = writes and self.compressed_memory > 0
        y, received = self._attend(query, key, value, valid, is_causal, counted, deterministic)

        if writes or not started:
            received = received[..., compressed.states.shape[-2] :]
            kept = recent.states.shape[-2]
            recent = recent._replace(usage=recent.usage + received[..., :kept])
            recent, leaving = memory_push(recent, new._replace(usage=received[..., kept:]))
            if self.compressed_memory:
                compressed = self._compress(query, heads, leaving, compressed)
            if writes:
                self.put_variable("memory", "recent", recent)
                self.put_variable("memory", "compressed", compressed)
        return self._dense("out", features)(y.reshape(*batch, time, -1))

    def _check(self, where: str, x: Any, mask: Any, bias: Any) -> None:
        require_array(where, x=x)
        require_rank(where, "x", x, 2, "(*batch, time, features)")
        require_count(where, num_heads=self.num_heads)
        total = self.qkv_features or x.shape[-1]
        require(
            total % self.num_heads == 0,
            where,
            "num_heads",
            self.num_heads,
            f"a divisor of the {total} features of all heads",
        )
        for name in ("memory", "compressed_memory"):
            slots = getattr(self, name)
            require(slots >= 0, where, name, slots, "a whole number of at least 0")
        require(bias is None, where, "bias", bias, "None; distances are its own to judge")
        if mask is not None:
            time = x.shape[-2]
            require(
                mask.ndim >= 3 and mask.shape[-3:] == (1, 1, time) and mask.ndim <= x.ndim + 1,
                where,
                "mask",
                mask,
                f"shape {(*x.shape[:-2], 1, 1, time)}, one for each input",
            )
        require(
            self.is_initializing() or not self.is_mutable_collection("cache"),
            where,
            "cache",
            "mutable",
            "to be left alone; what was read is kept in the collection `memory`",
        )

    def _recall(self, where: str, name: str, slots: int, x: jax.Array) -> MemorySlots:
        shape = (*x.shape[:-2], slots, x.shape[-1])
        if not slots or not self.has_variable("memory", name):
            return memory_init(shape[:-2], slots, shape[-1], x.dtype)
        memory = self.get_variable("memory", name)
        require(
            memory.states.shape == shape,
            where,
            name,
            memory.states,
            f"states of shape {shape}",
            "Was the memory made for another batch, or for other settings?",
        )
        return memory

    def _attend(self, query, key, value, valid, is_causal, counted, deterministic):
        """Give the heads' outputs and, if ``counted``, the mean weight of each key, else zeros."""
        time, heads, width = query.shape[-3:]
        keys = key.shape[-3]
        last = -1 if is_causal else -time
        # Whole numbers, as bfloat16 has no 257; and sinusoids come in pairs.
        distances = sinusoidal_embedding(
            jnp.arange(keys - 1, last, -1), 2 * math.ceil(heads * width / 2)
        )
        project = self._dense("distance", heads * width, use_bias=False)
        distance_key = self._split(project(distances.astype(query.dtype)))
        content_bias, position_bias = (
            self.param(name, nn.initializers.zeros_init(), (heads, width), self.param_dtype)
            for name in ("content_bias", "position_bias")
        )
        options: dict[str, Any] = {"mask": valid[..., None, None, :], "is_causal": is_causal}
        if deterministic is None:
            deterministic = not self.has_rng("dropout")
        if self.dropout_rate and not deterministic:
            options["dropout_rate"] = self.dropout_rate
            options["dropout_key"] = self.make_rng("dropout")
        inputs = (query, key, value, distance_key, content_bias, position_bias)
        if not (counted or self.is_mutable_collection("intermediates")):
            return relative_attention(*inputs, **options), jnp.zeros(valid.shape, jnp.float32)
        y, weights = relative_attention(*inputs, return_weights=True, **options)
        self.sow("intermediates", "attention_weights", weights)
        received = lax.stop_gradient(jnp.mean(weights.astype(jnp.float32), axis=(-3, -2)))
        return y, received

    def _compress(self, query, heads, leaving, compressed):
        """Compress what leaves the recent memory, and sow how much that loses."""
        options = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        compression: Any = self.compression(name="compression", **options)
        entering = compression(leaving)
        watched = self.is_mutable_collection("losses") and not self.is_initializing()
        if watched and compression.variables.get("params"):
            # The same values again, of which the gradient goes to the compression alone.
            fixed = lax.stop_gradient(leaving)
            made = compression(fixed)
            keys = [self._split(_frozen(heads[n])(fixed.states)) for n in ("key", "value")]
            fewer = [self._split(_frozen(heads[n])(made.states)) for n in ("key", "value")]
            loss = attention_reconstruction_loss(
                query,
                *keys,
                *fewer,
                mask=fixed.valid[..., None, None, :],
                compressed_mask=made.valid[..., None, None, :],
            )
            self.sow("losses", "attention_reconstruction", jnp.mean(loss))
        return memory_push(compressed, entering)[0]

    def _split(self, x: jax.Array) -> jax.Array:
        return x.reshape(*x.shape[:-1], self.num_heads, x.shape[-1] // self.num_heads)

    def _dense(self, name: str, features: int, **options: Any) -> Any:
        return self.dense(
            features,
            name=name,
            **{"use_bias": self.use_bias, **options},
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )


def _frozen(module: nn.Module) -> Any:
    """Call a module with parameters that no gradient reaches."""
    call = nn.map_variables(lambda module, x: module(x), "params", trans_in_fn=lax.stop_gradient)
    return functools.partial(call, module)
