"""Steps of `train.fit` on data in memory, against Python loops over a jitted step.

The network is so small that what is timed is everything around its arithmetic. ``bare`` indexes the
data on the device and never reads a loss, which is the least a loop in Python can do; ``loop``
indexes with NumPy and reads each loss, as most do.
"""

from functools import partial

from benchmarks import _loops as loops
from benchmarks._harness import Benchmark, Entry

SIZE = loops.Size(examples=1437, inputs=64, features=(128, 10), batch=128, steps=500, record=50)


def benchmark() -> Benchmark:
    return Benchmark(
        name="fit-dispatch",
        ours=Entry(make=partial(loops.fitting, SIZE)),
        others={
            "bare": Entry(make=partial(loops.bare, SIZE)),
            "loop": Entry(make=partial(loops.loop, SIZE)),
            "torch": Entry(make=partial(loops.torch_loop, SIZE), needs=("torch",)),
        },
        units=SIZE.steps,
        # Hundreds of steps let rounding grow further than in five.
        tolerance=1e-3,
        shapes=SIZE._asdict(),
    )
