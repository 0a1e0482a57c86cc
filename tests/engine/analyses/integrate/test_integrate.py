"""Tables of several commands become one: what is found, where it is from, what stands alone, what is refused."""

import networkx as nx
import numpy as np
import pyarrow as pa
import pytest

import causeway as cw
from causeway.engine.analyses.integrate.inputs import COLUMNS, Inputs, Origin
from causeway.engine.analyses.integrate.integrate import bring_together
from causeway.engine.analyses.integrate.page import lines
from causeway.engine.stats.multiple import adjust
from tests.engine.analyses.integrate.stage_tables import ALL, effect, outcome, pathway, replayed, rows, tables, word


@pytest.fixture(scope="module")
def found():
    return cw.integrate(**tables())


def story(found, name):
    (told,) = (one for one in found.stories if one["feature"] == name)
    return told


def test_every_feature_of_any_table_has_one_story(found):
    table = rows()
    named = {(row["layer"], row["feature"]) for part in ("select", "effects", "associations", "outcomes")
             for row in table[part]}  # fmt: skip
    for part in ("pathways", "replay"):
        for side in ("source", "target"):
            named |= {(row[f"{side}_layer"], row[f"{side}_feature"]) for row in table[part]}
    assert {(one["layer"], one["feature_id"]) for one in found.stories} == named
    assert len(found.stories) == len(named) == found.table.num_rows
    assert found.table["name"].to_pylist() == [one["feature"] for one in found.stories]


def test_a_story_tells_what_was_found_and_counts_what_was_looked_at(found):
    told = story(found, "L1-2")
    assert told["evidence"] == ["effect", "upstream", "downstream", "texts", "behaviours"]
    assert told["effect"]["effect"] == -0.4
    assert (told["upstream"]["found"], told["upstream"]["strongest"][0]["feature"]) == (1, "L0-1")
    assert (told["replay"]["found"], told["replay"]["looked_at"]) == (0, 1)
    assert [row["text"] for row in told["texts"]["words"]["adds"]] == ["bet", "$10"]
    assert told["texts"]["words"]["adds"][0]["contrasts"] == 2
    assert [row["text"] for row in told["texts"]["words"]["removes"]] == ["stop"]
    assert [row["text"] for row in told["texts"]["tokens"]["adds"]] == [" bet"]
    assert (told["texts"]["found"], told["texts"]["looked_at"]) == (5, 6)
    assert told["chains"][0]["path"] == "L0-1 -> L1-2 -> L2-3"
    target = story(found, "L2-3")
    # One of the four was not validated, one has no small q.
    assert (target["upstream"]["found"], target["upstream"]["looked_at"]) == (2, 4)
    assert [one["feature"] for one in target["upstream"]["strongest"]] == ["L1-2", "L1-9"]
    assert target["replay"]["through_tokens"]["strongest"][0]["feature"] == "L0-1"


def test_the_table_is_null_where_nobody_looked_and_zero_where_nothing_was_found(found):
    by_name = {row["name"]: row for row in found.table.to_pylist()}
    assert by_name["L2-8"]["upstream"] is None
    assert by_name["L0-1"]["upstream"] == 0
    assert by_name["L1-2"]["adds"] == "bet | $10"
    assert by_name["L1-2"]["behaviour"] == "bet"
    assert by_name["L1-2"]["effect_q"] == 0.001
    assert by_name["L2-8"]["effect_q"] is None


def test_features_that_one_table_alone_has_are_counted_and_named(found):
    assert found.summary["only_in"] == {"effects": ["L2-8"], "pathways": ["L0-5"], "replay": ["L2-7"]}
    assert "in replay alone: 1 (L2-7)" in "\n".join(lines(found))


def test_stages_that_asked_about_other_features_than_were_selected_are_told(found):
    assert found.summary["not_selected"] == {"pathways": ["L1-9"]}
    assert "pathways asked about 1 features that select does not name" in "\n".join(lines(found))
    assert cw.integrate(**tables("effects", "pathways")).summary["not_selected"] == {}


