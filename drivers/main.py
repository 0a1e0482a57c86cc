"""The `causeway` command: `causeway DRIVER [flags]`; alone it lists the drivers by the question each answers.

Nothing heavy is imported here, so that help comes at once; a driver imports jax when it runs. What handles signals is
imported first and alone, so that it is in place while the rest is imported.
"""

import importlib
import os
import sys
from collections.abc import Mapping
from importlib import metadata

from causeway.drivers.flags.interruption import interruptible

# What each driver answers, the drivers of one purpose together and in the order in which they are used.
GROUPS: Mapping[str, Mapping[str, str]] = {
    "to begin with": {
        "demo": "show me everything on the bundled model, on this laptop, in a few minutes",
        "inspect": "what is this model / dictionary, and is it loaded right?",
        "study": "how do I run a whole pipeline from one file, and go on where it stopped?",
    },
    "prompts, and whether the model can do them": {
        "prompts": "which prompts test a behaviour, with a right and a wrong answer?",
        "evaluate": "can the model do it, clearly enough to look inside?",
    },
    "features, and what they change": {
        "features": "which features do my prompts switch on?",
        "contexts": "where in texts is each feature active, how often, and which tokens does it promote?",
        "screen": "which features differ between two groups?",
        "patch_sweep": "which of them change what the model does?",
    },
    "circuits of one answer": {
        "attribute": "what inside the model makes it answer as it does?",
        "intervene": "does changing these features change what it answers?",
        "virtual_weights": "which features feed which, on the stream itself?",
    },
    "neurons, through later attention": {
        "represent": "what does its stream hold where it answers, and is the answer right?",
        "direction": "along which direction of the stream are right answers told from wrong ones?",
        "rank": "which layers and neurons do the answers depend on?",
        "second_order": "what does every neuron do through later attention heads?",
        "components": "along which direction does each neuron act through later attention, and on how few prompts?",
        "decompose": "which few words say what a neuron does through later attention?",
        "ablate": "does it matter what neurons do through later attention, and is its main direction enough?",
        "edit": "do scaled neurons make it answer better, and at what price elsewhere?",
        "polysemanticity": "how many unrelated things does each neuron do?",
        "errors": "which neurons tell its wrong answers from the right ones, and where do errors lie?",
        "adversarial": "which words put into a prompt make it err, as its neurons say?",
    },
    "from an earlier study to one story": {
        "audit": "can the results of an earlier study be built on?",
        "select": "which of its features are followed, on which prompts?",
        "pathways": "which features drive which, along which chains, and as much as gradients say?",
        "replay": "which features does setting a feature change, in what the model writes and apart from it?",
        "tokens": "which tokens and words does each feature add to what it writes, or remove?",
        "integrate": "what do all these analyses together say of each feature?",
    },
    "models and dictionaries of one's own": {
        "convert": "turn published weights and dictionaries into a checkpoint that restores straight onto my mesh",
        "train_model": "make a small model",
        "train_dictionary": "make SAEs or transcoders for a model",
    },
    "to look at": {
        "report": "let me look at it: what do the results in a folder say?",
        "serve": "let me watch it: what do they say while a sweep still runs?",
    },
    "how fast": {
        "bench": "how fast is it, and how far from the floor?",
    },
}
QUESTIONS: Mapping[str, str] = {name: question for group in GROUPS.values() for name, question in group.items()}


_FURTHER = (
    "causeway DRIVER --help tells a driver's flags, with examples that run; causeway --version what is installed.",
    "causeway --completion=bash (zsh, fish) prints what makes the shell complete drivers, flags and values.",
)


def overview() -> str:
    """The drivers and their questions."""
    width = max(map(len, QUESTIONS))
    lines = ["causeway: causal experiments inside language models", "", "usage: causeway DRIVER [--flag=value ...]"]
    for title, group in GROUPS.items():
        lines += ["", f"{title}:", *(f"  {name:<{width}}  {question}" for name, question in group.items())]
    return "\n".join([*lines, "", *_FURTHER])


def run() -> None:
    """Entry point of the console script."""
    try:
        with interruptible("causeway"):
            _run(sys.argv[1:])
    except BrokenPipeError:
        # Whoever read has gone, as `| head` does; what is still buffered has no reader either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return
    if arguments[0] == "--version":
        print(versions())
        return
    name, *rest = arguments
    if name.partition("=")[0] in ("--completion", "--complete"):
        from causeway.drivers.flags.completion import answer

        sys.exit(answer(*arguments))
    if name not in QUESTIONS:
        from causeway.drivers.flags.help import suggestion

        print(f"causeway: no driver {name!r}; " + _instead(suggestion(name, QUESTIONS)), file=sys.stderr)
        sys.exit(2)
    from causeway.drivers.flags.refusals import run_driver

    try:
        driver = importlib.import_module(f"causeway.drivers.{name}")
    except (AttributeError, LookupError) as error:
        # A default configuration is read, with the fields that replace its own, when the driver is imported.
        if not any(text.lstrip("-").startswith("config.") for text in rest):
            raise
        print(f"causeway {name}: --config: no such field: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    run_driver(driver.main, [f"causeway {name}", *rest])


def _instead(near: str) -> str:
    return f"did you mean {near}?" if near else f"needs one of {', '.join(QUESTIONS)}"


def versions() -> str:
    """What a report of a fault should name."""
    return ", ".join(f"{name} {_version(name)}" for name in ("causeway", "jax", "jaxlib", "numpy"))


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    run()
