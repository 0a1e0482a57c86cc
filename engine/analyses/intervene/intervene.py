"""Interventions on features of one prompt under one list; `clean_run` has thousands of lists.

Feature activations under an intervention are encoded from the changed streams when they are asked for: L T F numbers.
A feature that was set shows what its encoder reads at its place, not the value it was set to: with SAEs, the stream
before their own features write to it.

Source: the semantics of circuit-tracer's `feature_intervention` (Hanna et al.), of which this is an independent
implementation; there, one call runs one list and repeats the clean pass.
"""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.analyses.intervene.clean_run import CleanRun, check_transcoders, checked_batches, encoded
from causeway.engine.analyses.intervene.intervention_rows import AnyIntervention, listed_edits, written_rows
from causeway.engine.calls.argument_order import in_order
from causeway.engine.frozen.sources import Transcoders, of_model
from causeway.engine.intervention.hold import FEATURES, AnyHolds, HeldLayers, Hold, Name
from causeway.engine.intervention.named import named_holds
from causeway.engine.model.handle import Model, check_model


@dataclasses.dataclass(frozen=True)
class Intervened:
    """One prompt under one intervention list.

    Attributes:
        logits: [T, V].
        clean_logits: without the intervention, [T, V].
        layers: of the transcoders, ascending; of a whole set 0..L-1.
        streams: what they read, [L, T, D].
        transcoders: what encodes them.
    """

    logits: Float[np.ndarray, "T V"]
    clean_logits: Float[np.ndarray, "T V"]
    layers: tuple[int, ...]
    streams: Float[np.ndarray, "L T D"]
    transcoders: Transcoders = dataclasses.field(repr=False)

    def __repr__(self) -> str:
        length, vocabulary = self.logits.shape
        return f"Intervened({length} tokens, logits [{length}, {vocabulary}]; activations of layers {self.layers})"

    @functools.cached_property
    def activations(self) -> Float[np.ndarray, "L T F"]:
        """All feature activations, a row for each of `layers`."""
        pairs = zip(self.layers, self.streams, strict=True)
        return np.stack([encoded(self.transcoders, layer, jnp.asarray(x)) for layer, x in pairs])


def intervene(
    model: Model,
    prompt: str | Sequence[int],
    dictionary: Transcoders | None = None,
    edits: Sequence[AnyIntervention] = (),
    holds: AnyHolds = "open",
    constrained_layers: Sequence[int] | None = None,
    held_layers: Sequence[int] | None = None,
    *,
    interventions: Sequence[AnyIntervention] | None = None,
    mode: Name | None = None,
) -> Intervened:
    """Run a prompt with features at chosen tokens put to new values, and the clean pass beside it.

    Args:
        model: a loaded model.
        prompt: text (the model's BOS policy applies) or token ids.
        dictionary: transcoders, per layer or cross-layer, or SAEs.
        edits: of prompt tokens, of any kinds, as `run` takes them; or (layer, position, feature, value) with the new
            activation, where position is a token or a slice of tokens. Negative layers and positions count from the
            end. A feature's value that is within the roundings of a recorded activation from the present one changes
            nothing.
        holds: open, freeze_attention, constrained, or a list of `Hold`.
        constrained_layers: with constrained, as circuit-tracer means it: attention patterns held everywhere, norms
            nowhere, MLP outputs in these layers, and only there does a feature write.
        held_layers: with constrained, layers whose patterns, norms and MLP outputs are held; the others run open.
        interventions, mode: the older names of edits and holds. The older order (model, dictionary, prompt) is
            understood for one version too.

    Raises:
        ValueError: no edits, a layer, position or feature out of range, two edits of one feature at one position, a
            layer without transcoder or outside the layers named, unknown holds, or transcoders that do not fit the
            model.
        NotFiniteError: the pass, with or without the edits, does not give numbers.
    """
    prompt, dictionary = in_order("intervene", prompt, dictionary)
    check_model(model)
    tokens, given = model.tokens(prompt), listed_edits(edits if interventions is None else interventions)
    layers = tuple(sorted(dictionary.config.layers))
    kept = named_holds(mode or holds, model)
    held = named_layers(kept, constrained_layers, held_layers, model.config.num_layers, layers)
    check_transcoders(model, dictionary)
    transcoders = of_model(model, dictionary)
    rows = written_rows([given], len(tokens), model, transcoders)
    batches = checked_batches(rows, 1, model, transcoders, len(tokens), held)
    further = tuple(stream for stream in held.layers if stream not in ("norm", "attn_pattern", FEATURES))
    run = CleanRun(model, dictionary, tokens, further=further)
    (_, out), *_ = run.propagate(rows, batches, held, range(len(tokens)), keep=True)
    streams = np.asarray(out.streams)[list(layers), 0, : len(tokens)]
    return Intervened(np.asarray(out.logits[0]), np.asarray(run.logits), layers, streams, run.transcoders)


def named_layers(
    holds: AnyHolds, constrained: Sequence[int] | None, held: Sequence[int] | None, num_layers: int,
    dictionary_layers: Sequence[int],
) -> HeldLayers:  # fmt: skip
    """What holds keep, `constrained` of the layers named. Of a set C of layers there are two readings:

        reading             patterns     norms            MLP outputs    what features write
        held layers         in C         in C             in C           everywhere
        circuit-tracer's    everywhere   nowhere          in C           in C alone
        C all layers        everywhere   everywhere       everywhere     everywhere

    circuit-tracer's `constrained_layers` says up to where MLPs do not answer: attention never does, norms always do,
    and what a cross-layer decoder writes outside C is dropped.

    Raises:
        ValueError: unknown holds, layers for others than constrained, both kinds of layers, or layers out of range.
    """
    kept = HeldLayers.of(holds, num_layers, dictionary_layers)
    if constrained is None and held is None:
        return kept
    if constrained is not None and held is not None:
        raise ValueError("constrained_layers, held_layers: got both; they are two readings of one thing, give one")
    name, given = ("held_layers", held) if constrained is None else ("constrained_layers", constrained)
    if holds != "constrained":
        raise ValueError(f"{name}: holds={scalars.shown(holds)} holds none; use holds='constrained'")
    layers = [scalars.layer(at, num_layers, name) for at in given] if isinstance(given, Iterable) else []
    if not layers:
        raise ValueError(f"{name}: got none; needs some of 0..{num_layers - 1}")
    everywhere = len(set(layers)) == num_layers
    if constrained is None or everywhere:
        return HeldLayers.of([Hold(stream, layers) for stream in kept.layers], num_layers)
    some = HeldLayers.of([Hold("attn_pattern"), Hold("mlp_out", layers)], num_layers)
    return dataclasses.replace(some, writes=some.layers["mlp_out"])
