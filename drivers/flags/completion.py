"""What a shell completes after `causeway`: drivers, their flags, and the values of flags that have a few.

`causeway --completion=SHELL` prints the lines that a shell's start file sources, as `source <(causeway
--completion=bash)`. They ask `causeway --complete SHELL LINE`, with the line up to the cursor, for what may follow, one
to a line; where nothing does, the shell completes files. A driver's flags are known once it is imported: 0.15 s.
"""

import importlib
import sys
from collections.abc import Iterable
from types import MappingProxyType

from absl import flags

from causeway.drivers.flags import help as help_text
from causeway.drivers.flags.help_pages import PAGES
from causeway.drivers.main import QUESTIONS

SCRIPTS = MappingProxyType({
    "bash": """_causeway() {
  local IFS=$'\\n'
  COMPREPLY=($(causeway --complete bash "${COMP_LINE:0:COMP_POINT}" 2>/dev/null))
  [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _causeway causeway""",
    "zsh": """_causeway() {
  local found=("${(@f)$(causeway --complete zsh "$LBUFFER" 2>/dev/null)}")
  if [[ -n $found[1] ]]; then compadd -S '' -- $found; else compset -P '*='; _files; fi
}
compdef _causeway causeway""",
    "fish": """function _causeway
  set -l line (commandline -cp)
  causeway --complete fish "$line" 2>/dev/null; and return
  set -l flag (string match -r -- '^--[^=]*=' (commandline -ct))
  for path in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' (commandline -ct)))
    echo "$flag$path"
  end
end
complete -c causeway -f -k -a '(_causeway)'""",
})  # fmt: skip


def answer(asked: str, shell: str = "", line: str = "") -> int:
    """Answer `--completion=SHELL` with its lines, `--complete SHELL LINE` with what may follow.

    Returns:
        The exit status: 1 where nothing is completed, 2 for a shell that is not known.
    """
    option, _, value = asked.partition("=")
    name = value or shell
    if name not in SCRIPTS:
        print(f"causeway: {option}: got {name or 'nothing'}; needs one of {', '.join(SCRIPTS)}", file=sys.stderr)
        return 2
    if option == "--completion":
        print(SCRIPTS[name])
        return 0
    found = candidates(line)
    # bash breaks words at "=", so it is given what comes after that alone.
    after = name == "bash" and "=" in line.split(" ")[-1]
    print("\n".join(text.partition("=")[2] if after else text for text in found))
    return 0 if found else 1


def candidates(line: str) -> list[str]:
    """What the last word of a command line may become.

    Args:
        line: from `causeway` to the cursor.
    """
    *before, last = line.split(" ")
    typed = [word for word in before[1:] if word]
    if not typed:
        return _beginning(last, QUESTIONS)
    if typed[0] not in PAGES or not last.startswith("-"):
        return []
    importlib.import_module(f"causeway.drivers.{typed[0]}")
    known = help_text.own_flags()
    name, equals, value = last.lstrip("-").partition("=")
    if equals:
        return [f"--{name}={found}" for found in _beginning(value, _values(known.get(name)))]
    return _beginning(f"--{name}", (spelling for flag in known.values() for spelling in _spellings(flag)))


def _beginning(text: str, names: Iterable[str]) -> list[str]:
    return sorted(name for name in names if name.startswith(text))


def _values(flag: flags.Flag | None) -> list[str]:
    return list(getattr(flag.parser, "enum_values", None) or []) if flag is not None else []


def _spellings(flag: flags.Flag) -> list[str]:
    """A switch as it is and with `no`; other flags up to their value."""
    if _values(flag) and flag.boolean:
        return [f"--{flag.name}", f"--{flag.name}="]
    return [f"--{flag.name}", f"--no{flag.name}"] if flag.boolean else [f"--{flag.name}="]
