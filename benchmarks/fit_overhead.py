"""Steps of `train.fit` with a network large enough that its arithmetic is nearly all there is.

``bare`` is the least a loop in Python can do: data on the device, no loss read.
"""

from functools import partial

from benchmarks import _loops as loops
from benchmarks._harness import Benchmark, Entry

SIZE = loops.Size(
    examples=4096, inputs=784, features=(1024, 1024, 10), batch=512, steps=8, record=4
)


def benchmark() -> Benchmark:
    return Benchmark(
        name="fit-overhead",
        ours=Entry(make=partial(loops.fitting, SIZE)),
        others={"bare": Entry(make=partial(loops.bare, SIZE))},
        units=SIZE.steps,
        shapes=SIZE._asdict(),
    )
