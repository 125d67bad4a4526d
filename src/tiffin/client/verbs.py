"""From the description of a call to a method of both clients."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from types import MethodType
from typing import Any, Generic, ParamSpec, TypeVar, overload

from tiffin.client.call import Call, Steps

P = ParamSpec("P")
T = TypeVar("T")


class Now:
    """A client whose methods return their results."""


class Later:
    """A client whose methods return what is to be awaited."""


class Verb(Generic[P, T]):
    """A method of both clients, made from the function that describes its call.

    It has the function's name, parameters, defaults and docstring. Called on a client that is `Now` it returns the
    result; on one that is `Later`, an awaitable of it.

    Parameters
    ----------
    describe : callable
        Returns a `Call`, or `Steps`.
    """

    def __init__(self, describe: Callable[P, Call[T] | Steps[T]]) -> None:
        self._method = _method(describe)

    @overload
    def __get__(self, client: Now, kind: type | None = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Later, kind: type | None = None) -> Callable[P, Awaitable[T]]: ...
    @overload
    def __get__(self, client: None, kind: type | None = None) -> Callable[..., Any]: ...
    def __get__(self, client: object | None, kind: type | None = None) -> Callable[..., Any]:
        """Bind the method to a client, as functions in classes are bound."""
        return self._method if client is None else MethodType(self._method, client)


def _method(describe: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return self._do(describe, *args, **kwargs)

    asked = inspect.signature(describe)
    client = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = asked.replace(parameters=[client, *asked.parameters.values()])  # type: ignore[attr-defined]  # read by `inspect`
    method.__name__ = describe.__name__
    method.__qualname__ = f"FeatureStoreClient.{describe.__name__}"
    method.__doc__ = describe.__doc__
    return method
