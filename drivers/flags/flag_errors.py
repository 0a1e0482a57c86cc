"""What is wrong with flags, in the words of all other refusals; and numbers that no flag can mean.

absl reads whole numbers of any size and takes `nan` and `inf` for numbers. None of our flags means any of these, so
they are refused at one place, before a driver begins.
"""

import math
import re

from absl import flags

from causeway.drivers.flags import table


def message(error: flags.Error) -> str:
    """One line for what absl complains of."""
    from causeway.engine.scalars import shown

    said = str(error)
    found = re.match(r"flag --([\w.]+)=", said)
    if not isinstance(error, flags.IllegalFlagValueError) or found is None or found[1] not in flags.FLAGS:
        return said
    cause = f": {error.__context__}"
    if found[1] == "config":
        return f"--config{cause}"
    value = said.removeprefix(found[0]).removesuffix(cause)
    return f"--{found[1]}: got {shown(value)}; needs {needed(flags.FLAGS[found[1]])}"


def flag_of(argument: str) -> str | None:
    """The flag of this driver that gives an argument of a call; None where there is none."""
    return next((name for name in (argument, *table.RENAMED.get(argument, ())) if name in flags.FLAGS), None)


def check_numbers() -> None:
    """Refuse numbers that are not finite, and whole numbers that fit into no array.

    Raises:
        ValueError: naming the flag.
    """
    from causeway.engine import scalars

    for name in flags.FLAGS:
        value = flags.FLAGS[name].value
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"--{name}: got {value}; needs a finite number")
        if isinstance(value, int) and not -scalars.INT32_MAX <= value <= scalars.UINT32_MAX:
            raise ValueError(f"--{name}: got {scalars.shown(value)}; needs a whole number of 32 bits")


def needed(flag: flags.Flag) -> str:
    """What a flag takes, from its own parser."""
    if known := getattr(flag.parser, "enum_values", None):
        return f"one of {', '.join(known)}"
    said = re.fullmatch(r"(?:an? )?(positive |non-negative )?(integer|number)(.*)", flag.parser.syntactic_help)
    if said is None:
        return "true or false" if isinstance(flag, flags.BooleanFlag) else f"a {flag.flag_type()}"
    sign, kind, limits = said.groups(default="")
    return f"a {sign}{'whole number' if kind == 'integer' else kind}{limits}"
