import dataclasses
import json
import os
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.placement import Replicated, Sharded, Streamed
from causeway.engine.mesh import make_mesh
from causeway.engine.saved_arrays import described_arrays
from causeway.engine.sweep.checksums import seal
from causeway.ports.dictionaries.load import load_dictionaries, open_dictionaries, save_dictionary
from causeway.ports.models import checkpoints
from causeway.ports.models.checkpoints import save_checkpoint, save_dictionaries
from causeway.ports.models.load import load_model
from tests.ports.dictionaries.test_dictionaries import random_stack
from tests.ports.dictionaries.test_placed_dictionaries import cross_layer


@pytest.fixture
def converted(tmp_path, model_dir):
    save_checkpoint(tmp_path / "converted", load_model(model_dir), model_dir)
    return tmp_path / "converted"


@pytest.fixture
def stacks(tmp_path):
    """The same dictionaries as published and converted."""
    save_dictionary(tmp_path / "published", random_stack(layers=(2, 5, 7)))
    save_dictionaries(tmp_path / "stacks", open_dictionaries(tmp_path / "published"), np.dtype("float32"))
    return tmp_path / "published", tmp_path / "stacks"


@pytest.mark.parametrize(
    ("split", "storage"),
    [(False, "bfloat16"), (True, "float32"), *(pytest.param(*case, marks=pytest.mark.slow) for case in (
        (False, "float32"), (False, "float16"), (True, "bfloat16"), (True, "float16"),
    ))],
)  # fmt: skip
def test_a_model_restores_onto_any_mesh_and_dtype_as_its_files_do(converted, model_dir, equal_trees, storage, split):
    where = make_mesh(2, 2) if split else None
    restored, loaded = (load_model(path, storage=storage, sharding=where) for path in (converted, model_dir))
    assert restored.config == loaded.config
    assert equal_trees(restored.transformer, loaded.transformer)
    if split:
        for a, b in zip(*(jax.tree.leaves(m.transformer) for m in (restored, loaded)), strict=True):
            assert a.sharding == b.sharding
    assert (converted / "config.json").read_bytes() == (model_dir / "config.json").read_bytes()


def test_fingerprint_is_of_what_was_converted_and_how(tmp_path, model_dir, converted):
    prints = {load_model(converted).fingerprint, load_model(model_dir).fingerprint}
    save_checkpoint(tmp_path / "half", load_model(model_dir, storage="bfloat16"), model_dir)
    save_checkpoint(tmp_path / "again", load_model(model_dir), model_dir)
    prints.add(load_model(tmp_path / "half").fingerprint)
    assert len(prints) == 3
    assert load_model(tmp_path / "again").fingerprint == load_model(converted).fingerprint


PLACEMENTS = {
    "default": Replicated,
    "replicated": lambda: Replicated(make_mesh(2, 2)),
    "split": lambda: Sharded(make_mesh(1, 4)),
}


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("storage", ["float32", "bfloat16"])
def test_dictionaries_restore_as_their_files_do(stacks, equal_trees, placement, storage):
    where = PLACEMENTS[placement]()
    loaded, restored = (load_dictionaries(path, [7, 2], storage=storage, placement=where) for path in stacks)
    assert restored.config == loaded.config
    assert equal_trees(restored, loaded)
    assert restored.W_enc[...].sharding.is_equivalent_to(loaded.W_enc[...].sharding, 3)


@pytest.mark.parametrize("keep", ["disk", "host"])
def test_streamed_from_a_checkpoint(stacks, equal_trees, keep):
    loaded, restored = (load_dictionaries(path, placement=Streamed(2, keep)) for path in stacks)
    for (layer, a), (other, b) in zip(loaded, restored, strict=True):
        assert layer == other
        assert a.config == b.config
        assert equal_trees(a, b)


def test_cross_layer_transcoder(tmp_path):
    sources = cross_layer(tmp_path)
    save_dictionaries(tmp_path / "clt", sources, np.dtype("float32"))
    transcoder = load_dictionaries(tmp_path / "clt", placement=Sharded(make_mesh(2, 2)))
    for source, decoder in zip(sources, transcoder.W_dec, strict=True):
        np.testing.assert_array_equal(decoder[...], source.arrays["W_dec"].whole())
    np.testing.assert_array_equal(transcoder.b_enc[...][2], sources[2].arrays["b_enc"].whole())
    with pytest.raises(ValueError, match="decoded together"):
        load_dictionaries(tmp_path / "clt", placement=Streamed())


def test_a_checkpoint_can_be_converted_again(tmp_path, stacks, equal_trees):
    save_dictionaries(tmp_path / "again", open_dictionaries(stacks[1], [5]), np.dtype("bfloat16"))
    want = load_dictionaries(stacks[0], [5], storage="bfloat16")
    assert equal_trees(load_dictionaries(tmp_path / "again", storage="bfloat16"), want)


