"""Whether text begins with the begin-of-sequence token: as a model is run, and as its dictionaries were trained.

Features at and near the first token differ much with and without it, so a dictionary trained the other way than the
model is run gives other numbers than its publisher's, and nothing else tells.
"""

import warnings
from collections.abc import Sequence

from causeway.engine.model.handle import Model
from causeway.ports.dictionaries.source import DictionarySource


def trained_with_bos(source: DictionarySource) -> bool | None:
    """What a dictionary's own files say; None where they do not."""
    said = source.card.get("prepend_bos")
    return said if isinstance(said, bool) else None


def warn_of_bos(sources: Sequence[DictionarySource], model: Model) -> None:
    """Warn, in one line, where dictionaries were trained the other way than the model's text is run."""
    other = next((s for s in sources if trained_with_bos(s) not in (None, model.prepend_bos)), None)
    if other is None or model.tokenizer is None:
        return
    trained, runs = ("with", "without") if trained_with_bos(other) else ("without", "with")
    do = f"--bos={'no' if model.prepend_bos else 'yes'} (prepend_bos={not model.prepend_bos}) runs text as it was"
    if model.tokenizer.bos_id is None:
        do = "its tokenizer has none, so give token ids that begin as it was trained"
    warnings.warn(
        f"{other.where}: trained on text {trained} a begin-of-sequence token, but {model.name} is run {runs} it; {do}",
        stacklevel=3,
    )
