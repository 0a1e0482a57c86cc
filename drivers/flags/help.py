"""What `--help` prints: what a driver answers, examples that run, and its flags, each once, those that matter first.

`drivers/flags/help_pages/` says of every driver which flags it needs and which are common: ten or so, which --help
explains. It names the others, which --helpfull explains too, those of the model apart. Nothing heavy is imported.
"""

import difflib
import textwrap
from collections.abc import Iterable

from absl import flags

from causeway.drivers.flags.help_page import Page
from causeway.drivers.flags.help_pages import MODEL_FLAGS, PAGES
from causeway.drivers.flags.help_pages.further import FURTHER

SHORT, FULL = {"-h", "-help", "--help", "--helpshort"}, {"-helpfull", "--helpfull"}
WIDTH, INDENT = 110, 24


def asked(arguments: Iterable[str]) -> bool:
    """Whether a command line asks for help."""
    return bool((SHORT | FULL) & set(arguments))


def page(driver: str, text: str, full: bool) -> str:
    """A driver's page.

    Args:
        driver: its name. text: its docstring, whose first line is the question it answers.
        full: explain the expert flags too.
    """
    about, defined = PAGES[driver], own_flags()
    question, _, rest = text.strip().partition("\n")
    first = [f"  {command}" for command in about.example]
    further = [f"  # {purpose}\n  {command}" for purpose, command in FURTHER[driver]]
    examples = "\n".join(["examples:", *first, *further])
    out = [f"causeway {driver}: {question}", examples, rest.strip()]
    out += [_needed(about, defined), _group("common", about.common, defined)]
    model = [name for name in MODEL_FLAGS if name in defined and name not in about.first]
    expert = sorted(name for name in defined if name not in (*about.first, *MODEL_FLAGS))
    if full:
        out += [_group("model", model, defined), _group("expert", expert, defined)]
    else:
        out += [_names(driver, [*model, *expert])]
    return "\n\n".join(part for part in out if part)


def own_flags() -> dict[str, flags.Flag]:
    """The flags that drivers define, by name; absl's own are left out."""
    modules = flags.FLAGS.flags_by_module_dict().items()
    return {flag.name: flag for module, found in modules if not module.startswith("absl") for flag in found}


def suggestion(name: str, names: Iterable[str]) -> str:
    """The name that was probably meant, "" where none is near."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), "")


def _needed(about: Page, defined: dict[str, flags.Flag]) -> str:
    """The flags without which the driver refuses to run, alternatives together."""
    single = [entry for entry in about.needed if isinstance(entry, str)]
    choices = [entry for entry in about.needed if not isinstance(entry, str)]
    groups = [_group("needed", single, defined)]
    groups += [_group("needed, one of these", names, defined) for names in choices]
    return "\n\n".join(group for group in groups if group)


def _group(title: str, names: Iterable[str], defined: dict[str, flags.Flag]) -> str:
    lines = [_line(defined[name]) for name in names if name in defined]
    return "\n".join([f"{title}:", *lines]) if lines else ""


def _names(driver: str, names: list[str]) -> str:
    """Flags by name alone."""
    listed = textwrap.fill(" ".join(f"--{name}" for name in names), WIDTH, initial_indent="  ", subsequent_indent="  ")
    return f"further (causeway {driver} --helpfull explains them):\n{listed}" if names else ""


def _line(flag: flags.Flag) -> str:
    """A flag, its values, what it is for, and its default where it has one."""
    default = ",".join(flag.default) if isinstance(flag.default, list) else flag.default
    # False and the values of a whole configuration file say nothing.
    shown = isinstance(default, str | int | float) and default is not False and default != ""
    # absl adds a sentence of its own to a flag that is given more than once, over two lines.
    text = flag.help.strip().rpartition(">: ")[2].partition(";\n")[0] + (f" [default {default}]" if shown else "")
    body = textwrap.wrap(text, WIDTH - INDENT, break_on_hyphens=False, break_long_words=False)
    head = f"  {_spelling(flag)}"
    if len(head) > INDENT - 2:
        return "\n".join([head, *(" " * INDENT + line for line in body)])
    return "\n".join([f"{head:<{INDENT}}{body[0]}", *(" " * INDENT + line for line in body[1:])])


def _spelling(flag: flags.Flag) -> str:
    """How the flag is written."""
    values = getattr(flag.parser, "enum_values", None)
    if flag.boolean:
        return f"--{flag.name}[={'|'.join(values)}]" if values else f"--[no]{flag.name}"
    kinds = {"int": "N", "float": "X", "comma separated list of strings": "A,B,..."}
    return f"--{flag.name}={'|'.join(values) if values else kinds.get(flag.flag_type(), 'TEXT')}"