def test_what_a_source_says_beside_its_arrays_is_kept(tmp_path, stacks):
    told = [dataclasses.replace(source, centred=True, card={"l0": 7}) for source in open_dictionaries(stacks[0], [5])]
    save_dictionaries(tmp_path / "told", told, np.dtype("float32"))
    for one, other in zip(told, open_dictionaries(tmp_path / "told"), strict=True):
        for name in ("format", "config", "model_name", "value_scale", "centred", "card"):
            assert getattr(one, name) == getattr(other, name)


def test_an_interrupted_conversion_goes_on_where_it_stopped(tmp_path, stacks, monkeypatch, equal_trees):
    sources, saved = open_dictionaries(stacks[0]), []

    def save(folder, arrays):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(folder.name)
        save_arrays(folder, arrays)

    save_arrays = checkpoints.save_arrays
    monkeypatch.setattr(checkpoints, "save_arrays", save)
    with pytest.raises(KeyboardInterrupt):
        save_dictionaries(tmp_path / "out", sources, np.dtype("float32"))
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(checkpoints, "save_arrays", lambda f, a: (saved.append(f.name), save_arrays(f, a)))
    save_dictionaries(tmp_path / "out", sources, np.dtype("float32"))
    assert saved == ["layer_00002", "layer_00005", "layer_00007"]
    assert equal_trees(load_dictionaries(tmp_path / "out"), load_dictionaries(stacks[0]))


def test_another_conversion_does_not_go_on_with_the_first(tmp_path, stacks, monkeypatch):
    sources = open_dictionaries(stacks[0])
    partial = tmp_path / "out.partial"
    monkeypatch.setattr(checkpoints, "seal", lambda folder: pytest.fail("stopped here"))
    with pytest.raises(pytest.fail.Exception):
        save_dictionaries(tmp_path / "out", sources, np.dtype("float32"))
    assert partial.is_dir()
    monkeypatch.undo()
    save_dictionaries(tmp_path / "out", sources, np.dtype("bfloat16"))
    about = json.loads((tmp_path / "out" / "causeway.json").read_text())
    assert about["storage"] == "bfloat16"
    assert checkpoints.read_about(tmp_path / "out", "dictionaries") == about
    assert {a.dtype for a in described_arrays(tmp_path / "out" / "layer_00005").values()} == {jnp.dtype("bfloat16")}


KILLED = """
import os, pathlib, signal, sys
import numpy as np
from causeway.engine.saved_arrays import described_arrays
from causeway.ports.models import checkpoints
from causeway.ports.dictionaries.load import open_dictionaries
save, count = checkpoints.save_arrays, []
def killed(folder, arrays):
    if count:
        os.kill(os.getpid(), signal.SIGKILL)
    count.append(save(folder, arrays))
checkpoints.save_arrays = killed
out = pathlib.Path(sys.argv[2])
checkpoints.save_dictionaries(out, open_dictionaries(sys.argv[1]), np.dtype("float32"))
"""


