"""Interventions on features of one prompt: `intervene` for one list, `CleanRun` for thousands on the same prompt.

The clean pass is run once and shared by all rows; what they hold of it is in `intervention.hold`. Feature activations
under an intervention are encoded from the changed streams when they are asked for: L T F numbers. A feature that was
set shows what its encoder reads at its place, not the value it was set to.

Source: the semantics of circuit-tracer's `feature_intervention` (Hanna et al.), of which this is an independent
implementation; there, one call runs one list and repeats the clean pass.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from causeway.engine import scalars
from causeway.engine.analyses.intervene.intervention_rows import (
    AnyIntervention,
    Batch,
    InterventionRows,
    feature_edit,
    listed_edits,
)
from causeway.engine.analyses.intervene.propagate import Clean, Propagated, Slots, propagate
from causeway.engine.calls.argument_order import in_order
from causeway.engine.calls.run import run as run_once
from causeway.engine.devices import RowParallel, local_parallel
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.finite import refuse_features
from causeway.engine.frozen.record import record_prompt
from causeway.engine.frozen.sources import Transcoders, check_of_model, of_model
from causeway.engine.intervention.hold import AnyHolds, HeldLayers, Hold, Name, check_reach
from causeway.engine.intervention.requests import FeatureEdit
from causeway.engine.intervention.tap_requests import Tap
from causeway.engine.model.finite import all_finite, traced
from causeway.engine.model.handle import Model, check_model
from causeway.engine.precision import full_precision

# Tokens of a batch of rows, which bounds its memory: 128 rows of 64 tokens, 8 of 1,024.
BATCH_TOKENS = 8192


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
        return self._encoded(False)

    @functools.cached_property
    def pre_activations(self) -> Float[np.ndarray, "L T F"]:
        """What the activation function is applied to; of gated dictionaries the magnitude."""
        return self._encoded(True)

    def _encoded(self, before: bool) -> Float[np.ndarray, "L T F"]:
        pairs = zip(self.layers, self.streams, strict=True)
        found = [np.asarray(encoded(self.transcoders, at, jnp.asarray(x), before=before)) for at, x in pairs]
        return np.stack([_numbers(f, at, self.transcoders) for f, at in zip(found, self.layers, strict=True)])


@functools.partial(jax.jit, static_argnames=("layer", "before"))
@full_precision
def encoded(transcoders: Transcoders, layer: int, x: Float[jax.Array, "T D"], before: bool = False) -> jax.Array:
    """Feature activations [T, F] of one layer, or what the activation function is applied to."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    if not before:
        return transcoders.encode_at(layer, x)
    place = transcoders.config.index_of(layer)
    p = x @ transcoders.W_enc[...][place].astype(x.dtype) + transcoders.b_enc[...][place].astype(x.dtype)
    if isinstance(transcoders, CrossLayerTranscoder) or transcoders.config.kind != "gated":
        return p
    log_scale, _, bias = (a[place].astype(x.dtype) for a in transcoders.elementwise_parameters())
    return p * jnp.exp(log_scale) + bias


def _numbers(f: Float[np.ndarray, "T F"], layer: int, transcoders: Transcoders) -> Float[np.ndarray, "T F"]:
    """Feature values of a layer, refused where one is not a number."""
    if not all_finite(f):
        refuse_features(int(np.isfinite(f).all(axis=0).argmin()), layer, transcoders)
    return f


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
        edits: of prompt tokens: `FeatureEdit`, or (layer, position, feature, value) with the new activation, where
            position is a token or a slice of tokens; also edits of other kinds, as `run` takes them. Negative layers
            and positions count from the end. A value that is within the roundings of a recorded activation from the
            present one changes nothing, where all edits are of features.
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
    held = named_layers(mode or holds, constrained_layers, held_layers, model.config.num_layers)
    if not all(isinstance(edit, FeatureEdit | tuple | list) for edit in given):
        return _run(model, tokens, dictionary, given, held)
    check_transcoders(model, dictionary)
    rows = InterventionRows.of([given], len(tokens), model.config.num_layers)
    rows.check(model, dictionary, len(tokens))
    run = CleanRun(model, dictionary, tokens)
    (_, out), *_ = run.propagate(rows, held, range(len(tokens)), rows=1, keep=True)
    layers = tuple(sorted(dictionary.config.layers))
    streams = np.asarray(out.streams)[list(layers), 0, : len(tokens)]
    return Intervened(np.asarray(out.logits[0]), np.asarray(run.logits), layers, streams, run.transcoders)


def _run(
    model: Model, tokens: list[int], dictionary: Transcoders, given: Sequence[AnyIntervention], held: HeldLayers
) -> Intervened:
    """Edits of several kinds, by `run`, and the clean pass."""
    if not held.writes.all():
        raise ValueError("constrained_layers: takes edits of features alone; use held_layers, or a list of Hold")
    transcoders, layers = of_model(model, dictionary), tuple(sorted(dictionary.config.layers))
    tap = Tap(transcoders.config.stream, layers=layers)
    edits = [feature_edit(one, len(tokens)) if isinstance(one, tuple | list) else one for one in given]
    out = run_once(model, [tokens], dictionary=dictionary, edits=edits, holds=held.listed, taps=[tap])
    clean = run_once(model, [tokens])
    return Intervened(out.logits[0], clean.logits[0], layers, out[transcoders.config.stream][0], transcoders)


