"""What SAELens does to a dictionary's input with numbers that stand beside the dictionary, and the folds of it.

    scaled     s x is encoded, decoded / s (`expected_average_only_in`)
    whitened   z = (x - m) M is encoded, z' M^-1 + m decoded (`covariance_whitening`)

Both may be there: whitening comes second, on s x. A dictionary that needs a factor and has none is refused: without it
it would run, with values of the wrong size and the wrong features on.

Shapes: m [D], M and M^-1 [D, D]. Cost: a range of r features of a whitened matrix takes 2 D^2 r operations.
"""

import dataclasses
import math
from pathlib import Path

import numpy as np
from jaxtyping import Float

from causeway.engine.scalars import shown
from causeway.ports.dictionaries.feature_arrays import in_memory, without_input_bias
from causeway.ports.dictionaries.feature_folds import in_blocks
from causeway.ports.dictionaries.saelens_config import SaelensConfig
from causeway.ports.dictionaries.source import FeatureArray
from causeway.ports.files.config_fields import Fields, read_json
from causeway.ports.files.safetensors_files import open_file
from causeway.ports.files.tensor_checks import check_tensors, read_finite

SCALER, WHITENING = "activation_scaler.json", "activation_whitening.safetensors"
FACTOR = "norm_scaling_factor"


@dataclasses.dataclass(frozen=True)
class Scaling:
    """The numbers a dictionary's input is changed with.

    Attributes:
        factor: s, 1 for none.
        mean, matrix, inverse: m, M and M^-1, float64; None without whitening.
        files: where they were read.
    """

    factor: float = 1.0
    mean: Float[np.ndarray, " D"] | None = None
    matrix: Float[np.ndarray, "D D"] | None = None
    inverse: Float[np.ndarray, "D D"] | None = None
    files: tuple[Path, ...] = ()

    @property
    def whitens(self) -> bool:
        """Whether the input is whitened."""
        return self.matrix is not None

    @property
    def centre(self) -> FeatureArray | None:
        """What whitening subtracts from the raw input."""
        return None if self.mean is None else in_memory(self.mean / self.factor, None)


def read_scaling(config: SaelensConfig, folder: Path, factor: float | None) -> Scaling:
    """The numbers, from the option or from the files of a training checkpoint.

    Args:
        config: the dictionary's.
        folder: it lies in.
        factor: s as the caller gave it.

    Raises:
        FileNotFoundError: the whitening is not there.
        ValueError: a factor is needed and not known, given and not needed, or no positive number.
    """
    averaged, whitens = config.norm == "expected_average_only_in", config.norm == "covariance_whitening"
    if factor is not None and not averaged:
        raise ValueError(
            f"{FACTOR}: got {factor}, but {config.where} has normalize_activations {config.norm!r}, which has no "
            "factor; leave it out for this dictionary"
        )
    files: tuple[Path, ...] = ()
    if factor is None and (averaged or whitens) and (folder / SCALER).is_file():
        fields = Fields(str(folder / SCALER), read_json(folder / SCALER))
        factor, files = fields.take("scaling_factor", float, None), (folder / SCALER,)
    if averaged and factor is None:
        raise ValueError(
            f"{config.where}: normalize_activations 'expected_average_only_in' needs the factor that inputs are scaled "
            f"by (sqrt(d_in) over their mean norm), which is not in the file; pass {FACTOR}=..., from the "
            "dictionary's entry in SAELens's pretrained_saes.yaml, or fold it with SAELens and save again"
        )
    factor = 1.0 if factor is None else factor
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < math.inf:
        raise ValueError(f"{FACTOR}: got {shown(factor)} for {config.where}; needs a number above 0")
    if not whitens:
        return Scaling(float(factor), files=files)
    return _read_whitening(config, folder / WHITENING, float(factor), files)


def _read_whitening(config: SaelensConfig, path: Path, factor: float, files: tuple[Path, ...]) -> Scaling:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; a dictionary with normalize_activations 'covariance_whitening' needs it, so "
            "download it beside cfg.json, or fold it with SAELens and save again"
        )
    d, tensors = config.d_in, open_file(path)
    check_tensors(tensors, {"mean": (d,), "matrix": (d, d), "inverse_matrix": (d, d)}, "a whitening")
    mean, matrix, inverse = (
        read_finite(tensors[name], np.dtype(np.float64)) for name in ("mean", "matrix", "inverse_matrix")
    )
    error = np.abs(matrix @ inverse - np.eye(d)).max()
    if error > 1e-3:
        raise ValueError(f"{path}: matrix times inverse_matrix is off the identity by {error:.2g}; download it again")
    return Scaling(factor, mean, matrix, inverse, (*files, path))


def whitened(
    encoder: FeatureArray, decoder: FeatureArray, b_dec: FeatureArray, scaling: Scaling
) -> tuple[FeatureArray, FeatureArray, FeatureArray]:
    """Encoder [D, F], decoder [F, D] and b_dec [D] of raw inputs; unchanged without whitening."""
    mean, matrix, inverse = scaling.mean, scaling.matrix, scaling.inverse
    if mean is None or matrix is None or inverse is None:
        return encoder, decoder, b_dec

    def encode(start: int, stop: int) -> np.ndarray:
        return matrix @ encoder.read(start, stop).astype(np.float64)

    def decode(start: int, stop: int) -> np.ndarray:
        return decoder.read(start, stop).astype(np.float64) @ inverse

    def bias(start: int, stop: int) -> np.ndarray:
        return b_dec.read(start, stop).astype(np.float64) @ inverse + mean

    return (
        dataclasses.replace(encoder, read=encode),
        dataclasses.replace(decoder, read=decode),
        dataclasses.replace(b_dec, read=bias),
    )


def shifted(
    bias: FeatureArray, centre: FeatureArray | None, encoder: FeatureArray, growth: FeatureArray | None = None
) -> FeatureArray:
    """A bias b [F] of (x - c) W g + b, as the bias of x W g: b - (c W) g.

    Args:
        bias: b [F].
        centre: c [D]; None for zero, which leaves the bias as it is.
        encoder: W [D, F].
        growth: g [F]; None for 1.
    """
    if centre is None:
        return bias
    moved = without_input_bias(None, centre, encoder)

    def read(start: int, stop: int) -> np.ndarray:
        if not centre.whole().any():
            return bias.read(start, stop)
        shift = moved.read(start, stop)
        grown = shift if growth is None else shift * growth.read(start, stop)
        return bias.read(start, stop).astype(np.float64) + grown

    return in_blocks(dataclasses.replace(bias, read=read))
