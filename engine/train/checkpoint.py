"""Training checkpoints: save and restore a state by step, with Orbax.

A checkpoint directory belongs to one run. Beside every step lies the run's identity (its resolved configuration, as
JSON); restoring under another identity is refused with the fields that differ, because a resumed run must be the
run that was interrupted. Orbax writes each step under a temporary name and renames it when complete, so a killed
process loses the step being written and nothing else; the leftovers are removed at the next start.

States are any pytrees of arrays (NNX modules and optax states included): leaves are stored under their path names,
which makes the files independent of how the containers are registered. Cost: one copy of the state to the host.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
from orbax.checkpoint import v1 as ocp

State = TypeVar("State")


class Checkpoints:
    """The checkpoints of one training run; a context manager."""

    def __init__(self, directory: str | Path, identity: Mapping[str, Any], keep: int = 2):
        """Open or create a checkpoint directory.

        Args:
            directory: where steps are kept.
            identity: JSON-ready configuration of the run; every restored step must carry the same.
            keep: how many of the latest steps stay on disk.
        """
        self._directory = Path(directory).absolute()
        self._identity = json.loads(json.dumps(dict(identity)))
        self._checkpointer = ocp.training.Checkpointer(
            str(self._directory),
            preservation_policy=ocp.training.preservation_policies.LatestN(keep),
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            cleanup_tmp_directories=True,
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *exception: object) -> None:
        self._checkpointer.close()

    @property
    def latest_step(self) -> int | None:
        """The last complete step, or None in a new directory."""
        latest = self._checkpointer.latest
        return None if latest is None else int(latest.step)

    def save(self, step: int, state: Any) -> None:
        """Write a state and wait until it is on disk; a step that is there already is left alone."""
        if self.latest_step == step:
            return
        self._checkpointer.save(step, _named_leaves(state), custom_metadata={"identity": self._identity})

    def restore(self, like: State) -> tuple[int, State] | None:
        """The latest step and its state, or None in a new directory.

        Args:
            like: a state of the same structure, of arrays or `jax.ShapeDtypeStruct`s.

        Raises:
            ValueError: the directory belongs to a run of another configuration.
        """
        step = self.latest_step
        if step is None:
            return None
        self._check_identity(step)
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        abstract = {name: _abstract(leaf, device) for name, leaf in _named_leaves(like).items()}
        loaded = self._checkpointer.load(step, abstract)
        return step, jax.tree.unflatten(jax.tree.structure(like), [loaded[name] for name in abstract])

    def _check_identity(self, step: int) -> None:
        stored = (self._checkpointer.metadata(step).custom_metadata or {}).get("identity", {})
        names = sorted(set(stored) | set(self._identity))
        differing = [n for n in names if stored.get(n) != self._identity.get(n)]
        if differing:
            pairs = "; ".join(f"{n}: {stored.get(n)!r} there, {self._identity.get(n)!r} now" for n in differing)
            raise ValueError(
                f"checkpoint directory {self._directory} belongs to another run ({pairs}); "
                "give the same configuration or another directory"
            )


def _named_leaves(state: Any) -> dict[str, Any]:
    """Leaves by path, in the tree's own order."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]}


def _abstract(leaf: Any, device: jax.sharding.Sharding) -> jax.ShapeDtypeStruct:
    """Shape, dtype and placement; a leaf that names its sharding keeps it."""
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=getattr(leaf, "sharding", None) or device)
