"""Reading Python without running it: which names of a file stand for which values, statement by statement.

What a statement does that is not followed here (loops, functions, what depends on the machine) makes the names it
touches `Unknown`, with the place and the reason, so that nothing is ever taken for what it may not be.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, ClassVar

from tiffin.errors import InvalidInputError
from tiffin.feast_repository.expressions import Expressions
from tiffin.feast_repository.values import Function, Made, Module, Outside, Place, Unknown, Value
from tiffin.files import LOCAL, translated

_LARGEST_FILE = 4 << 20

DEFINITIONS = {
    "BatchFeatureView", "FeatureService", "FeatureView", "LabelView", "OnDemandFeatureView", "StreamFeatureView",
    "batch_feature_view", "on_demand_feature_view", "stream_feature_view",
}  # fmt: skip
"""Names under which Feast defines what can be asked for."""


class Reader:
    """Reads the Python files of a repository, each once.

    Parameters
    ----------
    root : Path
        The repository's folder, from which its imports are found.

    Attributes
    ----------
    strays : list of (Made, str)
        Definitions that are not followed, and why.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.strays: list[tuple[Made, str]] = []
        self._modules: dict[Path, Module] = {}

    def read(self, path: Path) -> Module:
        """Read a file, or return what was read of it: two files that import each other end there, as in Python.

        Parameters
        ----------
        path : Path
            A file below the root.

        Returns
        -------
        Module

        Raises
        ------
        InvalidInputError
            It is no Python.
        StorageError
            It cannot be read.
        """
        if path not in self._modules:
            file = str(path.relative_to(self.root))
            self._modules[path] = module = Module(file)
            try:
                _Run(self, module, path).run(_parse(path, file).body)
            except RecursionError as error:
                raise InvalidInputError(
                    f"{file} is nested too deeply to be read", hint="break its longest expression into several"
                ) from error
        return self._modules[path]

    def find(self, parts: list[str], folder: Path) -> Path | None:
        """Find the file of a module of the repository; None if it has none of that name."""
        path = folder.joinpath(*parts)
        candidates = [path / "__init__.py"] if path == folder else [path.with_suffix(".py"), path / "__init__.py"]
        return next((each for each in candidates if each.is_file()), None)


