"""What the --help of one driver is made of, beside its flags."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Page:
    """How a driver's flags are grouped.

    Attributes:
        example: commands that run in this order, the last one of the driver.
        needed: flags that must be given; a tuple of names is a choice of one. common: those that are used most.
    """

    example: tuple[str, ...]
    needed: tuple[str | tuple[str, ...], ...] = ()
    common: tuple[str, ...] = ()

    @property
    def first(self) -> tuple[str, ...]:
        """Needed and common flags, by name."""
        alternatives = [(entry,) if isinstance(entry, str) else entry for entry in self.needed]
        return (*(name for names in alternatives for name in names), *self.common)
