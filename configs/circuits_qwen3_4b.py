"""Circuits of Qwen3-4B: the values of the circuit pipeline's document, and the corrected ones beside them.

    causeway attribute --config=configs/circuits_qwen3_4b.py --prompts=grammar_agreement_train.jsonl --workdir=runs/g

`attribute` and `intervene` hold flags of the drivers of those names. `as_published` are the document's values where
they differ, used by `--as_published`; the docstrings of that attribution say what is wrong with it. The document draws
prompts with --seed=42.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Both sets of values, by what they decide."""
    config = ConfigDict()
    config.attribute = ConfigDict(
        {
            "model": "Qwen/Qwen3-4B",
            "dictionaries": "mwhanna/qwen3-4b-transcoders",
            "storage": "bfloat16",
            "compute": "bfloat16",
            # A graph needs every layer: an MLP without a transcoder would go unexplained.
            "layers": (),
            # Influence decides what is kept, not a size that depends on the layer's scale.
            "node_threshold": 0.8,
            "edge_threshold": 0.98,
            "max_feature_nodes": 8192,
            "max_logits": 10,
            "desired_logit_prob": 0.95,
            # Means over all prompts with zeros counted, with an interval, instead of a frequency to pass.
            "edges_per_node": 10,
            # Half of the prompts choose nodes and edges, the other half gives their means and intervals.
            "held_out": 0.5,
            "seed": 456,
        }
    )
    config.intervene = ConfigDict(
        {
            "model": "Qwen/Qwen3-4B",
            "dictionaries": "mwhanna/qwen3-4b-transcoders",
            "storage": "bfloat16",
            "compute": "bfloat16",
            "layers": (),
            "operation": ("zero", "inhibit:1", "patch"),
            "held_out": 0.5,
            "seed": 456,
        }
    )
    config.as_published = ConfigDict(
        {
            "layers": tuple(range(10, 26)),
            "prompts": 20,
            "edge_threshold": 0.01,
            "top_k": 10,
            "min_frequency": 0.2,
        }
    )
    return config
