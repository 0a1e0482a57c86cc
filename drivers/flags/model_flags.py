"""Flags of every driver that loads a model, and the loading itself."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from causeway.drivers.flags.flag_values import given, layer_numbers, named
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from causeway.engine.devices import RowParallel
    from causeway.engine.dictionary.choice import Auto
    from causeway.engine.dictionary.placement import Placement
    from causeway.engine.model.config import Storage
    from causeway.engine.model.handle import Model

FLAGS = take("model dictionaries layers gating storage compute bos devices mesh parallel placement")


def load_model(storage: Storage | None = None, spread: bool = True) -> Model:
    """The model of --model, on the devices of `parallel`.

    Args:
        storage: dtype of its weights (default: that of --storage).
        spread: False where --devices is without effect: on the default device.
    """
    from causeway.engine.compilation_cache import remove_torn_programs
    from causeway.ports.models.load import load_model as load

    remove_torn_programs()
    bos, reference = {"auto": None, "yes": True, "no": False}[FLAGS.bos], given("model", "a hub id or a folder")
    where = _mesh() if spread else None
    with named("model"):
        return load(reference, storage=storage or FLAGS.storage, compute=FLAGS.compute, prepend_bos=bos, sharding=where)


def load_dictionaries(model: Any, transcoders: bool = False, spread: bool = True) -> Any:
    """The dictionaries of --dictionaries, checked against the model.

    Args:
        spread: as for `load_model`.
        transcoders: whether a bundled model's transcoders are what is meant by default, rather than its SAEs.
    """
    reference = dictionaries_named(transcoders)
    from causeway.engine.model.config import Precision
    from causeway.ports.dictionaries.load import load_dictionaries as load

    # Features are read and written by name and number: their matrices stay floats.
    storage = cast(Precision, "float32" if FLAGS.storage == "int8" else FLAGS.storage)
    placement = _placement(_mesh() if spread else None)
    with named("dictionaries"):
        return load(reference, layers(), for_model=model, storage=storage, placement=placement, **format_options())


def dictionaries_named(transcoders: bool = False) -> str:
    """What --dictionaries names, or a bundled model brings along; asked before a model is loaded.

    Raises:
        ValueError: neither.
    """
    model = given("model", "a hub id or a folder")
    if FLAGS.dictionaries:
        return str(FLAGS.dictionaries)
    if model.startswith("bundled:"):
        return model + ("/transcoders" if transcoders else "")
    kind, how = ("transcoders", "train_dictionary --transcoder") if transcoders else ("SAEs", "train_dictionary")
    raise ValueError(f"--dictionaries: got nothing; needs the {kind} of the model ({how} makes some)")


def _placement(mesh: Mesh | None) -> Placement | Auto:
    """Where dictionaries live, by --placement and --mesh."""
    from causeway.engine.dictionary.choice import Auto
    from causeway.engine.dictionary.placement import Replicated, Sharded, Streamed
    from causeway.engine.mesh import MODEL, lies_apart

    if FLAGS.placement == "sharded" and (mesh is None or mesh.shape[MODEL] == 1):
        raise ValueError("placement: got sharded; needs --mesh=model:2 or more, over which features are split")
    each = Replicated() if mesh is None else Sharded(mesh)
    # Each process would measure its own memory, and all have to run the same programs.
    auto = each if mesh is not None and lies_apart(mesh) else Auto(mesh, _tell)
    placements: dict[str, Placement | Auto] = {
        "auto": auto, "replicated": Replicated(mesh), "sharded": each, "streamed": Streamed(each=each),
    }  # fmt: skip
    return placements[FLAGS.placement]


def _tell(text: str, streamed: bool) -> None:
    """A choice, to those who plan and to those whom it makes wait."""
    if "plan" in FLAGS and FLAGS.plan:
        print(text)
    elif streamed:
        print(text, file=sys.stderr)


def format_options() -> dict[str, Any]:
    """What the dictionaries' format is asked for."""
    return {"gating": FLAGS.gating} if FLAGS.gating else {}


def layers() -> list[int] | None:
    """The layers of --layers; None for all."""
    return layer_numbers("layers") or None


def parallel() -> RowParallel:
    """The devices of --devices or --mesh, and --parallel.

    Raises:
        ValueError: flags that contradict each other, or more devices than there are.
    """
    from causeway.engine.devices import local_parallel, mesh_parallel
    from causeway.engine.mesh import make_mesh, mesh_sizes

    if FLAGS.mesh is None:
        return local_parallel(FLAGS.devices, FLAGS.parallel)
    data, model = mesh_sizes(FLAGS.mesh)
    if FLAGS.devices not in (None, data * model):
        raise ValueError(f"mesh: {FLAGS.mesh} takes {data * model} devices, but --devices={FLAGS.devices}; give one")
    return mesh_parallel(make_mesh(data, model), FLAGS.parallel)


def _mesh() -> Mesh | None:
    """Where weights lie: over all devices; None for the default one."""
    devices = parallel()
    return devices.mesh if len(devices.devices) > 1 else None