class CleanRun:
    """The clean pass of a prompt, and interventions on it.

    Args:
        model, transcoders, prompt: as for `intervene`. parallel: devices to spread rows over (default: one).

    Raises:
        ValueError: transcoders that do not fit the model.
    """

    def __init__(
        self,
        model: Model,
        transcoders: Transcoders,
        prompt: str | Sequence[int],
        parallel: RowParallel | None = None,
    ):
        check_transcoders(model, transcoders)
        transcoders = of_model(model, transcoders)
        self.model, self.transcoders, self.tokens = model, transcoders, tuple(model.tokens(prompt))
        self.parallel = parallel or local_parallel(1)
        self.record = record_prompt(model.transformer, self.tokens, transcoders.config)
        self.shared = self.parallel.replicate((model.transformer, transcoders, self.record))

    @property
    def logits(self) -> Float[np.ndarray, "T V"]:
        """Of the clean pass."""
        return np.asarray(self.record.logits)[: len(self.tokens)]

    def activations(self, layer: int) -> Float[np.ndarray, "T F"]:
        """Clean feature activations of one layer."""
        x = self.record.streams[self.transcoders.config.stream][layer, : len(self.tokens)]
        return _numbers(np.asarray(encoded(self.transcoders, layer, x)), layer, self.transcoders)

    def last_logits(
        self,
        rows: InterventionRows,
        holds: AnyHolds = "open",
        width: int | None = None,
    ) -> Float[np.ndarray, "R V"]:
        """Logits of the last token under each row.

        Args:
            width: of a batch, per device; None takes one that the prompt's length allows.

        Raises:
            ValueError: see `intervene`.
        """
        held = HeldLayers.of(holds, self.model.config.num_layers)
        width = width or max(8, min(128, BATCH_TOKENS // self.record.embedding.shape[0]))
        out = np.zeros((rows.count, self.model.config.vocab_size), self.record.logits.dtype)
        for numbers, found in self.propagate(rows, held, [len(self.tokens) - 1], width):
            out[numbers] = np.asarray(found.logits)[: len(numbers), 0]
        return out

    def propagate(
        self,
        interventions: InterventionRows,
        held: HeldLayers,
        positions: Sequence[int],
        rows: int,
        keep: bool = False,
    ) -> Iterator[tuple[np.ndarray, Propagated]]:
        """Row numbers and results, batch by batch; `rows` is the width of a batch, which fixes the bits.

        Raises:
            ValueError: see `intervene`.
            NotFiniteError: naming the row's intervention, layer and site.
        """
        count = self.model.config.num_layers
        check_reach(held, self.transcoders)
        interventions.check(self.model, self.transcoders, len(self.tokens))
        if (outside := interventions.layer[~held.writes[interventions.layer]]).size:
            raise ValueError(
                f"constrained_layers: layer {outside[0]} is not among them, so what its features write is dropped; "
                "edit layers that are, or use held_layers"
            )
        kept = self.record.held(held, self.transcoders)
        clean = Clean(*self.shared, *self.parallel.replicate((kept, held.writes, np.asarray(positions, np.int32))))
        program = self.parallel.program(propagate, keep=keep)
        batches = list(interventions.batches(rows, count))
        for stripe in self._stripes(batches):
            slots = [self._slots(batch) for batch in stripe]
            results = self.parallel.apart(program(clean, self.parallel.place(slots)), len(stripe))
            for i, (batch, out) in enumerate(zip(stripe, results, strict=True)):
                broken = ~np.asarray(out.finite)
                if broken[: len(batch.rows)].any() and not all_finite(out.logits[: len(batch.rows)]):
                    again = functools.partial(full_precision(propagate), clean, slots[i], keep=keep)
                    error = traced(again, broken)
                    raise error.of(interventions.name(int(batch.rows[error.row])))
                yield batch.rows, out

    def _stripes(self, batches: list[Batch]) -> Iterator[list[Batch]]:
        """As many batches of one shape as there are devices."""
        for width in sorted({batch.layer.shape[1] for batch in batches}):
            yield from self.parallel.deal([batch for batch in batches if batch.layer.shape[1] == width])

    def _slots(self, batch: Batch) -> Slots:
        dtype = np.dtype(self.model.numerics.accumulate)
        with np.errstate(over="ignore"):  # what a dtype cannot hold is named by the pass
            scale, shift = batch.scale.astype(dtype), batch.shift.astype(dtype)
        return Slots(batch.layer, batch.position, batch.feature, scale, shift, np.asarray(batch.first, np.int32))


def named_layers(
    holds: AnyHolds, constrained: Sequence[int] | None, held: Sequence[int] | None, num_layers: int
) -> HeldLayers:
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
    kept = HeldLayers.of(holds, num_layers)
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


def check_transcoders(model: Model, transcoders: Transcoders) -> None:
    """Refuse transcoders that cannot be intervened on, before anything is compiled.

    Raises:
        ValueError: layers or widths that are not the model's, or a kind or input norm without one pre-activation.
    """
    config = transcoders.config
    if config.kind == "matching_pursuit" or config.input_norm != "none":
        raise ValueError(
            f"transcoders: kind {config.kind!r} with input_norm {config.input_norm!r}; needs a dictionary that reads "
            "the stream itself, one pre-activation a feature"
        )
    check_of_model(model, transcoders)
    if model.config.parallel_blocks and config.stream == "resid_mid":
        raise ValueError("transcoders: read resid_mid, which parallel blocks do not have; load those of this model")
