"""Shapley values of one image, as when somebody looks at it: else as shapley-sampling.

Where 64 images keep the cores busy, here the time is that of calling.
"""

from benchmarks import shapley_sampling
from benchmarks._harness import Benchmark


def benchmark() -> Benchmark:
    return shapley_sampling.benchmark("shapley-sampling-one", 1)
