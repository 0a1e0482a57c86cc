"""The names that other libraries give to places of a network, read for a model or for any.

    resid_post.12, resid_post                    this engine's: STREAM.LAYER, or a stream of every layer
    blocks.12.hook_resid_post, hook_resid_post   a TransformerLens hook of one block, or of every one
    model.layers.12.mlp, layers.12.mlp           a Hugging Face module: its output, or with .input its input

What a name of TransformerLens stands for is the same in all families; where modules stand is in the table of each
family (`MODULES`). TransformerLens has hook_q and hook_k before the norm of heads that Qwen3 has, where the engine has
no stream, and hook_attn_out and hook_mlp_out after the norms that Gemma-2 puts there; `attn.hook_out` and
`mlp.hook_out` (its TransformerBridge, circuit-tracer) are of the module, before them.

A dictionary may be read before it is known for which model. Then a name is taken if it means one place in every family
that has it; others are refused, and the refusal asks for the model.
"""

import dataclasses
import re
from collections.abc import Mapping

from causeway.engine.intervention.sites import ONCE, STREAMS, Place, Site, own_place
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.refusals import formed_stream
from causeway.ports.models.families import FAMILIES
from causeway.ports.models.module_names import ModuleNames

# Within a block. The first name of a stream is the one that dictionaries are written with.
HOOKS = {
    "hook_resid_pre": "resid_pre", "attn.hook_q": "query", "attn.hook_k": "key", "attn.hook_v": "value",
    "attn.hook_pattern": "attn_pattern", "attn.hook_z": "head_out",
    "attn.hook_out": "attn_raw", "hook_attn_out": "attn_out", "hook_resid_mid": "resid_mid",
    "ln2.hook_normalized": "mlp_norm", "mlp.hook_in": "mlp_in", "mlp.hook_post": "mlp_act",
    "mlp.hook_out": "mlp_raw", "hook_mlp_out": "mlp_out", "hook_resid_post": "resid_post",
    # Asked for by `use_hook_mlp_in`, before the norm.
    "hook_mlp_in": "resid_mid",
}  # fmt: skip
# Stream -> its hook, and of those that dictionaries are of the one that they are written with.
WITHOUT = ("query", "key", "value", "attn_pattern")
HOOK_WRITTEN = {stream: hook for hook, stream in reversed(HOOKS.items())}
HOOK_OF = {stream: hook for stream, hook in HOOK_WRITTEN.items() if stream not in WITHOUT}
# Hooks that no stream stands at, in some families or in all, and why.
ABSENT = {
    "attn.hook_rot_q": "query is before the rotation by position",
    "attn.hook_rot_k": "key is before the rotation by position",
    "attn.hook_q": "query is after the norm of heads, which it precedes",
    "attn.hook_k": "key is after the norm of heads, which it precedes",
    "attn.hook_attn_scores": "attn_pattern is after the softmax, which it precedes",
    "attn.hook_result": "head_out is before the output map, which it follows",
    "mlp.hook_pre": "mlp_act is after the activation, which it precedes",
    "mlp.hook_pre_linear": "mlp_act is after the product of gate and neurons, which it precedes",
    "ln1.hook_normalized": "attn_in is after the gain of the norm, which it precedes",
    "ln_final.hook_normalized": "final_norm is after the gain, which it precedes",
    **{f"{norm}.hook_scale": "norms are kept whole, by the hold norm" for norm in ("ln1", "ln2", "ln_final")},
    **dict.fromkeys(
        ("hook_attn_in", "hook_q_input", "hook_k_input", "hook_v_input"), "what heads read is resid_pre, one for all"
    ),
    "hook_pos_embed": "embed is with the positions where a model adds them",
}  # fmt: skip
# Without the part before the dot, where no other hook ends like it.
_UNLIKE = [name for name in (*HOOKS, *ABSENT) if re.fullmatch(r"attn\.(?!hook_out).+|mlp\.hook_p.+", name)]
SHORT = {name.partition(".")[2]: name for name in _UNLIKE}
BLOCK = re.compile(r"blocks\.([0-9]+)\.(.+)")
NOWHERE = Place("")


