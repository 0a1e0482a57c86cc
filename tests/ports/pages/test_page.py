"""Pages in a browser: charts are drawn, data come out as they went in, and no text is taken for anything else."""

import csv
import html
import io

import altair as alt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from causeway.ports.pages.page import render
from causeway.ports.pages.section import TABLE, Card, Cards, Chart, DataTable, Facts, Missing, Prose, Section

HOSTILE = [
    '<script>alert("x")</script>',
    "</script><b>",
    "שלום עולם",
    "日本語",
    'a,b\n"c"',
    "&lt;",
    "\u2028x",
    "x" * 10_000,
]


def points(table):
    chart = (
        alt.Chart(alt.NamedData(TABLE))
        .mark_circle()
        .encode(alt.X("token:N", sort=None), y="value (nats):Q", tooltip="token:N")
    )
    return Chart("points", "Points of <b>tokens</b>", "Each point is a token.", chart, table)


@pytest.fixture
def table():
    return pa.table({"token": HOSTILE, "value (nats)": [float(i) for i in range(7)] + [float("nan")]})


@pytest.fixture
def sections(table):
    blocks = [
        Prose(HOSTILE[0]), Prose("beware", "warning"), Missing("nothing", f"causeway {HOSTILE[1]}"), points(table),
        DataTable("rows", HOSTILE[1], HOSTILE[0], table, {"token": HOSTILE[0], "value (nats)": "v"}, shown=8),
        Cards([Card(*HOSTILE[:3])]),
        Facts(HOSTILE[0], {HOSTILE[1]: {"inside": HOSTILE}}),
    ]  # fmt: skip
    return [Section(HOSTILE[0], "first", blocks, HOSTILE[2])]


def test_a_page_draws_its_charts_and_takes_texts_for_texts(opened, sections):
    page = opened(render(sections, HOSTILE[0], HOSTILE[1])).page
    assert page.locator(".chart svg").count() == page.locator(".chart[data-drawn]").count() == 1
    # Those that the page is made of: data, Vega and page.js; nothing that a text brought.
    assert page.locator("script:not([type])").count() == 2
    assert page.locator("b").count() == 0
    cells = page.locator("#first-rows tbody td:first-child bdi").all_text_contents()
    assert cells[:-1] == HOSTILE[:-1]
    assert len(cells[-1]) < 200 < len(page.locator("#first-rows tbody td:first-child bdi").last.get_attribute("title"))
    assert "alert" in page.locator("h2#first-heading").text_content()
    page.locator(".chart svg .mark-symbol path").first.hover()
    assert HOSTILE[0] in page.locator("#vg-tooltip-element").text_content()
    assert page.locator("#vg-tooltip-element script").count() == 0


def test_who_does_not_see_or_point_is_told_as_much(opened, sections):
    page = opened(render(sections, "t", "m")).page
    assert (
        page.locator("[role=graphics-document]").get_attribute("aria-label")
        == "Points of <b>tokens</b>. Each point is a token."
    )
    assert page.locator("main h2, main h3").count() == page.locator("section, figure, .table").count()
    assert page.locator("th:not([scope])").count() == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"


def downloaded(page, name, kind):
    with page.expect_download() as found:
        page.locator(f"[data-of={name}] button[data-kind={kind}]").click()
    assert found.value.suggested_filename == f"{name}.{kind}"
    return found.value.path().read_bytes()


def test_a_chart_hands_out_its_data_and_its_picture(opened, sections, table):
    page = opened(render(sections, "t", "m")).page
    stored = pq.read_table(io.BytesIO(downloaded(page, "first-points", "parquet")))
    assert stored.schema.equals(table.schema)
    assert stored.slice(0, 7).equals(table.slice(0, 7))
    options = pyarrow.csv.ParseOptions(newlines_in_values=True)
    read = pyarrow.csv.read_csv(io.BytesIO(downloaded(page, "first-rows", "csv")), parse_options=options)
    assert read["token"].to_pylist() == HOSTILE
    assert read["value (nats)"].to_pylist() == [*map(float, range(7)), None]
    assert downloaded(page, "first-points", "svg").startswith(b"<svg")
    assert downloaded(page, "first-points", "png").startswith(b"\x89PNG")


def test_a_downloaded_csv_runs_nothing_and_keeps_large_integers(opened):
    texts = ["=1+1", "+x", "-x", "@x", "\t=1", "\r=1", "a=b", "-5", "x-y"]
    large = [2**53 + 1, -(2**60) - 1, *range(7)]
    table = pa.table({"=name": texts, "number": [-1.5 * i for i in range(9)], "large": large})
    page = opened(render([Section("a", "a", [DataTable("rows", "t", "c", table)])], "t", "m")).page
    read = list(csv.reader(io.StringIO(downloaded(page, "a-rows", "csv").decode(), newline="")))
    assert read[0] == ["'=name", "number", "large"]
    assert [row[0] for row in read[1:]] == [f"'{text}" for text in texts[:6]] + texts[6:]
    assert [float(row[1]) for row in read[1:]] == table["number"].to_pylist()
    assert [int(row[2]) for row in read[1:]] == large


def test_a_page_without_charts_carries_no_vega(sections):
    plain = [Section("a", "a", [block for block in sections[0].blocks if not isinstance(block, Chart)])]
    assert len(render(plain, "t", "m")) < 60_000 < 900_000 < len(render(sections, "t", "m"))


def test_a_page_may_load_send_and_be_based_on_nothing():
    policy = render([Section("a", "a", [])], "t", "m").partition('Policy" content="')[2].partition('"')[0]
    told = dict(rule.strip().split(" ", 1) for rule in html.unescape(policy).split(";"))
    assert told["default-src"] == told["base-uri"] == told["form-action"] == "'none'"


def test_rows_that_are_left_out_are_told(opened, table):
    many = pa.table({"token": ["x"] * 230})
    page = opened(render([Section("a", "a", [DataTable("rows", "t", "c", many, shown=20)])], "t", "m")).page
    assert "30 more rows are left out here; CSV and Parquet have all 230" in page.locator(".left-out").text_content()
    assert page.locator("#a-rows tbody tr:visible").count() == 20
    page.locator("#a-rows button.more").click()
    assert page.locator("#a-rows tbody tr:visible").count() == 200
    assert "The table has no rows" in render(
        [Section("a", "a", [DataTable("r", "t", "c", table.slice(0, 0))])], "t", "m"
    )


@pytest.mark.parametrize("names", [["a b"], ["a", "a"], [""]], ids=str)
def test_names_that_tell_nothing_apart_are_refused(names):
    with pytest.raises(ValueError, match="each name once"):
        render([Section("s", name, []) for name in names], "t", "m")
