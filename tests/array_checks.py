"""Arrays are what their annotations say, while tests run: every function of the package is called through a check.

Looked at are annotations of arrays alone, in unions and optional ones too: kind of number, number of axes, and one size
for one letter within a call. Whether an array is numpy's or jax's is not looked at, since most host code takes either,
nor is what is no array; nor are the fields of dataclasses, which are stacked, split and scanned and then have axes
before their own.
"""

import functools
import inspect
import types
import typing
from typing import Any

import jaxtyping


def install() -> None:
    """Modules of the package that are imported from now on have their functions checked.

    What wraps them is put in the place of jaxtyping's decorator, which wraps functions without arrays too, at some 50
    microseconds a call: pure Python took ten times as long.
    """
    jaxtyping.jaxtyped = lambda *, typechecker: _checked
    jaxtyping.install_import_hook("causeway", None)


def _checked(function):
    """A function, its array arguments and results checked; a class, or a function without any, as it is."""
    if not inspect.isfunction(function):
        return function
    hints = {name: arrays for name, hint in function.__annotations__.items() if (arrays := _arrays(hint))}
    if not hints:
        return function
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args, **kwargs):
        with _one_call():
            for name, value in signature.bind(*args, **kwargs).arguments.items():
                _one(name, value, hints.get(name, ()))
            result = function(*args, **kwargs)
            _one("the result", result, hints.get("return", ()))
            return result

    return checked


# Within it a letter stands for one size.
_one_call = functools.partial(jaxtyping.jaxtyped, "context")


def _one(name, value, hints):
    """One value against its annotation; of a union it has to be one of the arrays, if it is an array."""
    if hints and hasattr(value, "shape") and hasattr(value, "dtype") and not any(isinstance(value, h) for h in hints):
        wanted = " or ".join(getattr(h, "__name__", str(h)) for h in hints)
        raise TypeError(f"{name}: {value.dtype}{list(value.shape)} is not {wanted}")


def _arrays(hint) -> tuple:
    """The arrays that an annotation allows, of any library."""
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    members = typing.get_args(hint) if union else (hint,)
    found = [member for member in members if isinstance(member, type) and issubclass(member, jaxtyping.AbstractArray)]
    return tuple(_of_any_library(array) for array in found)


@functools.cache
def _of_any_library(array: type) -> type:
    return getattr(jaxtyping, array.__name__.partition("[")[0])[Any, array.dim_str]
