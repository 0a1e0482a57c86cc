"""What a stage will take, from the shapes of a model, its dictionaries and prompts; `cost_table` has the drivers.

    seconds = slowness * (fixed + host * units) + numbers / reading + operations / (share * rate)

`fixed` are the interpreter, its imports and the compilation of the driver's programs, which hardly depend on a model's
size because layers are scanned; `host` is the work around the products of each prompt or row. Both were measured as
seconds of one core on a machine where importing jax takes `IMPORT_SECONDS` of it, with no compilation cache, and are
scaled by what that takes here (`slowness`). `rate` is that of matrix products here, and `share` the part of it that
the driver reaches. Everything is seconds of one core: what else runs on a machine is not foreseen.

    forward      2 N a token of a model of N numbers without embeddings, 2 V D a position whose logits are read
    dictionary   2 M a token of dictionaries of M numbers, encoder and decoder
    adjoint      2 A a token and target row of attention's N_A value and output numbers, over half of the layers

A cost that depends on what no shape says (how many features will be active, where no quality is recorded) is unknown.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from causeway.engine.model.buckets import bucket_width

# Of one core on the machine where the figures below were measured.
IMPORT_SECONDS = 0.52


class Unknown(ValueError):
    """A cost that cannot be told before the stage is run; says why."""


@dataclasses.dataclass(frozen=True)
class ModelShape:
    """A model.

    Attributes:
        numbers: of all parameters. logit_numbers: V D, of the unembedding. embedding_numbers: of embeddings and
            unembedding, the same array counted once. attention_numbers: of value and output matrices. layers, width,
            heads: L, D and H. neurons: of all layers. context: tokens.
        reading: numbers read a second from its files.
    """

    numbers: int
    logit_numbers: int
    embedding_numbers: int
    attention_numbers: int
    layers: int
    width: int
    heads: int
    neurons: int
    context: int
    reading: float


@dataclasses.dataclass(frozen=True)
class DictionaryShape:
    """Dictionaries: numbers of all, features of each, layers that have one, and features active a token over all of
    them, None where that is not recorded."""

    numbers: int
    features: int
    layers: int
    active: float | None


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known of a stage before it runs; None is unknown.

    Attributes:
        values: of all flags. lengths: tokens of each prompt. sets: of prompts, a behaviour's split each. model,
            dictionaries: their shapes. directions, neurons: how many are looked at. patched: features that are set, or
            followed. responses: texts that are read. Of what earlier stages choose these are the most there can be.
    """

    values: Mapping[str, Any]
    lengths: Sequence[int] | None = None
    sets: int = 1
    model: ModelShape | None = None
    dictionaries: DictionaryShape | None = None
    directions: int | None = None
    neurons: int | None = None
    patched: int | None = None
    responses: int | None = None

    def prompts(self) -> Sequence[int]:
        """Tokens of each prompt; raises Unknown."""
        if self.lengths is None:
            raise Unknown("its prompts are not known before the stages it takes are run")
        return self.lengths

    def shape(self) -> ModelShape:
        """The model's; raises Unknown."""
        if self.model is None:
            raise Unknown("the model's configuration is not here")
        return self.model

    def features(self) -> DictionaryShape:
        """The dictionaries'; raises Unknown."""
        if self.dictionaries is None:
            raise Unknown("the dictionaries are not here")
        return self.dictionaries

    def counted(self, name: str) -> int:
        """Directions, neurons, patched features or responses; raises Unknown."""
        found = getattr(self, name)
        if found is None:
            told = "features" if name == "patched" else name
            raise Unknown(f"how many {told} there will be is not known before the stages it takes are run")
        return found

    def active(self) -> float:
        """Features active a token, over all layers; raises Unknown."""
        if (active := self.features().active) is None:
            raise Unknown("how many features will be active is not recorded beside the dictionaries")
        return active

    def width(self, length: int) -> int:
        """Tokens that a prompt is padded to."""
        return bucket_width(length, self.shape().context)

    def forward(self, tokens: float, read: float) -> float:
        """Operations of passes over so many tokens, the logits of so many positions read."""
        shape = self.shape()
        return 2.0 * (shape.numbers - shape.embedding_numbers) * tokens + 2.0 * shape.logit_numbers * read

    def weight_bytes(self) -> float:
        """Of model and dictionaries in memory."""
        storage = str(self.values.get("storage"))
        each = {"float32": 4, "float64": 8, "int8": 1}.get(storage, 2)
        # Dictionaries are not brought to 8 bits.
        dictionaries = (self.dictionaries.numbers if self.dictionaries else 0) * (4 if storage == "int8" else each)
        return self.shape().numbers * each + dictionaries


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a stage takes: seconds of one core of the reference machine around the products, bytes of memory and of
    files, operations of products, the share of their rate that is reached, whether the model's weights are read, and
    how many of the seconds compile programs, which a start that finds them kept does without."""

    seconds: float
    memory_bytes: float
    disk_bytes: float
    operations: float = 0.0
    share: float = 0.9
    loads: bool = True
    compiling: float = 0.0


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where a study will run: how much slower one core is than the reference, and its rate of matrix products."""

    slowness: float
    operations_per_second: float

    def seconds(self, cost: Cost, model: ModelShape | None) -> float:
        """Of one core, with no compilation cache."""
        reading = model.numbers / model.reading if model and cost.loads else 0.0
        return self.slowness * (cost.seconds + reading) + cost.operations / (cost.share * self.operations_per_second)


def without(facts: Facts, *names: str) -> None:
    """Refuse what is not foreseen."""
    if given := [name for name in names if facts.values[name]]:
        raise Unknown(f"what --{given[0]} takes is not known before it is run")
