"""Graphics cards as data: what a compiler needs to know of one, and what bounds the time of a program on it.

Rates are those of dense matrix products by the dtype of their operands, sums kept in float32, as the makers state them
at boost clock; `float32` is without tensor cores, which is what the engine's full precision asks for, `tensorfloat32`
with them.
"""

import dataclasses
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from causeway.engine import scalars

RATE_DTYPES = ("bfloat16", "float16", "int8", "tensorfloat32", "float32", "float64")


@dataclasses.dataclass(frozen=True)
class Card:
    """One card.

    Attributes:
        name: as its maker writes it. cores: streaming multiprocessors. clock_ghz: boost. bandwidth: bytes a second of
            its memory. memory: bytes. l2: bytes of cache. compute_capability: such as "9.0".
        shared_memory: bytes a core, of which a block may have one KiB less.
        rates: operations a second of matrix products, by dtype.
    """

    name: str
    cores: int
    clock_ghz: float
    bandwidth: float
    memory: float
    l2: int
    compute_capability: str
    shared_memory: int
    rates: Mapping[str, float]

    @property
    def target(self) -> str:
        """What XLA's compiler is told of it, a text protobuf."""
        major, _, minor = self.compute_capability.partition(".")
        threads = 1536 if (int(major), int(minor or 0)) in ((8, 6), (8, 9)) else 2048
        return f"""gpu_device_info {{
            threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: {threads}
            shared_memory_per_block: 49152 shared_memory_per_core: {self.shared_memory}
            shared_memory_per_block_optin: {self.shared_memory - 1024}
            core_count: {self.cores} fpus_per_core: {128 if int(major) > 8 or int(minor or 0) else 64}
            block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
            memory_bandwidth: {round(self.bandwidth)} l2_cache_size: {self.l2} clock_rate_ghz: {self.clock_ghz}
            device_memory_size: {round(self.memory)}
            cuda_compute_capability {{ major: {int(major)} minor: {int(minor or 0)} }}
            registers_per_core_limit: 65536 registers_per_block_limit: 65536
        }}
        platform_name: "CUDA" dnn_version_info {{ major: 9 minor: 12 }} runtime_version {{ major: 13 minor: 0 }}
        device_description_str: "{self.name}" """

    def seconds(self, moved: float, operations: Mapping[str, float]) -> float:
        """The least time that so many bytes, and operations by dtype, take: the larger of the two."""
        computed = sum(count / self.rates.get(dtype, self.rates["float32"]) for dtype, count in operations.items())
        return max(moved / self.bandwidth, computed)


def _card(name: str, cores: int, ghz: float, bandwidth: float, memory: float, l2_mib: int, capability: str,
          shared_kib: int, rates: tuple[float, ...]) -> Card:  # fmt: skip
    return Card(name, cores, ghz, bandwidth, memory, l2_mib << 20, capability, shared_kib << 10,
                MappingProxyType(dict(zip(RATE_DTYPES, (1e12 * rate for rate in rates), strict=True))))  # fmt: skip


CARDS: Mapping[str, Card] = MappingProxyType({
    "h200": _card("NVIDIA H200", 132, 1.98, 4.8e12, 150e9, 50, "9.0", 228, (989, 989, 1979, 495, 67, 67)),
    "a100": _card("NVIDIA A100", 108, 1.41, 2.0e12, 85e9, 40, "8.0", 164, (312, 312, 624, 156, 19.5, 19.5)),
    "rtx4090": _card("NVIDIA RTX 4090", 128, 2.52, 1.01e12, 25e9, 72, "8.9", 100, (165, 165, 660, 82.6, 82.6, 1.29)),
    "a40": _card("NVIDIA A40", 84, 1.74, 0.70e12, 48e9, 6, "8.6", 100, (150, 150, 299, 74.8, 37.4, 0.58)),
})  # fmt: skip
DESCRIBE = (
    'or describe another in a JSON file: {"name": "NVIDIA H100", "cores": 132, "clock_ghz": 1.98, "bandwidth": '
    '3.35e12, "memory": 85e9, "l2": 52428800, "compute_capability": "9.0", "shared_memory": 233472, "rates": '
    '{"bfloat16": 989e12, "float32": 67e12}}'
)


def described(fields: Any) -> Card:
    """A card of the fields of a description.

    Raises:
        ValueError: a field missing, unknown or not a positive number.
    """
    names = [field.name for field in dataclasses.fields(Card)]
    if not isinstance(fields, Mapping) or set(fields) != set(names):
        got = ", ".join(map(str, fields)) if isinstance(fields, Mapping) else type(fields).__name__
        raise ValueError(f"target: got {scalars.shown(got)}; needs all of {', '.join(names)}, {DESCRIBE}")
    texts = {name: str(fields[name]) for name in ("name", "compute_capability")}
    if '"' in texts["name"] or not re.fullmatch(r"\d+(\.\d+)?", texts["compute_capability"]):
        raise ValueError(f"target: got {scalars.shown(texts)}; needs a name without quotes, a capability such as '9.0'")
    whole = {name: scalars.integer(fields[name], f"target: {name}", 1) for name in ("cores", "l2", "shared_memory")}
    real = {name: _positive(fields[name], f"target: {name}") for name in ("clock_ghz", "bandwidth", "memory")}
    rates = fields["rates"]
    if not isinstance(rates, Mapping) or "float32" not in rates or set(rates) - set(RATE_DTYPES):
        needed = f"needs float32 and any of {', '.join(RATE_DTYPES)}"
        raise ValueError(f"target: rates: got {scalars.shown(rates)}; {needed}")
    found = {name: _positive(rate, f"target: rates: {name}") for name, rate in rates.items()}
    parts: dict[str, Any] = {**texts, **whole, **real}
    return Card(**parts, rates=MappingProxyType(found))


def _positive(value: Any, name: str) -> float:
    number = scalars.real(value, name, low=0)
    if not number:
        raise ValueError(f"{name}: got 0; needs a number above it")
    return number
