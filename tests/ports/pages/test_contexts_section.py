"""The section of contexts: cards of features, whatever is written in their tokens, and how far an unfinished run is."""

import dataclasses
import json

import pyarrow as pa
import pytest

from causeway.engine.analyses.contexts.tables import CONTEXTS, FEATURES, HISTOGRAMS, Tables
from causeway.ports.pages.page import render
from causeway.ports.pages.section import DataTable, FeatureCards, Missing, Section
from causeway.ports.pages.sections import sections_of
from causeway.ports.pages.sections.feature_contexts import beside
from causeway.ports.pages.workdir import Result, find_results
from causeway.ports.results.context_files import write_about, write_tables

HOSTILE = ["<script>alert(1)</script>", "\n", " של", "ום", "x" * 500, " 語"]
ABOUT = {
    "texts": 3, "rows": 4, "tokens": 60, "features": 40, "dead": 20, "kind": "jumprelu", "stream": "resid_post",
    "bands": 2, "layers": [{"layer": layer, "active_a_token": 1.5} for layer in (0, 3)],
}  # fmt: skip


def tables(layer, active=True):
    """Twenty features, each second of them never active; labels in layer 3."""
    features, contexts, bins = [], [], []
    for number in range(20):
        on = active and number % 2 == 0
        features.append({
            "layer": layer, "feature": number, "label": "<b>bold</b>" if (layer, number) == (3, 4) else None,
            "active_tokens": 5 * on, "firing_rate": number / 100 * on, "active_rows": 2 * on,
            "mean_active": 0.5 if on else None, "maximum": 6.0 if on else None, "low": None, "high": None,
            "promoted": ["</code>", " a"], "promoted_ids": [1, 2], "promoted_weights": [0.5, 0.25],
            "suppressed": None, "suppressed_ids": None, "suppressed_weights": None, "nearest": [3],
            "nearest_cosines": [0.5],
        })  # fmt: skip
        for band in (None, 0, 1) if on else ():
            contexts.append({
                "layer": layer, "feature": number, "kind": "sample", "band": band, "rank": 0, "value": 6.0, "text": 1,
                "row": 1, "position": 3, "peak": 2, "tokens": HOSTILE, "ids": list(range(6)),
                "activations": [0.0, 1.0, 6.0, -2.0, 0.0, 0.5],
            })  # fmt: skip
        bins += [{"layer": layer, "feature": number, "low": 4.0, "high": 6.0, "count": 5}] * on
    made = zip((features, bins, contexts), (FEATURES, HISTOGRAMS, CONTEXTS), strict=True)
    own, histograms, found = (pa.Table.from_pylist(rows, schema) for rows, schema in made)
    return Tables(layer, own, histograms, iter([found]))


def write(folder, active=True, whole=True):
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(json.dumps({"name": "contexts", "units": [[3, 2]]}))
    write_tables(folder, [tables(0, active), tables(3, active)])
    if whole:
        write_about(folder, ABOUT)
    return sections_of(find_results(folder), {"contexts": "where?"})


def test_cards_are_of_labelled_features_and_of_each_layer(tmp_path):
    sections = write(tmp_path / "run")
    (cards,) = (block for block in sections[-1].blocks if isinstance(block, FeatureCards))
    assert cards.cards[0].title == "layer 3, feature 4"
    assert cards.cards[0].label == "<b>bold</b>"
    assert len(cards.cards) == 20
    assert {card.title.partition(",")[0] for card in cards.cards} == {"layer 0", "layer 3"}
    headings = [heading for heading, _ in cards.cards[0].contexts]
    assert headings == ["strongest", "drawn from those of 4 to 6", "drawn from those of less than 4"]
    (table,) = (block for block in sections[-1].blocks if isinstance(block, DataTable))
    assert table.table.num_rows == 20


def test_tokens_are_text_whatever_they_say(tmp_path):
    html = render(write(tmp_path / "run"), "t", "m")
    body = html.partition('class="features"')[2].partition("<table>")[0]
    assert "<script" not in body
    assert "&lt;script&gt;" in body
    assert "<b>bold" not in body
    assert 'dir="ltr"' in body
    assert "x" * 40 + "…" in body
    assert '--heat:1.00" title="6"' in body


@pytest.mark.parametrize(("tokens", "side"), [(["של", "ום"], "rtl"), (["abc", "ש"], "ltr"), ([], "ltr")])
def test_lines_run_as_their_letters_do(tokens, side):
    from causeway.ports.pages.feature_cards import direction
    from causeway.ports.pages.section import Snippet

    assert direction(Snippet(tokens, [0.0] * len(tokens), 0)) == side


def test_nothing_active_and_nothing_finished_are_told(tmp_path):
    quiet = write(tmp_path / "quiet", active=False)
    assert any(isinstance(b, Missing) and "No feature is active" in b.text for b in quiet[-1].blocks)
    begun = write(tmp_path / "begun", whole=False)
    assert any(isinstance(b, Missing) and "0 of 3 units" in b.text for b in begun[-1].blocks)


def test_features_of_other_results_have_cards_where_dictionaries_are_the_same(tmp_path):
    write(tmp_path / "run")
    (contexts,) = find_results(tmp_path / "run")
    keys = pa.table({"layer": [3, 3, 0, 9], "feature": [4, 4, 1, 0], "effect": [1.0, 0.5, 0.1, 0.1]})
    section = Section("t", "a", [DataTable("found", "t", "c", keys)])

    def cards(own, theirs):
        one = Result("patch_sweep", tmp_path, "", plan={"parts": {"dictionaries": own}})
        other = dataclasses.replace(contexts, plan={"parts": {"dictionaries": theirs}})
        return beside(section, one, [one, other])

    (found,) = cards("d", "d")
    # 0:1 is never active, and 9:0 was not looked at.
    assert [card.title for card in found.cards] == ["layer 3, feature 4"]
    assert cards("d", "e") == cards(None, None) == []
    (tmp_path / "run" / "contexts.parquet").write_bytes(b"PAR1")
    (told,) = cards("d", "d")
    assert isinstance(told, Missing)


def test_a_page_of_cards_opens(opened, tmp_path):
    page = opened(render(write(tmp_path / "run"), "t", "m")).page
    assert page.locator("article.feature").count() == 20
    assert page.locator(".bars i").first.get_attribute("title") == "4 to 6: 5 tokens"
