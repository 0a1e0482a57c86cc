"""What the `gguf` library alone takes to turn the numbers of a file into float32: what our reading is measured against.

The library's reader and its dequantising are used as they come, one tensor after the other.

Cost: to open, seconds for a large vocabulary; the numbers, where they are kept, and once more the largest tensor.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def library_dequantising(path: Path) -> dict[str, Callable[[], Any]]:
    """Two ways to dequantise all tensors of a file, whose header is parsed before.

    Returns:
        dequantise: all arrays are kept, as loading keeps them. dequantise_reuse: each is let go, and the next one finds
        its memory.
    """
    import gguf

    tensors = gguf.GGUFReader(path).tensors

    def keep() -> list[np.ndarray]:
        return [gguf.dequantize(tensor.data, tensor.tensor_type) for tensor in tensors]

    def reuse() -> None:
        for tensor in tensors:
            gguf.dequantize(tensor.data, tensor.tensor_type)

    return {"dequantise": keep, "dequantise_reuse": reuse}
