"""Maps the top-level folders to the import name `causeway` (why: BUILD_NOTES.md, "Packaging")."""

from setuptools import find_packages, setup

FOLDERS = ("engine", "kernels", "ports", "drivers", "configs")


def packages() -> list[str]:
    """Every package of the distribution under its import name."""
    nested = [f"causeway.{folder}.{name}" for folder in FOLDERS for name in find_packages(folder)]
    return ["causeway", *(f"causeway.{folder}" for folder in FOLDERS), *nested]


setup(
    packages=packages(),
    package_dir={"causeway": "causeway", **{f"causeway.{folder}": folder for folder in FOLDERS}},
)
