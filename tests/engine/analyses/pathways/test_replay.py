"""What a replay measures is what the model does, run whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

import causeway as cw
from causeway.engine.analyses.pathways.estimates import Rule, estimate
from causeway.engine.analyses.pathways.passes import HOLDS, Nodes
from causeway.engine.analyses.pathways.prompts import PlacedPrompt
from causeway.engine.analyses.pathways.replay import Replay, measured
from causeway.engine.analyses.pathways.selection import SelectedPairs
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.model.handle import Model
from causeway.engine.outcome import from_clean
from causeway.engine.sweep.job import all_tables, run

TEXTS = ("44+95=", "game: loss $20. balance $150. round 2. 1) bet $5-$100 2) stop. choice:", "14+15=", "27+3=")


def _prompts(model, position=-1, scope="all"):
    found = []
    for text in TEXTS:
        tokens = tuple(map(int, model.tokens(text)))
        tokens = tokens[: position % len(tokens) + 1]
        found.append(PlacedPrompt(text, tokens, tuple(range(len(tokens)))[0 if scope == "all" else -1 :]))
    return tuple(found)


def _pairs(model, saes, prompts):
    """Of the features that are active anywhere: a source of layer 0 and of layer 1, and targets above them."""
    top = {}
    for layer in (0, 1, 2, 3):
        taps = [cw.Tap("resid_post", "all", layers=[layer])]
        total = sum(
            np.asarray(cw.run(model, list(p.tokens), dictionary=saes, taps=taps).records[0][0].values[0]).sum(axis=0)
            for p in prompts
        )
        top[layer] = np.argsort(-total)[:3].tolist()
    pairs = [((0, top[0][0]), (2, top[2][0])), ((0, top[0][0]), (3, top[3][1])), ((0, top[0][1]), (1, top[1][0]))]
    pairs += [((1, top[1][0]), (3, top[3][0])), ((1, top[1][1]), (2, top[2][0]))]
    source, target = (Nodes.of([pair[i] for pair in pairs]) for i in (0, 1))
    count = len(pairs)
    return SelectedPairs(source, target, np.array(["selected"] * count), np.zeros(count))


def _replay(bundled, derivative="total", scope="all", draws=2, position=-1, **changes):
    model, saes = bundled
    prompts = changes.pop("prompts", _prompts(model, position, scope))
    pairs = _pairs(model, saes, prompts)
    values = changes.pop("values", np.zeros(len(pairs.sources[0])))
    return Replay(model, saes, prompts, pairs, values, derivative, draws, 0)


@pytest.mark.slow
@pytest.mark.parametrize(("derivative", "scope", "position"), [
    ("total", "all", -1), ("total", "last_prompt", -1), ("direct", "all", -1), ("total", "all", -2),
])  # fmt: skip
def test_a_measured_change_is_that_of_a_whole_run_with_the_source_set(bundled, derivative, scope, position):
    model, saes = bundled
    job = _replay(bundled, derivative, scope, 0, position)
    found = measured(all_tables(job, None), len(job.pairs), len(job.prompts), 0)
    for number, (source, target) in enumerate(zip(job.pairs.source.pairs, job.pairs.target.pairs, strict=True)):
        for at, prompt in enumerate(job.prompts):
            tokens = list(prompt.tokens)
            edit = cw.FeatureEdit(*source, value=0.0, scope=scope)
            tap = cw.Tap("resid_post", "raw", layers=[target[0]])
            clean, edited = (
                np.asarray(cw.run(model, tokens, dictionary=saes, edits=[edits], taps=[tap], holds=holds)
                           .records[0][0].values[0, -1], np.float64)
                for edits, holds in (([], "open"), ([edit], HOLDS[derivative]))
            )  # fmt: skip
            w = np.asarray(saes.arrays_at(target[0])["W_enc"], np.float64)[:, target[1]]
            assert found.pre[number, at] == pytest.approx((edited - clean) @ w, abs=2e-4)
    assert (found.pre != 0).mean() > 0.2


def test_random_features_push_as_hard_as_the_source(bundled):
    job = _replay(bundled)
    found = measured(all_tables(job, None), len(job.pairs), len(job.prompts), 2)
    assert found.random.shape == (len(job.pairs), 2, len(job.prompts))
    assert not np.allclose(found.random[:, 0], found.pre)
    assert ((found.random == 0).all(axis=1) >= (found.moved == 0)).all()


def test_a_source_set_to_what_it_is_changes_nothing_to_the_bit(bundled):
    job = _replay(bundled, draws=1)
    found = measured(all_tables(job, None), len(job.pairs), len(job.prompts), 1)
    still = found.moved == 0
    assert not found.pre[still].any()


@pytest.mark.parametrize("prompts", [1, pytest.param(len(TEXTS), marks=pytest.mark.slow)])
def test_a_source_runs_to_its_highest_target_and_reads_what_it_would_running_on(bundled, monkeypatch, prompts):
    job = _replay(bundled, draws=0, prompts=_prompts(bundled[0])[:prompts])
    made, stops = from_clean._own, []
    found = pa.concat_tables(all_tables(job, None))
    assert sorted(job._highest) == [1, 2, 3, 3]

    def to_the_top(batch, numbers, prompts, lengths, tokens, tops):
        stops.append(int(made(batch, numbers, prompts, lengths, tokens, tops).stop))
        return made(batch, numbers, prompts, lengths, tokens, np.full_like(tops, 3))

    monkeypatch.setattr(from_clean, "_own", to_the_top)
    assert found.equals(pa.concat_tables(all_tables(job, None)))
    assert set(stops) <= {2, 3, 4}
    assert min(stops) < 4


def test_the_order_of_prompts_decides_no_number(bundled):
    model, _ = bundled
    forth = _replay(bundled, draws=1)
    back = _replay(bundled, draws=1, prompts=tuple(reversed(_prompts(model))))
    some, others = (measured(all_tables(job, None), len(job.pairs), len(job.prompts), 1) for job in (forth, back))
    np.testing.assert_array_equal(some.pre, others.pre[:, ::-1])
    np.testing.assert_array_equal(some.random, others.random[:, :, ::-1])


@pytest.mark.slow
def test_a_killed_replay_goes_on_to_the_same_bytes(bundled, tmp_path, monkeypatch, contents):
    from types import SimpleNamespace

    from causeway.engine.analyses.pathways import replay

    monkeypatch.setattr(replay, "UNIT_ROWS", 4)
    run(_replay(bundled), tmp_path / "whole")
    job, calls = _replay(bundled), []

    class Killed(Exception):
        pass

    unit = Replay.unit

    def dies(self, index):
        calls.append(index)
        if len(calls) == 3:
            raise Killed
        return unit(self, index)

    monkeypatch.setattr(Replay, "unit", dies)
    with pytest.raises(Killed):
        run(job, tmp_path / "killed")
    monkeypatch.setattr(Replay, "unit", unit)
    assert not run(_replay(bundled), tmp_path / "killed").stopped
    whole, killed = (contents(SimpleNamespace(workdir=tmp_path / name)) for name in ("whole", "killed"))
    assert whole == killed
    assert len(whole) > 3


ALL = {"layers": (0, 1, 2)}
DICTIONARIES = {
    "resid_pre, gated": ALL | {"kind": "gated", "stream": "resid_pre"},
    "attn_out": ALL | {"kind": "relu", "stream": "attn_out"},
    "head_out": ALL | {"kind": "relu", "stream": "head_out"},
    "topk": ALL | {"kind": "topk"},
    "some layers": {"layers": (2, 0)},
    "transcoder": ALL | {"stream": "mlp_in", "write_stream": "mlp_out"},
    "skip transcoder": ALL | {"stream": "mlp_norm", "write_stream": "mlp_out", "skip": True},
    "normed": ALL | {"kind": "relu", "input_norm": "layer_norm"},
}


# What families do otherwise meets what transcoders do otherwise; the rest of the grid is slow.
FAST = {*(("llama", name) for name in DICTIONARIES), ("gemma2", "transcoder"), ("gpt_neox", "transcoder")}
GRID = [
    pytest.param(family, name, marks=() if (family, name) in FAST else pytest.mark.slow)
    for family in ("llama", "gemma2", "gpt_neox") for name in DICTIONARIES
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name"), GRID)
def test_every_kind_of_dictionary_is_measured_as_a_whole_run_has_it(tiny, family, name):
    model = Model(tiny.make_transformer(**tiny.FAMILIES[family]), None, "tiny", "tiny", prepend_bos=False)
    dictionary = tiny.make_dictionary(**DICTIONARIES[name])
    tokens = [tuple(map(int, tiny.PROMPT[:length])) for length in (9, 6, 7)]
    prompts = tuple(PlacedPrompt(f"p{n}", ids, tuple(range(1, len(ids)))) for n, ids in enumerate(tokens))
    pairs = [((0, source), (2, target)) for source, target in ((1, 3), (4, 0), (7, 3), (11, 9), (13, 9))]
    source, target = (Nodes.of([pair[i] for pair in pairs]) for i in (0, 1))
    chosen = SelectedPairs(source, target, np.array(["selected"] * len(pairs)), np.zeros(len(pairs)))
    job = Replay(model, dictionary, prompts, chosen, np.full(len(pairs), 0.4), "total", 0, 0)
    found = measured(all_tables(job, None), len(pairs), len(prompts), 0)
    for number, (node, end) in enumerate(pairs):
        for at, prompt in enumerate(prompts):
            edit = cw.FeatureEdit(*node, value=0.4, scope="positions:1:")
            tap = cw.Tap(dictionary.config.stream, "selected", layers=[2], ids=[end[1]])
            clean, edited = (
                float(cw.run(model, list(prompt.tokens), dictionary=dictionary, edits=[edits], taps=[tap])
                      .records[0][0].values[0, -1, 0]) for edits in ([], [edit])
            )  # fmt: skip
            assert found.activation[number, at] == pytest.approx(edited - clean, abs=2e-5)
            if dictionary.config.kind == "gated" and min(clean, edited) > 0:
                assert found.pre[number, at] == pytest.approx(edited - clean, abs=2e-5)
    assert (found.pre != 0).mean() > 0.5


@pytest.mark.slow
def test_of_a_thousand_pairs_that_nothing_connects_none_is_called_a_pathway(tiny):
    declared, tested = 0, 0
    for seed in range(2):
        model, dictionary = _unconnected(tiny, seed)
        rng = np.random.default_rng(seed)
        tokens = [tuple(map(int, rng.integers(0, 40, rng.integers(5, 9)))) for _ in range(14)]
        prompts = tuple(PlacedPrompt(f"p{n}", ids, tuple(range(len(ids)))) for n, ids in enumerate(tokens))
        pairs = [((low, s), (up, t)) for low, up in ((0, 1), (0, 2), (1, 2)) for s in range(8) for t in range(24)]
        source, target = (Nodes.of([pair[i] for pair in pairs]) for i in (0, 1))
        chosen = SelectedPairs(source, target, np.array(["selected"] * len(pairs)), np.zeros(len(pairs)))
        job = Replay(model, dictionary, prompts, chosen, np.zeros(16), "total", 19, 0)
        found = measured(all_tables(job, None), len(pairs), len(prompts), 19)
        estimates = estimate(found, np.zeros_like(found.pre), Rule(tau=0.0))
        declared, tested = declared + int(estimates.validated.sum()), tested + len(pairs)
        assert (found.moved != 0).mean() > 0.3
    assert tested > 1000
    assert declared == 0


def _unconnected(tiny, seed):
    """A model whose blocks above the first write nothing, and targets that read what no feature writes."""
    transformer = tiny.make_transformer(seed=seed)

    def quiet(path, leaf):
        writes = any(name in jax.tree_util.keystr(path) for name in (".output.", ".down."))
        return leaf.at[1:].set(0) if writes else leaf

    transformer = jax.tree_util.tree_map_with_path(quiet, transformer)
    dictionary = tiny.make_dictionary("relu", (0, 1, 2), seed=seed + 1)
    # An orthonormal basis of eight dimensions, which is all that features write to.
    basis = np.linalg.qr(np.asarray(dictionary.W_dec[...], np.float64)[0, :8].T)[0]
    decoder = np.einsum("lfd,de,ge->lfg", np.asarray(dictionary.W_dec[...], np.float64), basis, basis)
    encoder = np.asarray(dictionary.W_enc[...], np.float64)
    encoder[1:] -= np.einsum("de,ge,lgf->ldf", basis, basis, encoder[1:])
    arrays = {
        "W_enc": encoder, "W_dec": decoder, "b_enc": np.asarray(dictionary.b_enc[...]),
        "b_dec": np.asarray(dictionary.b_dec[...]),
    }  # fmt: skip
    made = Dictionary(dictionary.config, **{name: jnp.asarray(a, jnp.float32) for name, a in arrays.items()})
    return Model(transformer, None, "unconnected", f"unconnected {seed}", prepend_bos=False), made
