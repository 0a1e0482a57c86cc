"""The account of a model and its dictionaries as one screen of text."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from causeway.engine.analyses.inspect.sites import Places
from causeway.engine.analyses.inspect.trust import doubts
from causeway.engine.train.quality import LayerQuality

WIDTH = 120
L0_FACTOR = 2
# What cards call the number of active features a token.
L0_NAMES = ("l0", "top_k")
UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def model_page(account: Mapping[str, Any]) -> list[str]:
    """Lines on a model, from `model_account` and, where the file says it, how its numbers were rounded."""
    dtypes = ", ".join(f"{what} {dtype}" for what, dtype in account["dtypes"].items())
    tokenizer = account["tokenizer"]
    lines = [
        f"model {account['name']}: {account['family']}, {account['parameters']:,} parameters, "
        f"{_bytes(account['bytes'])} ({dtypes})",
        *_listed("shape", [f"{name} {value}" for name, value in account["shape"].items() if name != "family"]),
    ]
    if account.get("quantisation"):
        lines += _listed("stored as", [account["quantisation"]])
    if account["differs_from_llama"]:
        lines += _listed("besides", [f"{name} {value}" for name, value in account["differs_from_llama"].items()])
    lines += _listed("arrays", [f"{name} {shape}" for name, shape in account["arrays"].items()])
    if tokenizer is None:
        return [*lines, "  tokenizer: none; the model is used by token ids"]
    before = "put before a text" if account["prepend_bos"] else "not put before a text"
    return [
        *lines,
        f"  tokenizer: {tokenizer['vocab_size']} tokens, begin {tokenizer['bos_id']} ({before}), "
        f"end {tokenizer['eos_id']}",
    ]


def dictionary_page(account: Mapping[str, Any]) -> list[str]:
    """Lines on a stack of dictionaries, from `dictionary_account`."""
    layers = account["layers"]
    kind = account["kind"] + (f" of {account['k']}" if account["k"] else "")
    what = "cross-layer transcoder" if account["cross_layer"] else "SAE"
    place = account["reads"]
    if account["reads"] != account["writes"]:
        what, place = what.replace("SAE", "transcoder"), f"{account['reads']} -> {account['writes']}"
    count = f"{len(layers)} layer" + "s" * (len(layers) > 1)
    lines = [
        f"dictionaries: {what}s of {count} ({_ranges(layers)}), {place}, {kind}, D {account['d_in']}, "
        f"F {account['features']}, O {account['d_out']}, {_bytes(account['bytes'])} ({', '.join(account['dtypes'])})",
        *_listed("arrays", [f"{name} {shape}" for name, shape in account["arrays"].items()]),
    ]
    lines += [f"  each input is normalised: {account['input_norm']}"] * (account["input_norm"] != "none")
    lines += [
        f"  {n.replace('_', ' ')}: {account[n]}" for n in ("format", "model_name", "value_scale") if account.get(n)
    ]
    if card := account.get("card"):
        lines += _listed("card", [f"{name} {value}" for name, value in card.items()])
    thresholds = account["thresholds"] or [None] * len(layers)
    rows = zip(layers, account["encoder_norms"], account["decoder_norms"], thresholds, strict=True)
    lines.append(
        f"  {'layer':>5}  {'encoder norms':>26}  {'decoder norms':>26}  {'thresholds':>26}  (lowest median highest)"
    )
    return lines + [f"  {layer:5d}  {_three(e):>26}  {_three(d):>26}  {_three(t):>26}" for layer, e, d, t in rows]


def loss_page(account: Mapping[str, float]) -> list[str]:
    """Lines on the model's own loss, from `loss_account`."""
    line = f"on {account['tokens']} tokens of the text: loss {account['loss']:.4f} nats a token"
    return [line, *(f"  no verdict on dictionaries: {doubt}" for doubt in doubts(account))]


def rounding_page(account: Mapping[str, Any]) -> list[str]:
    """Lines on what 8 bits changed, from `rounding_account`."""
    return [
        f"weights in {account['storage']} against float32, on {account['tokens']} tokens of the text: logits differ by "
        f"{account['largest']:.3g} at most,",
        f"  divergence {account['divergence']:.2e} nats a token, the likeliest next token is the same at "
        f"{account['agreement']:.2%}; loss {account['loss']:.4f}, rounded {account['loss_rounded']:.4f}",
    ]


def quality_page(figures: Sequence[LayerQuality]) -> list[str]:
    """Lines on how well the dictionaries do on text."""
    head = (
        "layer  explained       L0    dead / features    mean f  largest f   loss: clean  spliced     zero  recovered"
    )
    return [f"  {head}", *(_figures(f) for f in figures)]


def card_page(card: Mapping[str, Any], figures: Sequence[LayerQuality]) -> list[str]:
    """Lines on layers whose L0 is not what their card says; a factor of `L0_FACTOR` is forgiven for other text."""
    claimed = next((card[name] for name in L0_NAMES if card.get(name)), None)
    claims = claimed if isinstance(claimed, list) else [claimed] * len(figures)
    return [
        f"  layer {f.layer}: L0 is {f.l0:.1f} on this text, the card says {claim:g}: another threshold, scale or place"
        for f, claim in zip(figures, claims, strict=True)
        if claim and not 1 / L0_FACTOR < f.l0 / claim < L0_FACTOR
    ]


def places_page(places: Sequence[Places]) -> list[str]:
    """Lines on where the dictionaries fit."""
    return [f"  {place.verdict()}" for place in places]


def _figures(f: LayerQuality) -> str:
    dead = f"{f.dead} / {f.features}"
    left = (
        f"  {f.layer:5d}  {f.explained_variance:9.4f}  {f.l0:7.2f}  {dead:>17}  {f.mean_active:8.3g}  {f.largest:9.3g}"
    )
    if f.loss_clean is None or f.loss_zero is None:
        return f"{left}   (no reconstruction can be put in place)"
    recovered = "-" if f.loss_recovered_from_zero is None else f"{f.loss_recovered_from_zero:.4f}"
    return f"{left}   {f.loss_clean:11.4f}  {f.loss_spliced:7.4f}  {f.loss_zero:7.4f}  {recovered:>9}"


def _listed(name: str, entries: Sequence[str]) -> list[str]:
    return textwrap.wrap(f"{name}: {', '.join(entries)}", WIDTH, initial_indent="  ", subsequent_indent="    ")


def _three(values: Sequence[float] | None) -> str:
    return "-" if values is None else " ".join(f"{value:8.3g}" for value in values)


def _bytes(count: int) -> str:
    for size, unit in UNITS:
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} bytes"


def _ranges(layers: Sequence[int]) -> str:
    """0-3,7."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][-1] + 1:
            runs[-1].append(layer)
        else:
            runs.append([layer])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
