"""What directions are fitted on: representations in few coordinates, in which every fit is as in all.

Each coordinate has its mean taken away and is divided by its standard deviation, or not, as the method asks. The rows
then lie in a space of at most min(P, D) dimensions, Z = U S of their singular value decomposition X = U S V'; a fit
whose penalty is a length (ridge, logistic) or whose metric is made of X and the identity (shrunk covariance) never
leaves it, so w = V (what is fitted on Z), to rounding, at the price of P dimensions instead of D.

Shapes: P prompts, D model, r <= min(P, D). Cost: one decomposition, P D min(P, D).
"""

import dataclasses

import numpy as np
from jaxtyping import Float

# Singular values below this share of the largest are rounding.
_FLAT = 1e-10


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Rows in their own coordinates.

    Attributes:
        z: [P, r]. basis: [D, r]. mean, scale: [D], taken away and divided by.
    """

    z: Float[np.ndarray, "P r"]
    basis: Float[np.ndarray, "D r"]
    mean: Float[np.ndarray, " D"]
    scale: Float[np.ndarray, " D"]

    @classmethod
    def of(cls, x: Float[np.ndarray, "P D"], *, standardised: bool) -> "Inputs":
        """Those of vectors [P, D]; coordinates that do not vary are left as they are."""
        x = np.asarray(x, np.float64)
        mean, deviation = x.mean(axis=0), x.std(axis=0)
        varies = deviation > _FLAT * np.maximum(np.abs(mean), deviation.max(initial=0.0))
        scale = np.where(varies, deviation, 1.0) if standardised else np.ones(x.shape[1])
        centred = np.where(varies, x - mean, 0.0) / scale
        u, s, vt = np.linalg.svd(centred, full_matrices=False)
        kept = s > _FLAT * s.max(initial=0.0)
        return cls(u[:, kept] * s[kept], vt[kept].T, mean, scale)

    def direction(self, w: Float[np.ndarray, " r"]) -> Float[np.ndarray, " D"]:
        """The vector [D] whose inner product with a stream is w's with z, but for a constant."""
        return (self.basis @ w) / self.scale
