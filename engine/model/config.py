"""What a decoder is, as data.

One transformer serves every family: LLaMA, Mistral, Qwen, Gemma, Phi-3, OLMo-2, GPT-2, GPT-NeoX. A family is a way of
filling in `ModelConfig` (ports read it from published configuration files). `Numerics` says in which precision weights
are stored, products are computed and sums are kept; the three are separate because a 16-bit weight multiplied in
float32 is a different experiment from a 16-bit product.
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp

from causeway.engine.scalars import integer

Precision = Literal["float32", "bfloat16", "float16", "float64"]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "float16", "float64")
Storage = Precision | Literal["int8"]
STORAGES: tuple[Storage, ...] = (*PRECISIONS, "int8")
Norm = Literal["rms", "rms_offset", "layer", "none"]
Activation = Literal["silu", "gelu", "gelu_tanh", "relu"]
Positions = Literal["rotary", "learned"]


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """How rotary frequencies are stretched beyond the context a model was trained on.

    `linear` divides every frequency by `factor`; `llama3` and `yarn` divide the low frequencies, keep the high ones and
    interpolate between: over the number of turns in the original context (Llama 3.1), or over the number of the
    frequency (YaRN). `longrope` divides each frequency by its own number.

    Attributes:
        factor: what the low frequencies are divided by.
        low_freq_factor, high_freq_factor: turns in the original context below which a frequency is divided, and above
            which it is kept (YaRN's beta_slow and beta_fast).
        original_max_position: tokens of the original context.
        attention_factor: what queries and keys are multiplied by as they turn.
        divisors: of `longrope`, one for each frequency.
        whole_steps: of `yarn`, whether the range that is interpolated is widened to whole frequencies.
    """

    kind: Literal["default", "linear", "llama3", "yarn", "longrope"] = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position: int = 8192
    attention_factor: float = 1.0
    divisors: tuple[float, ...] = ()
    whole_steps: bool = True


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Shapes and constants of a decoder; hashable, so it is part of a compiled program's key.

    The defaults are LLaMA's; what other families do otherwise:

    Attributes:
        norm: "rms"; "rms_offset" multiplies by 1 + gain (Gemma); "layer" subtracts the mean and has a bias (GPT-2);
            "none" leaves the stream as it is (compiled and toy models).
        pre_norms: whether attention and MLP read the stream through a norm (not in OLMo-2).
        post_norms: what attention and MLP write goes through a norm of its own before it is added (Gemma-2, OLMo-2).
        qk_norm: each head's queries and keys go through an RMS norm before rotation (Qwen3).
        qk_norm_joint: one such norm is over all heads together (OLMo-2).
        attention_output_bias: whether attention's output has a bias; None is as queries, keys and values (Qwen-2: no).
        local_rope_theta: base of the rotary positions of layers with a window, unstretched; 0 is that of the others
            (Gemma-3).
        positions: rotary, or a learned vector a position added to the embedding (GPT-2).
        rotary_dim: coordinates of a head that turn, the first ones; None is all, 0 none (Pythia turns a quarter).
        parallel_blocks: attention and MLP both read the block's input, so there is no resid_mid (GPT-NeoX).
        activation, gated_mlp: down(act(gate(x)) * up(x)), or down(act(up(x))).
        windows: for each layer the number of latest tokens that its attention sees, 0 for all; empty where no layer
            has a window.
        attention_softcap, logit_softcap: c of c tanh(s / c), 0 for none.
        query_scale: factor of q . k; 0 is 1 / sqrt(head_dim).
        embedding_scale: factor of token embeddings, rounded to the compute dtype (Gemma: sqrt(d_model)).
    """

    family: str
    num_layers: int
    d_model: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    d_ff: int
    vocab_size: int
    max_position: int
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling = RopeScaling()
    tied_embeddings: bool = True
    attention_bias: bool = False
    mlp_bias: bool = False
    norm: Norm = "rms"
    post_norms: bool = False
    qk_norm: bool = False
    qk_norm_joint: bool = False
    pre_norms: bool = True
    attention_output_bias: bool | None = None
    local_rope_theta: float = 0.0
    positions: Positions = "rotary"
    rotary_dim: int | None = None
    parallel_blocks: bool = False
    activation: Activation = "silu"
    gated_mlp: bool = True
    windows: tuple[int, ...] = ()
    attention_softcap: float = 0.0
    logit_softcap: float = 0.0
    query_scale: float = 0.0
    embedding_scale: float = 1.0

    def __post_init__(self):
        for name in ("num_layers", "d_model", "num_heads", "num_kv_heads", "head_dim", "d_ff", "max_position"):
            integer(getattr(self, name), f"ModelConfig.{name}", 1)
        if self.num_heads % self.num_kv_heads:
            raise ValueError(
                f"ModelConfig.num_kv_heads: {self.num_kv_heads} does not divide num_heads = {self.num_heads}; "
                "every group of query heads shares one key/value head"
            )
        if self.positions == "rotary" and self.rotary_width % 2:
            name = "head_dim" if self.rotary_dim is None else "rotary_dim"
            raise ValueError(f"ModelConfig.{name}: {self.rotary_width} is odd; rotary positions need an even width")
        if not 0 <= self.rotary_width <= self.head_dim:
            raise ValueError(f"ModelConfig.rotary_dim: got {self.rotary_dim}; needs 0..{self.head_dim} (head_dim)")
        if self.norm_eps < 0:
            raise ValueError(f"ModelConfig.norm_eps: got {self.norm_eps}; needs 0 or more, or norms are not numbers")
        if self.rope_theta <= 0:
            raise ValueError(f"ModelConfig.rope_theta: got {self.rope_theta}; needs a base above 0")
        if self.windows and len(self.windows) != self.num_layers:
            raise ValueError(
                f"ModelConfig.windows: {len(self.windows)} windows for {self.num_layers} layers; 0 is none"
            )

    @property
    def output_bias(self) -> bool:
        """Whether what attention writes has a bias."""
        return self.attention_bias if self.attention_output_bias is None else self.attention_output_bias

    @property
    def rotary_width(self) -> int:
        """Coordinates of a head that turn with position."""
        return self.head_dim if self.rotary_dim is None else self.rotary_dim

    @property
    def score_scale(self) -> float:
        """Factor of q . k in attention."""
        return self.query_scale or self.head_dim**-0.5

    @property
    def unformed_streams(self) -> tuple[str, ...]:
        """Streams that this decoder does not have under this name."""
        return (*(("resid_mid",) if self.parallel_blocks else ()), *self._doubled)

    def own_name(self, stream: str) -> str:
        """The stream's name in this decoder: without a norm after it, what attention or MLP writes is what it adds."""
        return self._doubled.get(stream, stream)

    def width(self, stream: str) -> int:
        """Numbers a position in a stream of one vector a position; heads lie side by side."""
        if stream == "logits":
            return self.vocab_size
        count, width = self.units(stream)
        return count * width

    def units(self, stream: str) -> tuple[int, int]:
        """Units of a stream and the numbers of each: heads or neurons; other streams are one unit."""
        heads, groups = (self.num_heads, self.head_dim), (self.num_kv_heads, self.head_dim)
        found = {"mlp_act": (self.d_ff, 1), "head_out": heads, "query": heads, "key": groups, "value": groups}
        return found.get(stream, (1, self.d_model))

    @property
    def _doubled(self) -> dict[str, str]:
        return {} if self.post_norms else {"attn_raw": "attn_out", "mlp_raw": "mlp_out"}


@dataclasses.dataclass(frozen=True)
class Numerics:
    """Storage, compute and accumulation dtypes.

    storage: dtype of weights in memory; int8 keeps those of products in 8 bits, with a scale an output channel
    (`quantised`), and others in float32. compute: dtype of the operands of matrix products and of the residual stream.
    accumulate: dtype of norms, softmax, logits and of the sums inside products. version: of how a pass is computed,
    counted up where its last bits change; it is in the plan of every sweep. in_parts: whether products of float32 with
    weights of bfloat16 are three of 16 bits (`exact_parts`).
    """

    storage: Storage = "float32"
    compute: Precision = "float32"
    accumulate: Precision = "float32"
    version: int = dataclasses.field(default=4, init=False)
    in_parts: bool = False

    @property
    def dtypes(self) -> dict[str, Storage]:
        """The three by name."""
        return {"storage": self.storage, "compute": self.compute, "accumulate": self.accumulate}

    @property
    def storage_dtype(self) -> jnp.dtype:
        """Of the weights that are kept as floats."""
        return jnp.dtype("float32" if self.storage == "int8" else self.storage)

    @property
    def compute_dtype(self) -> jnp.dtype:
        """`compute` as a numpy dtype."""
        return jnp.dtype(self.compute)

    @property
    def accumulate_dtype(self) -> jnp.dtype:
        """`accumulate` as a numpy dtype."""
        return jnp.dtype(self.accumulate)

    @property
    def product_dtype(self) -> jnp.dtype:
        """The dtype that products with weights are asked for in.

        Every backend sums 16-bit operands in float32 and rounds once, so their products come in 16 bits: asked for in
        float32, a GPU would write them so and have another kernel read and round them.
        """
        narrow = self.compute_dtype.itemsize == 2 and self.accumulate_dtype == jnp.float32
        return self.compute_dtype if narrow else self.accumulate_dtype
