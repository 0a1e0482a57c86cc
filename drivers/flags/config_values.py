"""Values of flags from a configuration file: what is given on the command line goes before."""

from collections.abc import Mapping
from typing import Any

from absl import flags

from causeway.drivers.flags.flag_errors import check_numbers


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
