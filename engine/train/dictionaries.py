"""Training sparse dictionaries (SAEs) of many layers at once.

With y = s (x - m), m and s the mean and the inverse root mean square deviation of a layer's activations,

    p = y W_enc + b_enc       f = activation(p)       y' = f W_dec + b_dec
    loss = mean |y - y'|^2  [+ the price of L0 for jumprelu]

so that the first term is the unexplained share of the variance in every layer, and one learning rate fits all. Rows
of W_dec have norm 1; their gradient is taken along the sphere. m and s are folded into the finished dictionary, whose
decoder rows keep norm 1: its feature values are in the units of the stream.

The layers are one stacked axis: the loss is a sum over layers of functions of disjoint parameters, and Adam acts
coordinate by coordinate, so a layer's result does not depend on its company.

Shapes: P layers, D stream, F features, B tokens of a batch. Cost: 12 P B D F operations a step; memory: parameters,
two moments, and a few arrays [P, B, F].
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from causeway.engine.dictionary.activations import Kind
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.engine.train import sparsity
from causeway.engine.train.checkpoint import Checkpoints
from causeway.engine.train.harvest import Shuffled
from causeway.engine.train.recipe import Recipe
from causeway.engine.train.revival import error_directions

# The batch threshold of a batchtopk dictionary is averaged over about this many steps.
THRESHOLD_MEMORY = 200
# Thresholds move this many times faster than weights: they must follow the pre-activations, whose scale changes early
# in training by a factor of several, for L0 to stay near its target.
THRESHOLD_SPEED = 5.0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Parameters:
    """What is optimised, for inputs of mean 0 and mean square norm 1; log_threshold for jumprelu alone."""

    W_enc: Float[Array, "P D F"]
    b_enc: Float[Array, "P F"]
    W_dec: Float[Array, "P F D"]
    b_dec: Float[Array, "P D"]
    log_threshold: Float[Array, "P F"] | None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class DictionaryState:
    """What a checkpoint holds.

    moments: of Adam. idle: steps since a feature last fired. threshold: running batch threshold. shift, scale: m, s.
    """

    parameters: Parameters
    moments: optax.OptState
    idle: Int[Array, "P F"]
    threshold: Float[Array, " P"]
    shift: Float[Array, "P D"]
    scale: Float[Array, " P"]
    step: Int[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Progress:
    """One batch: unexplained share of the variance, features active a token, features that count as dead."""

    unexplained: Float[Array, " P"]
    l0: Float[Array, " P"]
    dead: Int[Array, " P"]


def train_dictionaries(
    recipe: Recipe,
    data: Shuffled,
    stream: str,
    layers: tuple[int, ...],
    checkpoints: Checkpoints | None = None,
    checkpoint_every: int = 500,
    report: Callable[[int, Progress], None] = lambda step, progress: None,
) -> Dictionary:
    """Train to the end of the recipe, from the latest checkpoint if there is one.

    Args:
        recipe: what to train and how.
        data: activations by step; its layers are those of the stack.
        stream: the stream the activations are of, for the dictionary's configuration.
        layers: model layers, in the order of the data's layer axis.
        checkpoints: where to save and resume; None trains in memory alone.
        checkpoint_every: steps between checkpoints (one is always written at the end).
        report: called with (steps done, Progress) after every step; reading the arrays waits for the step.

    Returns:
        The stack, float32, in the units of the stream. The result of an interrupted and resumed run is the
        uninterrupted run's to the bit.
    """
    program = _Program(recipe, layers)
    found = None
    if checkpoints is not None:
        buffer = jax.ShapeDtypeStruct((len(layers), data.capacity, data.width), jnp.float32)
        found = checkpoints.restore(jax.eval_shape(program.start, buffer, 1))
    state = found[1] if found else _start(program, *data.buffer(0))
    for done in range(int(state.step) + 1, recipe.steps + 1):
        state, progress = _update(program, state, *data(done - 1))
        report(done, progress)
        if checkpoints is not None and (done % checkpoint_every == 0 or done == recipe.steps):
            checkpoints.save(done, state)
    return fold(recipe, state, stream, layers)


def fold(recipe: Recipe, state: DictionaryState, stream: str, layers: tuple[int, ...]) -> Dictionary:
    """The trained stack as a Dictionary that reads and writes the stream itself.

    From y = s (x - m): p = s (x W_enc + b_enc / s - m W_enc), so with f = s f', f' in the stream's units, biases and
    thresholds are divided by s and m moves into the two biases. Sums are taken in float64 on the host.
    """
    parameters = jax.tree.map(lambda a: np.asarray(a, np.float64), state.parameters)
    shift, scale = np.asarray(state.shift, np.float64), np.asarray(state.scale, np.float64)[:, None]
    arrays = {
        "W_enc": parameters.W_enc,
        "b_enc": parameters.b_enc / scale - np.einsum("pd,pdf->pf", shift, parameters.W_enc),
        "W_dec": parameters.W_dec,
        "b_dec": parameters.b_dec / scale + shift,
    }
    if recipe.kind == "jumprelu":
        arrays["threshold"] = np.exp(parameters.log_threshold) / scale
    if recipe.kind == "batchtopk":
        level = np.asarray(state.threshold, np.float64)[:, None] / scale
        arrays["threshold"] = np.broadcast_to(level, parameters.b_enc.shape)
    kind: Kind = "topk" if recipe.kind == "topk" else "jumprelu"
    config = DictionaryConfig(kind, layers, stream, k=int(recipe.active) if kind == "topk" else 0)
    return Dictionary(config, **{name: jnp.asarray(array, jnp.float32) for name, array in arrays.items()})


@dataclasses.dataclass(frozen=True)
class _Program:
    """The pure functions of a run, to be jitted. Random numbers are keyed by model layer, not by place in the stack."""

    recipe: Recipe
    layers: tuple[int, ...]

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return optax.adam(self.recipe.rate(), b1=0.9, b2=0.999)

    def start(self, buffer: Float[Array, "P N D"], count: int) -> DictionaryState:
        """Random unit decoder rows, encoders their transposes, thresholds where L0 is what is aimed at."""
        recipe, (depth, _, width) = self.recipe, buffer.shape
        shift, scale = _moments(buffer, count)
        draw = jax.vmap(lambda key: jax.random.normal(key, (recipe.features, width)))
        decoder = _unit(draw(self.keys(0)))
        encoder = decoder.swapaxes(1, 2)
        log_threshold = None
        if recipe.kind == "jumprelu":
            sample = _standardised(buffer[:, : recipe.batch], shift, scale)
            levels = jnp.quantile(sample @ encoder, 1 - recipe.active / recipe.features, axis=1)
            log_threshold = jnp.log(jnp.maximum(levels, recipe.bandwidth))
        b_enc, b_dec = jnp.zeros((depth, recipe.features)), jnp.zeros((depth, width))
        parameters = Parameters(encoder, b_enc, decoder, b_dec, log_threshold)
        idle, moments = jnp.zeros(b_enc.shape, jnp.int32), self.optimiser.init(parameters)
        return DictionaryState(parameters, moments, idle, jnp.zeros(depth), shift, scale, jnp.zeros((), jnp.int32))

    def update(
        self, state: DictionaryState, buffer: Float[Array, "P N D"], places: Int[Array, " B"]
    ) -> tuple[DictionaryState, Progress]:
        """One step of all layers."""
        recipe = self.recipe
        y = _standardised(buffer[:, places], state.shift, state.scale)
        gradient, (progress, fired, level) = jax.grad(_loss, has_aux=True)(state.parameters, recipe, y)
        gradient = dataclasses.replace(gradient, W_dec=_tangent(gradient.W_dec, state.parameters.W_dec))
        change, moments = self.optimiser.update(gradient, state.moments, state.parameters)
        if change.log_threshold is not None:
            change = dataclasses.replace(change, log_threshold=THRESHOLD_SPEED * change.log_threshold)
        parameters = optax.apply_updates(state.parameters, change)
        parameters = dataclasses.replace(parameters, W_dec=_unit(parameters.W_dec))
        weight = jnp.maximum(1 / THRESHOLD_MEMORY, 1 / (state.step + 1))
        state = dataclasses.replace(
            state,
            parameters=parameters,
            moments=moments,
            idle=jnp.where(fired, 0, state.idle + 1),
            threshold=state.threshold + weight * (level - state.threshold),
            step=state.step + 1,
        )
        progress = dataclasses.replace(progress, dead=jnp.sum(state.idle >= recipe.dead_after, axis=1))
        due = (state.step % recipe.revive_every == 0) & (state.step <= recipe.steps // 2)
        return jax.lax.cond(due, self.revived, lambda s, _: s, state, y), progress

    def revived(self, state: DictionaryState, y: Float[Array, "P B D"]) -> DictionaryState:
        """Dead features begin again at inputs the others explain badly, with no memory of their past."""
        old, dead = state.parameters, state.idle >= self.recipe.dead_after
        error = _error(old, y, _activate(self.recipe, old, y)[0])
        fresh, length = error_directions(self.keys(state.step), error, self.recipe.features)
        parameters = Parameters(
            W_enc=jnp.where(dead[:, None], fresh.swapaxes(1, 2), old.W_enc),
            b_enc=jnp.where(dead, 0, old.b_enc),
            W_dec=jnp.where(dead[..., None], fresh, old.W_dec),
            b_dec=old.b_dec,
            # Half of what the feature will read at the input it was made from: it fires there, and not everywhere.
            log_threshold=None
            if old.log_threshold is None
            else jnp.where(dead, jnp.log(length / 2), old.log_threshold),
        )
        jumps = old.log_threshold is not None
        reset = Parameters(dead[:, None], dead, dead[..., None], jnp.zeros((), bool), dead if jumps else None)
        forget = lambda moment, gone: jnp.where(gone, 0, moment)  # noqa: E731
        moments = optax.tree.map_params(self.optimiser, forget, state.moments, reset)
        return dataclasses.replace(state, parameters=parameters, moments=moments, idle=jnp.where(dead, 0, state.idle))

    def keys(self, step: int | Int[Array, ""]) -> PRNGKeyArray:
        """One key a layer."""
        key = jax.random.fold_in(jax.random.key(self.recipe.seed), step)
        return jax.vmap(partial(jax.random.fold_in, key))(jnp.asarray(self.layers))


_start = jax.jit(_Program.start, static_argnums=0)
_update = jax.jit(_Program.update, static_argnums=0, donate_argnums=1)


def _loss(parameters: Parameters, recipe: Recipe, y: Float[Array, "P B D"]):
    """Loss summed over layers; beside it, progress, which features fired, and the batch thresholds."""
    f, l0, level = _activate(recipe, parameters, y)
    unexplained = jnp.sum(_error(parameters, y, f) ** 2, axis=(1, 2)) / y.shape[1]
    price = _price(recipe, l0) if recipe.kind == "jumprelu" else 0.0
    progress = Progress(unexplained, l0, jnp.zeros(len(l0), jnp.int32))
    return jnp.sum(unexplained + price), (progress, jnp.any(f > 0, axis=1), level)


def _activate(
    recipe: Recipe, parameters: Parameters, y: Float[Array, "P B D"]
) -> tuple[Float[Array, "P B F"], Float[Array, " P"], Float[Array, " P"]]:
    """Feature values, L0, and the batch threshold (0 where the kind has none)."""
    p = y @ parameters.W_enc + parameters.b_enc[:, None]
    if parameters.log_threshold is not None:
        threshold = jnp.exp(parameters.log_threshold)
        f = sparsity.jumprelu(p, threshold, recipe.bandwidth)
        return f, sparsity.mean_active(p, threshold, recipe.bandwidth), jnp.zeros(len(p))
    if recipe.kind == "topk":
        f, level = sparsity.topk(p, int(recipe.active)), jnp.zeros(len(p))
    else:
        f, level = sparsity.batchtopk(p, recipe.active)
    return f, jnp.sum(jnp.sum(f > 0, axis=-1), axis=-1) / p.shape[1], level


def _error(parameters: Parameters, y: Float[Array, "P B D"], f: Float[Array, "P B F"]) -> Float[Array, "P B D"]:
    return y - f @ parameters.W_dec - parameters.b_dec[:, None]


def _price(recipe: Recipe, l0: Float[Array, " P"]) -> Float[Array, " P"]:
    if recipe.l0_coefficient is not None:
        return recipe.l0_coefficient * l0
    return recipe.target_weight * (l0 / recipe.active - 1) ** 2


def _moments(buffer: Float[Array, "P N D"], count: int) -> tuple[Float[Array, "P D"], Float[Array, " P"]]:
    """Mean, and inverse root mean square deviation, of the tokens that are there."""
    there = (jnp.arange(buffer.shape[1]) < count)[None, :, None]
    mean = jnp.sum(jnp.where(there, buffer, 0), axis=1) / count
    deviation = jnp.where(there, buffer - mean[:, None], 0)
    return mean, jnp.sqrt(count / jnp.sum(deviation**2, axis=(1, 2)))


def _standardised(x: Float[Array, "P B D"], shift: Float[Array, "P D"], scale: Float[Array, " P"]) -> Array:
    return (x - shift[:, None]) * scale[:, None, None]


def _unit(rows: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
    return rows / jnp.maximum(jnp.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def _tangent(gradient: Float[Array, "*rows D"], unit: Float[Array, "*rows D"]) -> Float[Array, "*rows D"]:
    """The part of a gradient that does not change the norm."""
    return gradient - jnp.sum(gradient * unit, axis=-1, keepdims=True) * unit
