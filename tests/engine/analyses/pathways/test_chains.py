"""Mediation finds what was built: how much of A's effect on C goes through B."""

import itertools

import numpy as np
import pytest

import causeway as cw
from causeway.engine.analyses.pathways.chains import Chain, chains_of, with_all_pairs
from causeway.engine.analyses.pathways.mediation import Mediation, chain_table, mediated
from causeway.engine.analyses.pathways.passes import Nodes
from causeway.engine.analyses.pathways.prompts import PlacedPrompt
from causeway.engine.analyses.pathways.selection import SelectedPairs
from causeway.engine.stats.multiple import adjust
from causeway.engine.stats.paired import paired_mean
from causeway.engine.sweep.job import all_tables


def _scored(built, chains, *, bypass=0.5, count=14, derivative="total"):
    network, prompts = built.model(bypass), built.prompts(count)
    job = Mediation(network, built.dictionary(), prompts, chains, (0.0,) * len(chains), derivative)
    total, through = mediated(all_tables(job, None), chains, count)
    table = chain_table(chains, total, through, family=len(chains), alpha=0.05, correction="bh", seed=0)
    return [built.drives(prompt, network) for prompt in prompts], total, through, table.to_pylist()


@pytest.mark.slow
def test_what_is_mediated_is_what_goes_through_the_inner_node(built):
    chains = (Chain((built.A, built.B, built.C), 1.0),)
    known, total, through, rows = _scored(built, chains)
    np.testing.assert_allclose(total[0], [-one["C"] for one in known], rtol=1e-5)
    np.testing.assert_allclose(through[0], [-one["C through B"] for one in known], rtol=1e-5)
    assert rows[0]["confirmed"]
    assert rows[0]["length"] == 2
    assert rows[0]["path"] == "L0-0 -> L1-0 -> L2-0"
    expected = through[0].mean() / total[0].mean()
    assert rows[0]["share"] == pytest.approx(expected)
    assert 0.5 < expected < 0.99
    assert rows[0]["share_low"] < expected < rows[0]["share_high"]


@pytest.mark.slow
def test_a_longer_chain_counts_what_goes_through_all_its_inner_nodes(built):
    chains = (Chain((built.A, built.B, built.C, built.G), 1.0),)
    known, total, through, rows = _scored(built, chains)
    np.testing.assert_allclose(total[0], [-0.7 * one["C"] for one in known], rtol=1e-5)
    np.testing.assert_allclose(through[0], [-0.7 * one["C through B"] for one in known], rtol=1e-5)
    assert rows[0]["length"] == 3


def test_a_node_that_nothing_goes_through_mediates_nothing(built):
    chains = (Chain((built.A, built.E, built.C), 1.0), Chain((built.D, built.B, built.C), 1.0))
    _, total, through, rows = _scored(built, chains)
    assert not through.any()
    assert total[0].all()
    assert not total[1].any()
    assert [row["confirmed"] for row in rows] == [None, None]


def _pairs(edges):
    source, target = (Nodes.of([edge[end] for edge in edges]) for end in (0, 1))
    return SelectedPairs(source, target, np.array(["selected"] * len(edges)), np.array([edge[2] for edge in edges]))


def test_chains_are_all_ways_along_measured_pairs_the_weakest_link_by_discovery_deciding(built):
    pairs = _pairs(
        [(built.A, built.B, 3.0), (built.B, built.C, -2.0), (built.A, built.C, 9.0), (built.C, built.G, 1.0)]
    )
    found, count = chains_of(pairs, longest=3, most=10)
    assert [str(chain) for chain in found] == [
        "L0-0 -> L1-0 -> L2-0", "L0-0 -> L1-0 -> L2-0 -> L3-0", "L0-0 -> L2-0 -> L3-0", "L1-0 -> L2-0 -> L3-0"
    ]  # fmt: skip
    assert count == 4
    assert [chain.weakest for chain in found] == [2.0, 1.0, 1.0, 1.0]
    short, count = chains_of(pairs, longest=2, most=1)
    assert [str(chain) for chain in short] == ["L0-0 -> L1-0 -> L2-0"]
    assert count == 3
    kept = with_all_pairs(found, pairs, np.array([True, False, True, True]))
    assert [str(chain) for chain in kept] == ["L0-0 -> L2-0 -> L3-0"]


@pytest.mark.parametrize(("longest", "most"), [(2, 7), (3, 7), (4, 30), (4, 10_000)])
def test_the_strongest_chains_are_found_without_making_all(longest, most):
    rng = np.random.default_rng(longest)
    nodes = [(layer, number) for layer in range(5) for number in range(4)]
    edges = [
        (a, b, float(rng.choice([-1, 1]) * rng.lognormal()))
        for a in nodes for b in nodes if a[0] < b[0] and rng.random() < 0.3
    ]  # fmt: skip
    size = {(a, b): abs(effect) for a, b, effect in edges}
    ways, every = [(a, b) for a, b, _ in edges], []
    for _ in range(2, longest + 1):
        ways = [(*way, b) for way in ways for a, b in size if a == way[-1]]
        every += [(-min(size[pair] for pair in itertools.pairwise(way)), way) for way in ways]
    found, count = chains_of(_pairs(edges), longest=longest, most=most)
    assert count == len(every)
    assert [(-chain.weakest, chain.nodes) for chain in found] == sorted(every)[:most]


