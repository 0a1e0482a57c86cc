"""A study runs what is due and nothing else, keeps what it did not make, and its page is true."""

import dataclasses
import json
import os

import pytest

from causeway.engine.analyses.study.run_study import Ended
from causeway.engine.sweep.checksums import DamagedDocument, read_sealed
from tests.engine.analyses.study.toy_study import config


def page(toy):
    return read_sealed(toy.workdir / "study.json")


def statuses(toy):
    return {result["stage"]: result["status"] for result in page(toy)["results"]}


def text(toy, stage):
    return (toy.workdir / stage / "text").read_text()


def test_all_stages_run_in_order_and_a_second_run_does_nothing(toy):
    ran, became = toy()
    assert (ran, set(became.values())) == (list("abcd"), {"done"})
    assert text(toy, "d") == "d(c3(a1() b2()))"
    assert toy.lines[2] == f"[3/4] c  done in 2.5 s, 7 MB peak, 13 B  -> {toy.workdir / 'c'}"
    ran, became = toy()
    assert (ran, set(became.values())) == ([], {"skipped"})
    assert toy.lines[2] == f"[3/4] c  up to date  -> {toy.workdir / 'c'}"


@pytest.mark.parametrize(("changed", "again"), [({"one": 5}, "acd"), ({"two": 5}, "bcd"), ({"three": 5}, "cd")])
def test_a_changed_value_runs_its_stage_again_and_those_that_take_it_alone(toy, changed, again):
    toy()
    ran, became = toy(config(**changed))
    assert "".join(ran) == again
    assert {name for name, what in became.items() if what == "skipped"} == set("abcd") - set(again)
    assert text(toy, "d") == "d(c{three}(a{one}() b{two}()))".format(**{"one": 1, "two": 2, "three": 3} | changed)


def test_a_stage_that_is_made_again_with_the_same_bytes_runs_no_other_again(toy):
    toy()
    (toy.workdir / "a" / "text").unlink()
    assert toy()[0] == ["a"]


@pytest.mark.parametrize(("mesh", "again"), [("data:4", ""), ("model:1", ""), ("data:2,model:2", "abcd")])
def test_of_a_mesh_the_places_along_model_decide_alone(toy, mesh, again):
    toy()
    assert "".join(toy(config(shared={"seed": 0, "mesh": mesh}))[0]) == again
    assert toy(config(shared={"seed": 0, "mesh": "model:2"}))[0] == ([] if again else list("abcd"))


def test_a_touched_file_is_compared_and_a_moved_workdir_goes_on(toy):
    toy()
    os.utime(toy.workdir / "a" / "text", ns=(1, 1))
    assert toy()[0] == []
    toy.workdir.rename(toy.workdir.with_name("moved"))
    toy.workdir = toy.workdir.with_name("moved")
    assert toy()[0] == []


def test_an_input_file_counts_by_its_content(toy, tmp_path):
    first, second = tmp_path / "one" / "in.txt", tmp_path / "two" / "in.txt"
    for path in (first, second):
        path.parent.mkdir()
        path.write_text("same")

    def inputs(path):
        return {"b": {"value": {2: path}}}

    toy(inputs=inputs(first))
    assert toy(inputs=inputs(second))[0] == []
    second.write_text("other")
    assert "".join(toy(inputs=inputs(second))[0]) == "bcd"


@pytest.mark.parametrize(
    ("wrong", "became", "told"),
    [
        (Ended(2, 1.0), "failed", "exit status 2"),
        (Ended(-9, 1.0), "failed", "ended by signal 9"),
        (Ended(3, 1.0, 0.5, None, True), "stopped", "exit status 3"),
    ],
)
def test_a_stage_that_does_not_end_well_leaves_the_others_whole_and_the_same_command_goes_on(toy, wrong, became, told):
    toy.broken = {"c": wrong}
    assert toy() == (list("abc"), {"a": "done", "b": "done", "c": became, "d": "not run"})
    assert toy.lines[-1] == f"[3/4] c  {became}: {told}"
    assert statuses(toy) == {"a": "done", "b": "done", "c": became, "d": "not run"}
    toy.broken = {}
    assert toy()[0] == ["c", "d"]
    assert statuses(toy) == {"a": "skipped", "b": "skipped", "c": "done", "d": "done"}
    # The time of a stage is that of all its starts.
    assert page(toy)["results"][2]["seconds"] == 3.5


def test_a_killed_study_goes_on_with_the_stage_that_it_was_in(toy):
    class Killed(BaseException):
        pass

    start = toy._run

    def killed(arguments, log):
        start(arguments, log)
        raise Killed

    toy._run = killed
    with pytest.raises(Killed):
        toy()
    # Half of what it does is there, and no record of an end.
    (toy.workdir / "a" / "half").write_text("half")
    toy._run = start
    assert toy()[0] == list("abcd")
    assert not (toy.workdir / "a" / "half").exists()


def test_what_a_stage_left_half_made_of_other_values_is_removed(toy):
    toy.broken = {"a": Ended(2, 1.0)}
    toy()
    toy.broken = {}
    toy(config(one=7))
    assert {path.name for path in (toy.workdir / "a").iterdir()} == {"text"}


def test_a_stage_that_writes_nothing_fails(toy):
    toy._run = lambda arguments, log: Ended(0, 1.0)
    assert toy()[1]["a"] == "failed"
    assert "has written nothing" in toy.lines[0]


