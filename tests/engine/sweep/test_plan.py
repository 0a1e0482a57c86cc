"""Plans: equal plans share a workdir, others are refused with the fields that differ."""

import dataclasses
import json

import pytest

from causeway.engine.sweep import plan
from causeway.engine.sweep.runner import run_sweep
from causeway.engine.sweep.store import Store


def test_the_same_plan_binds_again_without_touching_the_file(toy, tmp_path):
    toy.make_plan().bind(tmp_path)
    before = (tmp_path / "plan.json").stat()
    assert toy.make_plan().bind(tmp_path) == ""
    assert (tmp_path / "plan.json").stat().st_mtime_ns == before.st_mtime_ns


def test_the_file_records_what_was_run_where(toy, tmp_path):
    made = toy.make_plan()
    made.bind(tmp_path)
    stored = json.loads((tmp_path / "plan.json").read_text())
    assert stored["fingerprint"] == made.fingerprint
    assert stored["config"]["temperature"] == 0.7
    assert stored["units"] == [[2, 4], [1, 3], [2, 4], [1, 2]]
    assert {"jax", "jaxlib", "python", "device", "host", "code"} <= stored["recorded"].keys()


def test_another_plan_is_refused_in_words_and_in_the_notes_field_by_field(toy, tmp_path):
    toy.make_plan().bind(tmp_path)
    now = toy.make_plan(temperature=0.8, unit_rows=(4, 4))
    config = {**now.config, "features": [1, 2], "arms": [{"name": "ablate"}], "seed": 1}
    now = dataclasses.replace(now, config=config, parts={"weights": "b" * 64, "rows": "1"})
    with pytest.raises(ValueError, match="is of another plan") as error:
        now.bind(tmp_path)
    message, (notes,) = str(error.value), error.value.__notes__
    assert "\n" not in message
    for part in (
        "of another plan: the model's weights differ;",
        "temperature: 0.7 in the workdir, 0.8 now",
        'arms[0].name: "noop" in the workdir, "ablate" now',
        "features: 3 entries [1, 2, 3] in the workdir, 2 entries [1, 2] now",
        "seed: absent in the workdir, 1 now",
        "use another --workdir",
    ):
        assert part in message
    assert "aaaa" not in message
    assert "parts.rows" not in notes
    assert 'parts.weights: "aaaa' in notes
    assert "units:" in notes


@pytest.mark.parametrize(
    ("parts", "rows", "told"),
    [
        (("prompts", "dictionaries"), (4,), "the dictionaries and the prompts differ"),
        (("weights", "tokenizer", "graphs"), (4,), "the graphs, the tokenizer and the model's weights differ"),
        (("prompts",), (4, 4), "the prompts differ"),
        ((), (4, 4), "the units of rows differ"),
    ],
)
def test_digests_are_told_by_what_they_are_of(toy, tmp_path, parts, rows, told):
    every = ("weights", "dictionaries", "tokenizer", "prompts", "graphs")
    first = dataclasses.replace(toy.make_plan(unit_rows=(4,)), parts=dict.fromkeys(every, "a" * 64))
    first.bind(tmp_path)
    now = dataclasses.replace(first, parts={**first.parts, **dict.fromkeys(parts, "b" * 64)}, unit_rows=rows)
    with pytest.raises(ValueError, match=f"of another plan: {told}; use another --workdir"):
        now.bind(tmp_path)


def test_where_things_lay_decides_nothing(toy, tmp_path):
    first = dataclasses.replace(toy.make_plan(), about={"model": "here/model"})
    first.bind(tmp_path)
    moved = dataclasses.replace(first, about={"model": "there/model"})
    assert moved.bind(tmp_path) == ""
    assert moved.fingerprint == first.fingerprint
    assert plan.read_plan(tmp_path)["about"] == {"model": "here/model"}


def test_long_values_are_shown_where_they_differ(toy, tmp_path):
    first = dataclasses.replace(toy.make_plan(), config={"prompt": "word " * 50 + "yes"})
    first.bind(tmp_path)
    other = dataclasses.replace(first, config={"prompt": "word " * 50 + "no"})
    with pytest.raises(ValueError, match=r'prompt: \.\.\.[word ]+yes" in the workdir, \.\.\.[word ]+no" now'):
        other.bind(tmp_path)


def test_many_differences_are_counted(toy, tmp_path):
    first = dataclasses.replace(toy.make_plan(), config={f"c{i}": 0 for i in range(40)})
    first.bind(tmp_path)
    with pytest.raises(ValueError, match=r"and 28 more; use another --workdir"):
        dataclasses.replace(first, config={f"c{i}": 1 for i in range(40)}).bind(tmp_path)


def test_the_layout_is_part_of_the_fingerprint(toy):
    made = toy.make_plan()
    schema = made.layout.schema.append(toy.pa.field("seed", toy.pa.int64()))
    changed = dataclasses.replace(made, layout=dataclasses.replace(made.layout, schema=schema))
    assert changed.fingerprint != made.fingerprint


def test_order_and_container_of_a_config_do_not_matter(toy):
    made = toy.make_plan()
    again = dataclasses.replace(
        made, config={k: made.config[k] for k in reversed(made.config)} | {"features": (1, 2, 3)}
    )
    assert again.fingerprint == made.fingerprint


def damage_plan(path, how):
    text = path.read_text()
    if how == "missing":
        path.unlink()
    else:
        path.write_text({"truncated": text[:40], "value": text.replace("0.7", "0.8"), "list": "[]"}[how])


@pytest.mark.parametrize("how", ["missing", "truncated", "value", "list"])
def test_a_damaged_plan_is_refused_and_repaired_where_the_units_are_of_it(toy, finished, how):
    path = finished.workdir / "plan.json"
    before = plan.read_plan(finished.workdir)
    damage_plan(path, how)
    with pytest.raises(ValueError, match=r"plan\.json: (damaged|missing).*rerun .*--repair.* or use another --workdir"):
        run_sweep(Store(finished.workdir, finished.plan), None)
    assert run_sweep(Store(finished.workdir, finished.plan), None, repair=True).computed == 0
    assert plan.read_plan(finished.workdir) == before


def test_a_damaged_plan_is_not_replaced_by_that_of_another_run(toy, finished):
    damage_plan(finished.workdir / "plan.json", "truncated")
    other = Store(finished.workdir, toy.make_plan(temperature=0.8))
    with pytest.raises(ValueError, match=r"plan\.json: damaged, and its units are of another plan; use another"):
        run_sweep(other, None, repair=True)


def test_a_workdir_of_the_format_before_is_refused_as_such(toy, finished):
    path = finished.workdir / "plan.json"
    old = json.loads(path.read_text()) | {"format": 1}
    del old["sha256"]
    path.write_text(json.dumps(old))
    for repair in (False, True):
        with pytest.raises(ValueError, match=r"of format 1, made by another version.*use another --workdir"):
            run_sweep(Store(finished.workdir, finished.plan), None, repair=repair)


def test_another_version_warns_and_goes_on(toy, finished, monkeypatch, capsys):
    real = plan.environment()
    monkeypatch.setattr(plan, "environment", lambda: {**real, "jaxlib": "99", "host": "elsewhere"})
    run_sweep(finished, None)
    told = capsys.readouterr().err
    assert "bits may differ" in told
    assert "jaxlib" in told
    assert "elsewhere" not in told


def test_an_empty_unit_is_refused(toy):
    with pytest.raises(ValueError, match="unit_rows"):
        toy.make_plan(unit_rows=(4, 0))
