"""What on-demand features take that are asked for among others: which stored features, and what is made of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import polars as pl

from tiffin.derived.kept import KeptOnDemand
from tiffin.derived.on_demand import OnDemand, OnDemandFeatures
from tiffin.errors import ConflictError, FeatureNotFound, InUse, InvalidInputError, did_you_mean
from tiffin.features import Features, answer_names, references, resolve
from tiffin.frames import Computed, FeatureFrame, Lock, Recipe
from tiffin.registry import Registry
from tiffin.schema import dtypes
from tiffin.schema.names import Reference, TableName, parse_reference
from tiffin.tables.catalog import Catalog


@dataclass(frozen=True)
class Step:
    """On-demand features of one name that are asked for.

    Attributes
    ----------
    inputs : mapping of str to str
        Of each input the column it is in, among the stored features.
    """

    features: OnDemand
    inputs: Mapping[str, str]

    def outputs(self, frame: pl.DataFrame, what: str) -> pl.DataFrame:
        """Compute them from a frame that has the stored features and the request."""
        # Not by select: for one row that takes longer than what is computed.
        inputs = [frame.get_column(column).alias(name) for name, column in self.inputs.items()]
        return self.features.compute(pl.DataFrame([*inputs, *self.features.request(frame, what)]))


@dataclass(frozen=True)
class Demand:
    """A list of features of which some are computed on demand.

    Attributes
    ----------
    asked : tuple of str
        The references, as they were written.
    stored : tuple of str
        References to the stored features that it takes.
    steps : tuple of Step
        What is computed.
    names : tuple of str
        The features in the answer, in the order they were asked for.
    taken : tuple of str
        The stored features, as they are called in an answer to `stored`.
    computed : mapping of str to (int, str)
        Of each computed feature in the answer its step, and how that calls it.
    """

    asked: tuple[str, ...]
    stored: tuple[str, ...]
    steps: tuple[Step, ...]
    names: tuple[str, ...]
    taken: tuple[str, ...]
    computed: Mapping[str, tuple[int, str]]

    @property
    def request(self) -> tuple[str, ...]:
        """The columns that the asker gives."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.features.declared.request))

    @property
    def request_dtypes(self) -> dict[str, pl.DataType]:
        """The columns that the asker gives, with what they hold."""
        declared = [step.features.declared.request for step in reversed(self.steps)]
        return {name: dtypes.decode(text) for request in declared for name, text in request.items()}

    def training_frame(self, stored: FeatureFrame) -> FeatureFrame:
        """Add what is computed to a training frame of `stored`, and say so in its lock."""
        recipe = stored.lock.recipe
        assert recipe is not None  # it is a training frame
        frame = self.complete(stored.to_polars(), "the spine")
        marks = {step.features.declared.name: step.features.declared.mark for step in self.steps}
        held = {
            name: f"{self.steps[step].features.declared.name}:{output}"
            for name, (step, output) in self.computed.items()
        }
        computed = Computed(columns=held, definitions=marks, names=self.names)
        recipe = msgspec.structs.replace(recipe, references=self.asked, computed=computed)
        origins = {name: origin for name, origin in stored.origins.items() if name in frame.columns}
        return FeatureFrame(frame, origins=origins, lock=Lock(dict(stored.lock), recipe, frame))

    def complete(self, frame: pl.DataFrame, what: str, request: pl.DataFrame | None = None) -> pl.DataFrame:
        """Add what is computed to an answer to `stored`, and leave out what was not asked for.

        Parameters
        ----------
        frame : DataFrame
            Columns of the asker's own, then the stored features.
        what : str
            What the asker's columns are, for messages.
        request : DataFrame, optional
            The request's columns, if they are not among the asker's own.

        Returns
        -------
        DataFrame
            The asker's columns, then the features in the order they were asked for.
        """
        own = [name for name in frame.columns if name not in self.taken]
        clash = next((name for name in self.computed if name in own), None)
        if clash is not None:
            raise InvalidInputError(
                f"{clash!r} is a column of {what}, and would be the name of a feature in the answer",
                hint="ask for full names (full_feature_names=True, --full-feature-names)",
            )
        given = frame if request is None else pl.DataFrame([*map(frame.get_column, self.taken), *request.get_columns()])
        made = [step.outputs(given, what) for step in self.steps]
        found = {name: made[step].get_column(output).alias(name) for name, (step, output) in self.computed.items()}
        return pl.DataFrame([found[name] if name in found else frame.get_column(name) for name in (*own, *self.names)])


