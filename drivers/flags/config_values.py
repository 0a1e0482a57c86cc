"""Values of flags from a configuration file: what is given on the command line goes before."""

from collections.abc import Mapping
from typing import Any

from absl import flags
from ml_collections import ConfigDict

from causeway.drivers.flags.flag_errors import check_numbers


def section(config: flags.FlagHolder, name: str) -> Mapping[str, Any]:
    """A section of the file that --config names; an empty one where no file is given.

    Raises:
        ValueError: the file cannot be read, or has no such section.
    """
    try:
        values = config.value
    except OSError as error:
        raise ValueError(f"--config: {error}") from None
    if values is None:
        return {}
    found = values.get(name) if isinstance(values, ConfigDict) else None
    if not isinstance(found, ConfigDict):
        raise ValueError(
            f"--config: has no section {name!r}; needs get_config(), whose ConfigDict has one of that name"
        )
    return found


def take_values(section: Mapping[str, Any], where: str) -> None:
    """Set every flag that the section names and the command line does not.

    Raises:
        ValueError: a name that is no flag of this driver, or a number that no flag can mean.
    """
    for name, value in section.items():
        if name not in flags.FLAGS:
            raise ValueError(f"--config: {where} names {name!r}, which is no flag of this driver; see its --help")
        if flags.FLAGS[name].using_default_value:
            flags.FLAGS[name].value = list(value) if isinstance(value, tuple) else value
    check_numbers()
