"""One request to the store: who asks, what for, and the threads in which it is answered."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

import anyio
import msgspec
from starlette.responses import Response

from tiffin.errors import FeatureNotFound, Forbidden, InvalidInputError, NotFoundError, TooLarge, did_you_mean
from tiffin.schema.names import check_part
from tiffin.server.answers import covered
from tiffin.server.status import Malformed, UnsupportedMedia
from tiffin.wire import encode
from tiffin.wire.media import JSON

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from starlette.requests import Request

    from tiffin.access import Scope
    from tiffin.cache import MemoryCache
    from tiffin.definitions import Definitions
    from tiffin.derived.on_demand import OnDemandFeatures
    from tiffin.features import Features
    from tiffin.registry import Service
    from tiffin.server.answers.forms import Whole
    from tiffin.server.caller import Caller
    from tiffin.server.options import Limits
    from tiffin.server.requests.parameters import Parameters
    from tiffin.store import FeatureStore
    from tiffin.training.sets import TrainingSet

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound="Parameters")

ANY_GROUP = "-"
"""Stands in a path for a group that is left out; no group can be called so."""

_QUICK_BYTES = 32 << 10
"""Bodies up to this size are decoded at once: going to a thread takes longer."""
_MOST_DIGITS = 19
_NESTED = (dict, list)
_decode = msgspec.json.Decoder().decode
_PARTS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_WITH_PATHS = {"path", "file_path", "warnings", "what"}
"""Fields of results that name files."""


class Call:
    """A request, as the routes see it.

    Parameters
    ----------
    request : Request
        The request.

    Attributes
    ----------
    store : FeatureStore
        The store that is served.
    limits : Limits
        How much one request may ask for.
    caller : Caller
        Who asks.
    answers : MemoryCache of Whole
        Answers that were made before, by their tags.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.store: FeatureStore = request.app.state.store
        self.limits: Limits = request.app.state.options.limits
        self.caller: Caller = request.state.caller
        self.answers: MemoryCache[Whole] = request.app.state.answers
        if request.scope["query_string"]:
            _check_names(request)

    @classmethod
    async def of_table(cls, request: Request, scope: Scope, group: str, name: str) -> tuple[Self, str]:
        """Take a request about one table: the call, and the table as `group/name`.

        Raises
        ------
        AccessError
            The caller may not do this to it.
        InvalidName
            It cannot be the name of a table.
        TableNotFound, Ambiguous
            The group is left out, and no or several groups have a table of that name.
        """
        call = cls(request)
        call.may(scope)
        check_part(name, "table")
        if group == ANY_GROUP:
            (table,) = await call.run(call.store.tables_of, [name])
        else:
            table = f"{check_part(group, 'group')}/{name}"
        call.may(scope, table)
        return call, table

    def result(self, value: object) -> Response:
        """Answer with a result of the store as JSON, its paths from the store's folder on."""
        return Response(encode(_within(value, str(self.store.path))), media_type=JSON)

    def may(self, scope: Scope, *tables: str) -> None:
        """Refuse what the caller may not do to these tables, and to write to a store that is away.

        Raises
        ------
        AccessError
            See `Caller.require`.
        NotReady
            The store's folder is away.
        """
        self.caller.require(scope, tables)
        if scope != "read":
            self.request.app.state.ground.check()

    def may_all(self, scope: Scope) -> None:
        """Refuse what concerns every table to who may not see every table.

        Raises
        ------
        AccessError
            The caller may not do this.
        """
        self.may(scope)
        if not self.caller.sees_all:
            raise Forbidden(
                f"the key {self.caller.name!r} covers some groups, and this concerns all", hint="name a table"
            )

    async def may_use(self, scope: Scope, features: Features) -> tuple[str, ...]:
        """Refuse what the caller may not do to the tables and on-demand features asked for; return the tables.

        Raises
        ------
        AccessError
            The caller may not do this to one of them.
        TableNotFound, Ambiguous, InvalidName
            There is no such table.
        """
        self.may(scope)
        check_references(features, self.limits)
        tables = await self.run(self.store.tables_of, features)
        self.may(scope, *tables)
        if not self.caller.sees_all:
            # What is computed from open tables may itself be in a group that is closed.
            self.may(scope, *await self.run(self.store.on_demand_of, features))
        return tables

    async def one_or_all(self, scope: Scope, table: str | None) -> str | None:
        """Refuse what the caller may not do to a table, or, if none is named, to all; return its full name."""
        if table is None:
            self.may_all(scope)
            return None
        (found,) = await self.may_use(scope, [table])
        return found

    async def service(self, scope: Scope, name: str) -> Service:
        """Find a feature service.

        Raises
        ------
        AccessError
            The caller may not do this to one of the tables that it takes features of.
        ServiceNotFound
            There is none of this name.
        """
        self.may(scope)
        found = await self.run(self.store.service, name)
        self.may(scope, *found.features)
        return found

    async def training_set(self, scope: Scope, name: str) -> TrainingSet:
        """Find a training set.

        Raises
        ------
        AccessError
            The caller may not do this to one of the tables that it was made from.
        TrainingSetNotFound
            There is none of this name.
        """
        self.may(scope)
        found = await self.run(self.store.training_set, name)
        self.may(scope, *covered.made_from(found.lock))
        return found

    async def on_demand(self, scope: Scope, name: str) -> OnDemandFeatures:
        """Find on-demand features.

        Raises
        ------
        AccessError
            The caller may not do this to what they are called, or to one of the tables that they are computed from.
        FeatureNotFound
            There are none of this name.
        """
        self.may(scope, name)
        found = {one.name: one for one in await self.run(self.store.registered)}
        if name not in found:
            raise FeatureNotFound(f"there are no on-demand features {name[:300]}", hint=did_you_mean(name, found))
        self.may(scope, *found[name].inputs)
        return found[name]

    async def may_apply(self, scope: Scope, wanted: Definitions) -> None:
        """Refuse definitions of what the caller may not do this to: tables, and services by what they ask for.

        Raises
        ------
        AccessError
            The caller may not do this to one of the tables.
        TableNotFound, Ambiguous, InvalidName
            A service asks for features of a table that is none.
        TooLarge
            They are more than one request may name.
        """
        self.may(scope, *wanted.tables)
        check_references([*wanted.tables, *wanted.services], self.limits)
        for name, service in wanted.services.items():
            await self.may_use(scope, service.features)
            await self.may_replace(self.service, name, scope)

    async def may_replace(
        self, find: Callable[[Scope, str], Awaitable[object]], name: str, scope: Scope = "write"
    ) -> None:
        """Refuse to put something in the place of what the caller may not remove.

        Parameters
        ----------
        find : callable
            `service`, `training_set` or `on_demand`.
        name : str
            Of what is there, if anything is.
        scope : "read" or "write"
            To read is enough for who only asks what would become of it.

        Raises
        ------
        AccessError
            The caller may not write to one of the tables that it concerns.
        """
        if not self.caller.sees_all:
            with contextlib.suppress(NotFoundError):
                await find(scope, name)

    async def run(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a function that may take long, in a thread.

        The threads are few and only for this: what is quick is never behind it.
        """
        limiter = self.request.app.state.threads
        return await anyio.to_thread.run_sync(functools.partial(function, *args, **kwargs), limiter=limiter)

    def query(self, kind: type[T]) -> T:
        """Read the parameters in the URL.

        Raises
        ------
        InvalidInputError
            One is unknown, or not what it should be.
        """
        return converted(self.given(kind), kind)

    def given(self, kind: type[T]) -> dict[str, Any]:
        """Return the parameters in the URL, each as the JSON value that its text stands for."""
        readers = _readers(kind)
        asked = self.request.query_params
        return {name: readers.get(name, _text)(name, asked.getlist(name)) for name in asked}

    async def body(self, kind: type[T]) -> T:
        """Read a JSON body.

        Raises
        ------
        InvalidInputError
            It is not JSON, or not what is asked for here.
        """
        data = await self.request.body()
        if data:
            check_media(self.request.headers.get("content-type", ""), [JSON])
        quick = len(data) <= _QUICK_BYTES
        values = self.decoded(data) if quick else await self.run(self.decoded, data)
        return converted(values, kind)

    def decoded(self, data: bytes) -> Any:
        """Decode JSON; nothing is an empty object.

        Raises
        ------
        Malformed
            It is not JSON.
        TooLarge
            It is nested too deeply.
        """
        with self._reading_json():
            return self._flat(_decode(data or b"{}"))

    def decoded_rows(self, data: bytes, rows: str) -> tuple[dict[str, Any], list[Any] | None]:
        """Decode a JSON object that holds rows, one after the other.

        A large body that is decoded at once stops all other requests, in whichever thread that is done.

        Parameters
        ----------
        data : bytes
            The body.
        rows : str
            The key of the rows.

        Returns
        -------
        dict, list or None
            The other keys, and the rows; None if there is no list of any.

        Raises
        ------
        Malformed, TooLarge
            As for `decoded`.
        """
        with self._reading_json():
            try:
                parts = _PARTS.decode(data)
                listed = _LIST.decode(parts.pop(rows, b"null"))
            except msgspec.ValidationError:
                return {}, None
            return self._flat({name: _decode(part) for name, part in parts.items()}), self._flat(
                [_decode(row) for row in listed]
            )

    @contextlib.contextmanager
    def _reading_json(self) -> Iterator[None]:
        try:
            yield
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(f"the body is not JSON: {error}", hint="send UTF-8 JSON") from error
        except RecursionError as error:
            raise self._too_deep() from error
        except ValueError as error:
            raise Malformed(f"the body is JSON that no value can be made of: {error}", hint="correct it") from error

    def _flat(self, values: R) -> R:
        if _is_deeper(values, self.limits.json_depth):
            raise self._too_deep()
        return values

    def _too_deep(self) -> TooLarge:
        return TooLarge(
            f"the body is JSON that is nested more than {self.limits.json_depth} deep", hint="send flatter values"
        )


def check_references(features: Features, limits: Limits) -> None:
    """Refuse more references than one request may have.

    Raises
    ------
    TooLarge
        There are more.
    """
    if isinstance(features, list | tuple) and len(features) > limits.references_per_request:
        raise TooLarge(
            f"{len(features):,} references are asked for; {limits.references_per_request:,} may be at once",
            hint="ask in several requests",
        )


def _check_names(request: Request) -> None:
    """Refuse parameters that the document does not have: who wrote them expects something of them."""
    said = (request.scope["route"].openapi_extra or {}).get("parameters", ())
    known = [parameter["name"] for parameter in said if parameter["in"] == "query"]
    for name in request.query_params:
        if name not in known:
            raise InvalidInputError(
                f"there is no parameter {name[:100]!r} in the URL of {request.method} {request.scope['route'].path}",
                hint=did_you_mean(name, known) or "/docs describes what it takes, there and in its body",
            )


def check_media(content_type: str, taken: Iterable[str]) -> str:
    """Return the media type of a body, without its parameters.

    Raises
    ------
    UnsupportedMedia
        It is none of those that are taken.
    """
    media, _, parameters = content_type.partition(";")
    found = media.strip().lower()
    charset = re.search(r'charset="?([^";\s]+)', parameters, re.IGNORECASE)
    if found not in taken or (charset and charset[1].lower() not in {"utf-8", "utf8", "us-ascii"}):
        raise UnsupportedMedia(
            f"a body of type {content_type[:100]!r} is not taken here",
            hint=f"send {' or '.join(taken)}, in UTF-8, and say so in Content-Type",
        )
    return found


def converted(values: Any, kind: type[T]) -> T:
    """Check values against what is asked for.

    Raises
    ------
    InvalidInputError
        They are not that; names the parameter.
    """
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise InvalidInputError(
            f"the request is not understood: {error}", hint="/docs describes what it takes"
        ) from error


def _within(value: Any, folder: str) -> Any:
    """Take the store's folder off every path in a result: where it lies is nobody's business."""
    if isinstance(value, str):
        return value.replace(f"{folder}/", "") if value != folder else "."
    if isinstance(value, list | tuple):
        return [_within(one, folder) for one in value]
    if isinstance(value, dict):
        return {name: _within(one, folder) for name, one in value.items()}
    if not isinstance(value, msgspec.Struct):
        return value
    told = {name: getattr(value, name) for name in value.__struct_fields__}
    paths = {name: _within(one, folder) for name, one in told.items() if name in _WITH_PATHS or _is_compound(one)}
    return msgspec.structs.replace(value, **paths) if paths else value


def _is_compound(value: Any) -> bool:
    return isinstance(value, msgspec.Struct) or (
        isinstance(value, list | tuple) and any(isinstance(one, msgspec.Struct) for one in value)
    )


def _is_deeper(value: Any, most: int) -> bool:
    level = [value] if isinstance(value, _NESTED) else []
    for _ in range(most):
        if not level:
            return False
        inner = [child for item in level for child in (item.values() if type(item) is dict else item)]
        level = [child for child in inner if type(child) in _NESTED]
    return bool(level)


@functools.cache
def _readers(kind: type[Parameters]) -> dict[str, Callable[[str, list[str]], Any]]:
    """Say how the texts of each parameter become JSON values."""
    info = msgspec.inspect.type_info(kind)
    assert isinstance(info, msgspec.inspect.StructType)
    return {field.encode_name: _reader(field.type) for field in info.fields}


def _reader(kind: msgspec.inspect.Type) -> Callable[[str, list[str]], Any]:
    while isinstance(kind, msgspec.inspect.Metadata):
        kind = kind.type
    if isinstance(kind, msgspec.inspect.UnionType):
        readers = [_reader(one) for one in kind.types if not isinstance(one, msgspec.inspect.NoneType)]
        if _text in readers:
            return _one_or_all if _all in readers else _number_or_text if len(readers) > 1 else _text
        return readers[0]
    if isinstance(kind, msgspec.inspect.VarTupleType | msgspec.inspect.ListType):
        return _all
    if isinstance(
        kind, msgspec.inspect.IntType | msgspec.inspect.FloatType | msgspec.inspect.BoolType | msgspec.inspect.DictType
    ):
        return _as_json
    return _text


def _all(_name: str, texts: list[str]) -> list[str]:
    return texts


def _one_or_all(_name: str, texts: list[str]) -> str | list[str]:
    """Take a single text as what it is: alone, it can be the name of a feature service."""
    return texts if len(texts) > 1 else texts[0]


def _number_or_text(name: str, texts: list[str]) -> int | str:
    """Take digits for a number: no name consists of them."""
    text = _text(name, texts)
    return int(text) if text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS else text


def _text(name: str, texts: list[str]) -> str:
    if len(texts) > 1:
        raise InvalidInputError(f"the parameter {name!r} is given {len(texts)} times", hint="give it once")
    return texts[0]


def _as_json(name: str, texts: list[str]) -> Any:
    text = _text(name, texts)
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return text
