"""The arms of a patching sweep: what is done to a feature in one condition.

    baseline                   no edit; depends on the prompt alone, so it is run once a prompt (and trial)
    noop                       the same code path at the feature's own value: what patching itself does
    patch:<value>              set to that value (of a group, in delta form unless the sweep says replace)
    ablate                     set to 0
    random:<value>[:<draw>]    as patch, or ablate, but written along another feature's decoder row at equal norm
    dose:<value>:<q>           q of the way from the own value to the given one

Arms are data; these texts stand in files and flags alone.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, cast, get_args

Kind = Literal["baseline", "noop", "patch", "ablate", "random", "dose"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DOSES = (0.25, 0.5, 0.75, 1.5)
ABLATE = "ablate"


@dataclasses.dataclass(frozen=True)
class Arm:
    """One condition.

    Attributes:
        kind: see above.
        value: name of the value that features are set to; "ablate" for 0 where the kind is random.
        dose: multiple of the value, of the kind dose.
        draw: which random feature, of the kind random; None where there is one.
    """

    kind: Kind
    value: str = ""
    dose: float = 1.0
    draw: int | None = None

    def __str__(self) -> str:
        parts: list[str] = [self.kind, self.value] if self.value else [self.kind]
        if self.kind == "dose":
            parts.append(f"{self.dose:g}")
        if self.draw is not None:
            parts.append(str(self.draw))
        return ":".join(parts)

    @classmethod
    def parse(cls, text: str) -> "Arm":
        """The arm that a text stands for.

        Raises:
            ValueError: it stands for none.
        """
        kind, *rest = text.split(":")
        try:
            match kind, rest:
                case (("baseline" | "noop" | "ablate"), []):
                    return cls(cast(Kind, kind))
                case (("patch" | "random"), [value]):
                    return cls(cast(Kind, kind), value)
                case "random", [value, draw]:
                    return cls("random", value, draw=int(draw))
                case "dose", [value, dose]:
                    return cls("dose", value, float(dose))
        except ValueError:
            pass
        raise ValueError(
            f"arm: got {text!r}; needs baseline, noop, ablate, patch:<value>, random:<value>[:<draw>] or"
            " dose:<value>:<multiple>"
        )

    @property
    def of_features(self) -> bool:
        """Whether it does something to a feature, so that each has rows of its own."""
        return self.kind not in ("baseline", "noop")

    @property
    def randomised(self) -> "Arm":
        """The control of a patch or an ablation, whatever its draw; other arms are their own."""
        if self.kind in ("patch", "ablate"):
            return Arm("random", self.value or ABLATE)
        return dataclasses.replace(self, draw=None)

    def condition(self, group: str) -> str:
        """The study's name of (context, arm): safe_baseline, safe_with_risky_patch."""
        return f"{group}_with_{self.value}_patch" if self.kind == "patch" else f"{group}_{self}"


BASELINE, NOOP = Arm("baseline"), Arm("noop")


def make_arms(
    kinds: Sequence[str], values: Sequence[str], doses: Sequence[float] = DOSES, draws: int = 1
) -> tuple[Arm, ...]:
    """All arms that the kinds stand for.

    Raises:
        ValueError: an unknown kind, no arm at all, or random arms without a draw.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ValueError(f"arms: got {unknown[0]!r}; needs some of {', '.join(KINDS)}")
    if "random" in kinds and draws < 1:
        raise ValueError(f"random_draws: got {draws}; needs one or more, or arms without random")
    pushes = [*values, *([ABLATE] if "ablate" in kinds else [])]
    expanded: dict[Kind, list[Arm]] = {
        "baseline": [BASELINE],
        "noop": [NOOP],
        "patch": [Arm("patch", value) for value in values],
        "ablate": [Arm("ablate")],
        "random": [Arm("random", v, draw=draw) for v in pushes for draw in ([None] if draws == 1 else range(draws))],
        # As the text says it, so that what is read back is what was done.
        "dose": [Arm("dose", value, float(f"{dose:g}")) for value in values for dose in doses],
    }
    arms = tuple(arm for kind in KINDS if kind in kinds for arm in expanded[kind])
    if not arms:
        raise ValueError(f"arms: got none; needs some of {', '.join(KINDS)}")
    return arms