@pytest.mark.slow
def test_a_killed_conversion_leaves_nothing_under_the_name(tmp_path, stacks, equal_trees):
    out = tmp_path / "out"
    environment = os.environ | {"XLA_FLAGS": ""}
    done = subprocess.run([sys.executable, "-P", "-c", KILLED, stacks[0], out], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    assert (tmp_path / "out.partial" / "layer_00002").is_dir()
    (tmp_path / "out.partial" / "layer_00005.partial.orbax-checkpoint-tmp").mkdir()
    save_dictionaries(out, open_dictionaries(stacks[0]), np.dtype("float32"))
    assert equal_trees(load_dictionaries(out), load_dictionaries(stacks[0]))
    assert sorted(path.name for path in out.iterdir()) == [
        "causeway.json", "causeway.sha256", "layer_00002", "layer_00005", "layer_00007",
    ]  # fmt: skip


class TestRefused:
    def test_what_is_there_already(self, converted, model_dir, stacks):
        with pytest.raises(FileExistsError, match="already there; name another"):
            save_checkpoint(converted, load_model(model_dir), model_dir)
        with pytest.raises(FileExistsError, match="already there; name another"):
            save_dictionaries(stacks[1], open_dictionaries(stacks[0]), np.dtype("float32"))

    def test_a_check_that_fails_leaves_nothing_under_the_name(self, tmp_path, model_dir):
        def check(partial):
            raise ValueError("logits differ")

        with pytest.raises(ValueError, match="logits differ"):
            save_checkpoint(tmp_path / "out", load_model(model_dir), model_dir, check)
        assert not (tmp_path / "out").exists()

    def test_one_kind_for_the_other(self, converted, stacks):
        with pytest.raises(ValueError, match="'model' of version 2; needs a 'dictionaries' of version 1; convert it"):
            load_dictionaries(converted)
        with pytest.raises(ValueError, match="'dictionaries' of version 1; needs a 'model' of version 2; convert it"):
            load_model(stacks[1])

    def test_one_of_an_earlier_version(self, converted):
        about = converted / "causeway.json"
        about.write_text(about.read_text().replace('"version": 2', '"version": 1'))
        seal(converted)
        with pytest.raises(ValueError, match="'model' of version 1; needs a 'model' of version 2; convert it again"):
            load_model(converted)

    def test_a_half_written_one_by_its_temporary_name(self, tmp_path, stacks):
        (tmp_path / "stacks").rename(tmp_path / "stacks.partial")
        with pytest.raises(FileNotFoundError, match="no dictionary in it"):
            load_dictionaries(tmp_path / "stacks.partial")

    def test_a_layer_that_is_not_there(self, stacks):
        with pytest.raises(ValueError, match=r"has no dictionary for \[3\]; it has \[2, 5, 7\]"):
            load_dictionaries(stacks[1], [2, 3])

    def test_options_of_the_format_come_too_late(self, stacks):
        with pytest.raises(ValueError, match=r"gating: .* was converted already"):
            load_dictionaries(stacks[1], gating="study")

    def test_another_model(self, stacks, tmp_path, model_dir):
        with pytest.raises(ValueError, match="belongs to layer 2, but"):
            load_dictionaries(stacks[1], for_model=load_model(model_dir))

    def test_values_too_large_for_the_dtype_asked_for(self, tmp_path):
        stack = random_stack()
        stack.W_dec[...] = stack.W_dec[...] * 1e6
        save_dictionary(tmp_path / "published", stack)
        save_dictionaries(tmp_path / "out", open_dictionaries(tmp_path / "published"), np.dtype("float32"))
        with pytest.raises(ValueError, match="W_dec has values that are not finite in float16"):
            load_dictionaries(tmp_path / "out", storage="float16")


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def flip(file, random) -> bytes:
    """One bit of a file turned; its bytes before."""
    good = file.read_bytes()
    bad = bytearray(good)
    bad[random.integers(len(bad))] ^= 1 << random.integers(8)
    file.write_bytes(bad)
    return good


class TestDamage:
    """Whatever file is touched, it is named and nothing is loaded."""

    def test_of_a_model(self, converted):
        random = np.random.default_rng(0)
        for file in files_of(converted):
            if not file.stat().st_size:
                continue
            good = flip(file, random)
            with pytest.raises(ValueError, match=r"damaged: .*; convert it again") as caught:
                load_model(converted)
            assert f"{file} (" in str(caught.value)
            file.write_bytes(good)
        load_model(converted)

    def test_a_file_that_is_gone_or_cut(self, converted):
        data = max(files_of(converted / "arrays"), key=lambda file: file.stat().st_size)
        good = data.read_bytes()
        data.write_bytes(good[:-10])
        with pytest.raises(ValueError, match=rf"damaged: .*{data.name} \({len(good) - 10} bytes of {len(good)}\)"):
            load_model(converted)
        data.unlink()
        with pytest.raises(ValueError, match=rf"damaged: .*{data.name} \(missing\); convert it again"):
            load_model(converted)
        (converted / "causeway.sha256").unlink()
        with pytest.raises(ValueError, match=r"damaged: .*causeway.sha256 \(missing\); convert it again"):
            load_model(converted)

    @pytest.mark.parametrize("how", ["stack", "disk", "host", "convert"])
    def test_of_dictionaries(self, stacks, how, tmp_path):
        uses = {
            "stack": lambda: load_dictionaries(stacks[1], [5, 7]),
            "disk": lambda: list(load_dictionaries(stacks[1], [5, 7], placement=Streamed(2, "disk"))),
            "host": lambda: load_dictionaries(stacks[1], [5, 7], placement=Streamed(2, "host")),
            "convert": lambda: save_dictionaries(
                tmp_path / "again", open_dictionaries(stacks[1], [5, 7]), np.dtype("float32")
            ),
        }
        data = max(files_of(stacks[1] / "layer_00007"), key=lambda file: file.stat().st_size)
        good = flip(data, np.random.default_rng(0))
        with pytest.raises(ValueError, match=rf"damaged: .*layer_00007.*{data.name} .*; convert it again"):
            uses[how]()
        load_dictionaries(stacks[1], [2, 5])
        data.write_bytes(good)
        flip(stacks[1] / "causeway.json", np.random.default_rng(1))
        with pytest.raises(ValueError, match=r"damaged: .*causeway.json .*; convert it again"):
            uses[how]()

    def test_of_a_layer_that_was_whole_when_it_was_streamed_first(self, stacks):
        streamed = load_dictionaries(stacks[1], placement=Streamed(1, "disk"))
        list(streamed)
        flip(max(files_of(stacks[1] / "layer_00002"), key=lambda file: file.stat().st_size), np.random.default_rng(0))
        with pytest.raises(ValueError, match=r"damaged: .*layer_00002"):
            list(streamed)
