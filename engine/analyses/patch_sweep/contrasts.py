"""What is compared with what: contrasts between arms, and the role of each.

A contrast is an arm minus a reference, so its effect is positive where the arm is higher.

    primary   patch:b - patch:a     both patched, so that what patching itself does cancels
    tested    patch:a - noop, ablate - noop
    control   random:a - noop, random:b - random:a     how large the effect of no feature in particular is
    dose      dose:a:0.5 - noop     the ladder, read as a curve and not tested step by step
    noop      noop - baseline       what the dictionary's error alone does

In delta form the no-op is the baseline to the bit, so a sweep need not run it and `baseline` stands in for it. In
replace form it is not: the dictionary's reconstruction error is in every patched arm and not in the baseline. There
`baseline` stands in for the arms of the published study alone (baseline and patch), which had no no-op, and such a
contrast is `confounded`.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal

from causeway.engine.analyses.patch_sweep.arms import BASELINE, NOOP, Arm

Role = Literal["primary", "tested", "control", "dose", "noop"]
FAMILY: tuple[Role, ...] = ("primary", "tested")


@dataclasses.dataclass(frozen=True)
class Contrast:
    """One comparison.

    Attributes:
        arm, reference: what is compared.
        role: what it is for; only roles in `FAMILY` can be declared causal.
        values: the patch values it is about, which name its dose ladders ("" for none).
        confounded: the arm has the dictionary's error and the reference has not.
    """

    arm: Arm
    reference: Arm
    role: Role
    values: tuple[str, ...] = ()
    confounded: bool = False

    @property
    def name(self) -> str:
        """Such as "patch:risky - patch:safe"."""
        return f"{self.arm} - {self.reference}"

    def is_control_of(self, tested: "Contrast") -> bool:
        """Whether this compares random features in the places where `tested` compares the feature."""
        return (
            self.role == "control"
            and self.arm.randomised == tested.arm.randomised
            and self.reference.randomised == tested.reference.randomised
        )


def make_contrasts(
    arms: Sequence[Arm], values: Sequence[str] | None = None, *, noop_is_baseline: bool = True
) -> tuple[Contrast, ...]:
    """All contrasts that a set of arms allows.

    Args:
        arms: that were run.
        values: patch values in order, the reference first ("safe", "risky" makes risky - safe); by default sorted.
        noop_is_baseline: whether the no-op equals the baseline (true of delta edits), so that one can stand in.

    Raises:
        ValueError: neither a no-op nor a baseline that may stand in for it.
    """
    as_published = {arm.kind for arm in arms} == {"baseline", "patch"}
    if NOOP not in arms and not (BASELINE in arms and (noop_is_baseline or as_published)):
        raise ValueError(
            f"arms: {', '.join(sorted(map(str, arms)))} hold no reference; needs noop (or baseline: in delta form, or "
            "in replace form beside patch alone)"
        )
    reference = NOOP if NOOP in arms else BASELINE
    confounded = reference == BASELINE and not noop_is_baseline
    found = {arm.value for arm in arms if arm.kind == "patch"}
    order = [v for v in (sorted(found) if values is None else values) if v in found]
    pairs = list(itertools.combinations(order, 2))
    contrasts = [Contrast(Arm("patch", b), Arm("patch", a), "primary", (a, b)) for a, b in pairs]
    contrasts += [Contrast(Arm("patch", v), reference, "tested", (v,), confounded) for v in order]
    if Arm("ablate") in arms:
        contrasts.append(Contrast(Arm("ablate"), reference, "tested"))  # the ladders lead to the values, not to zero
    contrasts += _controls(arms, pairs, reference)
    contrasts += _doses(arms, reference)
    if reference == NOOP and BASELINE in arms:
        contrasts.append(Contrast(NOOP, BASELINE, "noop"))
    return tuple(contrasts)


def _controls(arms: Sequence[Arm], pairs: Sequence[tuple[str, str]], reference: Arm) -> list[Contrast]:
    """Each random arm against the reference, and pairs of random arms of the same draw against each other."""
    draws = sorted((arm for arm in arms if arm.kind == "random"), key=str)
    controls = [Contrast(arm, reference, "control", (arm.value,)) for arm in draws]
    for a, b in pairs:
        for arm in draws:
            other = dataclasses.replace(arm, value=a)
            if arm.value == b and other in draws:
                controls.append(Contrast(arm, other, "control", (a, b)))
    return controls


def _doses(arms: Sequence[Arm], reference: Arm) -> list[Contrast]:
    steps = sorted((arm for arm in arms if arm.kind == "dose"), key=lambda arm: (arm.value, arm.dose))
    return [Contrast(arm, reference, "dose", (arm.value,)) for arm in steps]
