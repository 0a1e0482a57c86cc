"""`cw.direct_logit_attribution`: how much each head, MLP and neuron writes straight into a logit difference.

The last stream is a sum of what everything wrote, and with the final norm's denominator as it is a logit difference is
linear in it:

    w . final_norm(x_L) = w . b + sum_c <g, c>        c: embedding, heads, attention biases, MLPs; g = dw . norm / dx

Parts sum to the difference exactly. What attention and MLPs did on the way is no part of it (`attribute` splits that).
Families that cap their logits are read before the cap.

Cost: one pass and its adjoint (`frozen.gradients`, "direct"). Source: Elhage et al. 2021, "A Mathematical Framework for
Transformer Circuits".
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.analyses.attribute.targets import Wanted, one_target, unembedding_vector
from causeway.engine.frozen.gradients import Aim, gradients
from causeway.engine.model.handle import Model, Prompt, check_model

_STREAMS = ("resid_pre", "head_out", "attn_out", "mlp_act", "mlp_out", "final_norm")


@dataclasses.dataclass(frozen=True)
class DirectLogitAttribution:
    """Parts of a target, which sum to `total`: embedding + heads + attention biases + MLPs + norm bias.

    Attributes:
        total: the target at the token: a difference of logits, or a logit less the mean logit.
        embedding: of the token, with its position where positions are learned.
        heads: [L, H].
        attention_bias: of each attention's output [L]; 0 where the family has none.
        mlp: [L].
        neurons: [L, N]; a layer's sum and the bias of its output make `mlp`.
        norm_bias: of the final norm.
    """

    total: float
    embedding: float
    heads: Float[np.ndarray, "L H"]
    attention_bias: Float[np.ndarray, " L"]
    mlp: Float[np.ndarray, " L"]
    neurons: Float[np.ndarray, "L N"]
    norm_bias: float

    @property
    def attention(self) -> Float[np.ndarray, " L"]:
        """What each layer's attention writes [L]."""
        return self.heads.sum(axis=1) + self.attention_bias

    def __repr__(self) -> str:
        layer, head = np.unravel_index(np.abs(self.heads).argmax(), self.heads.shape)
        return (
            f"DirectLogitAttribution(total {self.total:.3f}: embedding {self.embedding:.3f}, attention "
            f"{self.attention.sum():.3f}, MLPs {self.mlp.sum():.3f}; most of a head: layer {layer} head {head} "
            f"{self.heads[layer, head]:+.3f})"
        )


def direct_logit_attribution(
    model: Model, prompt: Prompt, target: Wanted, *, position: int = -1
) -> DirectLogitAttribution:
    """Split a logit difference into what every head, MLP and neuron writes into it directly.

    Args:
        model: a loaded model.
        prompt: text or token ids.
        target: `logit_difference(...)`, another `Target`, or a token by id or text (its logit less the mean one).
        position: of the token whose next token it is; negative ones count from the end.

    Raises:
        ValueError: no such token, or a position outside of the prompt.
    """
    check_model(model)
    ids = model.tokens(prompt)
    vector = unembedding_vector(model, one_target(model, prompt, target))
    at = scalars.layer(position, len(ids), "position")
    found = gradients(model.transformer, ids, Aim(0, at, jnp.asarray(vector), "final_norm"), _STREAMS, "direct")

    def parts(stream: str) -> np.ndarray:
        wide = np.float64(found.values[stream][:, at]) * found.gradients[stream][:, at]
        return wide.sum(axis=-1) if stream != "mlp_act" else wide

    heads, attention, mlp, embedding = (parts(s) for s in ("head_out", "attn_out", "mlp_out", "resid_pre"))
    bias = getattr(model.transformer.final_norm, "bias", None)
    norm_bias = 0.0 if bias is None else float(np.float64(vector) @ np.asarray(bias[...], np.float64))
    return DirectLogitAttribution(
        found.value, float(embedding[0]), heads, attention - heads.sum(axis=1), mlp, parts("mlp_act"), norm_bias
    )
