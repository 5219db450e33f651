"""A setting in the environment, under any of the names that Fabric's documents give it."""

from collections.abc import Mapping, Sequence

from fabric_ccaas.errors import ConfigError

# What Go's strconv.ParseBool takes, because Fabric's own samples parse their flags with it.
TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def read_setting(environ: Mapping[str, str], names: Sequence[str]) -> str:
    """Read a setting; unset and empty are the same and give "".

    Raises:
        ConfigError: Two of its names are set to different values.
    """
    given = {name: environ[name] for name in names if environ.get(name)}
    if len(set(given.values())) > 1:
        first, second, *_ = given
        raise ConfigError(f"{first} and {second} contradict each other: set one of them")
    return next(iter(given.values()), "")


def require_setting(environ: Mapping[str, str], names: Sequence[str], meaning: str) -> str:
    """Read a setting that must be there.

    Raises:
        ConfigError: It is not, or two of its names are set to different values.
    """
    value = read_setting(environ, names)
    if not value:
        raise ConfigError(f"{names[0]} is not set: {meaning}")
    return value


def read_flag(environ: Mapping[str, str], name: str) -> bool | None:
    """Read a boolean; None if it is not set.

    Raises:
        ConfigError: It is neither true nor false.
    """
    value = environ.get(name, "")
    if not value:
        return None
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise ConfigError(f"{name} is neither true nor false")
