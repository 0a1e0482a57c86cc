"""A network in which A drives B, B drives C and C drives G, by weights set by hand; and its dictionaries, one-hot.

Coordinates of the stream:

    0  A at layer 0, from the embedding        4  B at layer 1: 1.5 x the mean of A over the tokens so far (attention)
    1  D at layer 0, from the embedding        6  E at layer 1: D at the same token
    2, 3  two that drive nothing               5  C at layer 2: 2 B + `bypass` A at the same token
                                               7  G at layer 3: 0.7 C
    8 on  where features that nothing reads write

A dictionary's feature i stands for coordinate `READ[layer][i]`; the others are never active and write to 8 and on. All
is above 0, so that ReLUs are open and every effect is linear in what causes it.
"""

import jax
import jax.numpy as jnp
import numpy as np

from causeway.engine.analyses.pathways.prompts import PlacedPrompt
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.engine.model.config import ModelConfig, Numerics
from causeway.engine.model.handle import Model
from causeway.engine.model.transformer import abstract_transformer

READ = ((0, 1, 2, 3), (4, 6), (5,), (7,))
A, D, B, E, C, G = (0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (3, 0)
FEATURES, WIDTH, VOCABULARY = 200, 32, 40
CONFIG = ModelConfig(
    family="bare", num_layers=4, d_model=WIDTH, num_heads=4, num_kv_heads=4, head_dim=4, d_ff=8, vocab_size=VOCABULARY,
    max_position=32, norm="none", gated_mlp=False, activation="relu",
)  # fmt: skip


def model(bypass: float = 0.5, cut: bool = False, seed: int = 0) -> Model:
    """The network; `cut`: nothing of A and D comes through, and B and E are drawn with the tokens instead."""
    shapes = abstract_transformer(CONFIG, Numerics())
    blocks = shapes.blocks
    leaves = {
        "embedding": shapes.embedding, "qkv": blocks.attention.qkv, "output": blocks.attention.output,
        "up": blocks.mlp.up, "down": blocks.mlp.down,
    }  # fmt: skip
    w = {name: np.zeros(leaf.get_value().shape, np.float32) for name, leaf in leaves.items()}
    rng = np.random.default_rng(seed)
    w["embedding"][:, :4] = rng.lognormal(0.0, 0.7, (VOCABULARY, 4))
    if cut:
        w["embedding"][:, [4, 6]] = rng.lognormal(0.0, 0.7, (VOCABULARY, 2))
    else:
        w["qkv"][1, 0, 0, -1, 0] = w["output"][1, 0, 0, 12] = 1
        w["up"][1, 12, 0] = w["up"][1, 1, 1] = 1
        w["down"][1, 0, 4], w["down"][1, 1, 6] = 1.5, 1
        w["up"][2, 0, 1], w["down"][2, 1, 5] = 1, bypass
    w["up"][2, 4, 0], w["down"][2, 0, 5] = 1, 2
    w["up"][3, 5, 0], w["down"][3, 0, 7] = 1, 0.7
    transformer = _filled(shapes, w)
    return Model(transformer, None, "built", f"built {bypass} {cut} {seed}", prepend_bos=False)


def _filled(shapes, w):
    def fill(path, leaf):
        named = [name for name in w if f".{name}.value" in jax.tree_util.keystr(path)]
        return jnp.asarray(w[named[0]] if named else np.zeros(leaf.shape, np.float32), leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def dictionary() -> Dictionary:
    """ReLU features of all layers."""
    encoder = np.zeros((4, WIDTH, FEATURES), np.float32)
    decoder = np.zeros((4, FEATURES, WIDTH), np.float32)
    for layer, read in enumerate(READ):
        for feature in range(FEATURES):
            if feature < len(read):
                encoder[layer, read[feature], feature] = decoder[layer, feature, read[feature]] = 1
            else:
                decoder[layer, feature, 13 + feature % (WIDTH - 13)] = 1
    zeros = np.zeros((4, FEATURES), np.float32)
    config = DictionaryConfig("relu", (0, 1, 2, 3), "resid_post", 0)
    return Dictionary(
        config, W_enc=jnp.asarray(encoder), b_enc=jnp.asarray(zeros), W_dec=jnp.asarray(decoder),
        b_dec=jnp.zeros((4, WIDTH), jnp.float32),
    )  # fmt: skip


def prompts(count: int, seed: int = 0) -> tuple[PlacedPrompt, ...]:
    """Of 4 to 7 tokens."""
    rng = np.random.default_rng((seed, 1))
    rows = [tuple(map(int, rng.integers(0, VOCABULARY, rng.integers(4, 8)))) for _ in range(count)]
    return tuple(PlacedPrompt(f"prompt {n}", ids, tuple(range(len(ids)))) for n, ids in enumerate(rows))


def drives(prompt: PlacedPrompt, network: Model) -> dict[str, float]:
    """What A, summed over tokens, gives B and C, and C through B, on a prompt."""
    a = np.asarray(network.transformer.embedding[...])[list(prompt.tokens), 0]
    bypass = float(np.asarray(network.transformer.blocks.mlp.down[...])[2, 1, 5])
    return {"B": 1.5 * a.mean(), "C": 3 * a.mean() + bypass * a[-1], "C through B": 3 * a.mean(), "last": float(a[-1])}
