"""The annotation checker that pytest puts on every function of jaxnn (see pyproject.toml)."""

from beartype import BeartypeConf, beartype

# An int is welcome where a float is asked for, as PEP 484 says.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
