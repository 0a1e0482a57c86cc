"""The hash that says which dictionaries a result was made with.

It covers the configuration and the content of every layer's arrays, layer by layer, so the same dictionaries have the
same hash wherever they are placed: whole, split over devices, or streamed.

Cost: every array travels to the host once, one layer at a time (a stack for a large model is tens of gigabytes). The
hash is kept as long as the dictionaries are, and made again when one of their arrays is another object.
"""

import dataclasses
import weakref
from typing import Any

import jax

from causeway.engine.dictionary.placement import Holder
from causeway.engine.gathered import to_host
from causeway.engine.sweep.fingerprint import array_sha256, config_sha256

# dictionaries -> (their leaves when hashed, the hash)
_KNOWN: weakref.WeakKeyDictionary[Any, tuple[list[Any], str]] = weakref.WeakKeyDictionary()


def dictionary_digest(dictionary: Holder) -> str:
    """sha256 over the configuration and the arrays of any holder of dictionaries."""
    leaves = [leaf for leaf in jax.tree.leaves(dictionary) if leaf is not dictionary]
    known = _KNOWN.get(dictionary)
    if known is not None and all(a is b for a, b in zip(leaves, known[0], strict=True)):
        return known[1]
    layers = [
        {name: array_sha256(to_host(array)) for name, array in dictionary.arrays_at(layer).items()}
        for layer in dictionary.config.layers
    ]
    digest = config_sha256({"config": dataclasses.asdict(dictionary.config), "layers": layers})
    _KNOWN[dictionary] = (leaves, digest)
    return digest
