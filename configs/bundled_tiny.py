"""The bundled model: a LLaMA of four layers and 0.6 million parameters trained on the five synthetic tasks.

    causeway train_model --workdir=runs/tiny --out=ports/bundled/tiny --overwrite

Held-out accuracy 0.99 or better on every task; 12 minutes on one core of a shared CPU. Killed and started again with
the same command it continues. The dictionaries beside it are made by train_dictionary.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Everything the run depends on."""
    config = ConfigDict()
    config.seed = 0
    config.storage = "float16"
    config.max_vocabulary = 512
    config.model = ConfigDict(
        {
            "family": "llama",
            "num_layers": 4,
            "d_model": 128,
            "num_heads": 4,
            "num_kv_heads": 2,
            "head_dim": 32,
            "d_ff": 256,
            "max_position": 128,
            "tied_embeddings": True,
        }
    )
    config.schedule = ConfigDict({"steps": 1600, "learning_rate": 2e-3, "warmup_steps": 100, "checkpoint_every": 250})
    # Texts of like length share a bucket, so that little of a step is padding.
    config.buckets = (
        ConfigDict({"tasks": {"slot_machine": 1.0}, "rows": 16, "length": 64}),
        ConfigDict({"tasks": {"sentiment": 1.0}, "rows": 16, "length": 26}),
        ConfigDict({"tasks": {"agreement": 2.0, "capitals": 1.0, "addition": 4.0}, "rows": 64, "length": 14}),
    )
    config.prompt_weight = 0.1
    # Used instead of the buckets when the driver is given texts.
    config.text = ConfigDict({"rows": 32, "length": 128})
    return config
