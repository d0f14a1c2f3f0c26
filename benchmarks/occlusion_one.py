"""Occlusion of one image, as when somebody looks at it: else as occlusion.

Where 256 images keep the cores busy, here the time is that of calling.
"""

from benchmarks import occlusion
from benchmarks._harness import Benchmark


def benchmark() -> Benchmark:
    return occlusion.benchmark("occlusion-one", 1)
