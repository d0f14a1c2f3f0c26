"""Shared test settings: strict promotion, a compilation cache, and checks that can be lifted."""

import gc
import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jaxtyping
import pytest

# Compiled programs are kept between runs and shared by the test processes.
CACHE = Path(__file__).parents[1] / ".cache" / "jax"
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
# The suite compiles thousands of small programs and runs each a few times: what LLVM's costly
# passes gain in running, it pays many times over in compiling.
jax.config.update("jax_disable_most_optimizations", True)
# A (units,) array silently stretched over (batch, units) hides transposed arguments.
jax.config.update("jax_numpy_rank_promotion", "raise")


# Every compiled program holds some maps of memory, of which Linux gives a process 65,530; who asks
# for more crashes. A test process compiles enough for that, so now and then it lets all go.
MAPS = Path("/proc/self/maps")
MOST, EVERY = 30_000, 100
finished = 0


def pytest_collection_modifyitems(items):
    """Begin with the longest, so that no process is left to finish it alone."""
    items.sort(key=lambda item: item.path.name != "test_notebooks.py")


def pytest_runtest_teardown():
    global finished
    finished += 1
    if finished % EVERY == 0 and MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST:
        jax.clear_caches()
        gc.collect()


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def unchecked():
    """Lift the annotation checks, which only tests have, so that users' errors are seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
