"""The value of an expression, where it follows from literals, names, and a few calls that only compute.

Nothing is looked up in Python's own namespaces: what may be called is listed here.
"""

from __future__ import annotations

import ast
import operator
import os.path
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import PurePath
from typing import Any, ClassVar

from tiffin.errors import InvalidInputError
from tiffin.feast_repository.values import (
    Function,
    Made,
    Method,
    Module,
    Outside,
    Place,
    Unknown,
    Value,
    shown,
    unknown_in,
)

_MOST_STEPS = 300_000
"""Expressions of one file that are worked out: a list of lists of lists must come to an end."""
_LARGEST = 100_000
"""Characters or items of one value."""
_MOST_BITS = 64

_Number = int | float | timedelta


def _absolute(path: PurePath | str) -> PurePath:
    return PurePath(os.path.abspath(path))  # noqa: PTH100 - Path.resolve would follow symbolic links


_CALLS: Mapping[str, Callable[..., Value]] = {
    "datetime.timedelta": timedelta,
    "os.path.abspath": lambda path: str(_absolute(path)),
    "os.path.dirname": os.path.dirname,
    "os.path.join": os.path.join,
    "os.path.realpath": lambda path: str(_absolute(path)),
    "pathlib.Path": PurePath,
    "pathlib.PurePath": PurePath,
    "dict": dict,
    "list": list,
    "str": lambda value: str(value) if isinstance(value, str | int | float | PurePath) else Outside("str"),
    "tuple": tuple,
}
_BUILTINS = {"dict", "list", "str", "tuple"}

_PATH_METHODS: Mapping[str, Callable[..., Value]] = {
    "absolute": _absolute,
    "as_posix": PurePath.as_posix,
    "joinpath": PurePath.joinpath,
    "resolve": _absolute,
    "with_name": PurePath.with_name,
    "with_suffix": PurePath.with_suffix,
}
_PATH_PARTS = {"name", "parent", "stem", "suffix"}

VIEW_METHODS = {"with_name", "with_join_key_map", "with_projection"}
"""Methods of a view that give it, or its keys, other names."""

_OPERATORS: Mapping[type[ast.operator], tuple[Callable[[Any, Any], Any], tuple[tuple[Any, Any], ...]]] = {
    ast.Add: (operator.add, ((str, str), (list, list), (tuple, tuple), (_Number, _Number))),
    ast.Sub: (operator.sub, ((_Number, _Number),)),
    ast.Mult: (operator.mul, ((_Number, _Number),)),
    ast.Div: (operator.truediv, ((PurePath, str | PurePath), (str, PurePath), (_Number, _Number))),
    ast.FloorDiv: (operator.floordiv, ((_Number, _Number),)),
    ast.BitOr: (operator.or_, ((dict, dict),)),
}


