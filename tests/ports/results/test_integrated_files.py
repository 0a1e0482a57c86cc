"""Files of `integrate`: what is read of the stages' folders, and what is written, is all there."""

import json

import networkx as nx
import pyarrow.parquet as pq
import pytest

import causeway as cw
from causeway.engine.analyses.integrate.picture import FEATURES, OF_A_LAYER, picture
from causeway.engine.sweep.checksums import written_alone
from causeway.engine.sweep.fingerprint import file_sha256
from causeway.ports.results.integrate_inputs import read_inputs
from causeway.ports.results.integrated_files import FILES, remove_integrated, write_integrated
from causeway.ports.results.integrated_picture import draw_integrated
from causeway.ports.results.recorded_inputs import file_read
from tests.engine.analyses.integrate.stage_tables import rows, tables, word

FOLDERS = {
    "select": {"select": "causal_features.parquet"},
    "pathways": {"pathways": "pathways.parquet", "chains": "chains.parquet"},
    "replay": {"replay": "replay_pathways.parquet"},
    "tokens": {"associations": "associations.parquet", "outcomes": "outcomes.parquet"},
}


def write_stages(folder, about=None, **changed):
    """Folders of the stages, as their commands leave them; the places by stage."""
    given = tables(**changed)
    for stage, files in FOLDERS.items():
        (folder / stage).mkdir(parents=True)
        (folder / stage / f"{stage}.json").write_text(json.dumps((about or {}).get(stage, {})))
        for name, file in files.items():
            pq.write_table(given[name], folder / stage / file)
    return {stage: str(folder / stage) for stage in FOLDERS}


@pytest.fixture
def found():
    return cw.integrate(**tables())


def test_tables_of_folders_are_those_that_were_written_with_their_sha256(tmp_path):
    folders = write_stages(tmp_path)
    inputs = read_inputs(folders)
    assert inputs.missing == ("effects",)
    for name, table in tables().items():
        if name != "effects":
            assert inputs.tables[name].to_pylist() == table.to_pylist()
    origin = inputs.origins["chains"]
    assert origin.files == {"chains.parquet": file_sha256(tmp_path / "pathways" / "chains.parquet")}


def test_pathways_without_chains_will_do(tmp_path):
    folders = write_stages(tmp_path)
    (tmp_path / "pathways" / "chains.parquet").unlink()
    assert "chains" not in read_inputs(folders).tables


