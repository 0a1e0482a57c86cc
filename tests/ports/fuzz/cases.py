"""Valid small files of every kind that is read, each with the loader that reads it.

A case writes a folder; the files damaged are its own, one at a time, the others staying as they are.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tokenizers
from safetensors.numpy import save_file

import causeway as cw
from causeway.ports.dictionaries.circuit_tracer_write import save_circuit_tracer
from causeway.ports.models import load
from causeway.ports.models.word_tokenizer import build_word_tokenizer, save_word_tokenizer

WIDTH, FEATURES = 8, 12
LLAMA = {
    "model_type": "llama", "vocab_size": 32, "hidden_size": WIDTH, "intermediate_size": 12, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 32, "rms_norm_eps": 1e-5,
    "rope_theta": 1e4, "rope_scaling": {
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    },
    "tie_word_embeddings": False, "torch_dtype": "float32", "eos_token_id": [1, 2], "hidden_act": "silu",
}  # fmt: skip
QWEN3 = {n: v for n, v in LLAMA.items() if n != "rope_scaling"} | {
    "model_type": "qwen3", "head_dim": 4, "sliding_window": 4, "use_sliding_window": True, "max_window_layers": 1,
    "layer_types": ["full_attention", "sliding_attention"],
}  # fmt: skip
GEMMA2 = QWEN3 | {"model_type": "gemma2", "tie_word_embeddings": True, "hidden_activation": "gelu_pytorch_tanh"}
GEMMA2 = {n: v for n, v in GEMMA2.items() if n not in ("use_sliding_window", "max_window_layers", "hidden_act")}
GPT2 = {"model_type": "gpt2", "n_embd": WIDTH, "n_head": 2, "n_layer": 2, "n_positions": 32, "vocab_size": 32}
NEOX = {
    "model_type": "gpt_neox", "hidden_size": WIDTH, "num_attention_heads": 2, "num_hidden_layers": 2, "vocab_size": 32,
    "intermediate_size": 12, "max_position_embeddings": 32, "rotary_pct": 0.5, "rotary_emb_base": 10000,
}  # fmt: skip
HOOK = "blocks.1.hook_resid_post"
SAELENS = {
    "d_in": WIDTH, "d_sae": FEATURES, "dtype": "float32", "device": "cpu", "apply_b_dec_to_input": True,
    "normalize_activations": "expected_average_only_in", "reshape_activations": "none", "architecture": "jumprelu",
    "metadata": {"sae_lens_version": "6.5.0", "model_name": "m", "hook_name": HOOK, "context_size": 8},
}  # fmt: skip
OLD_SAELENS = {
    "hook_point": HOOK, "hook_point_layer": 1, "d_in": WIDTH, "d_sae": FEATURES, "activation_fn_str": "topk",
    "activation_fn_kwargs": {"k": 3}, "model_name": "gpt2", "lr": 1e-3, "seed": 42,
}  # fmt: skip
LLAMA_SCOPE = {
    "hook_point_in": HOOK, "hook_point_out": HOOK, "use_decoder_bias": True, "apply_decoder_bias_to_pre_encoder": False,
    "d_model": WIDTH, "d_sae": FEATURES, "act_fn": "jumprelu", "jump_relu_threshold": 0.75,
    "norm_activation": "dataset-wise", "dataset_average_activation_norm": {"in": 29.0, "out": 29.0},
    "sparsity_include_decoder_norm": True, "top_k": 50,
}  # fmt: skip
LLAMASCOPIUM = {
    "sae_type": "sae", "d_model": WIDTH, "expansion_factor": 1.5, "act_fn": "topk", "norm_activation": "dataset-wise",
    "top_k": 3, "hook_point_in": HOOK, "hook_point_out": HOOK,
}  # fmt: skip
GEMMA_SCOPE_2 = {
    "hf_hook_point_in": "model.layers.1.output", "hf_hook_point_out": "model.layers.1.output", "width": FEATURES,
    "model_name": "google/gemma-3-1b-pt", "architecture": "jump_relu", "l0": 20, "type": "sae",
}  # fmt: skip
SPARSIFY = {"activation": "topk", "expansion_factor": 2, "k": 3, "d_in": WIDTH, "num_latents": FEATURES}
TRAINER = {
    "dict_class": "AutoEncoderTopK", "activation_dim": WIDTH, "dict_size": FEATURES, "layer": 1, "k": 3, "lm_name": "m",
    "submodule_name": "resid_post_layer_1",
}  # fmt: skip
D, F = WIDTH, FEATURES
MATRICES = {"W_enc": (D, F), "b_enc": (F,), "W_dec": (F, D), "b_dec": (D,)}
LINEAR = {"encoder.weight": (F, D), "encoder.bias": (F,), "decoder.weight": (D, F)}
PROMPT = "game: loss $20. balance $150. round 2. 1) bet $5-$100 2) stop. choice:"


@dataclasses.dataclass(frozen=True)
class Case:
    """write: makes the folder. loader: of the worker. damaged: files to damage, as patterns (default: all)."""

    loader: str
    write: Callable[[Path], None]
    damaged: tuple[str, ...] = ("**/*",)
    torch: bool = False


def _arrays(shapes: dict, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: np.array(abs(rng.normal(size=shape)), np.float32) for name, shape in shapes.items()}


def _json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def _tensors(path: Path, shapes: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(_arrays(shapes), path)


def _torch(path: Path, shapes: dict, old: bool = False, **beside: object) -> None:
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    values = {name: torch.tensor(array) for name, array in _arrays(shapes).items()}
    torch.save(values | beside, path, _use_new_zipfile_serialization=not old)


def model(config: dict, shards: bool = False, tokenizer: bool = False):
    """A model of a family, its tensors as its own name map asks for them."""

    def write(folder: Path) -> None:
        _json(folder / "config.json", config)
        family, read = load.read_model_config(folder)
        shapes = {name: entry.shape for entry in family.name_map(read) for name in entry.names(read)}
        names = {name: f"model-{1 + i % 2}.safetensors" for i, name in enumerate(shapes)}
        for shard in sorted(set(names.values())) if shards else ():
            _tensors(folder / shard, {name: shapes[name] for name in shapes if names[name] == shard})
        if shards:
            _json(folder / "model.safetensors.index.json", {"metadata": {"total_size": 1}, "weight_map": names})
        else:
            _tensors(folder / "model.safetensors", shapes)
        if tokenizer:
            write_tokenizer(folder)

    return write


def write_tokenizer(folder: Path) -> None:
    """Words, with special tokens and settings of generation beside them."""
    save_word_tokenizer(build_word_tokenizer([PROMPT], 60), folder)
    added = {"0": {"content": "<s>", "special": True}, "1": {"content": "</s>", "special": True}}
    path = folder / "tokenizer_config.json"
    _json(path, json.loads(path.read_text()) | {"added_tokens_decoder": added, "model_max_length": 10**30})
    _json(folder / "special_tokens_map.json", {"bos_token": {"content": "<s>"}, "eos_token": "</s>"})
    _json(folder / "generation_config.json", {"eos_token_id": [1, 2], "bos_token_id": 0, "temperature": 0.6})


def _merging(folder: Path) -> None:
    """Byte pairs, as GPT-2, Llama 3 and Qwen have them."""
    folder.mkdir(parents=True)
    pieces = [*sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()), "ga", "gam", "game", "<s>"]
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE({p: i for i, p in enumerate(pieces)}, [("g", "a"), ("ga", "m"), ("gam", "e")])
    )
    made.normalizer = tokenizers.normalizers.Sequence([tokenizers.normalizers.NFC()])
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(r"\p{N}{1,3}| ?\p{L}+|\s+(?!\S)|\s+"), "isolated")
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, level])
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(["<s>"])
    made.post_processor = tokenizers.processors.Sequence([
        tokenizers.processors.ByteLevel(trim_offsets=False),
        tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", len(pieces) - 1)]),
    ])  # fmt: skip
    made.enable_truncation(8, stride=2)
    made.enable_padding(length=8)
    made.save(str(folder / "tokenizer.json"))
    _json(folder / "tokenizer_config.json", {"bos_token": "<s>", "add_bos_token": None})


def _scoring(folder: Path) -> None:
    """Pieces with scores and bytes to fall back on, as Gemma and Llama 2 have them."""
    folder.mkdir(parents=True)
    pieces = [("<unk>", 0.0), ("<s>", 0.0), *((f"<0x{i:02X}>", -9.0) for i in range(256)), ("\u2581game", -1.0)]
    made = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=0, byte_fallback=True))
    made.normalizer = tokenizers.normalizers.Sequence([
        tokenizers.normalizers.Prepend("\u2581"), tokenizers.normalizers.Replace(" ", "\u2581"),
    ])  # fmt: skip
    made.decoder = tokenizers.decoders.Sequence([
        tokenizers.decoders.Replace("\u2581", " "), tokenizers.decoders.ByteFallback(), tokenizers.decoders.Fuse(),
        tokenizers.decoders.Strip(" ", 1, 0),
    ])  # fmt: skip
    made.add_special_tokens(["<s>"])
    made.save(str(folder / "tokenizer.json"))
    _json(folder / "tokenizer_config.json", {"bos_token": "<s>", "add_bos_token": True})


def dictionary(config_name: str, config: dict, weights: str, shapes: dict, **beside: dict):
    """A configuration and a safetensors file."""

    def write(folder: Path) -> None:
        _json(folder / config_name, config)
        _tensors(folder / weights, shapes)
        for name, value in beside.items():
            _json((folder / config_name).with_name(f"{name}.json"), value)

    return write


def _gemma_scope(save: Callable):
    def write(folder: Path) -> None:
        place = folder / "gemma-scope-2b-pt-res/layer_1/width_16k/average_l0_20"
        place.mkdir(parents=True)
        save(place / "params.npz", **_arrays(MATRICES | {"threshold": (F,)}))

    return write


def _circuit_tracer(folder: Path) -> None:
    dictionary = cw.load_dictionaries("bundled:tiny/transcoders", [0])
    rows = {name: array[...][:, :F] for name, array in (("b_enc", dictionary.b_enc), ("W_dec", dictionary.W_dec))}
    small = cw.Dictionary(
        dictionary.config, W_enc=dictionary.W_enc[...][..., :F], b_dec=dictionary.b_dec[...],
        threshold=dictionary.threshold[...][:, :F], **rows,
    )  # fmt: skip
    save_circuit_tracer(folder, small, "tiny", storage="float32")


def _cross_layer(folder: Path) -> None:
    folder.mkdir(parents=True)
    hooks = "feature_input_hook: mlp.hook_in\nfeature_output_hook: hook_mlp_out\n"
    (folder / "config.yaml").write_text(f"model_kind: cross_layer_transcoder\n{hooks}")
    for layer in range(2):
        encoder = {f"W_enc_{layer}": (F, D), f"b_enc_{layer}": (F,), f"b_dec_{layer}": (D,), f"threshold_{layer}": (F,)}
        _tensors(folder / f"W_enc_{layer}.safetensors", encoder)
        _tensors(folder / f"W_dec_{layer}.safetensors", {f"W_dec_{layer}": (F, 2 - layer, D)})


def _dictionary_learning(folder: Path) -> None:
    _json(folder / "config.json", {"trainer": TRAINER, "buffer": {"ctx_len": 128}})
    import torch

    _torch(folder / "ae.pt", LINEAR | {"b_dec": (D,)}, k=torch.tensor(3))


def _openai(folder: Path) -> None:
    shapes = LINEAR | {"pre_bias": (D,), "latent_bias": (F,)}
    shapes.pop("encoder.bias")
    state = {"k": 3, "postact_fn": "ReLU"}
    _torch(folder / "resid_post_mlp/autoencoders/1.pt", shapes, activation="TopK", activation_state_dict=state)


def _goodfire(folder: Path) -> None:
    _torch(folder / "m-SAE-l1.pt", LINEAR | {"decoder.bias": (D,)}, old=True)


def _lines(*records: object):
    def write(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "prompts.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))

    return write


def _texts(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("One line.\nAnother, with caf\xe9 and \u2028.\n")
    _json(folder / "b.json", ["one", {"text": "two"}])


def _features(folder: Path) -> None:
    folder.mkdir(parents=True)
    rows = [{"layer": 1, "feature": 2, "value_safe": 1.5, "note": "x"}, {"layer": 0, "feature": 3, "value_safe": 0.5}]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"layer": [0, 0, 1], "feature": [1, 2, 3], "d": [0.5, -1.0, 2.0], "q": [0.1, 0.2, float("nan")]}
    columns |= {"n_safe": [4, 4, 4], "mean_active_safe": [1.0, float("nan"), 2.0]}
    pq.write_table(pa.table(columns), folder / "b.parquet")


SCREEN = [
    {"text": PROMPT, "group": "safe", "strata": {"round": 1}, "id": "a"},
    {"tokens": [5, 6, 7], "group": "risky", "round": 2}, {"prompt": PROMPT, "group": "risky", "round": 1},
]  # fmt: skip
ANSWERS = [{"text": " stop.", "label": "stop"}, {"text": " bet $5.", "label": "bet", "amount": 5}]
SWEEP = [{"text": PROMPT, "group": "safe", "id": 3, "answers": ANSWERS}, {"tokens": [5, 6], "group": 2}]
BEHAVIOUR = [
    {"prompt": "The cat", "correct_answer": " is", "incorrect_answer": " are", "subject": "cat", "split": "t"},
    {"prompt": "The cats", "correct_answer": " are", "incorrect_answer": " is", "roles": {"a": 1}, "group": "cat"},
]  # fmt: skip
SAE = MATRICES | {"threshold": (F,)}
CASES: dict[str, Case] = {
    "llama": Case("model", model(LLAMA)),
    "llama in shards": Case("model", model(LLAMA, shards=True), ("model*",)),
    "llama with a tokenizer": Case("model", model(LLAMA | {"vocab_size": 60}, tokenizer=True), ("*token*", "gen*")),
    "qwen3": Case("model", model(QWEN3), ("config.json",)),
    "gemma2": Case("model", model(GEMMA2), ("config.json",)),
    "gpt2": Case("model", model(GPT2), ("config.json",)),
    "gpt_neox": Case("model", model(NEOX), ("config.json",)),
    "tokenizer of words": Case("tokenizer", write_tokenizer),
    "tokenizer of byte pairs": Case("tokenizer", _merging, ("tokenizer.json",)),
    "tokenizer of scored pieces": Case("tokenizer", _scoring, ("tokenizer.json",)),
    "saelens": Case(
        "dictionaries",
        dictionary(
            "sae/cfg.json", SAELENS, "sae/sae_weights.safetensors", SAE, activation_scaler={"scaling_factor": 2}
        ),
    ),
    "old saelens": Case("dictionaries", dictionary("cfg.json", OLD_SAELENS, "sae_weights.safetensors", MATRICES)),
    "llama_scope": Case(
        "dictionaries",
        dictionary(
            "hyperparams.json", LLAMA_SCOPE, "checkpoints/final.safetensors", LINEAR | {"decoder.bias": (D,)},
            lm_config={"model_name": "m"},
        ),
    ),
    "llamascopium": Case(
        "dictionaries",
        dictionary(
            "config.json", LLAMASCOPIUM, "sae_weights.safetensors",
            {"W_E": (D, F), "b_E": (F,), "W_D": (F, D), "b_D": (D,), f"dataset_average_activation_norm.{HOOK}": ()},
        ),
    ),
    "gemma_scope": Case("dictionaries", _gemma_scope(np.savez)),
    "gemma_scope compressed": Case("dictionaries", _gemma_scope(np.savez_compressed)),
    "gemma_scope_2": Case(
        "dictionaries",
        dictionary("config.json", GEMMA_SCOPE_2, "params.safetensors", {n.lower(): s for n, s in SAE.items()}),
    ),
    "sparsify": Case(
        "dictionaries",
        dictionary(
            "layers.1/cfg.json", SPARSIFY, "layers.1/sae.safetensors",
            {"encoder.weight": (F, D), "encoder.bias": (F,), "W_dec": (F, D), "b_dec": (D,)},
        ),
    ),
    "circuit_tracer": Case("dictionaries", _circuit_tracer),
    "circuit_tracer across layers": Case("dictionaries", _cross_layer),
    "dictionary_learning": Case("dictionaries", _dictionary_learning, torch=True),
    "openai_gpt2": Case("dictionaries", _openai, torch=True),
    "goodfire": Case("dictionaries", _goodfire, torch=True),
    "prompts of screen": Case("screen", _lines(*SCREEN)),
    "prompts of patch_sweep": Case("sweep", _lines(*SWEEP)),
    "prompts of behaviours": Case("behaviours", _lines(*BEHAVIOUR)),
    "texts": Case("texts", _texts),
    "answers": Case("answers", lambda folder: _json(folder / "answers.json", ANSWERS)),
    "features": Case("features", _features),
    "features in a table": Case("features", _features, ("b.parquet",)),
}  # fmt: skip
