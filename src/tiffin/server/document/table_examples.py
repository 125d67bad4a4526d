"""Answers about tables as they may look: plans, definitions, tags, stages, checks, drift, lineage, derived features."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from tiffin.definitions import Applied, ColumnDefinition, Definitions, FieldChange, ServiceDefinition, TableDefinition
from tiffin.derived.listing import Derived
from tiffin.derived.on_demand import OnDemandFeatures
from tiffin.derived.proof import Proof
from tiffin.lineage import Edge, Lineage, Node
from tiffin.quality.drift.answer import ColumnDrift, ColumnSide, Drift, Measure, Side
from tiffin.schema.compatibility import Judged
from tiffin.schema.constraints.kinds import Range
from tiffin.schema.derivation import Windowed
from tiffin.search import Match
from tiffin.server.answers.forms import Cleared
from tiffin.tables.planning import Lost, Plan, Refusal
from tiffin.tables.stages import Stage
from tiffin.tables.tags import Tag
from tiffin.tables.violations import CheckReport, Violation

_NOON = datetime(2024, 5, 31, 12, tzinfo=UTC)
_TABLE, _DERIVED = "user/ratings", "user/activity"
_REASON = "mean: psi 0.31 is above 0.25"

TABLE_EXAMPLES: tuple[msgspec.Struct, ...] = (
    Plan(
        table=_TABLE,
        version=3,
        mode="overwrite",
        rule="backward",
        refusal=Refusal(
            code="schema_mismatch", message="column mean would be removed", hint="allow it (evolve=True, --evolve)"
        ),
        changes=(
            Judged(
                kind="removed",
                name="mean",
                old="Float64",
                verdict="evolve",
                reason="who reads it finds it no more",
                begins_major=True,
            ),
        ),
        rows=1200,
        files=2,
        loses=(Lost(service="recommender", features=("mean",)),),
    ),
    Definitions(
        tables={
            _TABLE: TableDefinition(
                description="What users think of movies.",
                owner="ratings team",
                entity=("user_id",),
                timestamp="event_timestamp",
                ttl=timedelta(days=30),
                online=True,
                constraints={"mean_range": Range(name="mean_range", column="mean", min=0, max=5)},
                columns={"mean": ColumnDefinition(unit="stars")},
            )
        },
        services={"recommender": ServiceDefinition(features=("user/ratings:mean",))},
    ),
    Applied(
        is_plan=False,
        changes=(FieldChange(what="table", name=_TABLE, field="owner", kind="added", new="ratings team"),),
        versions={_TABLE: 4},
    ),
    Tag(table=_TABLE, name="prod", version=3, committed=_NOON, tagged=_NOON, author="anna", message="it is better"),
    Stage(
        table=_TABLE,
        name="candidate",
        base=3,
        behind=0,
        operation="overwrite",
        rows=1250,
        rows_added=1250,
        rows_removed=1200,
        staged=_NOON,
        message="ratings without bots",
        author="anna",
    ),
    CheckReport(
        table=_TABLE,
        version=3,
        rows=1200,
        constraints=1,
        violations=(
            Violation(
                constraint="mean_range",
                text="mean between 0 and 5",
                severity="error",
                rows=1,
                examples=({"user_id": 7, "mean": 5.5},),
            ),
        ),
    ),
    Cleared(rows=3),
    Drift(
        table=_TABLE,
        baseline=Side(name="version 0", version=0, rows=1000),
        current=Side(name="version 3", version=3, rows=1200),
        drifted=True,
        reasons=(_REASON,),
        notes=(),
        volume=Measure(name="volume", value=1.2, threshold=2.0, chance=1.0, drifted=False),
        columns=(
            ColumnDrift(
                name="mean",
                baseline=ColumnSide(dtype="Float64", values=1000, missing=0.0),
                current=ColumnSide(dtype="Float64", values=1200, missing=0.0),
                measures=(Measure(name="psi", value=0.31, threshold=0.25, chance=0.02, drifted=True),),
                reasons=(_REASON,),
            ),
        ),
    ),
    Lineage(
        table=_DERIVED,
        version=0,
        nodes=(
            Node(id=f"table {_DERIVED}", kind="table", name=_DERIVED, versions=(0,)),
            Node(id=f"table {_TABLE}", kind="table", name=_TABLE, versions=(3,)),
        ),
        edges=(Edge(source=f"table {_TABLE}", target=f"table {_DERIVED}", versions=((3, 0),)),),
    ),
    Match(kind="column", name="user/ratings:mean", field="name", text="mean", score=99.83),
    Derived(
        table=_DERIVED,
        version=0,
        definition=Windowed(
            source=_TABLE, entity=("user_id",), windows=("7d", "all"), aggregations={"mean": ("mean", "count")}
        ),
        source_version=3,
        behind=0,
        online=True,
    ),
    OnDemandFeatures(
        name="user/surprise",
        inputs=("user/ratings:mean",),
        request={"stars": "Float64"},
        outputs={"above": "Float64"},
        sql={"above": "stars - mean"},
        registered=_NOON,
    ),
    Proof(name="user/surprise", rows=100),
)
"""One of each type."""
