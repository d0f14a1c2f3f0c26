"""These tests need eight devices, which JAX makes of one processor when asked in time."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="session")
def eight_devices():
    if jax.device_count() < 8:
        pytest.skip(
            f"there are {jax.device_count()} devices and this needs 8: "
            "JAX_NUM_CPU_DEVICES=8 pytest tests/train/parallel"
        )
