"""`--show_config`: every value a command would run with and where it comes from, in place of running it.

What is printed is a file for --flagfile: `causeway screen ... --show_config > screen.flags`, then `causeway screen
--flagfile=screen.flags`. What was given is a line of it, and the rest remarks, which begin with `#`, because a flag
that is given is refused where it has no effect. A configuration's fields follow as they are after overrides.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from causeway.drivers.flags.config_values import given_config, take_values
from causeway.drivers.flags.help import own_flags


def page(driver: str) -> str:
    """The values of a driver's flags, those that were given first; its configuration's fields, where it has one.

    Args:
        driver: its name, which is that of its section where a configuration holds values of flags.

    Raises:
        ValueError: see `config_values`.
    """
    config = given_config() if "config" in flags.FLAGS else None
    overrides = {} if config is None else config_flags.get_override_values(flags.FLAGS["config"])
    # Overrides are flags of their own while they are read.
    known = {name: flag for name, flag in sorted(own_flags().items()) if name.partition(".")[0] != "config"}
    del known["show_config"]
    given = [name for name, flag in known.items() if flag.present]
    # A configuration without a default file holds values of flags.
    if config is not None and flags.FLAGS["config"].default is None:
        take_values(driver)
    changed = [name for name, flag in known.items() if name not in given and flag.value != flag.default]
    left = [name for name in known if name not in given and name not in changed]
    lines = [f"# causeway {driver}", *_given_config(overrides)]
    lines += [known[name].serialize() for name in given]
    for title, names in (("from --config", changed), ("defaults", left)):
        lines += [f"# {title}", *_remarks(known, names)] if names else []
    return "\n".join([*lines, *_fields(config, overrides)])


def _given_config(overrides: Mapping[str, Any]) -> Iterator[str]:
    if "config" in flags.FLAGS and flags.FLAGS["config"].present:
        yield f"--config={config_flags.get_config_filename(flags.FLAGS['config'])}"
    yield from (f"--config.{name}={value}" for name, value in overrides.items())


def _remarks(known: Mapping[str, flags.Flag], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        flag = known[name]
        yield f"# --{name}: nothing" if flag.value is None or flag.value == [] else f"# {flag.serialize()}"


def _fields(config: ConfigDict | None, overrides: Mapping[str, Any]) -> Iterator[str]:
    if config is not None:
        yield "# fields of the configuration"
        for name, value in _flat(config):
            yield f"# config.{name} = {value!r}" + ("  (given)" if name in overrides else "")


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Fields by the names with which they are overridden: shared.seed, stages[0].flags.train."""
    if isinstance(value, ConfigDict):
        for key in value:
            yield from _flat(value[key], f"{name}.{key}" if name else key)
    elif isinstance(value, list | tuple) and any(isinstance(entry, ConfigDict) for entry in value):
        for place, entry in enumerate(value):
            yield from _flat(entry, f"{name}[{place}]")
    else:
        yield name, value