def test_the_graph_rises_and_its_edges_are_signed(found):
    graph = found.graph
    assert nx.is_directed_acyclic_graph(graph)
    assert graph.edges["L0-1", "L1-2"]["kind"] == "pathway"
    assert graph.edges["L0-1", "L1-2"]["replay_free_generated_delta"] == 0.7
    assert graph.edges["L0-1", "L1-2"]["replay_teacher_forced_generated_q"] == 0.001
    # Taking the source away lowered the first target and raised the second.
    assert graph.edges["L0-1", "L1-2"]["drive"] == pytest.approx(-0.4)
    assert (graph.edges["L0-1", "L1-2"]["sign"], graph.edges["L1-2", "L2-3"]["sign"]) == (-1, 1)
    assert graph.edges["L0-1", "L2-7"]["kind"] == "replay"
    assert not graph.has_edge("L0-5", "L2-3")
    assert not graph.has_edge("L2-3", "L0-1")
    assert graph.edges["L1-2", "word:stop"]["sign"] == -1
    assert graph.nodes["word:stop"]["kind"] == "word"


def test_of_several_arms_of_a_replay_the_one_with_the_smallest_q_is_the_edge():
    arms = [replayed((0, 1), (2, 7), delta, q) | {"arm": arm} for arm, delta, q in (
        ("patch:safe", 0.9, 0.03), ("patch:risky", -0.4, 0.001), ("ablate", 0.2, 0.02))]  # fmt: skip
    for given in (arms, arms[::-1]):
        edge = cw.integrate(**tables("select", "replay", replay=given)).graph.edges["L0-1", "L2-7"]
        assert (edge["arm"], edge["effect"], edge["q"], edge["sign"]) == ("patch:risky", -0.4, 0.001, -1)
        assert (edge["low"], edge["high"]) == (-0.5, pytest.approx(-0.3))
        assert edge["replay_free_generated_delta"] == -0.4


@pytest.mark.parametrize(("change", "moved", "drive"), [(-2.0, 2.0, -0.4), (1.0, 2.0, 0.8), (0.4, 2.0, None)])
def test_a_drive_is_not_told_where_prompts_changed_the_source_in_opposite_directions(change, moved, drive):
    pair = pathway((0, 1), (1, 2), 0.8, 0.001, source_change=change, source_moved=moved)
    found = cw.integrate(**tables("select", "pathways", pathways=[pair]))
    (story,) = (one for one in found.stories if one["feature"] == "L0-1")
    assert story["downstream"]["strongest"][0]["drive"] == (drive and pytest.approx(drive))
    assert found.graph.edges["L0-1", "L1-2"].get("sign") == (0 if drive is None else np.sign(drive))
    assert "L1-2" in "\n".join(lines(found))


def test_the_order_of_rows_changes_nothing(found):
    turned = cw.integrate(**{name: table.take(list(range(table.num_rows))[::-1]) for name, table in tables().items()})
    assert turned.stories == found.stories
    assert turned.clusters == found.clusters
    assert nx.utils.graphs_equal(turned.graph, found.graph)


@pytest.mark.parametrize("left_out", ["select", "effects", "pathways", "replay", "tokens"])
def test_a_stage_that_is_not_given_is_told_and_changes_nothing_of_the_others(found, left_out):
    names = {"pathways": ("pathways", "chains"), "tokens": ("associations", "outcomes")}.get(left_out, (left_out,))
    fewer = cw.integrate(**tables(*(name for name in ALL if name not in names)))
    assert fewer.summary["missing"] == [left_out]
    assert f"not given: {left_out}" in "\n".join(lines(fewer))
    part = {"tokens": "texts", "pathways": "upstream"}.get(left_out, left_out)
    for told in fewer.stories:
        assert told.get(part) is None
        other = story(found, told["feature"])
        for kept in {"effect", "upstream", "replay", "texts"} - {part, "effects"[:-1] if left_out == "effects" else ""}:
            assert told[kept] == other[kept]


