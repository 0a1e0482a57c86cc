"""`cw.save_records`: what taps read, representations or a table of features, as one safetensors file.

    resid_post.12                  what `out["resid_post", 12][0]` is, in its dtype: [T, D], with arms [A, T, D]
    resid_post.12.top_k, ....ids   readers other than raw say so; ids belong to top_k
    tokens, positions              of its T tokens: ids, and places in the text, from 0

A name begins with the number of the prompt where there are several (`3/resid_post.12`), and with prompt, arm and trial
of a rollout (`3/0/1/resid_post.12`, [N, D]: its N steps, each at the token that it read). Prompts and rollouts are
tensors of their own, each as long as it is, so that no padding is in the file. Representations are one tensor
[P, D]; of a table each column is a tensor.

Cost: the file once in memory beside the records.
"""

import json
import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import jax
import numpy as np
import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.calls.by_name import Tapped
from causeway.engine.calls.generate import GenerateResult, GenerateResults
from causeway.engine.calls.run_result import RunResult
from causeway.engine.intervention.sites import ONCE
from causeway.engine.intervention.taps import Record, TapSpec
from causeway.engine.model.handle import Model, check_model
from causeway.engine.representations import Representations
from causeway.engine.sweep.durable import make_folder, replacing
from causeway.ports.files.safetensors_files import write_tensors
from causeway.ports.models.site_names import names_of

Names = Literal["causeway", "transformer_lens"]
Records: TypeAlias = RunResult | GenerateResults | GenerateResult | Representations | pa.Table
SUFFIX = ".safetensors"


def save_records(records: Records, path: str | Path, model: Model, *, names: Names = "causeway") -> Path:
    """Write what was recorded, for safetensors' own readers in numpy, torch and jax.

    Args:
        records: what `run`, `generate`, `represent` or `features` return. Logits are written where they were tapped.
        path: a .safetensors file; an earlier one is replaced.
        model: that was run; its name and fingerprint stand in the file's metadata.
        names: causeway (`resid_post.12`) or transformer_lens (`blocks.12.hook_resid_post`).

    Returns:
        The file written.

    Raises:
        ValueError: nothing that was recorded, another model's, an unknown kind of names, a stream that TransformerLens
            has no name for, or another kind of file.
    """
    if not isinstance(records, Records):
        raise ValueError(
            f"records: got {scalars.shown(records)}; needs what cw.run, generate, represent or features return"
        )
    if not isinstance(path, str | Path) or Path(path).suffix != SUFFIX:
        raise ValueError(f"path: got {scalars.shown(path)}; needs the name of a {SUFFIX} file")
    check_model(model)
    if names not in get_args(Names):
        raise ValueError(f"names: got {scalars.shown(names)}; needs one of {', '.join(get_args(Names))}")
    tensors = _tensors(records, _Places(model, names))
    if not tensors:
        raise ValueError("records: nothing was tapped; name streams in taps=[...]")
    about = {"model": model.name, "model_fingerprint": model.fingerprint, "names": names, "made_by": "causeway"}
    path = Path(path)
    make_folder(path.parent)
    with replacing(path) as temporary:
        write_tensors(temporary, tensors, about | _about(records))
    return path


class _Places:
    """Names of tensors, for one model."""

    def __init__(self, model: Model, names: Names):
        self.model, self.names = model, names

    def site(self, stream: str, layer: int) -> str:
        """A stream of a layer."""
        if self.names == "transformer_lens":
            return names_of(self.model.config).hook(stream, layer)
        return stream if stream in ONCE else f"{stream}.{layer}"

    def tapped(self, spec: TapSpec, layer: int) -> str:
        """A layer of a tap."""
        return self.site(spec.stream, layer) + ("" if spec.reader == "raw" else f".{spec.reader}")


def _tensors(records: Records, places: _Places) -> dict[str, np.ndarray]:
    if isinstance(records, pa.Table):
        return {name: _column(records, name) for name in records.column_names}
    if isinstance(records, Representations):
        records.check_of_model(places.model)
        named = {places.site(records.stream, records.layer or 0): records.vectors}
        positions = [record.fields.get("position") for record in records.records]
        return named | ({"positions": np.array(positions, np.int32)} if None not in positions else {})
    if isinstance(records, RunResult):
        return _of_run(records, places)
    many = isinstance(records, GenerateResults)
    results = records.prompts if isinstance(records, GenerateResults) else (records,)
    return {
        f"{f'{number}/' if many else ''}{name}": values
        for number, result in enumerate(results)
        for name, values in _of_rollouts(result, places)
    }


def _column(table: pa.Table, name: str) -> np.ndarray:
    values = table[name]
    if values.null_count or not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        raise ValueError(f"records: column {name} is {values.type}; needs numbers, without nulls; select others first")
    return np.ascontiguousarray(values.to_numpy())


def _of_run(out: RunResult, places: _Places) -> dict[str, np.ndarray]:
    """Each prompt's own tokens; arms A, if there are some, in front."""
    found: dict[str, np.ndarray] = {}
    axis = out.edits_applied.ndim - 1
    for number, tokens in enumerate(out.tokens if out.records else ()):
        before = f"{number}/" if len(out.tokens) > 1 else ""
        found[f"{before}tokens"] = np.array(tokens, np.int32)
        found[f"{before}positions"] = np.arange(len(tokens), dtype=np.int32)
        own = [record[number] for record in out.records]
        found |= {before + name: values for name, values in _layers(own, out.tapped, places, axis)}
    return found


def _of_rollouts(result: GenerateResult, places: _Places) -> Iterator[tuple[str, np.ndarray]]:
    """Each rollout's own steps; a step's token is the one it read, the first the prompt's last."""
    made, trials = result.generation, len(result.texts[0])
    for row, drawn in enumerate(made.tokens if made.records else ()):
        steps = int(np.asarray(made.records[0].valid)[row].sum())
        before = f"{row // trials}/{row % trials}/"
        yield f"{before}tokens", np.array([made.prompt_tokens[-1], *drawn], np.int32)[:steps]
        yield f"{before}positions", np.arange(steps, dtype=np.int32) + len(made.prompt_tokens) - 1
        own = [jax.tree.map(operator.itemgetter((row, slice(steps))), record) for record in made.records]
        yield from ((before + name, values) for name, values in _layers(own, result.tapped, places, 1))


def _layers(records: list[Record], tapped: Tapped, places: _Places, axis: int) -> Iterator[tuple[str, np.ndarray]]:
    """Every layer of every tap as a tensor; `axis` is that of layers."""
    named: dict[str, TapSpec] = {}
    for record, spec in zip(records, tapped.specs, strict=True):
        for place, layer in enumerate(spec.layers):
            name = places.tapped(spec, layer)
            if name in named and spec.reader != "raw":
                raise ValueError(f"records: {name} was tapped twice; give each tap a file, or leave one out")
            if name in named:
                continue
            named[name] = spec
            for end, part in (("", record.values), (".ids", record.ids)):
                if part is not None:
                    yield name + end, np.ascontiguousarray(np.take(np.asarray(part), place, axis))


def _about(records: Records) -> dict[str, str]:
    """What belongs to one kind of records."""
    if not isinstance(records, Representations):
        return {}
    about = {"prompts": [record.id for record in records.records], **records.about}
    return {"about": json.dumps(scalars.without_nan(about))}
