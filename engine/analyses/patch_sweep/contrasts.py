"""What is compared with what: contrasts between arms, and the role of each.

Arms are named `baseline`, `noop` (the dictionary's own value, same code path), `patch:<value>`, `ablate`,
`random:<value>` or `random:ablate` (a random feature of equal norm; a further `:<draw>` where there are several), and
`dose:<value>:<multiple>`. A contrast is an arm minus a reference, so its effect is positive where the arm is higher.

    primary   patch:b - patch:a     both patched, so that what patching itself does cancels
    tested    patch:a - noop, ablate - noop
    control   random:a - noop, random:b - random:a     how large the effect of no feature in particular is
    dose      dose:a:0.5 - noop     the ladder, read as a curve and not tested step by step
    noop      noop - baseline       what the dictionary's error alone does

In delta form the no-op is the baseline to the bit, so a sweep need not run it and `baseline` stands in for it.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal

Role = Literal["primary", "tested", "control", "dose", "noop"]
FAMILY: tuple[Role, ...] = ("primary", "tested")


@dataclasses.dataclass(frozen=True)
class Contrast:
    """One comparison.

    Attributes:
        arm, reference: names of arms.
        role: what it is for; only roles in `FAMILY` can be declared causal.
        values: the patch values it is about, which name its dose ladders ("" for none).
        dose: multiple of the value, for the role dose.
    """

    arm: str
    reference: str
    role: Role
    values: tuple[str, ...] = ()
    dose: float = 0.0

    @property
    def name(self) -> str:
        """Such as "patch:risky - patch:safe"."""
        return f"{self.arm} - {self.reference}"

    def is_control_of(self, tested: "Contrast") -> bool:
        """Whether this compares random features in the places where `tested` compares the feature."""
        return (
            self.role == "control"
            and _without_draw(self.arm) == _randomised(tested.arm)
            and _without_draw(self.reference) == _randomised(tested.reference)
        )


def make_contrasts(
    arms: Sequence[str], values: Sequence[str] | None = None, *, noop_is_baseline: bool = True
) -> tuple[Contrast, ...]:
    """All contrasts that a set of arms allows.

    Args:
        arms: names of the arms that were run.
        values: patch values in order, the reference first ("safe", "risky" makes risky - safe); by default sorted.
        noop_is_baseline: whether the no-op equals the baseline (true of delta edits), so that one can stand in.

    Raises:
        ValueError: an arm that cannot be read, or neither a no-op nor a baseline that may stand in for it.
    """
    parsed = {arm: _parse(arm) for arm in arms}
    if "noop" not in parsed and not (noop_is_baseline and "baseline" in parsed):
        raise ValueError(
            f"arms: {sorted(parsed)} hold no reference; needs noop (or baseline, where edits are in delta form)"
        )
    reference = "noop" if "noop" in parsed else "baseline"
    found = {parts[1] for parts in parsed.values() if parts[0] == "patch"}
    order = [v for v in (sorted(found) if values is None else values) if v in found]
    pairs = list(itertools.combinations(order, 2))
    contrasts = [Contrast(f"patch:{b}", f"patch:{a}", "primary", (a, b)) for a, b in pairs]
    contrasts += [Contrast(f"patch:{v}", reference, "tested", (v,)) for v in order]
    if "ablate" in parsed:
        contrasts.append(Contrast("ablate", reference, "tested"))  # the ladders lead to the values, not to zero
    contrasts += _controls(parsed, pairs, reference)
    contrasts += _doses(parsed, reference)
    if reference == "noop" and "baseline" in parsed:
        contrasts.append(Contrast("noop", "baseline", "noop"))
    return tuple(contrasts)


def _parse(arm: str) -> tuple[str, ...]:
    parts = tuple(arm.split(":"))
    lengths = {"baseline": (1,), "noop": (1,), "ablate": (1,), "patch": (2,), "random": (2, 3), "dose": (3,)}
    known = len(parts) in lengths.get(parts[0], ())
    if not known or (parts[0] == "dose" and not _is_number(parts[2])):
        raise ValueError(
            f"arm: got {arm!r}; needs baseline, noop, ablate, patch:<value>, random:<value>[:<draw>] or"
            " dose:<value>:<multiple>"
        )
    return parts


def _controls(parsed: dict[str, tuple[str, ...]], pairs: Sequence[tuple[str, str]], reference: str) -> list[Contrast]:
    """Each random arm against the reference, and pairs of random arms of the same draw against each other."""
    draws = {parts[1:]: arm for arm, parts in sorted(parsed.items()) if parts[0] == "random"}
    controls = [Contrast(arm, reference, "control", key[:1]) for key, arm in draws.items()]
    for a, b in pairs:
        for key, arm in draws.items():
            other = draws.get((a, *key[1:]))
            if key[0] == b and other is not None:
                controls.append(Contrast(arm, other, "control", (a, b)))
    return controls


def _doses(parsed: dict[str, tuple[str, ...]], reference: str) -> list[Contrast]:
    steps = sorted((parts[1], float(parts[2]), arm) for arm, parts in parsed.items() if parts[0] == "dose")
    return [Contrast(arm, reference, "dose", (value,), dose) for value, dose, arm in steps]


def _randomised(arm: str) -> str:
    kind, _, value = arm.partition(":")
    return {"patch": f"random:{value}", "ablate": "random:ablate"}.get(kind, arm)


def _without_draw(arm: str) -> str:
    parts = arm.split(":")
    return ":".join(parts[:2]) if parts[0] == "random" else arm


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
