"""Examining tables and services: whether all can be read, is what was written, and finds what it names."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Literal

import msgspec

from tiffin.access.keys import Keys
from tiffin.errors import NotFoundError, StorageError, VersionNotFound
from tiffin.registry import Registry
from tiffin.schema.evolution import column_of
from tiffin.schema.names import parse_reference
from tiffin.tables import checkpoint, quarantine
from tiffin.tables.catalog import Catalog
from tiffin.tables.state import State
from tiffin.tables.table import Table

FORGOTTEN_AFTER = timedelta(days=7)
"""A stage that has been waiting for longer is told of: it keeps versions from vacuums."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something to know about a table, a feature service, or the store itself."""

    table: str
    kind: Literal["corrupt", "repaired", "unresolved", "forgotten"]
    """`corrupt`: a version or file is damaged. `repaired`: the remains of a crash were set aside; nothing is lost.
    `unresolved`: a feature service asks for what is not there. `forgotten`: a stage that has been waiting for long."""
    what: str
    hint: str = ""
    service: str = ""
    """The feature service that it is about, if it is about one."""


def examine(table: Table) -> Iterator[Finding]:
    """Read the whole log and check every data file that a readable version needs against its checksum.

    Parameters
    ----------
    table : Table
        The table.

    Yields
    ------
    Finding
    """
    name = str(table.name)
    try:
        latest = table.log.require()
    except StorageError as error:
        yield Finding(table=name, kind="corrupt", what=error.message, hint=error.hint)
        return
    for kept in table.log.set_aside:
        what = f"the last commit was torn by a crash before it was acknowledged; it is kept as {kept}"
        yield Finding(table=name, kind="repaired", what=what)
    checked: set[str] = set()
    state = None
    for version in range(table.log.oldest(), latest.version + 1):
        try:
            # One commit further where that is possible: to look each version up would take a long log's length squared.
            state = state.apply(version, table.log.read_commit(version)) if state else table.log.at(version)
        except (StorageError, VersionNotFound) as error:
            yield Finding(table=name, kind="corrupt", what=f"version {version}: {error.message}", hint=error.hint)
            state = None
            continue
        yield from _examine_files(table, state, checked)
    checkpoints = checkpoint.damaged(table.fs, table.log.folder, table.log.checkpoints(), name)
    for damage in [*checkpoints, *quarantine.damaged(table)]:
        yield Finding(table=name, kind="corrupt", what=damage.message, hint=damage.hint)
    yield from _examine_tags(table)
    for stage in table.stages.names():
        yield from _examine_stage(table, stage, checked)


def _examine_tags(table: Table) -> Iterator[Finding]:
    try:
        tags = table.tags.all()
    except StorageError as error:
        yield Finding(table=str(table.name), kind="corrupt", what=error.message, hint=error.hint)
        return
    for tag in tags:
        try:
            table.tags.state(tag)
        except (StorageError, VersionNotFound) as error:
            yield Finding(table=str(table.name), kind="corrupt", what=error.message, hint=error.hint)


def _examine_stage(table: Table, name: str, checked: set[str]) -> Iterator[Finding]:
    try:
        stage = table.stages.find(name)
        state = table.stages.state(stage) if stage else None
    except (StorageError, VersionNotFound) as error:
        yield Finding(table=str(table.name), kind="corrupt", what=f"stage {name!r}: {error.message}", hint=error.hint)
        return
    if state is None:
        return
    yield from _examine_files(table, state, checked)
    age = timedelta(milliseconds=table.log.now() - state.timestamp)
    if age > FORGOTTEN_AFTER:
        yield Finding(
            table=str(table.name),
            kind="forgotten",
            what=f"stage {name!r} has been waiting for {age.days} days; it keeps version {state.version} and all after "
            "it from vacuums",
            hint="promote it or discard it (tiffin promote, tiffin discard)",
        )


def _examine_files(table: Table, state: State, checked: set[str]) -> Iterator[Finding]:
    for add in state.files.values():
        if add.path in checked:
            continue
        checked.add(add.path)
        try:
            table.data.check([add])
        except StorageError as error:
            what = f"{'stage' if state.stage else 'version'} {state.pin}: {error.message}"
            yield Finding(table=str(table.name), kind="corrupt", what=what, hint=error.hint)


def examine_services(
    catalog: Catalog,
    registry: Registry,
    computed: Collection[str] = (),
) -> Iterator[Finding]:
    """Check that the file of every feature service can be read and that its references lead somewhere.

    Parameters
    ----------
    catalog : Catalog
        The tables.
    registry : Registry
        The services.
    computed : collection of str
        References to on-demand features.

    Yields
    ------
    Finding
    """
    for name, error in registry.damaged().items():
        yield Finding(table="", kind="corrupt", what=error.message, hint=error.hint, service=name)
    for service in registry.services():
        for text in service.features:
            if text in computed:
                continue
            reference = parse_reference(text)
            try:
                table, state = catalog.resolve(reference)
                if reference.feature and column_of(state.spec, reference.feature, table.log.require().spec) is None:
                    state.spec.check_features([reference.feature], str(table.name))
            except NotFoundError as error:
                yield Finding(
                    table=f"{reference.group}/{reference.name}",
                    kind="unresolved",
                    what=f"feature service {service.name!r} asks for {text}: {error.message}",
                    hint="replace the service, or bring back what it asks for",
                    service=service.name,
                )
            except StorageError:
                # A damaged table is reported as such, not once more for each service that uses it.
                continue


def examine_keys(keys: Keys) -> Iterator[Finding]:
    """Check that the file of the API keys can be read."""
    try:
        keys.keys()
    except StorageError as error:
        yield Finding(table="", kind="corrupt", what=error.message, hint=error.hint)
