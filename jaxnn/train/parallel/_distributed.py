"""Several processes, on one machine or many, as one program."""

import os

import jax

from jaxnn._check import require

VARIABLES = {
    "coordinator": "JAX_COORDINATOR_ADDRESS",
    "processes": "JAX_NUM_PROCESSES",
    "process": "JAX_PROCESS_ID",
}


def initialize(
    coordinator: str | None = None, processes: int | None = None, process: int | None = None
) -> None:
    """Join the processes of one training program; call it first, once in each process.

    What is not given is read from the environment: ``JAX_COORDINATOR_ADDRESS``,
    ``JAX_NUM_PROCESSES`` and ``JAX_PROCESS_ID``. With none of the three, JAX asks the cluster
    (Slurm, Open MPI, Kubernetes, TPU). Afterwards ``jax.devices()``, and so :func:`make_mesh`,
    has the devices of all processes, and all run the same program in step.

    Args:
      coordinator: ``host:port`` of process 0, reachable from all.
      processes: how many there are.
      process: which this is, from 0.

    Raises:
      ValueError: only some of the three are known, or one of them is not what it must be.
      RuntimeError: JAX is in use already, the cluster is not recognised, or the others did not
        come.

    Example:
      >>> initialize("10.0.0.1:1234", processes=2, process=0)
    """
    given = {"coordinator": coordinator, "processes": processes, "process": process}
    for name, value in given.items():
        if value is None:
            given[name] = os.environ.get(VARIABLES[name])
    missing = [f"{name} ({VARIABLES[name]})" for name, value in given.items() if value is None]
    if len(missing) == len(given):
        try:
            jax.distributed.initialize()
        except ValueError as error:
            raise RuntimeError(
                f"initialize: no known cluster ({error}); give {', '.join(given)}, or set "
                f"{', '.join(VARIABLES.values())}."
            ) from None
        return
    if missing:
        raise ValueError(
            f"initialize: {', '.join(missing)} missing; all three are needed, or none in a "
            "cluster that JAX knows."
        )
    where, count, number = (
        given["coordinator"],
        _whole(given, "processes"),
        _whole(given, "process"),
    )
    host, _, port = str(where).rpartition(":")
    require(bool(host) and port.isdecimal(), "initialize", "coordinator", where, "host:port")
    require(count > 0, "initialize", "processes", count, "a number above zero")
    need = f"a number from 0 to {count - 1}, as there are {count} processes"
    require(0 <= number < count, "initialize", "process", number, need)
    jax.distributed.initialize(str(where), count, number)


def _whole(given: dict[str, str | int | None], name: str) -> int:
    try:
        return int(given[name] or 0)
    except ValueError:
        raise ValueError(
            f"initialize: `{name}` ({VARIABLES[name]}) is {given[name]!r}; it needs a whole number."
        ) from None
