"""Flags of every driver that loads a model, and the loading itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from causeway.drivers.flags.flag_values import given, layer_numbers, named
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from causeway.engine.devices import RowParallel
    from causeway.engine.model.handle import Model

FLAGS = take("model dictionaries layers gating storage compute bos devices parallel")
DTYPES = ["float32", "bfloat16", "float16"]


def load_model() -> Model:
    """The model of --model, placed on one device."""
    from causeway.ports.models.load import load_model as load

    bos, reference = {"auto": None, "yes": True, "no": False}[FLAGS.bos], given("model", "a hub id or a folder")
    with named("model"):
        return load(reference, storage=FLAGS.storage, compute=FLAGS.compute, prepend_bos=bos)


def load_dictionaries(model: Any, transcoders: bool = False) -> Any:
    """The dictionaries of --dictionaries, checked against the model.

    Args:
        transcoders: whether a bundled model's transcoders are what is meant by default, rather than its SAEs.
    """
    from causeway.engine.model.config import Precision
    from causeway.ports.dictionaries.load import load_dictionaries as load

    own = FLAGS.model + ("/transcoders" if transcoders else "")
    reference = FLAGS.dictionaries or (own if FLAGS.model.startswith("bundled:") else None)
    if reference is None:
        kind, how = ("transcoders", "train_dictionary --transcoder") if transcoders else ("SAEs", "train_dictionary")
        raise ValueError(f"--dictionaries: got nothing; needs the {kind} of the model ({how} makes some)")
    storage = cast(Precision, FLAGS.storage)
    with named("dictionaries"):
        return load(reference, layers(), for_model=model, storage=storage, **format_options())


def format_options() -> dict[str, Any]:
    """What the dictionaries' format is asked for."""
    return {"gating": FLAGS.gating} if FLAGS.gating else {}


def layers() -> list[int] | None:
    """The layers of --layers; None for all."""
    return layer_numbers("layers") or None


def parallel() -> RowParallel:
    """The devices of --devices and --parallel."""
    from causeway.engine.devices import local_parallel

    return local_parallel(FLAGS.devices, FLAGS.parallel)
