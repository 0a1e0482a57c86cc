"""The second-order pipeline on a second family: Pythia-410M, with the values of `second_order_gpt2`.

causeway study --config=configs/second_order_pythia.py --workdir=runs/pythia
"""

from ml_collections import ConfigDict

from causeway.configs import second_order_gpt2


def get_config() -> ConfigDict:
    """The study."""
    return second_order_gpt2.get_config("second_order_pythia", "EleutherAI/pythia-410m")
