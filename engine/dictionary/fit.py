"""Whether a dictionary belongs to a model, and under which names the model has its streams.

A dictionary says which layers and streams it is of. It fits where the model has those layers, forms those streams, and
has them as wide. What attention and MLP write has two names where no norm follows them (`attn_raw`, `mlp_raw`);
a fitted dictionary uses the model's own.
"""

import dataclasses
from typing import TypeVar, cast

from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.placement import Holder
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.refusals import formed_stream

AnyHolder = TypeVar("AnyHolder", bound=Holder)


def fitted(dictionary: AnyHolder, model: ModelConfig, name: str) -> AnyHolder:
    """The dictionary, its streams under the model's names; the arrays are the same.

    Args:
        name: of the model, for errors.

    Raises:
        ValueError: not dictionaries; cross-layer transcoders of fewer layers than the model; or see `fitted_config`.
    """
    if not isinstance(dictionary, Holder):
        raise ValueError(f"dictionary: got {type(dictionary).__name__}; needs what load_dictionaries gives")
    config = fitted_config(dictionary.config, dictionary.d_in, dictionary.d_out, model, "dictionary", name)
    if dictionary.crosses and len(config.layers) < model.num_layers:
        raise ValueError(
            f"dictionary: a cross-layer transcoder of {len(config.layers)} layers, but {name} has {model.num_layers}; "
            "needs one that writes to every layer above its own"
        )
    return dictionary if config == dictionary.config else cast(AnyHolder, dictionary.with_config(config))


def fitted_config(
    config: DictionaryConfig, d_in: int, d_out: int, model: ModelConfig, where: str, name: str, origin: str = ""
) -> DictionaryConfig:
    """The configuration, its streams under the model's names.

    Args:
        d_in, d_out: D and O of the dictionary. where: the argument or file, for errors. name: of the model.
        origin: what else is known of the dictionary, for errors.

    Raises:
        ValueError: a layer or stream that the model does not have, or a stream of another width there.
    """
    if outside := [layer for layer in config.layers if not 0 <= layer < model.num_layers]:
        raise ValueError(
            f"{where}: belongs to layer {outside[0]}{origin}, but {name} has layers 0..{model.num_layers - 1}; use a "
            "dictionary of this model, or name its layers"
        )
    own = [formed_stream(stream, model, where) for stream in (config.stream, config.output_stream)]
    for side, found, stream in (("d_in", d_in, own[0]), ("d_out", d_out, own[1])):
        if found != (width := model.width(stream)):
            raise ValueError(
                f"{where}: {side} is {found}{origin}, but {stream} of {name} has width {width}; use a dictionary of "
                "this model"
            )
    return dataclasses.replace(config, stream=own[0], write_stream=own[1])
