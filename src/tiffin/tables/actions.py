"""The actions of a Delta log, as far as Tiffin writes and reads them.

A commit is a JSON file of one action a line. Tiffin uses `protocol`, `metaData`, `add`, `remove` and `commitInfo`;
other writers' further actions (`txn`, `cdc`, …) carry nothing a reader needs and are passed over. Source: the Delta
transaction log protocol, reader version 1 and writer version 2, or 3 where a table has CHECK constraints.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import xxhash

from tiffin.errors import CorruptData, StorageError
from tiffin.schema.names import check_text

CHECKSUM = "xxh3"
"""Key, in the tags of an `add` action, of the file's XXH3-64 checksum in hexadecimal."""

POSITION = "position"
"""Key of the file's place among the table's files; a restored file takes its old place again."""

_HEAD = b'{"commitInfo":{"checksum":"'
_SEAL = slice(len(_HEAD), len(_HEAD) + 16)
_LENGTH = slice(_SEAL.stop + 1, _SEAL.stop + 11)
_BLANK = b"0" * 16
ENGINE = "tiffin/"
"""Begins the `engineInfo` of our commits."""
_OURS = b'"engineInfo":"' + ENGINE.encode()
_READABLE_FEATURES: frozenset[str] = frozenset()
_CHECKS = "checkConstraints"
_WRITABLE_FEATURES = frozenset(["appendOnly", "invariants", _CHECKS])


class Protocol(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True):
    """What a reader and a writer of the table must understand."""

    min_reader_version: int
    min_writer_version: int
    reader_features: list[str] | None = None
    writer_features: list[str] | None = None

    def check_readable(self, table: str) -> None:
        """Raise `StorageError` if reading the table needs a feature that Tiffin does not have."""
        missing = set(self.reader_features or ()) - _READABLE_FEATURES
        if self.min_reader_version > 3 or missing:
            raise self._refusal(table, "read", missing)

    def check_writable(self, table: str) -> None:
        """Raise `StorageError` if writing to the table needs a feature that Tiffin does not have."""
        missing = set(self.writer_features or ()) - _WRITABLE_FEATURES
        if missing or (self.min_writer_version > 3 and self.writer_features is None):
            raise self._refusal(table, "written to", missing)

    def with_checks(self) -> Protocol:
        """Return a protocol by which writers must look at CHECK constraints."""
        if self.writer_features is None:
            return msgspec.structs.replace(self, min_writer_version=max(self.min_writer_version, 3))
        features = self.writer_features if _CHECKS in self.writer_features else [*self.writer_features, _CHECKS]
        return msgspec.structs.replace(self, writer_features=features)

    def _refusal(self, table: str, verb: str, missing: set[str]) -> StorageError:
        needs = ", ".join(sorted(missing)) or f"reader {self.min_reader_version}, writer {self.min_writer_version}"
        return StorageError(
            f"table {table} cannot be {verb}: another writer gave it Delta features that Tiffin lacks ({needs})",
            hint="rewrite the table without them with the tool that added them",
        )


class Format(msgspec.Struct, frozen=True):
    """The format of the data files, always Parquet."""

    provider: str = "parquet"
    options: dict[str, str] = {}