def test_empty_tables_and_a_single_feature_do():
    empty = {name: pa.table({column: pa.nulls(0) for column in COLUMNS[name]}) for name in ALL}
    nothing = cw.integrate(**empty)
    assert nothing.table.num_rows == 0
    assert nothing.graph.number_of_nodes() == 0
    assert lines(nothing)
    one = cw.integrate(**(empty | tables("associations", associations=[word((1, 2), "bet", 1.0, 0.001)])))
    assert [told["feature"] for told in one.stories] == ["L1-2"]
    assert one.clusters[1]["clusters"] == []


def test_a_published_studys_p_are_corrected_and_said_to_be():
    p = [0.001, 0.02, 0.03, 0.9]
    effects = [effect((0, n), 0.1, None, value) for n, value in enumerate(p)]
    found = cw.integrate(**tables("select"), effects=pa.Table.from_pylist(effects))
    q = {row["name"]: row["effect_q"] for row in found.table.to_pylist()}
    np.testing.assert_allclose([q[f"L0-{n}"] for n in range(4)], adjust(np.array(p)).q)
    assert found.summary["effects_q"].startswith("bh over the p of 4 features")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"select": None, "pathways": None, "chains": None, "replay": None, "associations": None, "outcomes": None},
         "got effects; needs results of two of them or more"),
        ({"pathways": [pathway((2, 3), (1, 2), 0.5, 0.01)]}, "pathways: L2-3 -> L1-2 does not rise"),
        ({"pathways": [pathway((1, 2), (1, 3), 0.5, 0.01)]}, "pathways: L1-2 -> L1-3 does not rise"),
        ({"replay": [replayed((2, 3), (1, 2), 0.5, 0.01)]}, "replay: L2-3 -> L1-2 does not rise"),
        ({"effects": [effect((0, 1), 0.1, 0.2)] * 2}, "effects: a feature has several rows"),
        ({"outcomes": [{"layer": 0, "feature": 1}]}, "outcomes: lacks the columns context"),
        ({"chains": [rows()["chains"][0] | {"path": "L1-2 -> nowhere"}]}, "needs a name such as L29-2374"),
    ],
)  # fmt: skip
def test_what_cannot_be_brought_together_is_refused(changed, said):
    kept = [name for name in ALL if changed.get(name, 0) is not None]
    with pytest.raises(ValueError, match=said):
        cw.integrate(**tables(*kept, **{name: value for name, value in changed.items() if value is not None}))


def test_stages_made_of_different_things_are_refused_with_the_field():
    given = tables("effects", "pathways")
    origins = {
        "effects": Origin("runs/exact", {}, {"model": "a" * 64, "prompts": "c" * 64}),
        "pathways": Origin("runs/pathways", {}, {"model": "b" * 64}),
    }
    with pytest.raises(ValueError, match="pathways: made of other model than effects was"):
        Inputs(given, origins)
    del origins["pathways"].identity["model"]
    Inputs(given, origins)


def test_settings_out_of_range_are_refused():
    for name, value in (("alpha", 1.5), ("similarity", -0.1), ("top", 0), ("seed", -1)):
        with pytest.raises(ValueError, match=f"{name}: got"):
            cw.integrate(**tables(), **{name: value})


def test_lists_are_cut_to_the_strongest_and_counts_are_not():
    words = [word((1, 2), f"w{n}", 1.0 + n, 0.04 / (n + 1)) for n in range(30)]
    found = bring_together(Inputs(tables("select", "associations", associations=words)), top=4)
    texts = story(found, "L1-2")["texts"]
    assert [row["text"] for row in texts["words"]["adds"]] == ["w29", "w28", "w27", "w26"]
    assert texts["found"] == 30


def test_a_behaviour_without_a_small_q_is_counted_alone():
    found = cw.integrate(**tables("select", "outcomes", outcomes=[outcome((0, 1), "bet", 0.2, 0.3)]))
    assert story(found, "L0-1")["behaviours"] == {"found": 0, "looked_at": 1, "strongest": [], "from": "outcomes"}
