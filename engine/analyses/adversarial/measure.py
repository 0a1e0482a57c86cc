"""What prompts do on a direction, and what the model answers to them.

    projection    <stream at the prompt's output position, direction>; without a direction the margin
    margin        log P(right answer | prompt) - log P(wrong answer | prompt), nats: above 0 where the model is right

Shapes: N prompts, D model. Cost: one forward pass a prompt for each of the two.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.analyses.evaluate.teacher_forcing import answer_log_probabilities
from causeway.engine.analyses.represent.represent import no_folder
from causeway.engine.analyses.represent.streams import output_position, read_streams
from causeway.engine.devices import RowParallel
from causeway.engine.directions import Directions
from causeway.engine.intervention.sites import Place
from causeway.engine.model.handle import Model
from causeway.engine.reading.job import Kept
from causeway.engine.reading.passes import ROWS
from causeway.engine.tokenized_prompt import TokenizedPrompt

ANSWERS = "answers"


@dataclasses.dataclass(frozen=True)
class Gauge:
    """Reads prompts.

    Attributes:
        model: loaded. directions: one of which is pushed; None: each prompt's margin is.
        along: the name of that one, None for the first.
        position: where prompts are read, as `represent` has it.
        batch_rows, parallel, kept: of `reading`; kept gives where one reading, by its name, is kept.

    Raises:
        ValueError: directions of another model, or none of that name.
    """

    model: Model
    directions: Directions | None = None
    along: str | None = None
    position: str = "last"
    batch_rows: int = ROWS
    parallel: RowParallel | None = None
    kept: Callable[[str], Kept | None] = no_folder

    def __post_init__(self):
        if self.directions is not None:
            self.directions.check_of_model(self.model)
        names = () if self.directions is None else self.directions.names
        if self.along is not None and self.along not in names:
            needs = f"one of {', '.join(names)}" if names else "directions beside it"
            raise ValueError(f"along: got {scalars.shown(self.along)}; needs {needs}")

    @property
    def name(self) -> str:
        """Of what is pushed."""
        return ANSWERS if self.directions is None else self.along or self.directions.names[0]

    def projections(self, prompts: Sequence[TokenizedPrompt], name: str) -> Float[np.ndarray, " N"]:
        """Of each prompt on the direction.

        Args:
            name: of the reading.

        Raises:
            NotFiniteError: a pass is not all numbers.
        """
        if self.directions is None:
            return self.margins(prompts, name)
        vector = self.directions.vectors[self.directions.names.index(self.name)].astype(np.float64)
        places = [output_position(self.model, prompt, self.position) for prompt in prompts]
        stream = Place(self.directions.stream, self.directions.layer)
        found = read_streams(
            self.model.transformer, prompts, places, stream, batch_rows=self.batch_rows, parallel=self.parallel,
            kept=self.kept(f"{name}-streams"),
        )  # fmt: skip
        return found.astype(np.float64) @ vector

    def margins(self, prompts: Sequence[TokenizedPrompt], name: str) -> Float[np.ndarray, " N"]:
        """Of each prompt's answers.

        Args:
            name: of the reading.

        Raises:
            NotFiniteError: a log probability is not a number.
        """
        found = answer_log_probabilities(
            self.model.transformer, prompts, rows=self.batch_rows, parallel=self.parallel, kept=self.kept(name)
        )
        return found[:, 0] - found[:, 1]


def spread(values: Sequence[float] | Float[np.ndarray, " n"], there: Sequence[Sequence[bool]]) -> np.ndarray:
    """Values of the cells that are there, row after row, as a table [rows, columns] with NaN elsewhere."""
    table = np.full(np.shape(there), np.nan)
    table[np.asarray(there, bool)] = np.asarray(values, np.float64)
    return table
