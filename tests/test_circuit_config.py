"""The configuration of Qwen3-4B's circuits names flags that exist, and the document's values as the engine has them."""

import subprocess
import sys

from causeway.configs.circuits_qwen3_4b import get_config
from causeway.engine.frozen import documented

TAKE = """
import sys
from absl import flags
from causeway.drivers import attribute
from causeway.drivers.config_values import take_values
from causeway.configs.circuits_qwen3_4b import get_config
flags.FLAGS(["attribute", "--max_logits=3"])
take_values(get_config().attribute, "attribute")
values = flags.FLAGS.flag_values_dict()
print(values["model"], values["max_logits"], values["interval"], values["layers"], "jax" in sys.modules)
"""


def test_every_value_is_a_flag_of_attribute_and_the_command_line_goes_before():
    done = subprocess.run([sys.executable, "-P", "-c", TAKE], capture_output=True, text=True)
    assert done.stdout.split("\n")[0] == "Qwen/Qwen3-4B 3 bootstrap [] False", done.stderr


def test_the_documents_values():
    config = get_config()
    assert config.documented.layers == tuple(range(10, 26))
    assert (config.documented.top_k, config.documented.edge_threshold) == (documented.TOP_K, documented.THRESHOLD)
    assert config.documented.min_frequency == documented.MIN_FREQUENCY
    assert dict(config.seeds) == {"prompts": 42, "interventions": 456, "torch": 789}
