"""What a flag says of where rollouts end: ids, a text, or a JSON list of both."""

import json
import re


def stops(given: str | None) -> list[int | str] | None:
    """What --stop_tokens names (for `engine.model.stops`); None where it is not given.

    Raises:
        ValueError: neither ids nor a text nor a JSON list of them.
    """
    if given is None or not given:
        return None if given is None else []
    if re.fullmatch(r"\s*[+-]?\d+\s*(,\s*[+-]?\d+\s*)*", given):
        return [int(number) for number in given.split(",")]
    if not given.lstrip().startswith("["):
        if "\\" in given:
            raise ValueError(
                f"--stop_tokens: got {given!r}; write a line's end and the like in JSON: " + r"""'["\n"]'"""
            )
        return [given]
    try:
        listed = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"--stop_tokens: got {given[:60]!r}, which is not JSON ({error}); needs a list") from None
    if wrong := [one for one in listed if type(one) not in (int, str)]:
        raise ValueError(f"--stop_tokens: got {json.dumps(wrong[0])[:60]}; needs token ids and texts")
    return listed
