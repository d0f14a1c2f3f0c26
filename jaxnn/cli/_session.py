"""What every command that computes does first: the compilation cache, and facts of the machine."""

import os
import platform
from pathlib import Path
from typing import Any


def use_compilation_cache() -> None:
    """Keep compiled programs between commands, unless the user has set JAX's cache already."""
    import jax

    if getattr(jax.config, "jax_compilation_cache_dir", None) is None:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(home) / "jaxnn" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def machine() -> dict[str, Any]:
    """Describe what the figures were measured on."""
    import flax
    import jax

    import jaxnn

    return {
        "device": str(jax.devices()[0].device_kind),
        "devices": jax.device_count(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "flax": flax.__version__,
        "jaxnn": jaxnn.__version__,
    }
