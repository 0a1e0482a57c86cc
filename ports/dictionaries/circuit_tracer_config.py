"""circuit-tracer's config.yaml: what a set of transcoders is, and where its layers' weights are.

Hooks are named as TransformerLens names them, without their block. `transcoders`, where it is there, lists one file a
layer, lowest first: `hf://org/name/path/file[?revision=rev]`, or a path beside config.yaml or an absolute one.
Otherwise the layers lie beside config.yaml under the names of the format.
"""

import dataclasses
import re
from pathlib import Path, PurePosixPath
from typing import Literal

from causeway.ports.dictionaries.sites import Sites, read_sites
from causeway.ports.files.config_fields import Fields
from causeway.ports.files.hub import resolve
from causeway.ports.files.yaml_files import read_yaml
from causeway.ports.models.site_names import SiteNames

CONFIG = "config.yaml"
PER_LAYER, CROSS_LAYER = "transcoder_set", "cross_layer_transcoder"
Activation = Literal["relu", "jumprelu", "topk"]
ACTIVATIONS: dict[str, Activation] = {"relu": "relu", "jumprelu": "jumprelu", "jump_relu": "jumprelu", "topk": "topk"}
# Names of a layer's own file, which is also how a place on disk says which layer it is.
LAYER_FILE = {PER_LAYER: "layer_{}.safetensors", CROSS_LAYER: "W_enc_{}.safetensors"}


@dataclasses.dataclass(frozen=True)
class CircuitTracerConfig:
    """One config.yaml.

    Attributes:
        place: the file. model_kind: `PER_LAYER` or `CROSS_LAYER`. model_name: "" where it is not said.
        input_hook, output_hook: without the block, `mlp.hook_in`.
        transcoders: one file a layer, or empty for the names of the format.
        activation: None where the tensors decide. k: of topk, None where it is not said.
    """

    place: Path
    model_kind: str
    model_name: str
    input_hook: str
    output_hook: str
    transcoders: tuple[str, ...]
    activation: Activation | None
    k: int | None

    def sites(self, layer: int, names: SiteNames) -> Sites:
        """What a layer reads and writes, of a model that calls its places by these names."""
        read, written = (f"blocks.{layer}.{hook}" for hook in (self.input_hook, self.output_hook))
        return read_sites(f"{self.place}: feature_input_hook, feature_output_hook", read, written, names)

    def layer_place(self, layer: int) -> Path:
        """The path that stands for a layer, whether its weights are on this machine or not."""
        return self.place.parent / LAYER_FILE[self.model_kind].format(layer)

    def layer_of(self, place: Path) -> int:
        """The layer that a place stands for.

        Raises:
            ValueError: the name is not one of this kind's.
        """
        match = re.fullmatch(re.escape(LAYER_FILE[self.model_kind]).replace(r"\{\}", r"(\d+)"), place.name)
        if match is None:
            raise ValueError(
                f"{place}: {self.place} is a {self.model_kind}, whose layers are called "
                f"{LAYER_FILE[self.model_kind].format('N')}"
            )
        return int(match[1])

    def layers_there(self) -> list[int]:
        """The layers listed, or those whose files lie beside the configuration."""
        if self.transcoders:
            return list(range(len(self.transcoders)))
        names = [path.name for path in self.place.parent.iterdir()]
        there = [re.fullmatch(r"(?:layer|W_enc)_(\d+)\.safetensors", name) for name in names]
        layers = sorted({int(match[1]) for match in there if match})
        return [layer for layer in layers if self.layer_place(layer).name in names]

    def weight_file(self, layer: int) -> Path:
        """The file of a layer of a per-layer set, fetched if the list says that it is on the hub.

        Raises:
            FileNotFoundError: it is not there, and not to be fetched.
            ValueError: the list is shorter, or leaves the folder.
        """
        if not self.transcoders:
            return self.layer_place(layer)
        if layer >= len(self.transcoders):
            raise ValueError(f"{self.place}: lists {len(self.transcoders)} transcoders, none for layer {layer}")
        entry = self.transcoders[layer]
        if entry.startswith("hf://"):
            path, mark, revision = entry.partition("?")
            folder, _, name = path.rpartition("/")
            return resolve(f"{folder}{mark}{revision}", [name], lambda found: (found / name).is_file()) / name
        if ".." in PurePosixPath(entry).parts:
            raise ValueError(f"{self.place}: the transcoder {entry!r} leaves the folder; refusing to follow it")
        return self.place.parent / entry


def read_config(place: Path) -> CircuitTracerConfig:
    """A config.yaml, every field used or known to change nothing.

    Raises:
        FileNotFoundError, ValueError: no such file, or one that is not understood.
    """
    missing = "it says which streams the transcoders read and write"
    fields = Fields(str(place), read_yaml(place, missing))
    kind = fields.take("model_kind", str)
    if kind not in LAYER_FILE:
        raise ValueError(f"{place}: model_kind {kind!r} is not read; read are {', '.join(LAYER_FILE)}")
    activation = fields.take("activation", str, None)
    if activation is not None and activation not in ACTIVATIONS:
        raise ValueError(f"{place}: activation {activation!r} is not read; read are {', '.join(ACTIVATIONS)}")
    config = CircuitTracerConfig(
        place=place,
        model_kind=kind,
        model_name=fields.take("model_name", str, ""),
        input_hook=fields.take("feature_input_hook", str),
        output_hook=fields.take("feature_output_hook", str),
        transcoders=tuple(fields.texts("transcoders", [])),
        activation=None if activation is None else ACTIVATIONS[activation],
        k=fields.take("k", int, None),
    )
    # `scan` names dashboards; the others say where the file was found.
    fields.ignore(("scan", "repo_id", "revision", "subfolder"))
    fields.done()
    if config.k is not None and (config.activation != "topk" or config.k <= 0):
        raise ValueError(f"{place}: k is {config.k} with activation {activation!r}; a k above 0 goes with topk")
    if config.transcoders and kind == CROSS_LAYER:
        raise ValueError(f"{place}: transcoders lists files of single layers, but model_kind is {kind}")
    if kind == CROSS_LAYER and config.activation == "topk":
        raise ValueError(f"{place}: activation topk is not read for a {kind}; read are relu and jumprelu")
    return config
