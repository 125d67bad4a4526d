"""From what the Python of a repository stands for to what it defines, and what cannot be taken over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tiffin.errors import InvalidInputError
from tiffin.feast_repository.arguments import duration, flag, items, text, texts, unreadable
from tiffin.feast_repository.definitions import Definitions, Field, LeftOut, Part, Service, Source, View
from tiffin.feast_repository.discovery import python_files
from tiffin.feast_repository.expressions import VIEW_METHODS
from tiffin.feast_repository.kinds import Kind, kind_of
from tiffin.feast_repository.reading import Reader
from tiffin.feast_repository.values import Made, Outside, Place, Value, shown, unknown_in
from tiffin.schema.about import NOTHING, About, check_about


def read_definitions(root: Path) -> Definitions:
    """Read what the Python files of a repository define, without running them.

    Parameters
    ----------
    root : Path
        The folder of `feature_store.yaml`.

    Returns
    -------
    Definitions
        What cannot be read is among what is left out, with file and line.

    Raises
    ------
    InvalidInputError
        A file is no Python, or two views or services have one name.
    """
    reader = Reader(root)
    objects: dict[int, Made] = {}
    for path in python_files(root):
        for value in reader.read(path).names.values():
            if isinstance(value, Made):
                objects.setdefault(id(value), value)
    return _Collection(root, [*objects.values()], reader.strays).collect()


_VIEWS = {"BatchFeatureView", "FeatureView", "LabelView"}
_STREAMS = {"KafkaSource", "KinesisSource", "PushSource"}

_WHY = {
    "KafkaSource": "a stream is followed by a program: let one push its rows to the table",
    "KinesisSource": "a stream is followed by a program: let one push its rows to the table",
    "OnDemandFeatureView": "its values are computed by code at each request: compute them where you ask",
    "Permission": "rights belong to the keys of the server: tiffin keys",
    "PushSource": "rows are pushed to tables by their names: tiffin push TABLE FILE",
    "RequestSource": "only on-demand feature views read it",
    "StreamFeatureView": "its values are computed from a stream: push rows to a table instead",
}
"""What becomes neither a table nor a service, and why."""

_COMPUTING = ("udf", "feature_transformation", "aggregations")
_LOST = ("org", "logging_config")
_LOST_OF_SERVICES = ("tags", "owner")
_OURS = {"tiffin_table", "tiffin_version"}
"""Tags that an export has left, and that say nothing here."""


class _Collection:
    """Sorts what was read into views, services, and what is left out."""

    def __init__(self, root: Path, objects: list[Made], strays: list[tuple[Made, str]]) -> None:
        self._root = root
        self._objects = objects
        self._strays = strays
        self._views: dict[int, View] = {}
        """By the identity of what was made: services ask for the very same."""
        self._services: list[Service] = []
        self._left_out: list[tuple[Place, LeftOut]] = []

    def collect(self) -> Definitions:
        for made in self._objects:
            if made.kind in _VIEWS:
                self._attempt(made, self._view)
        for made in self._objects:
            if made.kind == "FeatureService":
                self._attempt(made, self._service)
            elif made.kind in _WHY:
                self._leave_out(made.label, made.place, _WHY[made.kind])
        for made, why in self._strays:
            self._leave_out(made.label, made.place, f"{why}: define it at the top of the file, by a plain name")
        views = [*self._views.values()]
        _check_unique("feature views", views)
        _check_unique("feature services", self._services)
        left_out = sorted(self._left_out, key=lambda pair: (pair[0].file, pair[0].line))
        return Definitions(views, self._services, [each for _, each in left_out])

    def _attempt(self, made: Made, take: Callable[[Made], None]) -> None:
        """Take a definition over, or leave it out and say why."""
        try:
            take(made)
            self._note_lost(made)
        except InvalidInputError as error:
            self._leave_out(made.label, made.place, _why(error))

    def _leave_out(self, what: str, place: Place, why: str) -> None:
        self._left_out.append((place, LeftOut(what, str(place), why)))

    def _note_lost(self, made: Made) -> None:
        names = _LOST if made.kind in _VIEWS else (*_LOST_OF_SERVICES, *_LOST)
        if lost := [name for name in names if made.named.get(name)]:
            self._leave_out(f"{', '.join(lost)} of {made.label}", made.place, "Tiffin has no place for it")

    def _view(self, made: Made) -> None:
        computing = [argument for argument in _COMPUTING if made.named.get(argument)]
        if computing:
            raise InvalidInputError(
                f"its values are computed by code ({', '.join(computing)})", hint="save what it computes as a table"
            )
        if not flag(made, "enabled", default=True):
            raise InvalidInputError("it is not enabled")
        if text(made, "version", "latest") != "latest":
            raise InvalidInputError("it is pinned to an older version, which only Feast's registry knows")
        _check_labels(made)
        entities = [*self._entities(made)]
        keys = [key for entity in entities for key in _join_keys(entity)]
        self._views[id(made)] = View(
            name=text(made, "name"),
            place=made.place,
            source=self._source(made.named.get("source")),
            keys=tuple(dict.fromkeys(keys)),
            fields=tuple(self._sayable(field, made) for field in _fields(made, entities)),
            ttl=duration(made, "ttl"),
            online=flag(made, "online", default=made.kind != "BatchFeatureView"),
            description=text(made, "description", ""),
            **self._said(made),
        )

    def _said(self, made: Made) -> dict[str, Any]:
        """Read the owner and the tags of a view."""
        said = self._checked(About(text(made, "owner", "").strip(), _tags(made)), made.label, made)
        return {"owner": said.owner, "labels": said.labels}

    def _sayable(self, field: Field, made: Made) -> Field:
        """Leave out the tags of a field that cannot be labels."""
        said = self._checked(About(labels=dict(field.labels)), f"field {field.name!r} of {made.label}", made)
        return replace(field, labels=said.labels)

    def _checked(self, said: About, what: str, made: Made) -> About:
        """Return what is said, or nothing if it is not what a table can be said to be."""
        try:
            check_about(said, what)
        except InvalidInputError as error:
            self._leave_out(f"tags, owner of {what}", made.place, _why(error))
            return NOTHING
        return said

    def _source(self, value: Value) -> Source:
        """Read where the rows are: of what is pushed or streamed too, its file."""
        if isinstance(value, Made) and value.kind in _STREAMS:
            value = value.named.get("batch_source")
        if not isinstance(value, Made) or value.kind != "FileSource":
            unknown = unknown_in(value)
            what = f"{unknown.why} ({unknown.place})" if unknown else f"its source is {shown(value)}, not a file"
            raise InvalidInputError(what, hint="write its rows to Parquet, and give it a FileSource")
        form = value.named.get("file_format")
        if form is not None and not (isinstance(form, Made) and form.kind == "ParquetFormat"):
            raise InvalidInputError(f"its file is a {shown(form)}, not Parquet", hint="write its rows to Parquet")
        written = text(value, "path")
        if "://" in written:
            raise InvalidInputError(f"its file {written!r} is on another machine", hint="copy it into the repository")
        return Source(
            path=self._root / written,
            written=written,
            timestamp=text(value, "timestamp_field", "") or text(value, "event_timestamp_column", ""),
            created=text(value, "created_timestamp_column", ""),
            mapping=texts(value, "field_mapping"),
        )

    def _entities(self, made: Made) -> Iterator[Made]:
        named = {each.name: each for each in self._objects if each.kind == "Entity"}
        for each in items(made, "entities"):
            entity = named.get(each, each) if isinstance(each, str) else each
            if not isinstance(entity, Made) or entity.kind != "Entity":
                raise unreadable(made, "entities", entity)
            yield entity

    def _service(self, made: Made) -> None:
        name, parts = text(made, "name"), []
        for each in items(made, "features"):
            try:
                parts.append(self._part(each))
            except InvalidInputError as error:
                self._leave_out(f"a part of {made.label}", made.place, _why(error))
        if not parts:
            raise InvalidInputError("nothing that it asks for is taken over")
        self._services.append(Service(name, made.place, tuple(parts), text(made, "description", "")))

    def _part(self, value: Value) -> Part:
        """Read what a service takes of one view."""
        if isinstance(value, str):
            return self._reference(value)
        if isinstance(value, Made) and value.kind == "projection":
            view, features = value.positional
            if not isinstance(features, list) or not all(isinstance(feature, str) for feature in features):
                raise unreadable(value, "features", features)
            return Part(self._asked(view).name, tuple(features))
        return Part(self._asked(value).name, None)

    def _reference(self, written: str) -> Part:
        name, _, feature = written.partition(":")
        if "@" in name:
            raise InvalidInputError(f"{written!r} is pinned to a version, which only Feast's registry knows")
        if name not in {view.name for view in self._views.values()}:
            raise InvalidInputError(f"{written!r} asks for a view that is not taken over")
        return Part(name, (feature,) if feature else None)

    def _asked(self, value: Value) -> View:
        """Find the view that a service asks for."""
        if id(value) in self._views:
            return self._views[id(value)]
        if isinstance(value, Made) and value.kind in VIEW_METHODS:
            raise InvalidInputError(
                f"{shown(value.positional[0])} is asked for under other names ({value.kind})",
                hint="save a table with those names",
            )
        unknown = unknown_in(value)
        raise InvalidInputError(f"{unknown.why} ({unknown.place})" if unknown else f"{shown(value)} is not taken over")


def _why(error: InvalidInputError) -> str:
    return f"{error.message}: {error.hint}" if error.hint else error.message


def _check_unique(what: str, found: Sequence[View] | Sequence[Service]) -> None:
    first: dict[str, Place] = {}
    for each in found:
        if each.name in first:
            raise InvalidInputError(
                f"two {what} are called {each.name!r}: {first[each.name]} and {each.place}", hint="rename one of them"
            )
        first[each.name] = each.place


def _join_keys(entity: Made) -> list[str]:
    """Name the columns of an entity: its own name, if it names none."""
    keys = items(entity, "join_keys") or [text(entity, "join_key", "") or text(entity, "name")]
    if not all(isinstance(key, str) for key in keys):
        raise unreadable(entity, "join_keys", keys)
    return keys


def _fields(made: Made, entities: Sequence[Made]) -> Iterator[Field]:
    """Read the types that a view declares; of its keys also those of its entities."""
    declared = []
    for each in items(made, "schema"):
        if not isinstance(each, Made) or each.kind != "Field":
            raise unreadable(made, "schema", each)
        declared.append(text(each, "name"))
        yield Field(declared[-1], _kind(each, "dtype"), text(each, "description", ""), _tags(each))
    for entity in entities:
        (key, *others) = _join_keys(entity)
        if entity.named.get("value_type") is not None and key not in declared and not others:
            yield Field(key, _kind(entity, "value_type"))


def _tags(made: Made) -> dict[str, str]:
    return {tag: value for tag, value in texts(made, "tags").items() if tag not in _OURS}


def _kind(made: Made, argument: str) -> Kind:
    try:
        return kind_of(made.named.get(argument))
    except InvalidInputError as error:
        raise InvalidInputError(f"{argument} of {made.label}: {error.message}", hint=error.hint) from error


def _check_labels(made: Made) -> None:
    """Refuse labels that are not simply those that were written last."""
    policy = made.named.get("conflict_policy")
    if policy is not None and not (isinstance(policy, Outside) and policy.name == "LAST_WRITE_WINS"):
        raise InvalidInputError(
            "its labels are settled by a conflict policy", hint="save the settled labels as a table"
        )
