"""Peers side by side, on the same work, in one process: ``jaxnn bench``.

A file is a benchmark: ``mlp_train_step.py`` is ``mlp-train-step``. Its docstring's first line
says what is timed; its function ``benchmark()`` returns a :class:`~benchmarks._harness.Benchmark`:
ours, the others, and where it means something the ``limit``, which is the work that nobody can
avoid (the matrix products alone). Files that begin with an underscore are the machinery.

What makes the figures worth reading:

- everybody is checked first: who does not compute what ours computes is reported and not timed;
- entries run in turns, in another order each round, and are compared within a round, so that a
  busy machine slows all of them; what is reported are medians and quartiles of those ratios;
- compilation happens before and is reported apart;
- each round also times one float32 matrix product, the machine's yardstick under that load.

A limit reads its operands from memory and writes its results there, where a whole step may keep
them in cache or share them: a step near its limit has nothing left to win but the products
themselves, and one slightly below it is no error.
"""
