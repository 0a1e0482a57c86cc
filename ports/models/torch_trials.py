"""Patched, recorded rollouts as they are done with transformers and forward hooks: what the engine's are held against.

A trial generates tokens after a prompt. At every pass a hook on each block encodes the stream of the last position with
that block's JumpReLU dictionary and keeps all activations; in the middle block it first sets one feature, in delta
form. One at a time is the usual way: the prompt runs anew for each feature. Batched, each row sets another feature.
Weights are random.
"""

import time

import numpy as np

from causeway.engine.model.config import ModelConfig


class HookedTrials:
    """A LLaMA of a shape with a dictionary a block, its hooks in place.

    Args:
        config: of the model. features: of each dictionary. prompt, tokens: of a trial. threads: of torch; 0 leaves its
            own number.
    """

    def __init__(self, config: ModelConfig, features: int, prompt: int, tokens: int, threads: int):
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        if threads:
            torch.set_num_threads(threads)
        self.torch, self.device = torch, "cuda" if torch.cuda.is_available() else "cpu"
        self.tokens, self.prompt = tokens, np.random.default_rng(0).integers(0, config.vocab_size, prompt)
        shape = LlamaConfig(
            vocab_size=config.vocab_size, hidden_size=config.d_model, intermediate_size=config.d_ff,
            num_hidden_layers=config.num_layers, num_attention_heads=config.num_heads,
            num_key_value_heads=config.num_kv_heads, max_position_embeddings=config.max_position,
        )  # fmt: skip
        self.model = LlamaForCausalLM(shape).eval().to(self.device)
        wide = (config.num_layers, config.d_model, features)
        self.encoder = 0.05 * torch.randn(wide, device=self.device)
        self.decoder = 0.05 * torch.randn((wide[0], features, config.d_model), device=self.device)
        self.recorded: list[list[np.ndarray]] = [[] for _ in range(config.num_layers)]
        self.features, self.middle = self._ids(1), config.num_layers // 2
        for index, block in enumerate(self.model.model.layers):
            block.register_forward_hook(lambda _, __, out, index=index: self._hook(index, out))

    def rate(self, width: int, repeats: int) -> float:
        """Trials a second of process time on CPU, of wall time elsewhere, in batches of `width` rows."""
        now = time.process_time if self.device == "cpu" else time.perf_counter
        self._batch(width)
        count, start = 0, now()
        while count < repeats * width:
            self._batch(width)
            count += width
        return count / (now() - start)

    def _ids(self, width: int):
        return self.torch.arange(width, device=self.device) % self.encoder.shape[2]

    def _batch(self, width: int) -> None:
        """One batch of trials, records on the host."""
        self.features = self._ids(width)
        for kept in self.recorded:
            kept.clear()
        tokens = self.torch.tensor(np.tile(self.prompt, (width, 1)), device=self.device)
        with self.torch.no_grad():
            self.model.generate(
                tokens, attention_mask=self.torch.ones_like(tokens), do_sample=True, temperature=0.7, top_p=0.9,
                max_new_tokens=self.tokens, min_new_tokens=self.tokens, pad_token_id=0,
            )  # fmt: skip

    def _hook(self, index: int, out):
        """Set the feature at the last position, and record."""
        hidden = out[0] if isinstance(out, tuple) else out
        x = hidden[:, -1]
        if index == self.middle:
            columns = self.encoder[index][:, self.features]
            f = self._activation((x * columns.T).sum(-1))
            x = x + (8.0 - f)[:, None] * self.decoder[index][self.features]
            hidden[:, -1] = x
        self.recorded[index].append(self._activation(x @ self.encoder[index]).cpu().numpy())
        return out

    @staticmethod
    def _activation(p):
        return p * (p > 0.01)
