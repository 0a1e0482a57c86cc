"""What a training run makes: SAEs, transcoders of single layers, or one transcoder that crosses layers.

SAE            reads a stream and reconstructs it
transcoder     reads one stream of a layer (the MLP's input) and reconstructs another (its output)
skip           beside the features a linear map of the input, trained with them; 0 at the start
cross-layer    features of layer l write to layer l and to all above it, so all layers are trained together
"""

import dataclasses

from causeway.engine.intervention.sites import STREAMS


@dataclasses.dataclass(frozen=True)
class Design:
    """Streams, layers and the form of the dictionaries.

    Attributes:
        stream: the stream read. layers: model layers, in the order of the stack.
        write_stream: the stream written; "" means the stream read, which makes SAEs.
        skip: whether transcoders have W_skip. cross_layer: whether features write to all layers above as well.
    """

    stream: str
    layers: tuple[int, ...]
    write_stream: str = ""
    skip: bool = False
    cross_layer: bool = False

    def __post_init__(self):
        if self.write_stream == self.stream:
            object.__setattr__(self, "write_stream", "")
        for name in filter(None, (self.stream, self.write_stream)):
            if name not in STREAMS:
                raise ValueError(f"stream: got {name!r}; needs one of {', '.join(STREAMS)}")
        if self.transcodes and STREAMS.index(self.write_stream) < STREAMS.index(self.stream):
            raise ValueError(
                f"write_stream: {self.write_stream} comes before {self.stream} in a block; a transcoder writes a later "
                "stream than it reads"
            )
        for name in ("skip", "cross_layer"):
            if getattr(self, name) and not self.transcodes:
                raise ValueError(
                    f"{name}: got True for SAEs of {self.stream}; only transcoders have it, so name another stream to "
                    "write, such as mlp_out"
                )
        if self.cross_layer and self.layers != tuple(range(len(self.layers))):
            raise ValueError(f"layers: got {list(self.layers)}; a cross-layer transcoder has 0, 1, ... in order")

    @property
    def transcodes(self) -> bool:
        """Whether another stream is written than read."""
        return bool(self.write_stream)

    @property
    def identity(self) -> dict[str, object]:
        """JSON-ready; of SAEs the stream and layers alone."""
        told: dict[str, object] = {"stream": self.stream, "layers": list(self.layers)}
        if not self.transcodes:
            return told
        return told | {"write_stream": self.write_stream, "skip": self.skip, "cross_layer": self.cross_layer}
