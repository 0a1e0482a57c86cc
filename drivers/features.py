"""Which features do prompts switch on? The strongest of each token, and how often every feature is active.

Features of transcoders (or SAEs) where they read, from one pass over each prompt. Written to --out for every behaviour
and split of --prompts: layer_{l}/{behaviour}_{split}_top_k_indices.npy, _top_k_values.npy, _feature_frequencies.npy
(share of prompts) and more, and {behaviour}_{split}_summary.json.
"""

import contextlib
import re
import sys
from pathlib import Path

from absl import flags

from causeway.drivers.flags import model_flags
from causeway.drivers.flags.flag_values import folder
from causeway.drivers.flags.left_out import tell, usable
from causeway.drivers.flags.refusals import run_driver

_PROMPTS = flags.DEFINE_list("prompts", [], "JSONL files with a `prompt` a line, or a folder of behaviours' files.")
_BEHAVIOURS = flags.DEFINE_list("behaviours", [], "Behaviours taken (default: all in --prompts).")
_SPLIT = flags.DEFINE_list("split", [], "Splits taken, such as train,test (default: all in --prompts).")
_POSITIONS = flags.DEFINE_string("positions", "last_5", "Tokens of a prompt: `last_N`, or `all`.")
_INCLUDE_FIRST = flags.DEFINE_bool("include_first", False, "Position 0 too, whose stream is unlike all others.")
_TOP_K = flags.DEFINE_integer("top_k", 50, "Features kept of each token.", lower_bound=1)
_FULL = flags.DEFINE_bool("full", False, "Write all activations too: tokens x features x 4 bytes a layer.")
_SKIP_BAD = flags.DEFINE_bool("skip_bad", False, "Leave out malformed lines and prompts that cannot be run.")
_ROWS = flags.DEFINE_integer("rows", 16, "Rows of a pass, per device.", lower_bound=1)
_OUT = flags.DEFINE_string("out", None, "Directory to write.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace features that are already in --out.")


def main(_: list[str]) -> None:
    """Read prompts, extract, write."""
    out = folder(_OUT)
    from causeway.engine.analyses.features.extract import check_request
    from causeway.ports.prompts.prompt_sets import feature_prompt, read_sets
    from causeway.ports.results.feature_files import check_absent, check_distinct, written

    if not _PROMPTS.value:
        raise ValueError("--prompts: got nothing; needs files with a `prompt` a line, or a folder of them")
    positions = _positions()
    sets, bad = read_sets(_PROMPTS.value, feature_prompt, _BEHAVIOURS.value, _SPLIT.value, _SKIP_BAD.value)
    tell(bad)
    check_distinct(sets)
    if not _OVERWRITE.value:
        for key in sets:
            check_absent(out, *key)
    model = model_flags.load_model()
    dictionary, parallel = model_flags.load_dictionaries(model), model_flags.parallel()
    runnable = {key: _usable(model, prompts, positions) for key, prompts in sets.items()}
    for _, tokens in runnable.values():
        check_request(model.transformer, dictionary, tokens, positions, _TOP_K.value)
    for (behaviour, split), (prompts, tokens) in runnable.items():
        with written(out, behaviour, split, dictionary.config.layers):
            found, samples = _extract(out, behaviour, split, tokens, model, dictionary, positions, parallel)
            _write(out, behaviour, split, prompts, model, dictionary, positions, found, samples)
    print(f"everything is in {out}")


def _positions():
    from causeway.engine.analyses.features.positions import Positions

    text, first = _POSITIONS.value, 0 if _INCLUDE_FIRST.value else 1
    if text == "all":
        return Positions(None, first)
    if not re.fullmatch(r"last_\d+", text, re.ASCII):
        raise ValueError(f"--positions: got {text!r}; needs `last_N`, such as last_5, or `all`")
    return Positions(int(text.removeprefix("last_")), first)


def _usable(model, prompts, positions) -> tuple[list, list[list[int]]]:
    """Prompts with their tokens, before anything is run."""

    def tokens(prompt) -> list[int]:
        try:
            ids = model.tokens(prompt.content)
            positions.check(len(ids))
        except ValueError as error:
            raise ValueError(f"{prompt.id}: {error}") from None
        return ids

    return usable(prompts, tokens, _SKIP_BAD.value, "run")


def _extract(out: Path, behaviour: str, split: str, prompts, model, dictionary, positions, parallel):
    """Features of every layer, and the prompt and position of each sample."""
    from causeway.engine.analyses.features.extract import extract_features, samples_of
    from causeway.ports.results.feature_files import full_arrays

    samples, layers = samples_of(prompts, positions), dictionary.config.layers
    shape = (len(samples), dictionary.num_features)
    with full_arrays(out, behaviour, split, layers, shape) if _FULL.value else contextlib.nullcontext() as full:
        found = extract_features(
            model.transformer, dictionary, prompts, positions, top_k=_TOP_K.value, rows=_ROWS.value,
            parallel=parallel, full=full,
        )  # fmt: skip
    return found, samples


def _write(out: Path, behaviour: str, split: str, prompts, model, dictionary, positions, found, samples) -> None:
    from causeway.engine.sweep.environment import environment
    from causeway.ports.results.feature_files import layer_figures, write_layer, write_summary

    config = dictionary.config
    about = {
        "behaviour": behaviour, "split": split, "prompts": len(prompts), "positions": str(positions),
        "position_0": positions.first == 0, "stream": config.stream, "kind": config.kind, "model": model.name,
        "dictionaries": model_flags.DICTIONARIES.value or model_flags.MODEL.value,
    }  # fmt: skip
    for layer in found:
        write_layer(out, behaviour, split, layer, about)
    layers = [layer_figures(layer) for layer in found]
    content = about | {
        "model_fingerprint": model.fingerprint, "samples": len(samples), "layers": layers,
        "ids": [prompt.id for prompt in prompts], "environment": environment(),
    }  # fmt: skip
    write_summary(out, behaviour, split, samples, content)
    print(f"{behaviour} {split}: {len(prompts)} prompts, {len(samples)} tokens")
    for layer in layers:
        print(
            f"  layer {layer['layer']}: {layer['active_a_token']:.1f} features active a token, "
            f"{layer['active_a_prompt']:.1f} a prompt, {layer['ever_active']} of {layer['features']} ever"
        )


if __name__ == "__main__":
    run_driver(main, sys.argv)