def test_a_folder_that_is_not_finished_is_refused(tmp_path):
    folders = write_stages(tmp_path)
    (tmp_path / "replay" / "replay.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"--replay: .* has no replay.json: not finished"):
        read_inputs(folders)
    with pytest.raises(FileNotFoundError, match=r"--replay: .*: no such folder"):
        read_inputs({**folders, "replay": str(tmp_path / "nowhere")})


def test_stages_of_two_models_are_refused(tmp_path):
    about = {"pathways": {"model_fingerprint": "a" * 64}, "replay": {"model_fingerprint": "b" * 64}}
    with pytest.raises(ValueError, match="replay: made of other model than pathways was"):
        read_inputs(write_stages(tmp_path, about))


def test_a_stage_that_read_what_another_was_before_it_was_run_again_is_refused(tmp_path):
    folders = write_stages(tmp_path)
    chosen = tmp_path / "select" / "causal_features.parquet"
    for stage in ("pathways", "replay", "tokens"):
        told = {"inputs": {"features": file_read(chosen), "results": {"folder": "elsewhere", "files": {"a": "b"}}}}
        (tmp_path / stage / f"{stage}.json").write_text(json.dumps(told))
    (place,) = {place for place in read_inputs(folders).origins["pathways"].read if place.endswith("select")}
    assert place == str(tmp_path / "select")
    pq.write_table(pq.read_table(chosen).slice(1), chosen)
    with pytest.raises(
        ValueError, match=r"pathways: read another causal_features.parquet of select than .*/select hol"
    ):
        read_inputs(folders)
    # Another folder's results are another matter.
    other = write_stages(tmp_path / "other")
    assert read_inputs({**folders, "select": other["select"]}).missing == ("effects",)


def test_what_is_missing_is_named_by_its_flag(tmp_path):
    folders = write_stages(tmp_path) | {"tokens": str(tmp_path / "nowhere")}
    with pytest.raises(FileNotFoundError, match=r"--associations: .*: no such folder; give what `causeway tokens` wro"):
        read_inputs(folders)


def test_what_is_written_reads_back(tmp_path, found):
    with written_alone(tmp_path, FILES):
        write_integrated(tmp_path, found, {"environment": {"jax": "x"}})
        draw_integrated(tmp_path / "figures" / "integrated.png", picture(found.stories, found.graph))
    assert pq.read_table(tmp_path / "features.parquet").to_pylist() == found.table.to_pylist()
    stories = json.loads((tmp_path / "integrated.json").read_text())
    assert stories["features"] == found.stories
    assert stories["chains"] == found.chains
    assert stories["summary"]["environment"] == {"jax": "x"}
    graph = nx.read_graphml(tmp_path / "integrated.graphml")
    assert dict(graph.nodes(data=True)) == dict(found.graph.nodes(data=True))
    assert {edge[:2]: edge[2] for edge in graph.edges(data=True)} == {
        edge[:2]: edge[2] for edge in found.graph.edges(data=True)
    }  # fmt: skip
    assert (tmp_path / "figures" / "integrated.png").read_bytes()[:4] == b"\x89PNG"
    assert len((tmp_path / "causeway.sha256").read_text().splitlines()) == len(FILES)
    remove_integrated(tmp_path)
    assert not any((tmp_path / name).exists() for name in FILES)


def test_texts_that_xml_cannot_hold_are_written_as_python_writes_them(tmp_path):
    texts = ["\x00", "a\x1bb", "\ufffe", "<&>\"'", "베팅", "$10", "\n"]
    words = [word((1, 2), text, 1.0, 0.001, unit="token") for text in texts]
    found = cw.integrate(**tables("select", "associations", associations=words))
    write_integrated(tmp_path, found, {})
    labels = {node for node in nx.read_graphml(tmp_path / "integrated.graphml") if node.startswith("token:")}
    shown = ["\\x00", "a\\x1bb", "\\ufffe", *texts[3:]]
    assert labels == {f"token:{text}" for text in shown}


def test_the_picture_has_the_strongest_of_each_layer_and_the_edges_among_them(found):
    shown = picture(found.stories, found.graph)
    names = [spot.name for spot in shown.spots]
    assert len(names) == len(found.stories) == shown.features
    edges = {(names[arrow.source], names[arrow.target]) for arrow in shown.arrows}
    assert ("L0-1", "L1-2") in edges
    assert all(0 <= arrow.share <= 1 for arrow in shown.arrows)
    many = [story | {"layer": layer, "feature": f"L{layer}-{n}"} for layer in range(9) for n in range(20)
            for story in found.stories[:1]]  # fmt: skip
    few = picture(many, found.graph)
    assert len(few.spots) <= FEATURES
    assert max(sum(spot.x == layer for spot in few.spots) for layer in range(9)) <= OF_A_LAYER


def test_words_that_look_like_mathematics_are_drawn(tmp_path):
    words = [word((1, 2), text, 1.0, 0.001) for text in ("$10", "$x^{", "_", "")]
    found = cw.integrate(**tables("select", "associations", associations=words))
    draw_integrated(tmp_path / "picture.png", picture(found.stories, found.graph))
    assert (tmp_path / "picture.png").is_file()


def test_one_feature_is_drawn(tmp_path):
    found = cw.integrate(**tables("select", "outcomes", select=rows()["select"][:1], outcomes=[rows()["outcomes"][0]]))
    draw_integrated(tmp_path / "picture.png", picture(found.stories[:1], found.graph))
    assert (tmp_path / "picture.png").is_file()
