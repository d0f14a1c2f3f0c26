"""A run that saves a checkpoint every 50 steps, against the same run that saves none.

A checkpoint has the parameters and both moments, checksummed, written in the background by the same
cores that train; the run waits for the last one to be complete.
"""

from functools import partial

from benchmarks import _loops as loops
from benchmarks._harness import Benchmark, Entry

SIZE = loops.Size(
    examples=4096, inputs=784, features=(512, 512, 10), batch=512, steps=100, record=50
)


def benchmark() -> Benchmark:
    return Benchmark(
        name="checkpoint-overhead",
        ours=Entry(make=partial(loops.fitting, SIZE, checkpoint_every=50)),
        others={"without": Entry(make=partial(loops.fitting, SIZE))},
        units=SIZE.steps,
        shapes=SIZE._asdict() | {"checkpoint_every": 50},
    )
