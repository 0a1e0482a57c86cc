"""Small tables as the commands write them: three layers, where L0-1 drives L1-2 drives L2-3, with words."""

import pyarrow as pa

ALL = ("select", "effects", "pathways", "chains", "replay", "associations", "outcomes")
SIDES = ("source", "target")


def pathway(source, target, effect, q, validated=True, source_change=-2.0, source_moved=2.0):
    ends = {f"{side}_{part}": end[at] for side, end in zip(SIDES, (source, target), strict=True)
            for at, part in enumerate(("layer", "feature"))}  # fmt: skip
    return {
        **ends, "stratum": "selected", "gradient": effect, "predicted": effect * 0.9, "effect": effect,
        "low": effect - 0.1, "high": effect + 0.1, "p": q / 2, "q": q, "prompts": 12, "validated": validated,
        "source_change": source_change, "source_moved": source_moved,
    }  # fmt: skip


def replayed(source, target, delta, q, route="downstream", measure="free"):
    ends = {name: value for name, value in pathway(source, target, delta, q).items() if name[:6] in SIDES}
    return {
        **ends, "route": route, "measure": measure, "step": "generated", "delta": delta, "low": delta - 0.1,
        "high": delta + 0.1, "p": q / 2, "q": q, "correlation": 0.5, "prompts": 12, "replicated": q < 0.01,
        "is_pathway": None, "arm": "patch:risky", "reference": "noop",
    }  # fmt: skip


def word(feature, text, log_odds, q, unit="word", contrast="patch:risky - baseline", context="safe"):
    return {
        "layer": feature[0], "feature": feature[1], "context": context, "contrast": contrast, "unit": unit,
        "text": text, "token_id": 7 if unit == "token" else None, "direction": "adds" if log_odds > 0 else "removes",
        "log_odds": log_odds, "low": log_odds - 0.2, "high": log_odds + 0.2, "z": log_odds * 4, "p": q / 3, "q": q,
        "reference_count": 3, "patched_count": 9,
    }  # fmt: skip


def outcome(feature, name, effect, q):
    return {
        "layer": feature[0], "feature": feature[1], "context": "safe", "contrast": "patch:risky - baseline",
        "parser": "three_state", "outcome": name, "effect": effect, "low": effect - 0.1, "high": effect + 0.1,
        "p": q / 2, "q": q,
    }  # fmt: skip


def effect(feature, size, q, p=None):
    return {
        "layer": feature[0], "feature": feature[1], "cohen_d": size * 3, "effect": size, "low": size - 0.05,
        "high": size + 0.05, "p": q if p is None else p, "q": q, "is_causal": q is not None and q < 0.05,
        "source": "effects.parquet",
    }  # fmt: skip


def rows():
    """Rows of each table."""
    a, b, c, other = (0, 1), (1, 2), (2, 3), (1, 9)
    return {
        "select": [{"layer": f[0], "feature": f[1], "cohen_d": 0.5 + f[0]} for f in (a, b, c)],
        "effects": [effect(a, 0.1, 0.2), effect(b, -0.4, 0.001), effect(c, 0.3, 0.01), effect((2, 8), 0.0, None)],
        "pathways": [
            pathway(a, b, 0.8, 0.001), pathway(b, c, -0.5, 0.002), pathway(a, c, 0.1, 0.4),
            pathway(other, c, 0.3, 0.03), pathway(a, other, 0.7, 0.004),
            pathway((0, 5), c, 0.6, 0.001, validated=False),
        ],
        "chains": [{"path": "L0-1 -> L1-2 -> L2-3", "length": 3, "total": -0.4, "mediated": -0.35, "low": -0.5,
                    "high": -0.2, "p": 0.001, "q": 0.004, "share": 0.87, "confirmed": True}],
        "replay": [
            replayed(a, b, 0.7, 0.002), replayed(a, b, 0.6, 0.001, measure="teacher_forced"),
            replayed(a, (2, 7), 0.4, 0.003), replayed(c, a, 0.2, 0.01, route="through_tokens"),
            replayed(b, c, 0.01, 0.7),
        ],
        "associations": [
            word(b, "bet", 1.5, 0.001), word(b, "bet", 1.4, 0.002, context="risky"), word(b, "stop", -2.0, 0.0001),
            word(b, "$10", 0.9, 0.01), word(b, "the", 0.1, 0.6), word(b, " bet", 1.3, 0.001, unit="token"),
            word(other, "bet", 1.1, 0.002), word(other, "stop", -1.0, 0.003), word(c, "stop", 1.8, 0.001),
        ],
        "outcomes": [outcome(b, "bet", 0.4, 0.001), outcome(c, "stop", 0.3, 0.02), outcome(c, "length", 2.0, 0.5)],
    }  # fmt: skip


def tables(*names, **changed):
    """Tables by name: all, or those named, some with other rows."""
    found = rows() | changed
    made = {name: pa.Table.from_pylist(found[name]) for name in names or ALL}
    encoded = {}
    for name, table in made.items():
        for place, column in enumerate(table.column_names):
            if table.num_rows and pa.types.is_string(table[column].type):
                table = table.set_column(place, column, table[column].dictionary_encode())
        encoded[name] = table
    return encoded
