"""The `causeway` command: `causeway DRIVER [flags]`; alone it lists the drivers by the question each answers.

Nothing heavy is imported here, so that help comes at once; a driver imports jax when it runs. What handles signals is
imported first and alone, so that it is in place while the rest is imported.
"""

import importlib
import sys

from causeway.drivers.interruption import interruptible

QUESTIONS = {
    "demo": "show me everything on the bundled model, on this laptop, in a few minutes",
    "inspect": "what is this model / dictionary, and is it loaded right?",
    "convert": "turn published weights and dictionaries into a checkpoint that restores straight onto my mesh",
    "prompts": "which prompts test a behaviour, with a right and a wrong answer?",
    "evaluate": "can the model do it, clearly enough to look inside?",
    "features": "which features do my prompts switch on?",
    "screen": "which features differ between two groups?",
    "patch_sweep": "which of them change what the model does?",
    "attribute": "what inside the model makes it answer as it does?",
    "intervene": "does changing these features change what it answers?",
    "virtual_weights": "which features feed which, on the stream itself?",
    "train_model": "make a small model",
    "train_dictionary": "make SAEs or transcoders for a model",
    "bench": "how fast is it, and how far from the floor?",
}


def overview() -> str:
    """The drivers and their questions."""
    width = max(map(len, QUESTIONS))
    lines = [f"  {name:<{width}}  {question}" for name, question in QUESTIONS.items()]
    head = "causeway: causal experiments inside language models\n\nusage: causeway DRIVER [--flag=value ...]\n"
    return "\n".join([head, *lines, "", "causeway DRIVER --help tells a driver's flags."])


def run() -> None:
    """Entry point of the console script."""
    with interruptible("causeway"):
        _run(sys.argv[1:])


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return
    name, *rest = arguments
    if name not in QUESTIONS:
        sys.exit(f"causeway: no driver {name!r}; needs one of {', '.join(QUESTIONS)}")
    from causeway.drivers.refusals import run_driver

    driver = importlib.import_module(f"causeway.drivers.{name}")
    if {"-h", "--help", "--helpshort", "--helpfull"} & set(rest):
        print(driver_help(name, driver.__doc__ or ""))
        return
    run_driver(driver.main, [f"causeway {name}", *rest])


def driver_help(name: str, text: str) -> str:
    """A driver's purpose and flags, those of the flag modules it shares with others included."""
    from absl import flags

    modules = [m for m in flags.FLAGS.flags_by_module_dict() if m.startswith("causeway.drivers.")]
    listed = "\n".join(flags.FLAGS.module_help(module) for module in modules)
    return f"causeway {name}: {text.strip()}\n{listed}"


if __name__ == "__main__":
    run()
