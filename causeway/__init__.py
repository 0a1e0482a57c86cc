"""Causeway: causal experiments inside language models.

    import causeway as cw
    model = cw.load_model("bundled:tiny")
    saes = cw.load_dictionaries("bundled:tiny", for_model=model)
    edit = cw.FeatureEdit(layer=2, feature=121, value=14.0, scope="last_prompt")
    out = cw.generate(model, "game: loss $20. balance $150.", arms=[[], [edit]], dictionary=saes)

Names are imported when first used, so that `import causeway` (and with it every `--help`) does not wait for jax.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causeway.engine.analyses.attribute.graph import AttributionGraph, PrunedGraph
    from causeway.engine.analyses.attribute.request import attribute
    from causeway.engine.analyses.attribute.targets import Target, logit_difference
    from causeway.engine.analyses.intervene.intervene import intervene
    from causeway.engine.calls.generate import GenerateResult, generate
    from causeway.engine.calls.run import RunResult, run
    from causeway.engine.dictionary.dictionary import Dictionary
    from causeway.engine.dictionary.placement import Replicated, Sharded, Streamed
    from causeway.engine.intervention.requests import FeatureEdit, SwapEdit, Tap, VectorEdit
    from causeway.engine.intervention.taps import Record
    from causeway.engine.model.handle import Model
    from causeway.engine.outcome.divergence import Divergence, diverging_answers
    from causeway.ports.dictionaries.load import load_dictionaries, save_dictionary
    from causeway.ports.models.load import load_model

_HOME = {
    "AttributionGraph": "causeway.engine.analyses.attribute.graph",
    "Dictionary": "causeway.engine.dictionary.dictionary",
    "Divergence": "causeway.engine.outcome.divergence",
    "FeatureEdit": "causeway.engine.intervention.requests",
    "GenerateResult": "causeway.engine.calls.generate",
    "Model": "causeway.engine.model.handle",
    "PrunedGraph": "causeway.engine.analyses.attribute.graph",
    "Record": "causeway.engine.intervention.taps",
    "Replicated": "causeway.engine.dictionary.placement",
    "RunResult": "causeway.engine.calls.run",
    "Sharded": "causeway.engine.dictionary.placement",
    "Streamed": "causeway.engine.dictionary.placement",
    "SwapEdit": "causeway.engine.intervention.requests",
    "Tap": "causeway.engine.intervention.requests",
    "Target": "causeway.engine.analyses.attribute.targets",
    "VectorEdit": "causeway.engine.intervention.requests",
    "attribute": "causeway.engine.analyses.attribute.request",
    "diverging_answers": "causeway.engine.outcome.divergence",
    "generate": "causeway.engine.calls.generate",
    "intervene": "causeway.engine.analyses.intervene.intervene",
    "load_dictionaries": "causeway.ports.dictionaries.load",
    "load_model": "causeway.ports.models.load",
    "logit_difference": "causeway.engine.analyses.attribute.targets",
    "run": "causeway.engine.calls.run",
    "save_dictionary": "causeway.ports.dictionaries.load",
}

# Graphs know no file formats; these names bring the methods that write them.
_WRITE_THEMSELVES = ("AttributionGraph", "PrunedGraph", "attribute")

__all__ = [
    "AttributionGraph",
    "Dictionary",
    "Divergence",
    "FeatureEdit",
    "GenerateResult",
    "Model",
    "PrunedGraph",
    "Record",
    "Replicated",
    "RunResult",
    "Sharded",
    "Streamed",
    "SwapEdit",
    "Tap",
    "Target",
    "VectorEdit",
    "attribute",
    "diverging_answers",
    "generate",
    "intervene",
    "load_dictionaries",
    "load_model",
    "logit_difference",
    "run",
    "save_dictionary",
]


def __getattr__(name: str) -> Any:
    """Import a public name from where it is defined.

    Raises:
        AttributeError: no such public name.
    """
    if name not in _HOME:
        raise AttributeError(f"module 'causeway' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = getattr(import_module(_HOME[name]), name)
    if name in _WRITE_THEMSELVES:
        import_module("causeway.ports.graphs.graph_methods").attach()
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
