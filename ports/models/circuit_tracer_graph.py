"""One attribution graph by circuit-tracer, of a random model of a shape: what the engine's graphs are held against.

circuit-tracer needs another transformers than Causeway does, so this file is a program of its own, for a Python that
has it (`python circuit_tracer_graph.py JSON`), and imports nothing of Causeway's. The object has the model's widths
(`layers d_model heads kv_heads d_ff vocab features`), `threshold` of the JumpReLU transcoders, `tokens`, `nodes`,
`repeats` and `threads`; it prints one with the least time of a graph and the number of active features.
"""

import json
import sys
import time
import types


def measured(shape: dict) -> dict[str, float]:
    """Seconds of process time on CPU, of wall time elsewhere."""
    import torch
    from circuit_tracer import attribute

    if shape["threads"]:
        torch.set_num_threads(shape["threads"])
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    now = time.process_time if device == "cpu" else time.perf_counter
    model, times = _model(shape, device), []
    # The first id stands for the special token that circuit-tracer would put there.
    prompt = torch.randint(0, shape["vocab"], (shape["tokens"],))
    for _ in range(shape["repeats"] + 1):
        start = now()
        graph = attribute(prompt, model, max_feature_nodes=shape["nodes"])
        times.append(now() - start)
    return {"seconds": min(times[1:]), "active_features": float(len(graph.active_features))}


def _model(shape: dict, device: str):
    """A model of random weights whose MLPs have transcoders."""
    import torch
    from circuit_tracer.replacement_model.replacement_model_transformerlens import TransformerLensReplacementModel
    from circuit_tracer.transcoder.activation_functions import JumpReLU
    from circuit_tracer.transcoder.single_layer_transcoder import SingleLayerTranscoder, TranscoderSet
    from transformer_lens import HookedTransformerConfig

    width, features = shape["d_model"], shape["features"]
    config = HookedTransformerConfig(
        n_layers=shape["layers"], d_model=width, n_ctx=max(64, shape["tokens"]), d_head=width // shape["heads"],
        n_heads=shape["heads"], n_key_value_heads=shape["kv_heads"], d_mlp=shape["d_ff"], d_vocab=shape["vocab"],
        act_fn="silu", normalization_type="RMS", gated_mlp=True, positional_embedding_type="rotary",
        rotary_dim=width // shape["heads"], model_name="random", device=device,
    )  # fmt: skip
    transcoders = {}
    for layer in range(shape["layers"]):
        threshold = torch.full((features,), shape["threshold"])
        one = SingleLayerTranscoder(width, features, JumpReLU(threshold), layer, dtype=torch.float32)
        torch.nn.init.normal_(one.W_enc, std=width**-0.5)
        torch.nn.init.normal_(one.W_dec, std=0.05)
        transcoders[layer] = one
    model = TransformerLensReplacementModel.from_config(
        config, TranscoderSet(transcoders, "mlp.hook_in", "mlp.hook_out")
    )
    # Token ids are taken as they are, and tokens are named by them.
    model.ensure_tokenized = lambda prompt: prompt.to(device)
    model.tokenizer = types.SimpleNamespace(decode=str, padding_side="right", vocab_size=shape["vocab"])
    return model


if __name__ == "__main__":
    print(json.dumps(measured(json.loads(sys.argv[1]))))
