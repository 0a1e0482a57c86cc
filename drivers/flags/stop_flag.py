"""What a flag says of where rollouts end: ids, a text, or a JSON list of both."""

import json
import re

from absl import flags

HELP = (
    "Ends of a rollout beside the model's own stop tokens: ids (13,198), a text, or a JSON list of both such as "
    r"""'["\n\n", 13]'. Empty: none, not even the model's own."""
)


def stops(flag: flags.FlagHolder[str | None]) -> list[int | str] | None:
    """What the flag names (for `engine.model.stops`); None where it is not given.

    Raises:
        ValueError: neither ids nor a text nor a JSON list of them.
    """
    given = flag.value
    if given is None or not given:
        return None if given is None else []
    if re.fullmatch(r"\s*[+-]?\d+\s*(,\s*[+-]?\d+\s*)*", given):
        return [int(number) for number in given.split(",")]
    if not given.lstrip().startswith("["):
        if "\\" in given:
            raise ValueError(
                f"--{flag.name}: got {given!r}; write a line's end and the like in JSON: " + r"""'["\n"]'"""
            )
        return [given]
    try:
        listed = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"--{flag.name}: got {given[:60]!r}, which is not JSON ({error}); needs a list") from None
    if wrong := [one for one in listed if type(one) not in (int, str)]:
        raise ValueError(f"--{flag.name}: got {json.dumps(wrong[0])[:60]}; needs token ids and texts")
    return listed
