"""Row of the convolution in ``layers.kan``."""

import jax
import jax.numpy as jnp

from jaxnn.layers import kan
from tests.laws.case import Reject
from tests.laws.makers import module_case

HOME = "layers.kan"
TESTS = "tests/layers/kan"
CONV = kan.KANConv(2, (2,), grid=2, degree=2)

CASES = [
    module_case(
        f"{HOME}.KANConv",
        CONV,
        shape=(2, 4, 3),
        parity=f"{TESTS}/test_convolution.py",
        rejects=(
            Reject(
                call=lambda: kan.KANConv(2, ()).init(jax.random.key(0), jnp.ones((2, 3))),
                error=ValueError,
                match="KANConv: `kernel_size` .* needs one to three sizes",
            ),
            Reject(
                call=lambda: CONV.init(jax.random.key(0), jnp.ones(3)),
                error=ValueError,
                match=r"KANConv: `x` .* needs shape \(\*batch, 1 axes of space, inputs\)",
            ),
        ),
    ),
]
