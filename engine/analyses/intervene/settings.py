"""What a sweep does to each prompt."""

import dataclasses
import math

from causeway.engine import scalars
from causeway.engine.analyses.intervene.sets import KINDS, Kind, Place
from causeway.engine.intervention import operations
from causeway.engine.intervention.hold import NAMED, Name
from causeway.engine.stats.splits import check_share

OPERATIONS = (*operations.OPERATIONS, "patch")


@dataclasses.dataclass(frozen=True)
class InterventionSettings:
    """What is done to each prompt.

    Attributes:
        operations: names with their values: those of `FeatureEdit`, and patch. holds: what is held, a name of
            `intervention.hold`.
        features: chosen ones; () takes the `max_features` strongest of each prompt's graph. kinds: see `sets`.
        held_out: share of a behaviour's prompts on which features are changed that the others' graphs choose; 0
            changes each prompt's own strongest. seed: of which prompts are held out.
        node_threshold, edge_threshold: of the pruning that makes a circuit. rows: width of a batch, per
            device; None by the prompt's length.

    Raises:
        ValueError: an unknown operation, hold or kind, or none; a value that is not finite.
    """

    operations: tuple[tuple[str, float], ...] = (("zero", 0.0),)
    holds: Name = "open"
    features: tuple[Place, ...] = ()
    max_features: int = 200
    kinds: tuple[Kind, ...] = ("single",)
    node_threshold: float = 0.8
    edge_threshold: float = 0.98
    rows: int | None = None
    held_out: float = 0.0
    seed: int = 0

    def __post_init__(self):
        for name, given, known in (
            ("operation", [operation for operation, _ in self.operations], OPERATIONS),
            ("holds", [self.holds], tuple(NAMED)),
            ("kinds", self.kinds, KINDS),
        ):
            if not given or (unknown := [one for one in given if one not in known]):
                raise ValueError(f"{name}: got {unknown[0] if given else 'none'}; needs some of {', '.join(known)}")
        given = [value for _, value in self.operations] + [p.value for p in self.features if p.value is not None]
        if bad := [value for value in given if not math.isfinite(value)]:
            raise ValueError(f"operation: got the value {bad[0]}; needs a finite number")
        check_share(self.held_out)
        scalars.seed(self.seed)
        for name in ("max_features", "rows"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name}: got {value}; needs 1 or more")

    @property
    def needs_graphs(self) -> bool:
        """Whether anything is taken from graphs."""
        return not self.features or bool({"circuit", "complement"} & set(self.kinds))

    @property
    def chooses(self) -> bool:
        """Whether some prompts choose the features that are changed on others."""
        return bool(self.held_out) and not self.features

    @property
    def patches(self) -> bool:
        """Whether prompts need partners."""
        return any(operation == "patch" for operation, _ in self.operations)
