"""Claims about several devices, measured wherever they run on simulated ones."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import jax
import numpy as np

CODE = """
import json, jax, jax.numpy as jnp
from {module} import {name} as measure
key = jax.random.wrap_key_data(jnp.asarray({data}, jnp.uint32), impl={impl!r})
print(json.dumps({{name: float(value) for name, value in measure(key).items()}}))
"""


def measure(
    function: Callable[[jax.Array], dict[str, float]], key: jax.Array, *, devices: int = 4
) -> dict[str, float]:
    """Call a function of a claim's module in a process that has several simulated devices.

    Their number is fixed when JAX starts, so that this process has but its own.
    """
    code = CODE.format(
        module=function.__module__,
        name=function.__name__,
        data=np.asarray(jax.random.key_data(key)).tolist(),
        impl=str(jax.random.key_impl(key)),
    )
    variables = {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        # Programs that run once: what LLVM's costly passes gain is less than they cost.
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",
    }
    cache = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if cache:
        variables["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{function.__name__} failed on {devices} devices: {done.stderr[-800:]}")
    return json.loads(done.stdout.splitlines()[-1])
