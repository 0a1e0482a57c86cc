"""Causeway: causal experiments inside language models.

    import causeway as cw
    model = cw.load_model("bundled:tiny")
    saes = cw.load_dictionaries("bundled:tiny", for_model=model)

Names are imported when first used, so that `import causeway` (and with it every `--help`) does not wait for jax.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from causeway.ports.dictionaries import load_dictionaries, save_dictionary
    from causeway.ports.load import load_model

_HOME = {
    "load_model": "causeway.ports.load",
    "load_dictionaries": "causeway.ports.dictionaries",
    "save_dictionary": "causeway.ports.dictionaries",
}

__all__ = ["load_dictionaries", "load_model", "save_dictionary"]


def __getattr__(name: str) -> Any:
    """Import a public name from where it is defined.

    Raises:
        AttributeError: no such public name.
    """
    if name not in _HOME:
        raise AttributeError(f"module 'causeway' has no attribute {name!r}; it offers {', '.join(__all__)}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
