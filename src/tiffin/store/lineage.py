"""The verbs of finding: lineage, openlineage, search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from tiffin.errors import InvalidInputError
from tiffin.lineage import Lineage
from tiffin.lineage.events import events
from tiffin.lineage.graph import Direction, Tracer
from tiffin.reading import not_negative
from tiffin.schema.names import parse_reference
from tiffin.search import Document, Match, find, of_on_demand, of_service, of_table, of_training_set
from tiffin.store.opened import Opened


class Tracing(Opened):
    """Methods of `FeatureStore` that find where tables come from, where they go, and which there are."""

    def lineage(
        self,
        reference: str,
        *,
        version: int | str | None = None,
        depth: int | None = None,
        direction: Direction = "both",
    ) -> Lineage:
        """Tell what a table was made from and what is made from it, as far as the inputs of saves say so.

        Parameters
        ----------
        reference : str
            `group/name`, or a version of it: `group/name@3`.
        version : int or str, optional
            Which version, or a tag of it; the newest if left out. With it, or with a reference that pins one, only what
            is made from this very version counts, and not from any.
        depth : int, optional
            How many steps to follow; all if left out.
        direction : {"both", "up", "down"}
            Only what it was made from, or only what is made from it.

        Returns
        -------
        Lineage
            `tiffin.lineage.to_mermaid` and `to_svg` draw it.

        Raises
        ------
        TableNotFound, VersionNotFound, Ambiguous
            What is asked for is not there.
        InvalidInputError
            The question makes no sense.
        """
        if direction not in get_args(Direction):
            raise InvalidInputError(f"direction is {direction!r}", hint="choose both, up or down")
        parsed = parse_reference(reference)
        table, state = self._at(parsed, version, None)
        computed = {one.name: one.inputs for one in self._on_demands.kept.all()}
        tracer = Tracer(self._catalog, self._registry, self._sets, computed)
        return tracer.trace(
            table,
            state.version,
            depth=not_negative("depth", depth),
            direction=direction,
            pinned=version is not None or parsed.version is not None,
        )

    def openlineage(
        self, reference: str, *, version: int | str | None = None, depth: int | None = None
    ) -> list[dict[str, Any]]:
        """Tell what a table was made from as OpenLineage events, for catalogues that take them in.

        Parameters
        ----------
        reference, version, depth
            As for `lineage`.

        Returns
        -------
        list of dict
            One `RunEvent` for each commit, oldest first, as values that JSON has.
        """
        return events(self._catalog, self.lineage(reference, version=version, depth=depth, direction="up"))

    def search(self, text: str, *, limit: int = 20) -> tuple[Match, ...]:
        """Find tables, columns, services, training sets and on-demand features by names and by what is said of them.

        Names come before descriptions, owners, labels, units and links; whole words before beginnings and parts. If
        nothing is found, words are taken that differ by a letter.

        Parameters
        ----------
        text : str
            Words, all of which must be found.
        limit : int
            At most this many.

        Returns
        -------
        tuple of Match
            The best first.

        Raises
        ------
        InvalidInputError
            There is no word to look for.
        """
        most = not_negative("limit", limit)
        return find(text, self._documents, limit=most or 0)

    def _documents(self, words: Sequence[str]) -> list[Document]:
        found = [
            document
            for name in self._catalog.names()
            if (state := self._catalog.readable(name)) is not None
            for document in of_table(str(name), state.spec, words)
        ]
        found += [of_service(service) for service in self._registry.services()]
        found += [of_on_demand(one.name, one.description, one.outputs) for one in self._on_demands.kept.all()]
        return found + [of_training_set(kept.name, kept.description) for kept in self._sets.all()]