def _parse(path: Path, file: str) -> ast.Module:
    with translated(path, doing="read"):
        text = bytes(LOCAL.read(path.resolve()))
    if len(text) > _LARGEST_FILE:
        raise InvalidInputError(
            f"{file} holds {len(text):,} bytes, too many for definitions", hint="name it in .feastignore"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.parse(text, file)
    except (SyntaxError, ValueError, MemoryError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise InvalidInputError(
            f"{file}{line} cannot be read as Python: {error.args[0] if error.args else 'it is too deeply nested'}",
            hint="correct it, or name the file in .feastignore",
        ) from error


class _Run:
    """The statements of one file, followed from the first to the last."""

    def __init__(self, reader: Reader, module: Module, path: Path) -> None:
        self._reader = reader
        self._module = module
        self._path = path
        self._names = module.names
        self._names["__file__"] = str(path)
        self._names["__name__"] = path.stem
        self._expressions = Expressions(module.file, self._names)

    def run(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            self._follow(statement)

    def _follow(self, statement: ast.stmt) -> None:
        handler = self._handlers.get(type(statement))
        if handler:
            handler(self, statement)
        else:
            self._give_up(statement, _WHY.get(type(statement), "is changed by a statement that is not followed"))

    def _pass(self, node: ast.stmt) -> None:
        """Follow a statement that changes nothing."""

    def _assign(self, node: ast.Assign) -> None:
        value = self._value(node.value)
        for target in node.targets:
            self._bind(target, value)

    def _annotated(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._bind(node.target, self._value(node.value))

    def _if(self, node: ast.If) -> None:
        holds = self._value(node.test)
        if isinstance(holds, bool):
            self.run(node.body if holds else node.orelse)
        else:
            self._give_up(node, "depends on a condition")

    def _try(self, node: ast.Try) -> None:
        self.run(node.body)
        for handler in node.handlers:
            self._give_up(handler, "is set where an error is handled", spare=set(self._names))
        self.run([*node.orelse, *node.finalbody])

    def _call(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self._give_up(node, "is changed by a call")

    def _value(self, node: ast.expr) -> Value:
        value = self._expressions.value(node)
        for part in ast.walk(node):
            if isinstance(part, ast.Lambda):
                self._note_strays(part)
            elif isinstance(part, ast.NamedExpr):
                self._give_up(part.target, "is assigned within an expression")
            elif isinstance(part, ast.Call):
                for name in _changed_by_call(part, self._names):
                    _spoil(self._names.get(name), Unknown(self._place(part), f"{name} is changed by a call"))
        if isinstance(value, Unknown) and isinstance(node, ast.Call) and _kind(node) in DEFINITIONS:
            self._reader.strays.append((_stray(node, self._place(node)), value.why))
        return value

    def _place(self, node: ast.stmt | ast.expr | ast.excepthandler) -> Place:
        return Place(self._module.file, node.lineno)

    def _bind(self, target: ast.expr, value: Value) -> None:
        match target:
            case ast.Name(id=name):
                self._names[name] = value
            case ast.Tuple(elts=parts) | ast.List(elts=parts) if isinstance(value, list | tuple) and len(parts) == len(
                value
            ):
                for part, each in zip(parts, value, strict=True):
                    self._bind(part, each)
            case _:
                self._give_up(target, "is assigned in a way that is not followed")
                if isinstance(value, Made) and value.kind in DEFINITIONS:
                    self._reader.strays.append((value, "it is not assigned to a plain name"))

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Bind a function; a decorator of Feast makes a definition of it."""
        self._names[node.name] = Function(node.name)
        for decorator in node.decorator_list:
            made = self._value(decorator)
            if isinstance(made, Outside) and made.is_of_feast:
                made = Made(made.name, self._place(node))
            if isinstance(made, Made):
                made.named.setdefault("name", node.name)
                made.named["udf"] = Function(node.name)
                self._names[node.name] = made
                return
        self._note_strays(node)

    def _add(self, node: ast.AugAssign) -> None:
        """Follow `name += value`, which changes a list for all names that lead to it."""
        if not isinstance(node.target, ast.Name):
            self._give_up(node, "is changed in place")
            return
        name = ast.Name(node.target.id)
        sum_of_both = ast.fix_missing_locations(ast.copy_location(ast.BinOp(name, node.op, node.value), node))
        before, after = self._names.get(name.id), self._value(sum_of_both)
        if isinstance(before, list):
            before[:] = after if isinstance(after, list) else [after]
        else:
            self._names[name.id] = after

    def _give_up(self, node: ast.stmt | ast.expr | ast.excepthandler, why: str, *, spare: Iterable[str] = ()) -> None:
        """Make unknown whatever the parts of a statement may set or change."""
        for part in ast.walk(node):
            for name in _set_by(part):
                if name not in spare:
                    self._names[name] = Unknown(self._place(node), f"{name} {why}")
            for name in _changed_by(part):
                _spoil(self._names.get(name), Unknown(self._place(node), f"{name} {why}"))
        self._note_strays(node)

    def _note_strays(self, node: ast.AST) -> None:
        """Remember definitions that stand where nothing is followed."""
        for call in ast.walk(node):
            if isinstance(call, ast.Call) and _kind(call) in DEFINITIONS:
                why = "it stands in a function, class, loop or condition, which would have to be run"
                self._reader.strays.append((_stray(call, self._place(call)), why))

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            parts = alias.name.split(".")
            if alias.asname:
                self._names[alias.asname] = self._module_at(parts, self._reader.root) or Outside(alias.name)
                continue
            found = self._module_at(parts, self._reader.root)
            if found is None or len(parts) == 1:
                self._names[parts[0]] = found or Outside(parts[0])
            else:
                self._names[parts[0]] = _nested(parts[1:], found, self._names.get(parts[0]))

    def _import_from(self, node: ast.ImportFrom) -> None:
        parts = node.module.split(".") if node.module else []
        folder = self._reader.root
        if node.level:
            folder = self._path.parents[node.level - 1] if node.level <= len(self._path.parents) else folder
        for alias in node.names:
            if alias.name == "*":
                self._import_all(parts, folder)
            else:
                self._names[alias.asname or alias.name] = self._imported(parts, alias.name, folder, node)

    def _import_all(self, parts: list[str], folder: Path) -> None:
        module = self._module_at(parts, folder)
        if module is not None:
            self._names.update({name: value for name, value in module.names.items() if not name.startswith("_")})
        elif parts[:1] == ["feast"]:
            # A name that the file does not define is taken for one of Feast's then.
            self._names["*"] = Outside(".".join(parts))

    def _imported(self, parts: list[str], name: str, folder: Path, node: ast.ImportFrom) -> Value:
        module = self._module_at(parts, folder)
        if module is not None and name in module.names:
            return module.names[name]
        submodule = self._module_at([*parts, name], folder)
        if submodule is not None:
            return submodule
        if module is not None or node.level:
            return Unknown(self._place(node), f"{name} is not found in {'.'.join(parts) or 'the package'}")
        return Outside(f"{node.module}.{name}")

    def _module_at(self, parts: list[str], folder: Path) -> Module | None:
        path = self._reader.find(parts, folder)
        return self._reader.read(path) if path and path.is_relative_to(self._reader.root) else None

    _handlers: ClassVar[Mapping[type[ast.stmt], Callable[[_Run, Any], None]]] = {
        ast.AnnAssign: _annotated,
        ast.Assert: _pass,
        ast.Assign: _assign,
        ast.AsyncFunctionDef: _function,
        ast.AugAssign: _add,
        ast.Expr: _call,
        ast.FunctionDef: _function,
        ast.If: _if,
        ast.Import: _import,
        ast.ImportFrom: _import_from,
        ast.Pass: _pass,
        ast.Try: _try,
    }


_WHY: dict[type[ast.stmt], str] = {
    ast.For: "is set in a loop",
    ast.While: "is set in a loop",
    ast.With: "is set in a with statement",
    ast.ClassDef: "is a class of the repository",
    ast.Delete: "is deleted",
}


_MUTATORS = {
    "append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update",
}  # fmt: skip
"""Methods that change a list or dict."""


def _kind(call: ast.Call) -> str:
    """Name what is called, without where it is from."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _stray(call: ast.Call, place: Place) -> Made:
    """Tell a definition by its name, as far as it is written there."""
    named = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
    return Made(_kind(call), place, named={"name": named["name"]} if "name" in named else {})


def _changed_by_call(call: ast.Call, names: Mapping[str, Value]) -> list[str]:
    """Name the lists and dicts that a call within an expression may change."""
    found: list[str | None] = []
    match call.func:
        case ast.Attribute(value=owner, attr=method) if method in _MUTATORS:
            found = [_root(owner)]
        case ast.Name(id=name) if isinstance(names.get(name), Function):
            found = [*map(_root, call.args)]
    return [name for name in found if name is not None]


def _set_by(node: ast.AST) -> list[str]:
    """Name what a part of a statement gives another value."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return [name]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.alias(name=name, asname=asname):
            return [asname or name.partition(".")[0]]
    return []


def _changed_by(node: ast.AST) -> list[str]:
    """Name what a part of a statement may change within: lists, dicts and definitions."""
    found: list[str | None] = []
    match node:
        case ast.Call(func=ast.Attribute(value=owner), args=args):
            found = [_root(owner), *map(_root, args)]
        case ast.Call(args=args):
            found = [*map(_root, args)]
        case (
            ast.Subscript(value=owner, ctx=ast.Store() | ast.Del())
            | ast.Attribute(value=owner, ctx=ast.Store() | ast.Del())
        ):
            found = [_root(owner)]
    return [name for name in found if name is not None]


def _root(node: ast.expr) -> str | None:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def _spoil(value: Value, unknown: Unknown) -> None:
    """Make a value unknown for all names and definitions that share it."""
    match value:
        case list():
            value[:] = [unknown]
        case dict():
            value[""] = unknown
        case Made():
            value.named["name"] = unknown


def _nested(parts: list[str], found: Module, known: Value) -> Module:
    """Make `import a.b` lead from the name `a` to the module `b`."""
    outer = known if isinstance(known, Module) else Module(PurePath(found.file).parts[0])
    inner = found if len(parts) == 1 else _nested(parts[1:], found, outer.names.get(parts[0]))
    outer.names[parts[0]] = inner
    return outer
