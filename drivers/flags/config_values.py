"""Values of flags from a configuration file: what is given on the command line goes before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from causeway.drivers.flags.flag_errors import check_numbers, needed
from causeway.engine.scalars import shown


def given_config() -> ConfigDict | None:
    """What the file of --config gives; None where no file is given.

    Raises:
        ValueError: there is no such file, or it gives no ConfigDict.
    """
    flag = flags.FLAGS["config"]
    if not flag.present and flag.default is None:
        return None
    if isinstance(flag.value, ConfigDict):
        return flag.value
    place = config_flags.get_config_filename(flag)
    missing = "" if Path(place.partition(":")[0]).is_file() else ", which is not there"
    raise ValueError(f"--config: got {place}{missing}; needs a Python file whose get_config() returns a ConfigDict")


def section(name: str) -> Mapping[str, Any]:
    """A section of the file that --config names; an empty one where no file is given.

    Raises:
        ValueError: see `given_config`, or it has no such section.
    """
    config = given_config()
    found = {} if config is None else config.get(name)
    if not isinstance(found, Mapping | ConfigDict):
        raise ValueError(f"--config: has no section {name!r}; needs a ConfigDict of that name")
    return found


def take_values(where: str) -> None:
    """Set every flag that the section of this name names and the command line does not.

    Raises:
        ValueError: see `section`; a name that is no flag of this driver, or a value that its flag does not take.
    """
    for name, value in section(where).items():
        if name not in flags.FLAGS:
            raise ValueError(f"--config: {where} names {name!r}, which is no flag of this driver; see its --help")
        if flags.FLAGS[name].using_default_value:
            flags.FLAGS[name].value = _parsed(flags.FLAGS[name], value, f"--config: {where}.{name}")
    check_numbers()


def _parsed(flag: flags.Flag, value: Any, where: str) -> Any:
    if value is None and flag.default is None:
        return None
    try:
        text: Any = value if isinstance(value, str) or not isinstance(flag.default, list) else list(map(str, value))
        return flag.parser.parse(text)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: got {shown(value)}; needs {needed(flag)}") from None


def check_like(value: Any, like: Any, where: str = "--config") -> None:
    """Refuse what lacks a field of an example, or has one of another kind.

    Args:
        value: a configuration or a part of one. like: the example, a list's first entry standing for all.
        where: its name.

    Raises:
        ValueError: naming the field.
    """
    kind: Any = {float: (int, float), tuple: (list, tuple)}.get(type(like), type(like))
    if not isinstance(value, kind) or isinstance(value, bool) is not isinstance(like, bool) or value == ():
        needs = {ConfigDict: "a ConfigDict", tuple: "a list", str: "a text"}.get(type(like), "a number")
        raise ValueError(f"{where}: got {shown(value)}; needs {needs}")
    if isinstance(like, ConfigDict):
        if missing := [name for name in like if name not in value]:
            raise ValueError(f"{where}: has no field {missing[0]!r}; needs {', '.join(like)}")
        for name in like:
            check_like(value[name], like[name], f"{where}.{name}")
    elif isinstance(like, tuple):
        for place, entry in enumerate(value):
            check_like(entry, like[0], f"{where}[{place}]")