class Metadata(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """The table's identity, schema and configuration."""

    id: str
    name: str | None = None
    description: str | None = None
    format: Format = Format()
    schema_string: str
    partition_columns: list[str] = []
    configuration: dict[str, str] = {}
    created_time: int | None = None
    """Milliseconds since 1970-01-01 UTC."""

    def check_readable(self, table: str) -> None:
        """Raise `StorageError` if the columns have other names in the files than in the schema."""
        if self.configuration.get("delta.columnMapping.mode", "none") != "none":
            raise StorageError(
                f"table {table} cannot be read: it uses column mapping, which Tiffin lacks",
                hint="rewrite the table without it with the tool that added it",
            )

    def check_writable(self, table: str, *, removes_rows: bool) -> None:
        """Raise `StorageError` if the table has a rule for writers that Tiffin cannot check, or this write breaks."""
        if "delta.invariants" in self.schema_string:
            raise StorageError(
                f"table {table} cannot be written to: another writer gave it invariants, which Tiffin does not check",
                hint="remove them with the tool that added them",
            )
        if removes_rows and self.configuration.get("delta.appendOnly", "").lower() == "true":
            raise StorageError(
                f"rows of table {table} cannot be removed: it is declared append-only (delta.appendOnly)",
                hint="append to it, or take that declaration back with the tool that made it",
            )


class Stats(msgspec.Struct, rename="camel", frozen=True, omit_defaults=True):
    """What is known of a file's rows without reading it; bounds are kept for key columns only."""

    num_records: int | None = None
    min_values: dict[str, Any] = {}
    max_values: dict[str, Any] = {}
    null_count: dict[str, Any] = {}


class Add(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """A data file becomes part of the table."""

    path: str
    """Relative to the table's folder, percent-encoded."""
    partition_values: dict[str, str | None] = {}
    size: int
    """Bytes."""
    modification_time: int
    """Milliseconds since 1970-01-01 UTC."""
    data_change: bool = True
    stats: str | None = None
    tags: dict[str, str | None] | None = None
    deletion_vector: Any = msgspec.field(default=None)

    @property
    def checksum(self) -> str | None:
        """The file's XXH3-64 in hexadecimal, if its writer left one."""
        return (self.tags or {}).get(CHECKSUM)

    @property
    def known(self) -> Stats:
        """What the writer recorded about the rows; nothing, if it cannot be understood."""
        try:
            return msgspec.json.decode(self.stats, type=Stats) if self.stats else Stats()
        except (msgspec.MsgspecError, RecursionError):
            return Stats()


class Remove(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """A data file stops being part of the table; the versions before still need it."""

    path: str
    deletion_timestamp: int | None = None
    data_change: bool = True
    partition_values: dict[str, str | None] | None = None
    size: int | None = None


class Once(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Names a save, so that it lands once however often it is tried."""

    key: str
    """The name."""
    request: str
    """What was asked for, hashed: the same name for something else is a mistake."""


Inputs = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
"""What a save was made from, as its caller names it: one or several references, paths, or other words."""


def input_names(inputs: Inputs) -> tuple[str, ...]:
    """Write inputs as texts; one text or path is one input.

    Raises
    ------
    InvalidInputError
        A text holds what is no character; a path whose bytes are no UTF-8 gets a sign where they are not.
    """
    return tuple(
        os.fsencode(one).decode(errors="replace") if isinstance(one, os.PathLike) else check_text(str(one), "an input")
        for one in listed_inputs(inputs)
    )


def listed_inputs(inputs: Inputs) -> tuple[str | os.PathLike[str], ...]:
    """List inputs one by one."""
    return (inputs,) if isinstance(inputs, str | os.PathLike) else tuple(inputs)


class Input(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a save was made from, as far as it was recognised: a version of a table, or a file."""

    name: str
    """As the caller named it."""
    table: str = ""
    """`group/name`."""
    id: str = ""
    """The table's identity: one of the same name that was made after a drop has another."""
    version: int | None = None
    """Of the table; where none was named, the newest at the time."""
    size_bytes: int | None = None
    """Of the file."""
    xxh3: str = ""
    """XXH3-64 of the file in hexadecimal; empty for one that is very large."""


class Details(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """What Tiffin notes about a commit, beyond what Delta's own fields say."""

    author: str = ""
    version: int | None = None
    """Which version the commit makes: one in the place of another would pass its own checksum."""
    rows: int | None = None
    """Rows of the table after the commit; None if another writer did not count its own."""
    rows_added: int | None = None
    rows_removed: int | None = None
    inputs: tuple[str, ...] = ()
    """What the rows were made from, as the caller named it."""
    recognised: tuple[Input, ...] = ()
    """Those of them that are tables of the store, or files."""
    code: str = ""
    """The git commit of the code that saved."""
    narrowed: tuple[str, ...] = ()
    """Columns whose floats were narrowed to 32 bits at the caller's wish."""
    once: Once | None = None
    stage: str = ""
    """Of a promoted stage its id."""
    major: int | None = None
    """The major version of the schema that begins here, if one does."""
    quarantined: int = 0
    """Rows that broke a constraint and were kept apart."""
    quarantine: str = ""
    """The file that they are in."""


class CommitInfo(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    """Who did what and when."""

    checksum: str = "0000000000000000-0000000000"
    """XXH3-64 of the whole commit file, computed with zeros in its place, and the file's length in bytes; always
    the first field of the file."""
    timestamp: int = 0
    """Milliseconds since 1970-01-01 UTC; grows with every version, whatever the clock does."""
    operation: str = "UNKNOWN"
    operation_parameters: dict[str, Any] = {}
    engine_info: str = ""
    user_metadata: Any = None
    """The commit's message: the place where other Delta readers show it."""
    tiffin: Details | None = None

    @property
    def message(self) -> str:
        """The commit's message; empty if there is none."""
        return self.user_metadata if isinstance(self.user_metadata, str) else ""


class Action(msgspec.Struct, rename="camel", frozen=True, kw_only=True, omit_defaults=True):
    """One line of a commit: exactly one field is set, none if it is of a kind that is passed over."""

    commit_info: CommitInfo | None = None
    protocol: Protocol | None = None
    meta_data: Metadata | None = None
    add: Add | None = None
    remove: Remove | None = None


_decode_action = msgspec.json.Decoder(Action).decode
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Entry(msgspec.Struct, frozen=True):
    """The contents of one commit file."""

    info: CommitInfo
    actions: tuple[Action, ...]


def encode_lines(actions: Iterable[Action]) -> bytes:
    """Encode actions as JSON, one a line."""
    return b"\n".join(map(msgspec.json.encode, actions)) + b"\n"


def encode_commit(info: CommitInfo, actions: Sequence[Action]) -> bytes:
    """Encode a commit file, its checksum included."""
    data = bytearray(encode_lines([Action(commit_info=info), *actions]))
    data[_LENGTH] = f"{len(data):010}".encode()
    data[_SEAL] = _checksum(data)
    return bytes(data)


def _checksum(data: bytes | bytearray) -> bytes:
    blanked = bytearray(data)
    blanked[: _SEAL.stop] = _HEAD + _BLANK
    return xxhash.xxh3_64_hexdigest(bytes(blanked)).encode()


def is_torn(data: bytes) -> bool:
    """Tell whether a commit file was cut off while it was written, as against damaged later.

    A file that was never synced comes out of a power loss empty, short, or with zeros in it. One that is whole in
    length but wrong in content was whole once, and may have been acknowledged.
    """
    if not data or data.endswith(b"\0") or b"\0\0" in data:
        return True
    if _HEAD.startswith(data[: len(_HEAD)]):
        if len(data) < _LENGTH.stop:
            return True
        # If it matches its checksum at the length it has, it is whole, and the length noted in it is what is damaged.
        actual = bytearray(data)
        actual[_LENGTH] = f"{len(data):010}".encode()
        noted = data[_LENGTH]
        return noted.isdigit() and len(data) < int(noted) and _checksum(actual) != data[_SEAL]
    try:
        _decode_action(data.rstrip(b"\n").rpartition(b"\n")[2])
    except _UNDECODABLE:
        return True
    return False


def decode_commit(data: bytes, where: str) -> Entry:
    """Decode a commit file.

    Parameters
    ----------
    data : bytes
        The file.
    where : str
        Its name, for messages.

    Raises
    ------
    CorruptData
        The file is empty, is not JSON, or is not what its writer wrote.
    """
    # Damage to the head must not make the rest look like another writer's, which has no checksum.
    if (data.startswith(_HEAD) or _OURS in data) and data[: _SEAL.stop] != _HEAD + _checksum(data):
        raise CorruptData(
            f"{where} is not what was written: its checksum differs", hint="put it back from a copy of the store"
        )
    lines = [line for line in data.split(b"\n") if line.strip()]
    if not lines:
        raise CorruptData(f"{where} is empty")
    try:
        actions = tuple(map(_decode_action, lines))
    except _UNDECODABLE as error:
        raise CorruptData(f"{where} is not a Delta commit: {error}") from error
    info = next((action.commit_info for action in actions if action.commit_info), CommitInfo())
    return Entry(info, tuple(action for action in actions if not action.commit_info))
