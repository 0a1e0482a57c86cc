import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.placement import Replicated, Sharded, Streamed
from causeway.engine.mesh import make_mesh
from causeway.ports.dictionaries import placed as placed_dictionaries
from causeway.ports.dictionaries.placed import place_dictionaries
from causeway.ports.dictionaries.source import DictionarySource, FeatureArray

D, F, LAYERS = 6, 16, (1, 4, 5)


def mesh():
    return make_mesh(2, 2)


PLACEMENTS = {
    "default": lambda: Replicated(),
    "replicated": lambda: Replicated(mesh()),
    "split": lambda: Sharded(mesh()),
}


class Shelf:
    """Arrays of one layer that note which ranges of features are read."""

    def __init__(self, layer, arrays, path, **changes):
        self.ranges = []
        config = DictionaryConfig("jumprelu" if "threshold" in arrays else "relu", (layer,), **changes)
        described = {name: self.array(name, *entry) for name, entry in arrays.items()}
        self.source = DictionarySource(path / f"layer{layer}", "shelf", config, described, ())

    def array(self, name, values, axis):
        def read(start, stop):
            if axis is None:
                return values
            self.ranges.append((name, start, stop))
            return values[(slice(None),) * axis + (slice(start, stop),)]

        return FeatureArray(values.shape, axis, values.dtype, read)


def arrays(layer, dtype=np.float32):
    rng = np.random.default_rng(layer)
    shapes = {
        "W_enc": ((D, F), 1), "b_enc": ((F,), 0), "W_dec": ((F, D), 0), "b_dec": ((D,), None), "threshold": ((F,), 0),
    }  # fmt: skip
    return {name: (rng.standard_normal(shape).astype(dtype), axis) for name, (shape, axis) in shapes.items()}


@pytest.fixture
def small_ranges(monkeypatch):
    """Ranges of three features of a matrix."""
    monkeypatch.setattr(placed_dictionaries, "RANGE_BYTES", 3 * D * 4)


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_stack_is_what_the_sources_give_cast(tmp_path, small_ranges, placement, dtype):
    shelves = [Shelf(layer, arrays(layer), tmp_path) for layer in LAYERS]
    stack = place_dictionaries([s.source for s in shelves], PLACEMENTS[placement](), jnp.dtype(dtype))
    assert stack.config.layers == LAYERS
    for name in arrays(0):
        want = np.stack([arrays(layer)[name][0] for layer in LAYERS]).astype(dtype)
        got = getattr(stack, name)[...]
        np.testing.assert_array_equal(np.asarray(got).view(np.uint8), want.view(np.uint8))
        assert got.sharding.is_fully_replicated == (not placement.startswith("split") or name == "b_dec")


def test_every_shard_reads_its_own_features_and_few_at_a_time(tmp_path, small_ranges):
    shelf = Shelf(1, arrays(1), tmp_path)
    place_dictionaries([shelf.source], Sharded(mesh()), jnp.dtype("float32"))
    matrix = sorted((start, stop) for name, start, stop in shelf.ranges if name == "W_dec")
    assert matrix == [(0, 3), (3, 6), (6, 8), (8, 11), (11, 14), (14, 16)]


@pytest.mark.parametrize("keep", ["disk", "host"])
@pytest.mark.parametrize("resident", [1, 2])
@pytest.mark.parametrize("each", ["default", "split"])
def test_streamed_layers_equal_those_of_the_stack(tmp_path, equal_trees, keep, resident, each):
    sources = [Shelf(layer, arrays(layer), tmp_path).source for layer in LAYERS]
    stack = place_dictionaries(sources, Replicated(), jnp.dtype("bfloat16"))
    streamed = place_dictionaries(sources, Streamed(resident, keep, PLACEMENTS[each]()), jnp.dtype("bfloat16"))
    assert streamed.config == stack.config
    for index, (_, dictionary) in enumerate(streamed):
        assert dictionary.config == sources[index].config
        assert equal_trees(dictionary, jax.tree.map(lambda leaf, index=index: leaf[index], stack))