def test_chains_of_falsely_validated_pairs_are_confirmed_no_oftener_than_said():
    """The worst that validation can do: nothing does anything, and what is mediated is a multiple of the first pair."""
    family, prompts, validated = 200, 20, 0.05
    chosen, small, confirmed, alone = 0, 0, 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        through = rng.standard_normal((family, prompts)) * rng.lognormal(0, 1, (family, 1))
        p = paired_mean(through).p
        kept = p < validated
        chains = [Chain(((0, n), (1, n), (2, n)), 1.0) for n in range(int(kept.sum()))]
        table = chain_table(chains, through[kept], through[kept], family=family, alpha=0.05, correction="bh", seed=0)
        confirmed += any(table["confirmed"].to_pylist())
        alone += bool((adjust(p[kept]).q < 0.05).any())
        chosen, small = chosen + int(kept.sum()), small + int((p[kept] < 0.05).sum())
    # Of the chains that are run every one has p < 0.05, and correcting among them alone would confirm nearly always.
    assert small == chosen > 300
    assert alone > 50
    assert confirmed / 60 <= 0.1


def test_the_q_of_a_chain_counts_those_whose_pairs_were_not_validated():
    rng = np.random.default_rng(0)
    through = rng.standard_normal((3, 20)) + 0.7
    chains = [Chain(((0, n), (1, n), (2, n)), 1.0) for n in range(3)]
    alone, among = (
        np.array(chain_table(chains, through, through, family=family, alpha=0.05, correction="bh", seed=0)["q"])
        for family in (3, 30)
    )
    np.testing.assert_allclose(among, np.minimum(10 * alone, 1.0))


@pytest.mark.slow
def test_chains_do_not_depend_on_those_beside_them(built, monkeypatch):
    from causeway.engine.analyses.pathways import mediation as module

    both = (Chain((built.A, built.B, built.C), 1.0), Chain((built.A, built.B, built.C, built.G), 1.0))
    _, _, whole, _ = _scored(built, both)
    monkeypatch.setattr(module, "UNIT_ROWS", 8)
    _, _, apart, _ = _scored(built, both)
    np.testing.assert_array_equal(whole, apart)
    _, _, alone, _ = _scored(built, both[1:])
    np.testing.assert_array_equal(whole[1:], alone)


@pytest.mark.slow
def test_mediation_is_that_of_whole_runs_with_the_inner_node_clamped(bundled):
    model, saes = bundled
    chains = (Chain(((0, 460), (1, 931), (3, 31)), 1.0), Chain(((0, 690), (2, 391), (3, 952)), 1.0))
    texts = ["game: loss $20. balance $150. round 2. 1) bet $5-$100 2) stop. choice:", "44+95="]
    tokens = [tuple(map(int, model.tokens(text))) for text in texts]
    prompts = tuple(PlacedPrompt(text, ids, tuple(range(1, len(ids)))) for text, ids in zip(texts, tokens, strict=True))
    job = Mediation(model, saes, prompts, chains, (0.0, 3.0), "total")
    total, through = mediated(all_tables(job, None), chains, len(prompts))
    for number, (chain, value) in enumerate(zip(chains, job.values, strict=True)):
        (start, inner, end) = chain.nodes
        for at, ids in enumerate(tokens):

            def read(edits, node=end, ids=ids):
                tap = cw.Tap("resid_post", "raw", layers=[node[0]])
                out = cw.run(model, list(ids), dictionary=saes, edits=[edits], taps=[tap]).records[0][0].values[0]
                arrays = saes.arrays_at(node[0])
                w, b = (np.asarray(arrays[name], np.float64) for name in ("W_enc", "b_enc"))
                return np.asarray(out, np.float64) @ w[:, node[1]] + b[node[1]]

            set_ = [cw.FeatureEdit(*start, value=value, scope="positions:1:")]
            p, threshold = read([], inner), float(np.asarray(saes.arrays_at(inner[0])["threshold"])[inner[1]])
            clean = np.where(p > threshold, p, 0.0)
            clamp = [cw.FeatureEdit(*inner, value=float(clean[t]), scope=f"positions:{t}") for t in range(1, len(ids))]
            whole, clamped = read(set_)[-1] - read([])[-1], read(set_ + clamp)[-1] - read([])[-1]
            assert total[number, at] == pytest.approx(whole, abs=2e-4)
            assert through[number, at] == pytest.approx(whole - clamped, abs=4e-4)
    assert through.any()
