"""Features of a layer that do the same are joined, others are not, and chance is told."""

import itertools

import numpy as np
import pyarrow as pa
import pytest

import causeway as cw
from causeway.engine.analyses.integrate import by_feature, profiles
from causeway.engine.analyses.integrate.clusters import layer_clusters
from causeway.engine.analyses.integrate.inputs import Inputs
from tests.engine.analyses.integrate.stage_tables import pathway, rows, tables, word

WORDS = ("bet", "stop", "target", "careful", "enough", "win")


def entries(layer, patterns):
    """Text entries of features 0, 1, ... from rows of signs."""
    return [
        ((layer, feature), ("safe", "patch", WORDS[column]), sign)
        for feature, signs in enumerate(patterns) for column, sign in enumerate(signs) if sign
    ]  # fmt: skip


def plain_similarity(parts):
    """The equation, pair by pair."""
    count = len(parts[0].signs)
    out = np.eye(count)
    for a, b in itertools.permutations(range(count), 2):
        cosines = []
        for part in parts:
            x, y = part.signs[a].astype(float), part.signs[b].astype(float)
            if x.any() and y.any():
                cosines.append(float(x @ y / np.linalg.norm(x) / np.linalg.norm(y)))
        out[a, b] = np.mean(cosines) if cosines else 0.0
    return out


def random_parts(seed, features=9):
    generator = np.random.default_rng(seed)
    return [
        profiles.Part(generator.choice([-1, 0, 0, 0, 1], (features, width)).astype(np.int8),
                      tuple((str(n),) for n in range(width)))
        for width in (7, 12)
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_similarity_is_the_mean_cosine_of_signs_over_shared_parts(seed):
    parts = random_parts(seed)
    np.testing.assert_allclose(profiles.similarity(parts), plain_similarity(parts), atol=1e-6)


def test_similarity_is_symmetric_bounded_and_turns_with_signs():
    parts = random_parts(3)
    found = profiles.similarity(parts)
    assert np.array_equal(found, found.T)
    assert np.abs(found).max() <= 1 + 1e-6
    turned = profiles.similarity([profiles.Part(-part.signs, part.names) for part in parts])
    np.testing.assert_array_equal(turned, found)


def test_features_that_add_the_same_words_are_joined_and_opposites_are_not():
    same, other = (1, -1, 1, 0, 0, 0), (-1, 1, -1, 0, 0, 0)
    found = layer_clusters([], entries(3, [same, same, other, (0, 0, 0, 1, 1, 0)]), 0.5, 0)
    (cluster,) = found[3]["clusters"]
    assert cluster["features"] == ["L3-0", "L3-1"]
    assert cluster["similarity"] == pytest.approx(1.0)
    assert cluster["label"] == "adds bet, removes stop, adds target"
    assert (found[3]["features"], found[3]["alone"]) == (4, 2)


def test_layers_are_clustered_apart():
    found = layer_clusters([], entries(1, [(1, 1)]) + entries(2, [(1, 1)]), 0.1, 0)
    assert [found[layer]["clusters"] for layer in (1, 2)] == [[], []]


def test_shared_targets_join_features_without_words():
    found = [pathway((0, n), (2, target), -1.0, 0.01) for n in (4, 6) for target in (1, 2, 3)]
    given = Inputs(tables("select", "pathways", pathways=found))
    pathways = profiles.pathway_entries(by_feature.pathways_found(given, 0.05))
    (cluster,) = layer_clusters(pathways, [], 0.5, 0)[0]["clusters"]
    assert cluster["features"] == ["L0-4", "L0-6"]
    assert cluster["label"] == "raises L2-1, raises L2-2, raises L2-3"


def test_blocks_of_many_words_are_above_chance_and_one_shared_word_is_not():
    generator = np.random.default_rng(0)
    blocks = np.repeat(generator.choice([-1, 1], (4, 40)), 5, axis=0) * (generator.random((20, 40)) < 0.8)
    texts = [
        ((0, feature), ("safe", "patch", f"w{column}"), int(blocks[feature, column]))
        for feature in range(20) for column in range(40) if blocks[feature, column]
    ]  # fmt: skip
    found = layer_clusters([], texts, 0.4, 0)[0]
    assert sorted(len(one["features"]) for one in found["clusters"]) == [5, 5, 5, 5]
    assert all(one["above_chance"] for one in found["clusters"])
    single = [((0, n), ("safe", "patch", "bet"), 1) for n in range(2)]
    (cluster,) = layer_clusters([], single, 0.5, 0)[0]["clusters"]
    assert not cluster["above_chance"]


def test_chance_depends_on_the_seed_alone():
    parts = random_parts(1)
    assert profiles.chance(parts, 4) == profiles.chance(parts, 4)
    assert 0 < profiles.chance(parts, 4) <= 1


def test_stories_say_their_cluster():
    words = [word((1, n), text, 1.0, 0.001) for n in (2, 9) for text in ("bet", "win", "slot")]
    found = cw.integrate(**tables("select", "associations", associations=words))
    named = {told["feature"]: told["cluster"] for told in found.stories}
    assert named["L1-2"] == named["L1-9"] == "L1-c1"
    assert named["L0-1"] is None


def test_the_strongest_texts_are_those_of_a_plain_loop():
    generator = np.random.default_rng(5)
    table = [
        word((layer, feature), f"w{text}", float(generator.normal()), float(generator.random()), unit, contrast)
        for layer in (0, 2) for feature in (1, 3) for unit in ("word", "token") for contrast in ("x", "y")
        for text in range(6)
    ]  # fmt: skip
    chosen = by_feature.best_texts(pa.Table.from_pylist(table), 3).to_pylist()
    expected = []
    keys = dict.fromkeys((r["layer"], r["feature"], r["unit"], r["direction"]) for r in table)
    for key in keys:
        own = [r for r in table if (r["layer"], r["feature"], r["unit"], r["direction"]) == key]
        own.sort(key=lambda r: (r["p"], -abs(r["z"])))
        first = {}
        for row in own:
            first.setdefault(row["text"], row | {"contrasts": sum(r["text"] == row["text"] for r in own)})
        expected += list(first.values())[:3]
    order = ("layer", "feature", "unit", "direction", "p")
    assert sorted(chosen, key=lambda r: [r[n] for n in order]) == sorted(expected, key=lambda r: [r[n] for n in order])


def test_no_text_is_lost_where_all_are_taken():
    table = pa.Table.from_pylist(rows()["associations"])
    kept = by_feature.best_texts(table, 100)
    pairs = {(r["layer"], r["feature"], r["unit"], r["text"]) for r in table.to_pylist()}
    assert {(r["layer"], r["feature"], r["unit"], r["text"]) for r in kept.to_pylist()} == pairs
    assert kept.num_rows == len(pairs)
