"""What was read for contexts, how, and how many features it switched on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from causeway.engine.analyses.contexts.sweep import ContextSweep
from causeway.engine.analyses.contexts.tally import BINS, GROUPS, HALVES

ABOUT_BANDS = "band b: sizes of the b-th power of two below that of the feature's maximum; the last: all smaller"
ABOUT_BINS = f"{HALVES} bins an octave, {BINS} from the maximum's down; the last holds all smaller sizes"


def summary(sweep: ContextSweep, features: pa.Table) -> dict[str, Any]:
    """Counts and settings, as JSON values."""
    corpus, config, sizes = sweep.corpus, sweep.dictionary.config, sweep.sizes
    layers = [_of_layer(features, layer) for layer in sweep.layers]
    return {
        "model": sweep.model.name, "model_fingerprint": sweep.model.fingerprint, "plan": sweep.plan.fingerprint,
        "stream": config.stream, "write_stream": config.output_stream, "kind": config.kind,
        "texts": len(np.unique(sweep.texts)), "rows": len(corpus.tokens), "tokens": int(corpus.counts.sum()),
        "corpus_fingerprint": corpus.fingerprint, "length": corpus.tokens.shape[1], "first_position": corpus.first,
        "top": sizes.top, "bands": sizes.bands, "each": sizes.each, "reach": sizes.reach, "seed": sweep.seed,
        "about_bands": ABOUT_BANDS, "about_bins": ABOUT_BINS,
        "about_intervals": f"95 %, texts as units in {GROUPS} groups, delete-a-group jackknife",
        "features": features.num_rows, "dead": sum(layer["dead"] for layer in layers), "layers": layers,
    }  # fmt: skip


def _of_layer(features: pa.Table, layer: int) -> dict[str, Any]:
    here = features["layer"].to_numpy() == layer
    active, rate = (features[name].to_numpy()[here] for name in ("active_tokens", "firing_rate"))
    return {
        "layer": layer, "features": int(here.sum()), "dead": int((active == 0).sum()),
        "active_a_token": float(rate.sum()),
        "median_rate": float(np.median(rate[active > 0])) if active.any() else None,
    }  # fmt: skip


def lines(about: Mapping[str, Any]) -> list[str]:
    """A report of one screen."""
    out = [
        f"{about['tokens']:,} tokens of {about['texts']:,} texts ({about['rows']:,} rows); {about['features']:,} "
        f"features of {about['stream']}, {about['dead']:,} never active"
    ]
    for layer in about["layers"]:
        rate = layer["median_rate"]
        usual = "" if rate is None else f", the median of the others at {rate:.2%} of tokens"
        out.append(
            f"  layer {layer['layer']}: {layer['active_a_token']:.3g} active a token; {layer['dead']} of "
            f"{layer['features']} never{usual}"
        )
    return out
