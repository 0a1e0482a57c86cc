"""Causeway: causal experiments inside language models.

    import causeway as cw
    model = cw.load_model("bundled:tiny")
    saes = cw.load_dictionaries("bundled:tiny", for_model=model)
    edit = cw.FeatureEdit(layer=2, feature=121, value=14.0, scope="last_prompt")
    out = cw.generate(model, "game: loss $20. balance $150.", dictionary=saes, arms=[[], [edit]])

Names are imported when first used, so that `import causeway` (and with it every `--help`) does not wait for jax.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # What is public: one line a name, read by type checkers as it stands and below as text.
    from causeway.drivers.stages.study import study as study
    from causeway.engine.analyses.ablate.request import Ablated as Ablated
    from causeway.engine.analyses.ablate.request import ablate as ablate
    from causeway.engine.analyses.adversarial.adversarial import Adversarial as Adversarial
    from causeway.engine.analyses.adversarial.request import adversarial as adversarial
    from causeway.engine.analyses.adversarial.request import adversarial_words as adversarial_words
    from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan as AttributionPlan
    from causeway.engine.analyses.attribute.graph import AttributionGraph as AttributionGraph
    from causeway.engine.analyses.attribute.graph import PrunedGraph as PrunedGraph
    from causeway.engine.analyses.attribute.request import attribute as attribute
    from causeway.engine.analyses.attribute.targets import Target as Target
    from causeway.engine.analyses.attribute.targets import logit_difference as logit_difference
    from causeway.engine.analyses.audit.audit import Validation as Validation
    from causeway.engine.analyses.audit.audit import audit as audit
    from causeway.engine.analyses.components.request import FoundComponents as FoundComponents
    from causeway.engine.analyses.components.request import components as components
    from causeway.engine.analyses.contexts.request import FoundContexts as FoundContexts
    from causeway.engine.analyses.contexts.request import contexts as contexts
    from causeway.engine.analyses.decompose.decompose import Decomposition as Decomposition
    from causeway.engine.analyses.decompose.lexicon import Lexicon as Lexicon
    from causeway.engine.analyses.decompose.rationales import words_of_texts as words_of_texts
    from causeway.engine.analyses.decompose.request import decompose as decompose
    from causeway.engine.analyses.decompose.request import lexicon as lexicon
    from causeway.engine.analyses.direction.request import direction as direction
    from causeway.engine.analyses.edit.edit_results import EditResults as EditResults
    from causeway.engine.analyses.edit.request import edit as edit
    from causeway.engine.analyses.errors.errors import Errors as Errors
    from causeway.engine.analyses.errors.request import errors as errors
    from causeway.engine.analyses.evaluate.request import evaluate as evaluate
    from causeway.engine.analyses.features.request import features as features
    from causeway.engine.analyses.integrate.integrate import Integrated as Integrated
    from causeway.engine.analyses.integrate.request import integrate as integrate
    from causeway.engine.analyses.intervene.intervene import Intervened as Intervened
    from causeway.engine.analyses.intervene.intervene import intervene as intervene
    from causeway.engine.analyses.lens.activation_patching import PatchingTable as PatchingTable
    from causeway.engine.analyses.lens.activation_patching import activation_patching as activation_patching
    from causeway.engine.analyses.lens.effects import Effects as Effects
    from causeway.engine.analyses.lens.effects import effects as effects
    from causeway.engine.analyses.lens.logit_attribution import DirectLogitAttribution as DirectLogitAttribution
    from causeway.engine.analyses.lens.logit_attribution import direct_logit_attribution as direct_logit_attribution
    from causeway.engine.analyses.lens.logit_lens import LogitLens as LogitLens
    from causeway.engine.analyses.lens.logit_lens import logit_lens as logit_lens
    from causeway.engine.analyses.patch_sweep.request import patch_sweep as patch_sweep
    from causeway.engine.analyses.pathways.pathways import Pathways as Pathways
    from causeway.engine.analyses.pathways.request import pathways as pathways
    from causeway.engine.analyses.polysemanticity.request import Polysemanticity as Polysemanticity
    from causeway.engine.analyses.polysemanticity.request import polysemanticity as polysemanticity
    from causeway.engine.analyses.rank.rank import Ranking as Ranking
    from causeway.engine.analyses.rank.request import rank as rank
    from causeway.engine.analyses.replay.request import replay as replay
    from causeway.engine.analyses.replay.run import Replayed as Replayed
    from causeway.engine.analyses.represent.request import represent as represent
    from causeway.engine.analyses.screen.request import screen as screen
    from causeway.engine.analyses.second_order.request import SecondOrder as SecondOrder
    from causeway.engine.analyses.second_order.request import second_order as second_order
    from causeway.engine.analyses.select.request import Selected as Selected
    from causeway.engine.analyses.select.request import select as select
    from causeway.engine.analyses.tokens.request import tokens as tokens
    from causeway.engine.analyses.tokens.tokens import TokenEffects as TokenEffects
    from causeway.engine.calls.chat import Conversation as Conversation
    from causeway.engine.calls.chat import chat as chat
    from causeway.engine.calls.generate import GenerateResult as GenerateResult
    from causeway.engine.calls.generate import GenerateResults as GenerateResults
    from causeway.engine.calls.generate import generate as generate
    from causeway.engine.calls.pullback import Cotangent as Cotangent
    from causeway.engine.calls.pullback import PullbackResult as PullbackResult
    from causeway.engine.calls.pullback import pullback as pullback
    from causeway.engine.calls.run import run as run
    from causeway.engine.calls.run_result import RunResult as RunResult
    from causeway.engine.compilation_cache import keep_compiled_programs as keep_compiled_programs
    from causeway.engine.components import Components as Components
    from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder as CrossLayerTranscoder
    from causeway.engine.dictionary.dictionary import Dictionary as Dictionary
    from causeway.engine.dictionary.placement import Replicated as Replicated
    from causeway.engine.dictionary.placement import Sharded as Sharded
    from causeway.engine.dictionary.placement import Streamed as Streamed
    from causeway.engine.directions import Directions as Directions
    from causeway.engine.earlier_results import EarlierResults as EarlierResults
    from causeway.engine.intervention.hold import Hold as Hold
    from causeway.engine.intervention.requests import FeatureEdit as FeatureEdit
    from causeway.engine.intervention.requests import PatternEdit as PatternEdit
    from causeway.engine.intervention.requests import SwapEdit as SwapEdit
    from causeway.engine.intervention.requests import UnitEdit as UnitEdit
    from causeway.engine.intervention.requests import VectorEdit as VectorEdit
    from causeway.engine.intervention.tap_requests import Tap as Tap
    from causeway.engine.intervention.taps import Record as Record
    from causeway.engine.mesh import make_mesh as make_mesh
    from causeway.engine.model.handle import Model as Model
    from causeway.engine.model.rollouts import Generation as Generation
    from causeway.engine.neurons import Neurons as Neurons
    from causeway.engine.outcome.divergence import Divergence as Divergence
    from causeway.engine.outcome.divergence import diverging_answers as diverging_answers
    from causeway.engine.representations import Representations as Representations
    from causeway.ports.dictionaries.load import load_dictionaries as load_dictionaries
    from causeway.ports.dictionaries.load import save_dictionary as save_dictionary
    from causeway.ports.graphs.graph_json import GraphDocument as GraphDocument
    from causeway.ports.graphs.graph_json import load_graph as load_graph
    from causeway.ports.graphs.save import save_graph as save_graph
    from causeway.ports.lexicons.lexicon_files import lexicon_words as lexicon_words
    from causeway.ports.models.load import load_model as load_model
    from causeway.ports.models.published_write import save_model as save_model
    from causeway.ports.results.heat_map import save_heat_map as save_heat_map
    from causeway.ports.results.record_files import save_records as save_records
    from causeway.ports.results.study_files import read_earlier as read_earlier


def _homes() -> dict[str, str]:
    """The module of each public name."""
    import re
    from pathlib import Path

    found = re.findall(r"^    from (causeway\.\S+) import \w+ as (\w+)$", Path(__file__).read_text(), re.MULTILINE)
    return {name: module for module, name in found}


_HOMES = _homes()
__all__ = sorted(_HOMES)


if not TYPE_CHECKING:  # a checker knows the names above, and finds misspelled ones

    def __getattr__(name: str) -> object:
        """Import a public name from where it is defined.

        Raises:
            AttributeError: no such public name.
        """
        if name not in _HOMES:
            raise AttributeError(f"module 'causeway' has no attribute {name!r}; it offers {', '.join(__all__)}")
        from importlib import import_module

        globals()[name] = value = getattr(import_module(_HOMES[name]), name)
        return value


def __dir__() -> list[str]:
    return list(__all__)
