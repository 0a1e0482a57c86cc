"""The configuration of Qwen3-4B's circuits names flags that exist, and the document's values as the engine has them."""

import subprocess
import sys

import pytest

from causeway.configs.circuits_qwen3_4b import get_config
from causeway.engine.analyses.as_published import attribution as published

TAKE = """
import sys
from absl import flags
from causeway.drivers import {0}
from causeway.drivers.flags.config_values import take_values
from causeway.configs import circuits_qwen3_4b
flags.FLAGS(["{0}", "--config=" + circuits_qwen3_4b.__file__, "{1}"])
take_values("{0}")
values = flags.FLAGS.flag_values_dict()
print(*(values[name] for name in "{2}".split()), "jax" in sys.modules)
"""


@pytest.mark.parametrize(("driver", "given", "names", "expected"), [
    ("attribute", "--max_logits=3", "model max_logits edges_per_node layers held_out",
     "Qwen/Qwen3-4B 3 10 [] 0.5 False"),
    ("intervene", "--holds=constrained", "model holds operation held_out",
     "Qwen/Qwen3-4B ['constrained'] ['zero', 'inhibit:1', 'patch'] 0.5 False"),
])  # fmt: skip
def test_every_value_is_a_flag_and_the_command_line_goes_before(driver, given, names, expected):
    take = TAKE.format(driver, given, names)
    done = subprocess.run([sys.executable, "-P", "-c", take], capture_output=True, text=True)
    assert done.stdout.split("\n")[0] == expected, done.stderr


def test_the_documents_values():
    config = get_config()
    assert config.as_published.layers == tuple(range(10, 26))
    assert (config.as_published.top_k, config.as_published.edge_threshold) == (published.TOP_K, published.THRESHOLD)
    assert config.as_published.min_frequency == published.MIN_FREQUENCY
