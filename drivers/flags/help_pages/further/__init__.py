"""Two further examples of every driver: what else it is for, and the command, which runs after the first example."""

from types import MappingProxyType

from causeway.drivers.flags.help_pages.further.earlier import EARLIER
from causeway.drivers.flags.help_pages.further.features import FEATURES
from causeway.drivers.flags.help_pages.further.neurons import NEURONS
from causeway.drivers.flags.help_pages.further.own import OWN

FURTHER: MappingProxyType[str, tuple[tuple[str, str], ...]] = MappingProxyType(FEATURES | NEURONS | EARLIER | OWN)
