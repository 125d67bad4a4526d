"""The verbs of feature services: create, list, look up, drop."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from tiffin.doctor import Finding, examine_services
from tiffin.errors import InvalidInputError
from tiffin.features import Features, references, resolve, warn_of_deprecated
from tiffin.registry import Service
from tiffin.schema.names import check_part, check_text, parse_reference
from tiffin.store.opened import Opened


class Services(Opened):
    """Methods of `FeatureStore` about feature services: named lists of references."""

    def create_service(
        self, name: str, features: Sequence[str], *, description: str = "", replace: bool = False
    ) -> Service:
        """Save a list of references under a name, for one model.

        Wherever features are asked for, the name will do instead of the list. As long as a service uses a table, a
        column or a pinned version, `drop`, `save`, `restore` and `vacuum` do not take it away by accident.

        Parameters
        ----------
        name : str
            Letters, digits, `_` and `-`.
        features : sequence of str
            References; a pinned one (`group/name@3:feature`) stays at its version for ever, one with a tag
            (`group/name@prod:feature`) follows the tag.
        description : str
            What the service is for, for people.
        replace : bool
            Whether it takes the place of a service of the same name.

        Returns
        -------
        Service

        Raises
        ------
        ConflictError
            The name is taken.
        TableNotFound, FeatureNotFound, VersionNotFound, Ambiguous
            What a reference names is not there; nothing was saved.
        InvalidName, InvalidInputError
            The name or the list cannot be one.
        """
        check_part(name, "service")
        if isinstance(features, str):
            raise InvalidInputError(
                f"features of service {name!r} is {features!r}", hint=f"give a list of references: [{features!r}]"
            )
        asked = references(self._catalog, self._registry, features)
        # Full names, so that features of one name in two tables can stand in one service.
        demand = self._on_demands.demand(self._catalog, self._registry, asked, full_feature_names=True)
        stored = asked if demand is None else demand.stored
        warn_of_deprecated(resolve(self._catalog, self._registry, stored, full_feature_names=True))
        in_full = tuple(dict.fromkeys(map(self._in_full, asked)))
        service = Service(
            name=name,
            features=in_full,
            majors=tuple(map(self._major, in_full)),
            description=check_text(description, f"the description of service {name!r}"),
            created=datetime.now(UTC),
        )
        self._registry.save(service, replace=replace)
        return service

    def services(self) -> list[Service]:
        """List the feature services by name; `examine_services` tells of those whose files are damaged."""
        return self._registry.services()

    def service(self, name: str) -> Service:
        """Return a feature service.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        Service

        Raises
        ------
        ServiceNotFound
            There is none of this name.
        CorruptData
            Its file is damaged.
        """
        return self._registry.service(name)

    def drop_service(self, name: str) -> None:
        """Remove a feature service; the tables stay as they are.

        Parameters
        ----------
        name : str
            Its name.

        Raises
        ------
        ServiceNotFound
            There is none of this name.
        """
        self._registry.drop(name)

    def tables_of(self, features: Features) -> tuple[str, ...]:
        """List the tables that features are of, without looking into them.

        Parameters
        ----------
        features : sequence of str, str or Service
            References, or a feature service or its name.

        Returns
        -------
        tuple of str
            `group/name`, each once, in the order of first mention; of on-demand features those of their inputs.

        Raises
        ------
        TableNotFound, Ambiguous, InvalidName, InvalidInputError
            A name means no table or several, or the list is none.
        """
        demand = self._on_demands.demand(self._catalog, self._registry, features, full_feature_names=True)
        stored = references(self._catalog, self._registry, features) if demand is None else demand.stored
        asked = map(parse_reference, stored)
        return tuple(dict.fromkeys(str(self._catalog.name_of(reference)) for reference in asked))

    def on_demand_of(self, features: Features) -> tuple[str, ...]:
        """List the on-demand features among features, without computing them.

        Parameters
        ----------
        features : sequence of str, str or Service
            As for `tables_of`, and with its errors.

        Returns
        -------
        tuple of str
            `group/name`, each once.
        """
        demand = self._on_demands.demand(self._catalog, self._registry, features, full_feature_names=True)
        return () if demand is None else tuple(step.features.declared.name for step in demand.steps)

    def examine_services(self) -> list[Finding]:
        """Check that the file of every feature service can be read and that what it asks for is there.

        Returns
        -------
        list of Finding
            Empty if all is well.
        """
        return list(examine_services(self._catalog, self._registry, self._on_demands.references()))

    def _major(self, text: str) -> int | None:
        """Tell the major version of the schema that a reference meets; None if it is to no table."""
        reference = parse_reference(text)
        is_table = self._catalog.table(self._catalog.name_of(reference)).log.latest() is not None
        return self._catalog.resolve(reference)[1].spec.major if is_table else None

    def _in_full(self, text: str) -> str:
        reference = parse_reference(text)
        return str(reference._replace(group=self._catalog.name_of(reference).group))