def test_kept_on_the_host_files_are_read_once(tmp_path):
    shelves = [Shelf(layer, arrays(layer), tmp_path) for layer in LAYERS]
    streamed = place_dictionaries([s.source for s in shelves], Streamed(keep="host"), jnp.dtype("float32"))
    before = [len(s.ranges) for s in shelves]
    assert sum(1 for _ in streamed) + sum(1 for _ in streamed) == 6
    assert [len(s.ranges) for s in shelves] == before


def cross_layer(tmp_path):
    out = []
    for layer in range(3):
        given = arrays(layer)
        decoder = np.random.default_rng(9 + layer).standard_normal((F, 3 - layer, D)).astype(np.float32)
        out.append(Shelf(layer, given | {"W_dec": (decoder, 0)}, tmp_path, write_stream="mlp_out").source)
    return out


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_decoders_of_a_cross_layer_transcoder_keep_their_shapes(tmp_path, small_ranges, placement):
    sources = cross_layer(tmp_path)
    transcoder = place_dictionaries(sources, PLACEMENTS[placement](), jnp.dtype("float32"))
    assert isinstance(transcoder, CrossLayerTranscoder)
    for source, decoder in zip(sources, transcoder.W_dec, strict=True):
        np.testing.assert_array_equal(decoder[...], source.arrays["W_dec"].whole())
    np.testing.assert_array_equal(transcoder.W_enc[...][1], sources[1].arrays["W_enc"].whole())


@pytest.mark.parametrize("kept", [(1, 2), (0, 1), (0, 2)])
def test_some_layers_of_a_cross_layer_transcoder_are_refused_unread(tmp_path, kept):
    sources = cross_layer(tmp_path)
    with pytest.raises(ValueError, match="needs all its layers, so leave `layers` out"):
        place_dictionaries([sources[layer] for layer in kept], PLACEMENTS["replicated"](), jnp.dtype("float32"))


def test_a_placement_by_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="placement: got 'sharded'; needs Replicated"):
        place_dictionaries(cross_layer(tmp_path), "sharded", jnp.dtype("float32"))


def test_a_cross_layer_transcoder_is_not_streamed(tmp_path):
    with pytest.raises(ValueError, match="layer of a cross-layer transcoder, whose layers are decoded together"):
        place_dictionaries(cross_layer(tmp_path), Streamed(), jnp.dtype("float32"))


@pytest.mark.parametrize(
    ("dtype", "value"), [("float32", np.nan), ("bfloat16", -np.inf), ("float16", 7e4), ("float16", np.nan)]
)
@pytest.mark.parametrize("name", ["W_enc", "b_dec", "threshold"])
def test_values_that_are_not_finite_in_the_dtype_are_named(tmp_path, dtype, value, name):
    given = arrays(4)
    given[name][0].flat[5] = value
    sources = [Shelf(1, arrays(1), tmp_path).source, Shelf(4, given, tmp_path).source]
    with pytest.raises(ValueError, match=rf"layer4: {name} has values that are not finite in {dtype}"):
        place_dictionaries(sources, Replicated(), jnp.dtype(dtype))


def test_unlike_dictionaries_do_not_stack_but_stream(tmp_path):
    wide = {name: (np.concatenate([v, v], a) if a is not None else v, a) for name, (v, a) in arrays(4).items()}
    sources = [Shelf(1, arrays(1), tmp_path).source, Shelf(4, wide, tmp_path).source]
    with pytest.raises(ValueError, match=r"layers \(1,\) and \(4,\) differ.*load them apart, or streamed"):
        place_dictionaries(sources, Replicated(), jnp.dtype("float32"))
    streamed = place_dictionaries(sources, Streamed(), jnp.dtype("float32"))
    assert [dictionary.num_features for _, dictionary in streamed] == [F, 2 * F]


def test_features_that_the_mesh_does_not_divide_are_refused_before_reading(tmp_path):
    odd = {name: (v.take(range(F - 1), a) if a is not None else v, a) for name, (v, a) in arrays(1).items()}
    shelf = Shelf(1, odd, tmp_path)
    for placement in (Sharded(mesh()), Streamed(each=Sharded(mesh()))):
        with pytest.raises(ValueError, match="model:2 does not divide the 15 features"):
            place_dictionaries([shelf.source], placement, jnp.dtype("float32"))
    assert not shelf.ranges
