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
    from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan as AttributionPlan
    from causeway.engine.analyses.attribute.graph import AttributionGraph as AttributionGraph
    from causeway.engine.analyses.attribute.graph import PrunedGraph as PrunedGraph
    from causeway.engine.analyses.attribute.request import attribute as attribute
    from causeway.engine.analyses.attribute.targets import Target as Target
    from causeway.engine.analyses.attribute.targets import logit_difference as logit_difference
    from causeway.engine.analyses.direction.request import direction as direction
