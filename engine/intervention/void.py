"""Edits that holds make void: whatever they change is put back before anything reads it.

A stream passes changes on to those that are made of it, in its block and in the blocks above. An edit acts after the
hold of its own stream; it is void if every way from there to the logits, to a tap and to a dictionary that edits or
holds read meets a stream that is held. Norms and features cut no way: what is held of them is less than a stream.
"""

from collections.abc import Iterator, Set

import numpy as np

from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.edits import EMPTY, Edit
from causeway.engine.intervention.hold import HeldLayers
from causeway.engine.intervention.sites import Site, once
from causeway.engine.intervention.taps import BoundTap

# What is made of each stream, in the same block. Parallel blocks lack resid_mid; the ways are the same without it.
MAKES = {
    "embed": ("resid_pre",), "resid_pre": ("attn_in", "resid_mid"), "attn_in": ("query", "key", "value"),
    "query": ("attn_pattern",), "key": ("attn_pattern",), "value": ("head_out",), "attn_pattern": ("head_out",),
    "head_out": ("attn_raw",), "attn_raw": ("attn_out",), "attn_out": ("resid_mid",),
    "resid_mid": ("mlp_norm", "resid_post"), "mlp_norm": ("mlp_in",), "mlp_in": ("mlp_act",), "mlp_act": ("mlp_raw",),
    "mlp_raw": ("mlp_out",), "mlp_out": ("resid_post",), "final_norm": ("logits",), "logits": (),
}  # fmt: skip


def check_void(
    edits: tuple[Edit, ...], held: HeldLayers, dictionary: InMemory | None = None, taps: tuple[BoundTap, ...] = (),
    prompt_length: int | None = None, all_features: bool = False,
) -> None:  # fmt: skip
    """Refuse edits that holds make void.

    Args:
        dictionary: of the edits and holds. taps: of the pass.
        prompt_length: where generation goes on from the prompt: its tokens alone hold, and later ones read their keys
            and values. None: all tokens hold.
        all_features: whether activations of the whole dictionary are looked at.

    Raises:
        ValueError: naming the place edited and the streams that put it back.
    """
    num_layers = len(held.writes)
    read = {Site(layer, tap.spec.stream) for tap in taps for layer in tap.spec.layers if tap.spec.stream in MAKES}
    if prompt_length is not None:
        read |= {Site(layer, stream) for layer in range(num_layers) for stream in ("key", "value")}
    encoded = _encoded(edits, held, dictionary, all_features)
    for edit in edits if held else ():
        inside = True if prompt_length is None else np.asarray(edit.stop) <= prompt_length
        for layer in np.unique(np.asarray(edit.layer)[(np.asarray(edit.layer) != EMPTY) & inside]).tolist():
            featured = edit.spec.family in ("feature", "replace")
            own = {Site(layer, edit.spec.stream)} if featured else set()
            crosses = featured and dictionary is not None and dictionary.crosses
            written = [Site(at, edit.spec.stream) for at in range(layer, num_layers if crosses else layer + 1)]
            met = [_met(site, held, read | (encoded - own)) for site in written]
            if all(cuts is not None for cuts in met):
                names = ", ".join(sorted({str(cut) for cuts in met for cut in cuts or ()}))
                raise ValueError(
                    f"edits: one of {written[0]} changes nothing, because holds put back {names}; leave one of them out"
                )


def _encoded(edits: tuple[Edit, ...], held: HeldLayers, dictionary: InMemory | None, all_features: bool) -> set[Site]:
    """What the dictionary reads for edits, for held features, for its skip connections and for who looks at it."""
    needed = held.features or "mlp_out" in held.layers or any(e.spec.family in ("feature", "replace") for e in edits)
    if dictionary is None or not (needed or all_features):
        return set()
    return {Site(layer, dictionary.config.stream) for layer in dictionary.config.layers}


def _met(start: Site, held: HeldLayers, read: Set[Site]) -> set[Site] | None:
    """The held streams at which all ways from a place end; None where one of them is read."""
    seen, cuts, open_ways = {start}, set(), [start]
    while open_ways:
        site = open_ways.pop()
        if site in read or site.stream == "logits":
            return None
        for made in _made(site, len(held.writes)):
            mask = held.layers.get(made.stream)
            if mask is not None and once(made.stream, len(mask)) is None and mask[made.layer]:
                cuts.add(made)
            elif made not in seen:
                seen.add(made)
                open_ways.append(made)
    return cuts


def _made(site: Site, num_layers: int) -> Iterator[Site]:
    """What is made of a stream."""
    if site.stream == "resid_post":
        above = site.layer + 1
        yield Site(above, "resid_pre" if above < num_layers else "final_norm")
    for stream in MAKES.get(site.stream, ()):
        yield Site(site.layer, stream)
