"""Flags that several commands are given at once, and a flag whose value may be left out."""

import json

PROGRAM = """
import json, sys
from absl import flags
from causeway.drivers.flags import refusals
from causeway.drivers.flags.flag_values import no_effect
from causeway.drivers.flags.table import take
take("seed keep plan")
said = []
for given in json.loads(sys.argv[1]):
    flags.FLAGS.unparse_flags()
    for name in ("seed", "keep", "plan", "shared"):
        flags.FLAGS[name].unparse()
    try:
        flags.FLAGS(["toy", *given])
        no_effect("here", "seed", "keep")
        said.append(flags.FLAGS.plan)
    except (ValueError, flags.Error) as error:
        said.append(str(error))
print(json.dumps(said))
"""


def told(forked, *given):
    done = forked.run(PROGRAM, json.dumps(given))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_flag_without_effect_is_refused_unless_it_is_shared(forked):
    own, shared, other = told(forked, ["--seed=3"], ["--seed=3", "--shared=seed"], ["--seed=3", "--shared=keep"])
    assert own == other == "--seed: without effect here; leave it out"
    assert shared is None


def test_a_plan_is_asked_for_with_or_without_saying_how(forked):
    alone, first, second, wrong = told(forked, ["--plan"], ["--plan=abstract"], ["--plan=measured"], ["--plan=no"])
    assert (alone, first, second) == ("abstract", "abstract", "measured")
    assert "should be one of <abstract|measured>" in wrong
