"""What `second_order` says of the scores in its workdir, so that the same are asked for again."""

import dataclasses
from pathlib import Path

from causeway.engine import scalars
from causeway.ports.files.json_text import parse_json
from causeway.ports.files.text_files import CONFIG_BYTES, read_text

ABOUT = "second_order.json"
# Where scores are along no folder's directions but the difference of each prompt's answers.
ANSWERS = "answers"


@dataclasses.dataclass(frozen=True)
class Scored:
    """Of what scores are.

    Attributes:
        layers: whose neurons. orders: most attentions passed.
        directions: the folder that they were read from; None where scores are along the difference of answers.
    """

    layers: tuple[int, ...]
    orders: int
    directions: str | None


def read_scored(workdir: Path | str) -> Scored:
    """Of what a finished workdir's scores are.

    Raises:
        FileNotFoundError: there are no finished scores.
        ValueError: a damaged file, or one of something else.
    """
    path, advice = Path(workdir) / ABOUT, "give the workdir of a finished `second_order`"
    content = parse_json(read_text(path, CONFIG_BYTES, missing=advice), str(path))
    try:
        layers, orders, source = content["layers"], content["orders"], content["direction_source"]
    except (TypeError, KeyError):
        raise ValueError(f"{path}: does not say what the scores are of; {advice}") from None
    return Scored(
        tuple(scalars.integers(layers, f"{path}: layers").tolist()), scalars.integer(orders, f"{path}: orders"),
        None if source == ANSWERS else scalars.text(source, f"{path}: direction_source"),
    )  # fmt: skip
