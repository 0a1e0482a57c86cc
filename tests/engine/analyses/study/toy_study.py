"""A study of toy stages, each of which writes a text made of its values and of what it takes."""

import dataclasses
from pathlib import Path

from causeway.engine.analyses.study.commands import Command
from causeway.engine.analyses.study.run_study import Ended, Limits, run_study
from causeway.engine.analyses.study.stages import read_study

DRIVERS = ("make", "join")


def config(one=1, two=2, three=3, **further):
    """a and b make, c takes both, d takes a file of c."""
    return {
        "name": "toy",
        "shared": {"seed": 0},
        "stages": [
            {"name": "a", "driver": "make", "flags": {"value": one}},
            {"name": "b", "driver": "make", "flags": {"value": two}},
            {"name": "c", "driver": "join", "flags": {"value": three}, "takes": {"of": ["a", "b"]}},
            {"name": "d", "driver": "join", "takes": {"of": "c/text"}},
        ],
    } | further


@dataclasses.dataclass
class Toy:
    """A workdir, and what was run in it."""

    workdir: Path
    ran: list = dataclasses.field(default_factory=list)
    lines: list = dataclasses.field(default_factory=list)
    broken: dict = dataclasses.field(default_factory=dict)

    def __call__(self, given=None, inputs=None, **limits):
        """Run what is due; returns the stages that ran, and what became of all of them."""
        study = read_study(config() if given is None else given, DRIVERS)
        self.ran, self.lines = [], []
        commands = {stage.name: self._command(stage, inputs or {}) for stage in study.stages}
        results = run_study(study, commands, self.workdir, self._run, Limits(**limits), self.lines.append)
        return self.ran, {result.stage: result.outcome.value for result in results}

    def _command(self, stage, inputs):
        takes = {
            flag: tuple(f"--{flag}={self.workdir / str(take)}" for take in taken)
            for flag, taken in stage.takes.items()
        }  # fmt: skip
        typed = {flag: (f"--{flag}={value}",) for flag, value in stage.flags.items()} | takes
        known = frozenset({"value", "seed", "mesh", "of", "out", "overwrite"})
        return Command(
            stage, typed, {"overwrite": False, "mesh": None, **stage.flags}, inputs.get(stage.name, {}), "out", known
        )

    def _run(self, arguments, log):
        flags = [argument[2:].partition("=") for argument in arguments[1:]]
        out = next(Path(value) for flag, _, value in flags if flag in ("out", "workdir"))
        self.ran.append(out.name)
        log.write_text(" ".join(arguments) + "\n")
        out.mkdir(parents=True, exist_ok=True)
        if (wrong := self.broken.get(out.name)) is not None:
            (out / "half").write_text("half")
            return wrong
        taken = [Path(value) for flag, _, value in flags if flag == "of"]
        texts = [(path / "text" if path.is_dir() else path).read_text() for path in taken]
        value = next((value for flag, _, value in flags if flag == "value"), "")
        (out / "text").write_text(f"{out.name}{value}({' '.join(texts)})")
        (out / "half").unlink(missing_ok=True)
        return Ended(0, 2.5, 4.0, 7_000_000)
