"""The driver trains, writes what reads back with its figures beside it; it refuses before it computes."""

import json

import numpy as np
import pytest
from absl import flags

import causeway as cw

SMALL = ("--num_features=32", "--l0=4", "--steps=12", "--batch=64", "--length=16", "--checkpoint_every=6")
SAES = (*SMALL, "--layers=-1,1", "--stream=hook_resid_post")
REFUSALS = {
    "sparsity": (
        ("--kind=topk", "--l0=4", "--num_features=32"),
        "--kind: topk takes its sparsity from --k; got --l0=4",
    ),
    "features": (("--num_features=1",), "active: got 1 of 1 features; needs more than 0 and fewer than all"),
    "nothing given": (
        ("--data=", "--out="),
        "--data, --out: got nothing; needed as in `causeway train_dictionary --model=bundled:tiny --data=texts.jsonl",
    ),
    "share": (("--held_out=nan",), "--held_out: got nan; needs a finite number"),
    "seed": (("--seed=4294967296",), "--seed: got '4294967296'; needs a whole number in the range [0, 4294967295]"),
    "rate": (("--learning_rate=inf",), "learning_rate: got inf; needs a finite number"),
    "out": (("--l0=4", "--num_features=32", f"--out={__file__}"), "is a file; give a folder to write"),
    "layers": (("--l0=4", "--num_features=32", "--layers=1,9"), "--layers: got 9; needs a whole number from -4 to 3"),
    "words": (("--l0=4", "--num_features=32", "--layers=top"), "--layers: got 'top'"),
    "stream": (("--l0=4", "--num_features=32", "--stream=h.1.mlp"), "--stream: cannot read 'h.1.mlp' in a llama"),
    "unnamed": (("--l0=4", "--num_features=32", "--stream=attn_in"), "--stream: attn_in has no name in saelens files"),
    "two layers": (
        ("--l0=4", "--num_features=32", "--stream=model.layers.1", "--layers=2"),
        "--layers: got 2, but the streams are named of layer 1",
    ),
    "skip": (("--k=4", "--num_features=32", "--kind=topk", "--skip"), "--kind: got topk; no format read here holds"),
    "cross layers": (
        ("--l0=4", "--num_features=32", "--cross_layer", "--layers=1,2"),
        "circuit-tracer's sets have 0, 1",
    ),
    "format": (("--l0=4", "--num_features=32", "--cross_layer", "--format=saelens"), "--format: got saelens"),
}
TRANSCODERS = {
    "transcoder": (("--transcoder", "--layers=3,1"), "blocks.1.mlp.hook_in/cfg.json"),
    "skip": (("--skip", "--format=circuit_tracer"), "config.yaml"),
    "cross_layer": (("--cross_layer", "--skip"), "config.yaml"),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("train_dictionary")
    texts = [f"The capital of number {i} is {i % 7}, and it is not {i % 5}." for i in range(150)]
    (folder / "texts.json").write_text(json.dumps(texts))
    return folder


@pytest.fixture(scope="module")
def arguments(place):
    """Flags of a run by its name, which is that of its dictionaries' folder."""

    def arguments(name, *flags):
        data, run, out = (place / file for file in ("texts.json", f"run {name}", name))
        return ["--model=bundled:tiny", f"--data={data}", f"--workdir={run}", f"--out={out}", *flags]

    return arguments


@pytest.fixture(scope="module")
def runs(arguments, drive):
    """One process for all runs but the slow one; the second of the SAEs finds them there."""
    fast = {name: TRANSCODERS[name][0] for name in ("transcoder", "cross_layer")}
    given = {
        "saes": arguments("saes", *SAES, "--storage=bfloat16"),
        "again": arguments("saes", *SAES),
        **{name: arguments(name, *SMALL, *flags) for name, flags in fast.items()},
        **{f"refused {name}": arguments("refused", *flags) for name, (flags, _) in REFUSALS.items()},
    }
    return dict(zip(given, drive("train_dictionary", *given.values()), strict=True))


def test_trained_written_and_measured(place, runs):
    assert runs["saes"]["status"] == 0, runs["saes"]["err"]
    assert "explained variance" in runs["saes"]["out"]
    assert "cross-entropy on 8 of " in runs["saes"]["out"]
    trained = cw.load_dictionaries(place / "saes", for_model=cw.load_model("bundled:tiny"))
    assert trained.config.layers == (1, 3)
    assert trained.config.stream == "resid_post"
    report = json.loads((place / "saes" / "quality.json").read_text())
    assert [figures["layer"] for figures in report["layers"]] == [1, 3]
    assert all(np.isfinite(figures["explained_variance"]) for figures in report["layers"])
    assert runs["again"]["status"] != 0
    assert "is there already" in runs["again"]["err"]


@pytest.mark.parametrize("name", REFUSALS)
def test_bad_flags_are_refused_in_one_line(place, runs, name):
    run = runs[f"refused {name}"]
    assert run["status"] != 0
    assert REFUSALS[name][1] in run["err"]
    assert "Traceback" not in run["err"]
    assert not (place / "refused").exists()


@pytest.mark.slow
def test_what_is_not_said_follows_from_the_model_and_the_data(place, drive):
    """The shortest command there is; its defaults are told before the training starts."""
    from causeway.drivers.flags import dictionary_flags

    arguments = ["--model=bundled:tiny", f"--data={place / 'texts.json'}", f"--out={place / 'short'}"]
    few = ["--steps=2", "--batch=64", "--length=16"]
    (run,) = drive("train_dictionary", [*arguments, *few])
    assert run["status"] == 0, run["err"]
    assert f"jumprelu: {8 * 128} features a layer, 32 active a token; 2 steps" in run["out"]
    assert (place / "short.work" / "checkpoints" / "2").is_dir()
    assert f"quality.json are in {place / 'short'}" in run["out"]
    flags.FLAGS.unparse_flags()
    flags.FLAGS(["", "--kind=batchtopk"])
    recipes = {tokens: dictionary_flags.recipe(16, tokens) for tokens in (2000, 300_000, 10**9)}
    assert [r.steps for r in recipes.values()] == [500, 2929, 20_000]
    assert (recipes[2000].features, recipes[2000].active) == (128, 32)
    flags.FLAGS(["", "--kind=topk", "--num_features=40"])
    assert dictionary_flags.recipe(16, 2000).active == 10
    flags.FLAGS.unparse_flags()


@pytest.mark.parametrize("name", ["transcoder", pytest.param("skip", marks=pytest.mark.slow), "cross_layer"])
def test_transcoders_are_trained_written_and_measured(place, arguments, drive, runs, name):
    flags, config = TRANSCODERS[name]
    run = runs[name] if name in runs else drive("train_dictionary", arguments(name, *SMALL, *flags))[0]
    assert run["status"] == 0, run["err"]
    out, model = place / name, cw.load_model("bundled:tiny")
    trained = cw.load_dictionaries(out, for_model=model)
    assert (out / config).exists()
    assert (trained.config.stream, trained.config.output_stream) == ("mlp_in", "mlp_out")
    assert hasattr(trained, "W_skip") == ("--skip" in flags)
    report = json.loads((out / "quality.json").read_text())
    assert [figures["layer"] for figures in report["layers"]] == list(trained.config.layers)
    assert all(figures["explained_variance"] < 1 for figures in report["layers"])
    # Crossing layers, no single edit stands for a reconstruction.
    assert (report["layers"][0]["loss_recovered"] is None) == ("--cross_layer" in flags)
    assert report["identity"]["write_stream"] == "mlp_out"
