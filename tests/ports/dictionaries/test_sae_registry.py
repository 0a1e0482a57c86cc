"""A registry laid out as sae_lens packages it, found without the package being imported."""

import sys

import pytest

from causeway.ports.dictionaries import sae_registry
from causeway.ports.dictionaries.sae_registry import look_up
from causeway.ports.files.hub import parse_hub_reference

YAML = """\
gpt2-res:
  conversion_func: null
  model: gpt2-small
  repo_id: org/GPT2-SAEs
  config_overrides:
    model_from_pretrained_kwargs:
      center_writing_weights: true
  saes:
  - id: blocks.0.hook_resid_pre
    l0: 14.5
    neuronpedia: gpt2-small/0-res
    path: blocks.0.hook_resid_pre
    variance_explained: 0.999
  - id: deep/id
    path: .
    norm_scaling_factor: 0.25
    config_overrides: {prepend_bos: false}
qwen-scope:
  conversion_func: qwen_scope
  model: Qwen/Qwen3-1.7B-Base
  repo_id: Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50
  saes:
  - id: layer0
    path: layer0.sae.pt
  - id: deep
    path: sub/folder/layer1.sae.pt
out:
  repo_id: org/name
  saes:
  - {id: a, path: ../../../etc}
  - {id: b, path: /etc}
broken:
  repo_id: org/name
  saes: [
unnamed:
  saes:
  - {id: a, path: a}
"""


@pytest.fixture
def registry(tmp_path, monkeypatch):
    package = tmp_path / "sae_lens"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "pretrained_saes.yaml").write_text(YAML)
    monkeypatch.syspath_prepend(tmp_path)
    return package / "pretrained_saes.yaml"


@pytest.fixture
def no_registry(monkeypatch):
    monkeypatch.setattr(sae_registry, "PACKAGE", "no_such_package_anywhere")


def test_entry(registry):
    sae = look_up("gpt2-res/blocks.0.hook_resid_pre")
    assert (sae.reference, sae.file, sae.conversion) == ("org/GPT2-SAEs/blocks.0.hook_resid_pre", "", "sae_lens")
    assert sae.norm_scaling_factor is None
    assert sae.config_overrides == {"model_from_pretrained_kwargs": {"center_writing_weights": True}}
    assert sae.card["l0"] == 14.5
    assert sae.card["model"] == "gpt2-small"
    assert parse_hub_reference(sae.reference).folder == "blocks.0.hook_resid_pre"
    assert "sae_lens" not in sys.modules


def test_entry_of_the_whole_repository_with_its_own_corrections(registry):
    sae = look_up("gpt2-res/deep/id")
    assert (sae.reference, sae.norm_scaling_factor) == ("org/GPT2-SAEs", 0.25)
    assert sae.config_overrides["prepend_bos"] is False
    assert "model_from_pretrained_kwargs" in sae.config_overrides


def test_entries_that_are_files(registry):
    first, second = look_up("qwen-scope/layer0"), look_up("qwen-scope/deep")
    assert (first.repository, first.folder, first.file) == (
        "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50",
        "",
        "layer0.sae.pt",
    )
    assert (second.folder, second.file, second.conversion) == ("sub/folder", "layer1.sae.pt", "qwen_scope")


def test_other_references_are_not_of_the_registry(registry):
    assert look_up("org/name") is None
    assert look_up("gpt2-res") is None


def test_without_the_package(no_registry):
    assert look_up("gpt2-res/blocks.0.hook_resid_pre") is None


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "gpt2-res/blocks.9.hook_resid_pre",
            "has no 'blocks.9.hook_resid_pre'; it has blocks.0.hook_resid_pre, deep/id",
        ),
        ("out/a", "leaves its repository"),
        ("out/b", "leaves its repository"),
        ("broken/a", "release 'broken': not a readable YAML file"),
        ("unnamed/a", "release 'unnamed': not a readable entry"),
    ],
)
def test_refused(registry, reference, message):
    with pytest.raises(ValueError, match=message) as error:
        look_up(reference)
    assert "\n" not in str(error.value)
