"""Plans: equal plans share a workdir, others are refused with the fields that differ."""

import dataclasses
import json

import pytest

from causeway.engine.sweep import Store, plan, run_sweep


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


def test_another_plan_is_refused_field_by_field_in_one_line(toy, tmp_path):
    toy.make_plan().bind(tmp_path)
    now = toy.make_plan(temperature=0.8, unit_rows=(4, 4))
    config = {**now.config, "features": [1, 2], "arms": [{"name": "ablate"}], "seed": 1}
    now = dataclasses.replace(now, config=config, parts={"weights": "b" * 64, "rows": "1"})
    with pytest.raises(ValueError, match="is of another plan") as error:
        now.bind(tmp_path)
    message = str(error.value)
    assert "\n" not in message
    for part in (
        "config.temperature: 0.7 in the workdir, 0.8 now",
        'config.arms[0].name: "noop" in the workdir, "ablate" now',
        "config.features: 3 entries [1, 2, 3] in the workdir, 2 entries [1, 2] now",
        "config.seed: absent in the workdir, 1 now",
        "parts.weights:",
        "units:",
        "use another --workdir",
    ):
        assert part in message
    assert "parts.rows" not in message


def test_long_values_are_shown_where_they_differ(toy, tmp_path):
    first = dataclasses.replace(toy.make_plan(), config={"prompt": "word " * 50 + "yes"})
    first.bind(tmp_path)
    other = dataclasses.replace(first, config={"prompt": "word " * 50 + "no"})
    with pytest.raises(ValueError, match=r'config\.prompt: \.\.\.[word ]+yes" in the workdir, \.\.\.[word ]+no" now'):
        other.bind(tmp_path)


def test_many_differences_are_counted(toy, tmp_path):
    first = dataclasses.replace(toy.make_plan(), config={f"c{i}": 0 for i in range(40)})
    first.bind(tmp_path)
    with pytest.raises(ValueError, match="and 28 more; use another --workdir"):
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


def test_units_without_a_plan_and_a_damaged_plan_are_refused(toy, tmp_path, finished):
    path = finished.workdir / "plan.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(ValueError, match="damaged JSON"):
        run_sweep(Store(finished.workdir, finished.plan), None)
    path.unlink()
    with pytest.raises(ValueError, match=r"holds finished units but no plan\.json"):
        run_sweep(Store(finished.workdir, finished.plan), None)


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