def test_a_place_that_an_earlier_stage_has_not_written_is_named(toy):
    given = config()
    given["stages"][3]["takes"] = {"of": "c/other"}
    assert toy(given)[1]["d"] == "failed"
    assert "c has written no other; it has text" in toy.lines[-1]


def test_outputs_edited_by_hand_are_noticed_and_made_again_on_request_alone(toy):
    toy()
    (toy.workdir / "a" / "text").write_text("mine")
    with pytest.raises(ValueError, match=r"^workdir: .*a/text: not as it was written, by its sha256; rerun with --rep"):
        toy()
    assert text(toy, "a") == "mine"
    # Nor is it lost to other values.
    with pytest.raises(ValueError, match="rerun with --repair"):
        toy(config(one=9))
    assert toy(repair=True)[0] == ["a"]
    assert text(toy, "a") == "a1()"


def test_a_damaged_run_that_repairs_itself_is_not_begun_anew(toy):
    make = toy._command

    def command(stage, inputs):
        return dataclasses.replace(make(stage, inputs), place="workdir", known=frozenset({"workdir", "repair"}))

    toy._command = command
    toy()
    (toy.workdir / "a" / "text").write_text("mine")
    toy(repair=True)
    said = toy.workdir / "stages" / "a.log"
    assert toy.ran == ["a"]
    assert said.read_text().endswith("--repair\n")


def test_an_edit_that_changes_neither_size_nor_time_is_found_by_repair(toy):
    toy()
    path = toy.workdir / "a" / "text"
    times = path.stat().st_mtime_ns
    path.write_text("a9()")
    os.utime(path, ns=(times, times))
    assert toy()[0] == []
    assert toy(repair=True)[0] == ["a"]


def test_nothing_that_the_study_did_not_make_is_overwritten(toy):
    own = toy.workdir / "b" / "notes.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(ValueError, match=r"b/notes.txt was not made by this study; move it away"):
        toy()
    # Before anything was run.
    assert toy.ran == []
    own.unlink()
    toy()
    own.write_text("mine")
    assert toy()[0] == []
    with pytest.raises(ValueError, match="was not made by this study"):
        toy(config(two=9))
    assert (own.read_text(), text(toy, "b")) == ("mine", "b2()")


def test_a_part_runs_alone_where_what_it_takes_is_there(toy):
    assert toy(only=["b"]) == (["b"], {"a": "not run", "b": "done", "c": "not run", "d": "not run"})
    with pytest.raises(ValueError, match=r"^only: c takes a, which has not been run; .* as with --only=a,c"):
        toy(only=["c"])
    with pytest.raises(ValueError, match=r"^from: c takes a, which has not been run"):
        toy(start="c")
    toy(only=["a"])
    assert toy(start="c")[0] == ["c", "d"]
    with pytest.raises(ValueError, match=r"c takes a, which is of other values: value: 1 in the workdir, 6 now"):
        toy(config(one=6), start="c")
    with pytest.raises(ValueError, match=r"d takes c, which takes what is not up to date.*--only=a,c,d"):
        toy(config(one=6), only=["d"])


@pytest.mark.parametrize("limits", [{"only": ["x"]}, {"start": "x"}])
def test_a_part_that_is_no_stage_is_refused(toy, limits):
    with pytest.raises(ValueError, match=r"^(only|start): got 'x'; no stage; needs one of a, b, c, d$"):
        toy(**limits)


def test_another_study_in_the_workdir_is_refused_field_by_field(toy):
    toy()
    with pytest.raises(ValueError, match=r'is of another study: study: "toy" in the workdir, "other" now') as found:
        toy(config(name="other", one=4))
    assert "stages.a.flags.value: 1 in the workdir, 4 now" in str(found.value)
    (toy.workdir / "study.json").unlink()
    with pytest.raises(ValueError, match="is of another study"):
        toy(config(name="other"))


def test_damaged_records_are_named_and_made_again_on_request(toy):
    toy()
    record = toy.workdir / "stages" / "a.json"
    record.write_text(record.read_text().replace("toy", "yot"))
    with pytest.raises(DamagedDocument, match=r"a.json: damaged.*--repair"):
        toy()
    # Whose files these are is not known any more.
    with pytest.raises(ValueError, match="was not made by this study"):
        toy(repair=True)
    (toy.workdir / "a" / "text").unlink()
    assert toy(repair=True)[0] == ["a"]


def test_two_studies_in_one_workdir_at_once_are_refused(toy):
    start = toy._run

    def second(arguments, log):
        with pytest.raises(ValueError, match="in use by process"):
            type(toy)(toy.workdir)()
        return start(arguments, log)

    toy._run = second
    assert toy()[0] == list("abcd")


def test_the_page_says_what_was_run_with_what_and_where(toy):
    toy()
    found = page(toy)
    assert found["shared"] == {"seed": 0}
    assert found["stages"]["c"] == {"driver": "join", "flags": {"value": 3}, "takes": {"of": ["a", "b"]}}
    c = found["results"][2]
    folder = str(toy.workdir / "c")
    assert (c["folder"], c["seconds"], c["peak_bytes"], c["disk_bytes"]) == (folder, 2.5, 7_000_000, 13)
    assert c["command"] == (
        f"causeway join --seed=0 --value=3 --of={toy.workdir / 'a'} --of={toy.workdir / 'b'} "
        f"--shared=seed --out={folder}"
    )
    record = json.loads((toy.workdir / "stages" / "c.json").read_text())
    assert record["fingerprint"] == c["fingerprint"]
    assert [file["path"] for file in record["files"]] == ["text"]
