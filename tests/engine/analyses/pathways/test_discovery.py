"""Gradient discovery against finite differences of the model, and against a pass with its frozen parts held."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import causeway as cw
from causeway.engine.analyses.pathways import readings
from causeway.engine.analyses.pathways.discovery import Discovery
from causeway.engine.analyses.pathways.discovery_requests import discover, discovery, effects_of
from causeway.engine.devices import local_parallel
from causeway.engine.dictionary.input_norm import normalise
from causeway.engine.frozen.gradients import Aim, gradients
from causeway.engine.intervention.instruments import Differentiated, Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.config import Numerics
from causeway.engine.model.forward import causal_pass
from causeway.engine.model.handle import Model
from causeway.engine.prompt_record import PromptRecord

pytestmark = pytest.mark.usefixtures("double")
PROMPT = [7, 31, 2, 19, 19, 0, 38]
PROMPTS = [PROMPT, [5, 11, 8], list(range(2, 13))]
FAMILIES = ("llama", "qwen3", "gpt2", "gpt_neox", "gemma2", "gemma3", "olmo2", "bare")
ALL = {"layers": (0, 1, 2)}
DICTIONARIES = {
    "resid_post": ALL,
    "some layers, in any order": {"layers": (2, 0)},
    "resid_mid, ranked": ALL | {"kind": "topk", "stream": "resid_mid"},
    "resid_pre, gated": ALL | {"kind": "gated", "stream": "resid_pre"},
    "attn_out": ALL | {"kind": "relu", "stream": "attn_out"},
    "transcoder": ALL | {"stream": "mlp_in", "write_stream": "mlp_out"},
    "skip transcoder": ALL | {"stream": "mlp_norm", "write_stream": "mlp_out", "skip": True},
    "normed": ALL | {"kind": "relu", "input_norm": "layer_norm"},
    "normed by size": ALL | {"kind": "relu", "input_norm": "token_norm"},
}  # fmt: skip
FAST = {*((family, "resid_post") for family in FAMILIES), *(("llama", name) for name in DICTIONARIES),
        *((family, "transcoder") for family in ("gpt_neox", "gemma2", "olmo2"))}  # fmt: skip
# Where patterns, norms and MLPs are held, what differs between families is how they are made.
FAST_DIRECT = {("llama", "resid_post"), ("gpt_neox", "transcoder"), ("gemma2", "resid_post"), ("olmo2", "transcoder"),
               ("gpt2", "resid_mid, ranked")}  # fmt: skip
# Edits re-encode what a norm has changed, and hold what attention writes; skip connections pass a held MLP.
DIRECT = ("resid_post", "some layers, in any order", "resid_mid, ranked", "resid_pre, gated", "transcoder")


def grid(fast, names=tuple(DICTIONARIES)):
    """All families and dictionaries; those that are not fast are slow. Parallel blocks have no resid_mid."""
    return [
        pytest.param(family, name, marks=() if (family, name) in fast else pytest.mark.slow)
        for family in FAMILIES
        for name in names
        if not (family == "gpt_neox" and "resid_mid" in name)
    ]


TARGETS = ([2, 2, 2, 1], [3, 11, 0, 5])
STEP = 1e-5


def make(tiny, cases, family, name):
    return cases.make_model(tiny, family), tiny.make_dictionary(**DICTIONARIES[name], dtype="float64")


def targets_of(name):
    """Those of layers with a dictionary."""
    count = 3 if "some" in name else 4
    return TARGETS[0][:count], TARGETS[1][:count]


def rows_of(table):
    return table.to_pylist()


def key(row):
    return tuple(row[name] for name in ("prompt", "target_layer", "target_feature", "source_layer", "source_feature",
                                        "source_position"))  # fmt: skip


def numbers(table, stratum="top"):
    return {key(row): (row["gradient"], row["effect"]) for row in rows_of(table) if row["stratum"] == stratum}


def streams_of(model, names, pushes=None):
    """Streams [L, B, T, W] of the prompt, B rows pushed."""
    taps = tuple(bind_tap(TapSpec(name, "raw", tuple(range(model.config.num_layers))), None) for name in names)
    rows = 1 if pushes is None else len(next(iter(pushes.values()))[0])
    pushed = None if pushes is None else Differentiated({n: jnp.asarray(p) for n, p in pushes.items()}, ())
    tokens = jnp.tile(jnp.asarray(PROMPT), (rows, 1))
    out = jax.jit(causal_pass, static_argnames="logits_of")(
        model.transformer, tokens, Instruments((), taps, pushed), logits_of=None
    )
    return [np.asarray(record.values) for record in out.records]


def pre_activation(dictionary, layer, feature, x):
    """Of a feature, from what the dictionary reads [..., W]."""
    place, kind = dictionary.config.index_of(layer), dictionary.config.kind
    scale = np.exp(np.asarray(dictionary.log_scale[...])[place, feature]) if kind == "gated" else 1
    column = np.asarray(dictionary.W_enc[...])[place, :, feature]
    return np.asarray(normalise(dictionary.config.input_norm, jnp.asarray(x))) @ column * scale


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name"), grid(FAST))
def test_total_gradients_are_those_of_finite_differences(tiny, cases, family, name):
    model, dictionary = make(tiny, cases, family, name)
    table = discover(model, dictionary, [PROMPT], targets_of(name), top=10_000, scope="all")
    read, written = dictionary.config.stream, dictionary.config.output_stream
    found = rows_of(table)
    chosen = [found[i] for i in np.random.default_rng(0).permutation(len(found))[:60]]
    (x,) = streams_of(model, [read])
    pushes = np.zeros((2, model.config.num_layers, len(chosen), len(PROMPT), tiny.CONFIG.d_model))
    for number, row in enumerate(chosen):
        at = row["source_layer"], row["source_position"]
        norm = dictionary.config.input_norm
        worth = {"none": 1, "layer_norm": x[at[0], 0, at[1]].std(ddof=1),
                 "token_norm": np.sqrt(np.mean(x[at[0], 0, at[1]] ** 2))}[norm]  # fmt: skip
        vector = dictionary.W_dec[...][dictionary.config.index_of(at[0]), row["source_feature"]] * worth
        pushes[0, at[0], number, at[1]] = STEP * vector
    pushes[1] = -pushes[0]
    high, low = (streams_of(model, [read], {written: own})[0] for own in pushes)
    for number, row in enumerate(chosen):
        at = row["target_layer"], row["target_feature"]
        up, down = (pre_activation(dictionary, *at, side[at[0], number, -1]) for side in (high, low))
        np.testing.assert_allclose(row["gradient"], (up - down) / (2 * STEP), rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(row["effect"], row["gradient"] * row["activation"], rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "name"), grid(FAST_DIRECT, DIRECT))
def test_direct_effects_are_what_a_feature_moves_where_patterns_norms_and_mlps_are_held(tiny, cases, family, name):
    model, dictionary = make(tiny, cases, family, name)
    table = discover(model, dictionary, [PROMPT], targets_of(name), derivative="direct", top=10_000, scope="all")
    found = rows_of(table)
    chosen = [found[i] for i in np.random.default_rng(1).permutation(len(found))[:12]]
    edits = [
        [cw.FeatureEdit(r["source_layer"], r["source_feature"], 1.0, operation="add", scope=r["source_position"])]
        for r in chosen
    ]
    stream = dictionary.config.stream
    clean = cw.run(model, [PROMPT], taps=[stream])
    out = cw.run(model, [PROMPT] * len(chosen), dictionary=dictionary, edits=edits, holds="constrained", taps=[stream])
    for number, row in enumerate(chosen):
        at = row["target_layer"], row["target_feature"]
        moved = pre_activation(dictionary, *at, out[stream, at[0]][number][-1])
        was = pre_activation(dictionary, *at, clean[stream, at[0]][0][-1])
        np.testing.assert_allclose(row["gradient"], moved - was, rtol=1e-6, atol=1e-9)


def dense(model, dictionary, prompt, layer, feature, derivative="total"):
    """Gradients of one target by every feature at every position of lower layers, {layer: [T, F]}, by one jax.vjp."""
    column = dictionary.W_enc[...][dictionary.config.index_of(layer), :, feature]
    held = "full" if derivative == "total" else "frozen"
    found = gradients(
        model.transformer, prompt, Aim(layer, len(prompt) - 1, column, "resid_post"), ("resid_post",), held
    )
    return {
        below: found.gradients["resid_post"][below] @ np.asarray(dictionary.W_dec[...][place]).T
        for place, below in enumerate(dictionary.config.layers) if below < layer
    }  # fmt: skip


def activations(model, dictionary, prompt):
    """[T, F] of each layer."""
    x = cw.run(model, [prompt], taps=["resid_post"])
    return {at: np.asarray(dictionary.encode_at(at, x["resid_post", at][0])) for at in dictionary.config.layers}


@pytest.fixture(scope="module")
def model(double, tiny, cases):
    return cases.make_model(tiny)


@pytest.fixture(scope="module")
def saes(double, tiny):
    return tiny.make_dictionary(layers=(0, 1, 2), dtype="float64")


@pytest.fixture(scope="module")
def values(tiny):
    """A planned value of most features."""
    drawn = np.random.default_rng(3).standard_normal((3, tiny.FEATURES))
    return np.where(drawn > -1, drawn, np.nan)


@pytest.mark.slow
@pytest.mark.parametrize("by", ["effect", "gradient"])
@pytest.mark.parametrize(
    ("reduce", "planned", "derivative"),
    [("each", False, "total"), ("each", True, "direct"), ("sum", False, "direct"), ("sum", True, "total")],
)
def test_the_strongest_sources_are_those_of_a_sort_of_all(model, saes, values, reduce, planned, derivative, by):
    change = values if planned else "activation"
    table = discover(
        model, saes, PROMPTS, TARGETS, derivative=derivative, change=change, reduce=reduce, top=4, by=by,
        scope="positions:1:",
    )  # fmt: skip
    rows = rows_of(table)
    for number, prompt in enumerate(PROMPTS):
        f = activations(model, saes, prompt)
        for target in zip(*TARGETS, strict=True):
            for below, gradient in dense(model, saes, prompt, *target, derivative).items():
                effect = gradient * (np.nan_to_num(values[below] - f[below]) if planned else f[below])
                gradient, effect = gradient[1:], effect[1:]
                if reduce == "sum":
                    gradient, effect = gradient.sum(axis=0)[None], effect.sum(axis=0)[None]
                # By feature, then by position.
                size = np.abs(effect) if by == "effect" else np.where(effect != 0, np.abs(gradient), 0)
                order = np.argsort(-size.T.ravel(), kind="stable")[:4]
                feature, position = order // len(effect), order % len(effect) + 1
                found = [r for r in rows if key(r)[:4] == (f"prompt {number}", *target, below)]
                assert [r["source_feature"] for r in found] == feature.tolist()
                assert [r["source_position"] for r in found] == ([-1] * 4 if reduce == "sum" else position.tolist())
                at = position - 1, feature
                np.testing.assert_allclose([r["effect"] for r in found], effect[at], rtol=1e-9)
                np.testing.assert_allclose([r["gradient"] for r in found], gradient[at], rtol=1e-9, atol=1e-15)
                told = [f[below][1:, r["source_feature"]].mean() if reduce == "sum" else
                        f[below][r["source_position"], r["source_feature"]] for r in found]  # fmt: skip
                np.testing.assert_allclose([r["activation"] for r in found], told, rtol=1e-9, atol=1e-15)


@pytest.mark.slow
def test_equal_effects_are_in_the_order_of_features_and_positions(model, saes):
    twice = saes.with_config(saes.config)
    for name in ("W_enc", "b_enc", "W_dec", "threshold"):
        array = getattr(saes, name)[...]
        axis = {"W_enc": 2}.get(name, 1)
        half = jnp.take(array, jnp.arange(array.shape[axis]) // 2, axis=axis)
        setattr(twice, name, type(getattr(saes, name))(half))
    for settings in ({}, {"change": np.full((3, 24), 2.0)}, {"reduce": "sum"}):
        rows = rows_of(discover(model, twice, [PROMPT], ([2], [5]), top=6, **settings))
        for layer in (0, 1):
            own = [r for r in rows if r["source_layer"] == layer]
            assert [r["source_feature"] % 2 for r in own] == [0, 1] * 3
            assert all(a["effect"] == b["effect"] for a, b in zip(own[::2], own[1::2], strict=True))


@pytest.mark.slow
def test_neither_neighbours_nor_order_nor_tokens_after_the_target_change_an_effect(model, saes, values):
    whole = numbers(discover(model, saes, PROMPTS, TARGETS, change=values, top=9))
    order = [3, 0, 2, 1]
    turned = tuple(np.asarray(side)[order] for side in TARGETS)
    assert numbers(discover(model, saes, PROMPTS, turned, change=values, top=9)) == whole
    alone = {}
    for number, prompt in enumerate(PROMPTS):
        for layer, feature in zip(*TARGETS, strict=True):
            record = PromptRecord("", tokens=(*prompt, 4, 9), id=f"prompt {number}")
            alone |= numbers(
                discover(model, saes, [record], ([layer], [feature]), change=values, top=9, position="-3", rows=1)
            )
    assert alone.keys() == whole.keys()
    np.testing.assert_allclose([alone[k] for k in whole], list(whole.values()), rtol=1e-9, atol=1e-15)


@pytest.mark.slow
def test_given_pairs_have_the_effects_that_discovery_finds(model, saes, values):
    for settings in ({}, {"change": values}, {"derivative": "direct", "reduce": "sum"}):
        rows = rows_of(discover(model, saes, PROMPTS, TARGETS, top=5, stratum=3, seed=2, **settings))
        assert {r["stratum"] for r in rows} == {"top", "random"}
        columns = {n: [r[n] for r in rows] for n in ("source_layer", "source_feature", "source_position",
                                                     "target_layer", "target_feature")}  # fmt: skip
        settings.pop("reduce", None)
        asked = effects_of(
            model, saes, PROMPTS, (columns["source_layer"], columns["source_feature"]),
            (columns["target_layer"], columns["target_feature"]), positions=columns["source_position"], **settings,
        )  # fmt: skip
        found = numbers(asked, "asked")
        for stratum in ("top", "random"):
            own = [r for r in rows if r["stratum"] == stratum]
            wanted = [(r["gradient"], r["effect"]) for r in own]
            np.testing.assert_allclose([found[key(r)] for r in own], wanted, rtol=1e-9, atol=1e-15)


@pytest.mark.slow
def test_the_stratum_is_drawn_of_active_sources_by_seed_and_prompt_alone(model, saes):
    def sources(targets, prompts, **settings):
        rows = rows_of(discover(model, saes, prompts, targets, top=1, stratum=5, **settings))
        return {key(r)[:1] + key(r)[3:]: r["activation"] for r in rows if r["stratum"] == "random"}

    first = sources(([2], [3]), PROMPTS)
    assert first == sources(([2], [9]), PROMPTS)
    assert all(first.values())
    assert len(first) == 5 * 2 * len(PROMPTS)
    assert first != sources(([2], [3]), PROMPTS, seed=1)
    again = sources(([2], [3]), [PromptRecord("", tokens=tuple(PROMPTS[1]), id="prompt 1")])
    assert again == {k: v for k, v in first.items() if k[0] == "prompt 1"}


def test_a_target_that_is_off_has_gradients_too(model, saes):
    f = activations(model, saes, PROMPT)[2][-1]
    rows = rows_of(discover(model, saes, [PROMPT], ([2], [int(np.argmin(f))])))
    assert f.min() == 0
    assert [bool(r["gradient"]) for r in rows] == [True] * 50


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_table(tiny, tmp_path, monkeypatch):
    # Units run in threads of their own, which do not know of this module's float64.
    model = Model(tiny.make_transformer(), None, "tiny", "tiny")
    job = discovery(model, tiny.make_dictionary(layers=(0, 1, 2)), PROMPTS, TARGETS, top=3, stratum=2)
    unit = Discovery.unit

    def failing(self, index):
        if index == 1:
            raise KeyError("stopped")
        return unit(self, index)

    monkeypatch.setattr(Discovery, "unit", failing)
    with pytest.raises(KeyError):
        job.table(tmp_path / "a")
    monkeypatch.undo()
    resumed, whole = job.table(tmp_path / "a"), job.table(tmp_path / "b")
    assert resumed.equals(whole)
    assert set(whole["prompt"].to_pylist()) == {f"prompt {i}" for i in range(3)}
    with pytest.raises(ValueError, match="another plan"):
        dataclasses.replace(job, seed=1).table(tmp_path / "a")


@pytest.mark.slow
def test_weights_and_products_of_sixteen_bits_give_gradients_near_those_of_more(tiny):
    def found(numerics, dtype):
        model = Model(tiny.make_transformer(numerics), None, "tiny", "tiny")
        saes = tiny.make_dictionary(layers=(0, 1, 2), dtype=dtype)
        return numbers(discover(model, saes, [PROMPT], ([2], [3]), change=np.ones((3, tiny.FEATURES)), top=999))

    more = found(Numerics(), "float32")
    less = found(Numerics("bfloat16", "bfloat16", "float32"), "bfloat16")
    assert more.keys() == less.keys()
    size = max(abs(gradient) for gradient, _ in more.values())
    np.testing.assert_allclose([less[k][0] for k in more], [g for g, _ in more.values()], atol=0.1 * size)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["shard_map", "pmap"])
def test_devices_change_no_bit(model, saes, values, mode):
    targets = np.repeat([1, 2], 24), np.tile(np.arange(24), 2)
    job = discovery(model, saes, PROMPTS[:1], targets, change=values, stratum=2, top=3, rows=8)
    three = dataclasses.replace(job, parallel=local_parallel(3, mode))
    assert three.plan.fingerprint == job.plan.fingerprint
    assert three.table().equals(job.table())


@pytest.mark.slow
def test_decoder_rows_of_long_prompts_are_gathered_in_parts(model, saes, monkeypatch):
    whole = numbers(discover(model, saes, PROMPTS[2:], TARGETS, top=9))
    monkeypatch.setattr(readings, "SLOT_ENTRIES", 1)
    parts = numbers(discover(model, saes, PROMPTS[2:], TARGETS, top=8))
    np.testing.assert_allclose([whole[k] for k in parts], list(parts.values()), rtol=1e-9, atol=1e-15)


def test_targets_of_the_lowest_layer_have_no_sources(model, saes):
    assert discover(model, saes, [PROMPT], ([0], [3])).num_rows == 0
    both = discover(model, saes, [PROMPT], ([0, 1], [3, 3]))
    assert set(both["target_layer"].to_pylist()) == {1}


@pytest.mark.parametrize(("change", "message"), [
    ({"targets": ([2], [24])}, "targets: feature 24"), ({"targets": ([3], [0])}, "targets: layer 3"),
    ({"targets": ([], [])}, "targets: got layers"), ({"derivative": "frozen"}, "derivative: got"),
    ({"reduce": "mean"}, "reduce: got"), ({"by": "size"}, "by: got"),
    ({"change": "set"}, "change: got"),
    ({"change": np.zeros((3, 5))}, "change: values of shape"),
    ({"change": np.full((3, 24), np.nan)}, "one number at least"), ({"top": 0}, "top"),
    ({"position": "99"}, "prompt 0"), ({"scope": "decode"}, "scope"), ({"prompts": []}, "prompts"),
])  # fmt: skip
def test_bad_requests_are_refused_before_anything_runs(model, saes, change, message):
    request = {"prompts": PROMPTS, "targets": TARGETS} | change
    with pytest.raises(ValueError, match=message):
        discovery(model, saes, request.pop("prompts"), request.pop("targets"), **request)


def test_a_source_that_is_not_below_its_target_is_refused(model, saes):
    with pytest.raises(ValueError, match="sources of lower layers"):
        effects_of(model, saes, PROMPTS, ([1], [0]), ([1], [3]))