class Expressions:
    """Works out expressions of one file.

    Parameters
    ----------
    file : str
        The file's name, for messages.
    names : mapping of str to Value
        What names stand for at the moment.
    """

    def __init__(self, file: str, names: Mapping[str, Value]) -> None:
        self._file = file
        self._names = names
        self._local: dict[str, Value] = {}
        self._steps = 0

    def value(self, node: ast.expr) -> Value:
        """Work out an expression; what cannot be is `Unknown`, or holds something that is.

        Raises
        ------
        InvalidInputError
            The file has more expressions than definitions can have.
        """
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise InvalidInputError(
                f"{self._file}:{node.lineno} makes more values than can be read", hint="name the file in .feastignore"
            )
        handler = self._handlers.get(type(node))
        value = handler(self, node) if handler else self._unknown(node, "is not a literal")
        return self._unknown(node, "is too large") if _is_too_large(value) else value

    def _unknown(self, node: ast.expr, why: str) -> Unknown:
        text = ast.unparse(node)
        return Unknown(Place(self._file, node.lineno), f"{text if len(text) <= 60 else text[:57] + '…'} {why}")

    def _constant(self, node: ast.Constant) -> Value:
        return node.value

    def _name(self, node: ast.Name) -> Value:
        for names in (self._local, self._names):
            if node.id in names:
                return names[node.id]
        if node.id in _BUILTINS:
            return Outside(node.id)
        everything = self._names.get("*")
        if isinstance(everything, Outside):
            return Outside(f"{everything.path}.{node.id}")
        return self._unknown(node, "is not defined in this file")

    def _list(self, node: ast.List | ast.Tuple | ast.Set) -> Value:
        return self._items(node.elts)

    def _tuple(self, node: ast.Tuple) -> Value:
        return tuple(self._items(node.elts))

    def _items(self, nodes: list[ast.expr]) -> list[Value]:
        items: list[Value] = []
        for node in nodes:
            if not isinstance(node, ast.Starred):
                items.append(self.value(node))
                continue
            spread = self.value(node.value)
            items += spread if isinstance(spread, list | tuple) else [self._unknown(node, "is not a list")]
        return items

    def _dict(self, node: ast.Dict) -> Value:
        return self._merged(node, [(key, value) for key, value in zip(node.keys, node.values, strict=True)])

    def _merged(self, node: ast.expr, pairs: list[tuple[ast.expr | None, ast.expr]]) -> Value:
        made: dict[Value, Value] = {}
        for key, value in pairs:
            if key is None:
                spread = self.value(value)
                if not isinstance(spread, dict):
                    return self._unknown(node, "is not a dict of literals")
                made |= spread
                continue
            found = self.value(key)
            if not isinstance(found, str | int | float | bool):
                return self._unknown(key, "is no key that can be read")
            made[found] = self.value(value)
        return made

    def _text(self, node: ast.JoinedStr) -> Value:
        parts = []
        for part in node.values:
            inner = part
            if isinstance(part, ast.FormattedValue):
                if part.conversion != -1 or part.format_spec is not None:
                    return self._unknown(node, "formats its parts")
                inner = part.value
            value = self.value(inner)
            if not isinstance(value, str | int | PurePath):
                return value if isinstance(value, Unknown) else self._unknown(node, "is not made of texts")
            parts.append(str(value))
        return "".join(parts)

    def _operation(self, node: ast.BinOp) -> Value:
        left, right = self.value(node.left), self.value(node.right)
        compute, kinds = _OPERATORS.get(type(node.op), (None, ()))
        if not any(isinstance(left, one) and isinstance(right, other) for one, other in kinds) or compute is None:
            return unknown_in([left, right]) or self._unknown(node, "is not computed here")
        try:
            return compute(left, right)
        except (ArithmeticError, TypeError, ValueError):
            return self._unknown(node, "cannot be computed")

    def _sign(self, node: ast.UnaryOp) -> Value:
        value = self.value(node.operand)
        if isinstance(node.op, ast.Not) and isinstance(value, bool):
            return not value
        if isinstance(node.op, ast.USub) and isinstance(value, _Number):
            return -value
        return unknown_in(value) or self._unknown(node, "is not computed here")

    def _comparison(self, node: ast.Compare) -> Value:
        sides = [self.value(side) for side in (node.left, *node.comparators)]
        if len(sides) == 2 and all(isinstance(side, str | int | float | bool | None) for side in sides):
            if isinstance(node.ops[0], ast.Eq):
                return bool(sides[0] == sides[1])
            if isinstance(node.ops[0], ast.NotEq):
                return bool(sides[0] != sides[1])
        return unknown_in(sides) or self._unknown(node, "is not compared here")

    def _choice(self, node: ast.IfExp) -> Value:
        holds = self.value(node.test)
        if isinstance(holds, bool):
            return self.value(node.body if holds else node.orelse)
        return unknown_in(holds) or self._unknown(node, "depends on a condition")

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp | ast.DictComp) -> Value:
        (first, *more) = node.generators
        over = self.value(first.iter)
        over = [*over] if isinstance(over, dict) else over
        if more or first.ifs or not isinstance(over, list | tuple):
            return unknown_in(over) or self._unknown(node, "is more than one plain loop over a list")
        outer, made = self._local, []
        try:
            for item in over:
                names = _bound(first.target, item)
                if names is None:
                    return self._unknown(node, "takes its items apart in a way that is not followed")
                self._local = {**outer, **names}
                if isinstance(node, ast.DictComp):
                    made.append((self.value(node.key), self.value(node.value)))
                else:
                    made.append(self.value(node.elt))
        finally:
            self._local = outer
        if not isinstance(node, ast.DictComp):
            return made
        return unknown_in([key for key, _ in made]) or {str(key): value for key, value in made}

    def _attribute(self, node: ast.Attribute) -> Value:
        owner = self.value(node.value)
        match owner:
            case Module():
                return owner.names.get(node.attr, self._unknown(node, f"is not found in {owner.file}"))
            case Outside():
                return Outside(f"{owner.path}.{node.attr}")
            case PurePath() if node.attr in _PATH_PARTS:
                return getattr(owner, node.attr)
            case PurePath() if node.attr in _PATH_METHODS:
                return Method(owner, node.attr)
            case Made() if node.attr in VIEW_METHODS:
                return Method(owner, node.attr)
            case Made() if node.attr in owner.named:
                return owner.named[node.attr]
        return unknown_in(owner) or self._unknown(node, "is not followed")

    def _item(self, node: ast.Subscript) -> Value:
        owner, key = self.value(node.value), self.value(node.slice)
        if isinstance(owner, Made):
            return Made("projection", Place(self._file, node.lineno), [owner, key])
        if isinstance(owner, dict | list | tuple) and isinstance(key, str | int):
            try:
                return owner[key]  # type: ignore[index]
            except (LookupError, TypeError):
                return self._unknown(node, "is not there")
        return unknown_in([owner, key]) or self._unknown(node, "depends on where it runs")

    def _call(self, node: ast.Call) -> Value:
        called = self.value(node.func)
        positional = self._items(node.args)
        pairs: list[tuple[ast.expr | None, ast.expr]] = [
            (ast.Constant(word.arg) if word.arg else None, word.value) for word in node.keywords
        ]
        named = self._merged(node, pairs)
        place = Place(self._file, node.lineno)
        match called:
            case Outside() if called.is_of_feast:
                return Made(called.name, place, positional, _taken(named))
            case Method(owner=Made() as view, name=name):
                return Made(name, place, [view, *positional])
            case Method(owner=owner, name=name):
                return self._computed(node, _PATH_METHODS[name], [owner, *positional], named)
            case Outside() if called.path in _CALLS:
                return self._computed(node, _CALLS[called.path], positional, named)
            case Function() | Outside():
                return self._unknown(node, f"calls {shown(called).removesuffix('()')}(), which would have to be run")
        return unknown_in(called) or self._unknown(node, "would have to be run")

    def _computed(self, node: ast.Call, compute: Callable[..., Value], positional: list[Value], named: Value) -> Value:
        unknown = unknown_in([positional, named])
        if unknown is not None:
            return unknown
        plain = (str, int, float, PurePath, list, tuple, dict, timedelta)
        if not all(isinstance(value, plain) for value in [*positional, *named.values()]):
            return self._unknown(node, "is not made of literals")
        try:
            return compute(*positional, **named)
        except (ArithmeticError, TypeError, ValueError) as error:
            return self._unknown(node, f"cannot be made: {error}")

    _handlers: ClassVar[Mapping[type[ast.expr], Callable[[Expressions, Any], Value]]] = {
        ast.Attribute: _attribute,
        ast.BinOp: _operation,
        ast.Call: _call,
        ast.Compare: _comparison,
        ast.Constant: _constant,
        ast.Dict: _dict,
        ast.DictComp: _comprehension,
        ast.GeneratorExp: _comprehension,
        ast.IfExp: _choice,
        ast.JoinedStr: _text,
        ast.List: _list,
        ast.ListComp: _comprehension,
        ast.Name: _name,
        ast.Set: _list,
        ast.Subscript: _item,
        ast.Tuple: _tuple,
        ast.UnaryOp: _sign,
    }


def _bound(target: ast.expr, item: Value) -> dict[str, Value] | None:
    """Bind the names of a loop to one item; None if they do not fit."""
    if isinstance(target, ast.Name):
        return {target.id: item}
    if not (isinstance(target, ast.Tuple | ast.List) and isinstance(item, list | tuple)):
        return None
    if len(target.elts) != len(item) or not all(isinstance(part, ast.Name) for part in target.elts):
        return None
    return {part.id: each for part, each in zip(target.elts, item, strict=True) if isinstance(part, ast.Name)}


def _taken(named: Value) -> dict[str, Value]:
    """Take the arguments of a definition: a list as it is now, whatever is done to it later."""
    if isinstance(named, Unknown):
        return {"name": named}
    return {name: [*value] if isinstance(value, list) else value for name, value in named.items()}


def _is_too_large(value: Value) -> bool:
    if isinstance(value, int):
        return value.bit_length() > _MOST_BITS
    return isinstance(value, str | list | dict) and len(value) > _LARGEST