@dataclass
class _Gathering:
    """A demand, as it is gathered from references."""

    names: list[str] = field(default_factory=list)
    steps: dict[str, int] = field(default_factory=dict)
    computed: dict[str, tuple[int, str]] = field(default_factory=dict)


class OnDemands:
    """The on-demand features that a store knows, and those that this process can compute.

    Parameters
    ----------
    kept : KeptOnDemand
        What is known of them.
    """

    def __init__(self, kept: KeptOnDemand) -> None:
        self.kept = kept
        self._here: dict[str, OnDemand] = {}

    def register(self, features: OnDemand, declared: OnDemandFeatures, *, replace: bool) -> OnDemandFeatures:
        """Make on-demand features known; again, if they are the same.

        Raises
        ------
        ConflictError
            There are others of this name, and `replace` is False.
        """
        known = None if replace else self.kept.find(declared.name)
        if known is None or known.definition != declared.definition:
            self.kept.save(declared, replace=replace)
            known = declared
        self._here[declared.name] = features
        return known

    def drop(self, name: str) -> None:
        """Forget on-demand features."""
        self.kept.drop(name)
        self._here.pop(name, None)

    def find(self, name: str) -> OnDemand | None:
        """Return on-demand features as this process can compute them; None if there are none of this name.

        Raises
        ------
        InvalidInputError
            They are a function that this process does not know.
        ConflictError
            They were registered otherwise since.
        """
        declared = self.kept.find(name)
        here = self._here.get(name)
        if declared is None or (here is not None and here.declared.definition == declared.definition):
            return None if declared is None else here
        if declared.sql:
            self._here[name] = OnDemand(declared)
            return self._here[name]
        if here is None:
            raise InvalidInputError(
                f"{name} is computed by a Python function, which this process has not registered",
                hint="register it: store.register(…)",
            )
        raise ConflictError(
            f"{name} was registered with other code ({declared.code}) than this process has ({here.declared.code})",
            hint="use the same code, or register this: store.register(…, replace=True)",
        )

    def check_free(self, name: str) -> None:
        """Refuse a name for a table that is one of on-demand features already.

        Raises
        ------
        ConflictError
            It is.
        """
        if self.kept.find(name) is not None:
            raise ConflictError(
                f"there are on-demand features {name}",
                hint="choose another name, or unregister them (store.unregister)",
            )

    def check_unused(self, what: str, table: TableName, columns: Collection[str] | None = None) -> None:
        """Refuse to take away what on-demand features are computed from.

        Parameters
        ----------
        what : str
            What is to be taken away, for the message.
        table : TableName
            The table.
        columns : collection of str, optional
            Those of its columns; all if left out.

        Raises
        ------
        InUse
            Naming the on-demand features.
        """
        users = []
        for declared in self.kept.all():
            inputs = map(parse_reference, declared.inputs)
            used = {one.feature for one in inputs if (one.group, one.name) == table}
            if used and (columns is None or used & {*columns}):
                users.append(declared.name)
        if users:
            raise InUse(
                f"{what} cannot be removed: {', '.join(users)} is computed from it",
                hint="unregister that first (store.unregister), or force it (force=True, --force)",
                table=str(table),
            )

    def references(self) -> set[str]:
        """List the references to on-demand features."""
        return {
            text for one in self.kept.all() for text in (one.name, *(f"{one.name}:{output}" for output in one.outputs))
        }

    def demand(
        self, catalog: Catalog, registry: Registry, features: Features, *, full_feature_names: bool = False
    ) -> Demand | None:
        """Find out what a list of features takes; None if nothing in it is computed on demand.

        Raises
        ------
        FeatureNotFound
            On-demand features have no such output.
        InvalidInputError
            A version of them is asked for, names collide, or they cannot be computed here.
        """
        known = set(self.kept.names())
        if not known:
            return None
        asked = [parse_reference(text) for text in references(catalog, registry, features)]
        if not any(_name(reference) in known for reference in asked):
            return None

        def called(texts: Sequence[str]) -> list[str]:
            return answer_names(resolve(catalog, registry, texts, full_feature_names=full_feature_names))

        found = _Gathering()
        steps: list[OnDemand] = []
        for reference in asked:
            name = _name(reference)
            if name not in known:
                found.names += called([str(reference)])
                continue
            if name not in found.steps:
                found.steps[name] = len(steps)
                steps.append(self._require(name))
            for output in _outputs(reference, steps[found.steps[name]]):
                answer = f"{name.replace('/', '__')}__{output}" if full_feature_names else output
                found.names.append(answer)
                found.computed[answer] = _unless_taken(answer, (found.steps[name], output), found.computed)
        plain = [str(reference) for reference in asked if _name(reference) not in known]
        stored = tuple(dict.fromkeys([*plain, *(text for step in steps for text in step.declared.inputs)]))
        taken = tuple(called(stored))
        clash = next((name for name in found.computed if name in taken), None)
        if clash is not None:
            raise InvalidInputError(
                f"a stored and an on-demand feature would both be called {clash!r} in the answer",
                hint="ask for full names (full_feature_names=True, --full-feature-names)",
            )
        return Demand(
            asked=tuple(map(str, asked)),
            stored=stored,
            steps=tuple(
                Step(step, {name: called([text])[0] for name, text in step.declared.columns.items()}) for step in steps
            ),
            names=tuple(dict.fromkeys(found.names)),
            taken=taken,
            computed=found.computed,
        )

    def again(self, recipe: Recipe, stored: FeatureFrame) -> FeatureFrame:
        """Compute again what a training frame had, from its stored features.

        Raises
        ------
        FeatureNotFound
            They are not registered any more.
        ConflictError
            They are computed otherwise now.
        InvalidInputError
            They cannot be computed here.
        """
        computed = recipe.computed
        assert computed is not msgspec.UNSET  # the caller has looked
        columns = {parse_reference(text)._replace(version=None): name for name, text in recipe.features.items()}
        steps = []
        for name, mark in computed.definitions.items():
            features = self._require(name)
            if features.declared.mark != mark:
                raise ConflictError(f"{name} is computed otherwise now", hint="register what it was (replace=True)")
            inputs = {column: parse_reference(text) for column, text in features.declared.columns.items()}
            if not columns.keys() >= set(inputs.values()):
                raise FeatureNotFound(f"{name} was computed from features that are called otherwise now")
            steps.append(Step(features, {column: columns[reference] for column, reference in inputs.items()}))
        order = list(computed.definitions)
        sources = {name: text.rpartition(":") for name, text in computed.columns.items()}
        demand = Demand(
            asked=recipe.references,
            stored=(),
            steps=tuple(steps),
            names=computed.names,
            taken=tuple(recipe.features),
            computed={name: (order.index(of), output) for name, (of, _, output) in sources.items()},
        )
        return demand.training_frame(stored)

    def _require(self, name: str) -> OnDemand:
        features = self.find(name)
        if features is None:
            raise FeatureNotFound(f"there are no on-demand features {name} any more")
        return features


def _name(reference: Reference) -> str:
    return f"{reference.group}/{reference.name}"


def _outputs(reference: Reference, features: OnDemand) -> Iterator[str]:
    outputs = features.declared.outputs
    if reference.version is not None:
        raise InvalidInputError(
            f"{reference} asks for a version of on-demand features", hint="pin the versions of stored features only"
        )
    if reference.feature is None:
        yield from outputs
    elif reference.feature in outputs:
        yield reference.feature
    else:
        raise FeatureNotFound(
            f"on-demand {_name(reference)} has no {reference.feature!r}", hint=did_you_mean(reference.feature, outputs)
        )


def _unless_taken(name: str, source: tuple[int, str], computed: Mapping[str, tuple[int, str]]) -> tuple[int, str]:
    if computed.get(name, source) != source:
        raise InvalidInputError(
            f"two on-demand features would be called {name!r} in the answer",
            hint="ask for full names (full_feature_names=True, --full-feature-names)",
        )
    return source