@dataclasses.dataclass(frozen=True)
class SiteNames:
    """Reads names: for a model where its configuration is known, else for any.

    Attributes:
        families: the tables that a name may come from. config: of the model, None where it is not known.
    """

    families: Mapping[str, ModuleNames]
    config: ModelConfig | None = None

    def place(self, name: str) -> Place:
        """Stream and layer of a name, in any of the three spellings.

        Raises:
            ValueError: not a name of this family, one of a place that has no stream, or, where no model is known, one
                that means several.
        """
        found = self._found(name)
        if len(set(found.values())) > 1:
            meanings = ", ".join(f"{place.stream or 'nowhere'} in a {family}" for family, place in found.items())
            raise ValueError(
                f"site: {name!r} means several places ({meanings}), and no model is named; name it (for_model=...)"
            )
        place = next(iter(found.values()))
        if not place.stream:
            why = f", because {ABSENT[hook]}" if (hook := _split(name)[0]) in ABSENT else ""
            raise ValueError(f"site: {name!r} is no stream{self._here}{why}; streams are {', '.join(STREAMS)}")
        if self.config is None:
            return place
        return Place(formed_stream(place.stream, self.config, f"site: {name!r}"), place.layer)

    def site(self, name: str) -> Site:
        """The same for a name that says its layer.

        Raises:
            ValueError: see `place`; or it names no layer.
        """
        place = self.place(name)
        if place.layer is None or place.layer < 0 or place.stream in ONCE:
            raise ValueError(f"site: {name!r} names no layer; needs one, such as blocks.3.hook_resid_post")
        return Site(place.layer, place.stream)

    def module(self, name: str) -> tuple[Site, Site]:
        """What a module reads and writes.

        Raises:
            ValueError: see `site`.
        """
        return self.site(f"{name}.input"), self.site(name)

    def layer(self, name: str) -> int:
        """The layer that a name says, whatever stream it is of.

        Raises:
            ValueError: not a name that is known, or one without a layer.
        """
        layers = {place.layer for place in self._found(name).values()} - {None}
        if len(layers) != 1 or (layer := layers.pop()) is None or layer < 0:
            raise ValueError(f"site: {name!r} names no layer; needs one, such as blocks.3.hook_resid_post")
        return layer

    def hook(self, stream: str, layer: int) -> str:
        """The TransformerLens name of a stream of a layer, which `place` reads back.

        Raises:
            ValueError: TransformerLens has no hook there.
        """
        name = "hook_embed" if stream == "embed" else f"blocks.{layer}.{HOOK_WRITTEN.get(stream, '')}"
        if stream not in ("embed", *HOOK_WRITTEN) or any(not place.stream for place in self._found(name).values()):
            known = ", ".join(("embed", *HOOK_WRITTEN))
            raise ValueError(f"names: {stream} has no TransformerLens hook{self._here}; hooks stand at {known}")
        return name

    def _found(self, name: str) -> dict[str, Place]:
        """What the name means, by family."""
        if name.partition(".")[0] in STREAMS:
            return dict.fromkeys(self.families, own_place(name))
        hook, layer = _split(name)
        if hook in HOOKS or hook in ABSENT:
            absent = {family for family, table in self.families.items() if hook in table.absent}
            return {f: Place("" if f in absent else HOOKS.get(hook, ""), layer) for f in self.families}
        found = {family: _module(name, table) for family, table in self.families.items()}
        known = {family: place for family, place in found.items() if place is not None}
        if not known:
            raise ValueError(self._unknown(name))
        return known

    def _unknown(self, name: str) -> str:
        others = [f for f in FAMILIES if f not in self.families and _module(name, FAMILIES[f].MODULES) is not None]
        blocks = " or ".join(dict.fromkeys(f"{table.blocks[0]}.12" for table in self.families.values()))
        if "hook_" in name:
            blocks = f"{blocks}; hooks are {', '.join(HOOKS)}"
        foreign = f" (a name of {others[0]})" if others else ""
        return (
            f"site: cannot read {name!r}{self._here}{foreign}; write STREAM.LAYER "
            f"(resid_post.12), a TransformerLens hook (blocks.12.hook_resid_post) or a Hugging Face module ({blocks})"
        )

    @property
    def _here(self) -> str:
        return f" in a {next(iter(self.families))}" if len(self.families) == 1 else ""


def names_of(config: ModelConfig) -> SiteNames:
    """The names of a model.

    Raises:
        ValueError: a family that is not read here.
    """
    if config.family not in FAMILIES:
        raise ValueError(f"family: got {config.family!r}; the families read here are {', '.join(FAMILIES)}")
    return SiteNames({config.family: FAMILIES[config.family].MODULES}, config)


# For dictionaries whose model is not known.
ANY_MODEL = SiteNames({name: family.MODULES for name, family in FAMILIES.items()})


def _split(name: str) -> tuple[str, int | None]:
    """The name of a TransformerLens hook within its block, and the block; other names as they are."""
    match = BLOCK.fullmatch(name)
    return (match[2], int(match[1])) if match else (SHORT.get(name, name), None)


def _module(name: str, table: ModuleNames) -> Place | None:
    """What a Hugging Face module or an end of it stands for; `NOWHERE` if for no stream, None if it is not there."""
    if name in table.outside:
        return table.outside[name] or NOWHERE
    prefixes = "|".join(map(re.escape, table.blocks))
    match = re.fullmatch(rf"(?:{prefixes})\.([0-9]+)(?:\.(.+?))??(?:\.(input|output))?", name)
    if match is None or (match[2] or "") not in table.inside:
        return None
    stream = table.inside[match[2] or ""][match[3] != "input"]
    return Place(stream, int(match[1])) if stream else Place("", int(match[1]))
