"""Random tables and spines, and the as-of join by plain loops: nothing here shares code with what is tested.

Values are kept in a plain form in which they compare with `==` and `<`: times, dates, durations and times of day as
whole nanoseconds, everything else as Python has it. Frames are made from that form, and never read back into it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import deltalake
import polars as pl

import tiffin
from tiffin.schema import dtypes
from tiffin.schema.names import parse_reference
from tiffin.tables.state import State
from tiffin.tables.table import Table
from tiffin.training import joining

US, MS, SECOND, DAY = 1_000, 1_000_000, 1_000_000_000, 86_400_000_000_000
UNITS = {"ns": 1, "us": US, "ms": MS}
HOUR = 3600 * SECOND
MOMENT = pl.Datetime("us", "UTC")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = [None, "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]
FAR = [-62_135_596_800 * SECOND, 253_402_300_799 * SECOND]
"""The first second of year 1 and the last of year 9999."""

Row = dict[str, Any]


def nanoseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1) * US


# Clocks in Berlin go forward at the first of these and back at the second.
BASES = [nanoseconds(datetime(2024, 3, 31, 1, tzinfo=UTC)), nanoseconds(datetime(2024, 10, 27, 1, tzinfo=UTC)), 0]
TEXTS = ["", "a", "ä", "a longer text than twelve bytes", "a longer text than twelve"]
WHOLE = [-1, 0, 7, 2**40]
DATES = [BASES[0] // DAY * DAY, 0, -DAY]

KEYS: list[tuple[pl.DataType, list[Any], list[pl.DataType], list[Any]]] = [
    # dtype in the table, its values, dtypes in the spine, values of the spine that the table cannot have
    (pl.Int64(), WHOLE, [pl.Int64(), pl.Int32(), pl.UInt64(), pl.Float64(), pl.Decimal(20, 0)], [3, 2**64 - 1]),
    (pl.Int8(), [-3, 5, 100], [pl.Int64(), pl.Int8(), pl.Float32(), pl.UInt16()], [261, 300, -259]),
    (pl.UInt32(), [0, 7, 2**32 - 1], [pl.Int64(), pl.UInt32(), pl.Float64()], [-1, 2**32]),
    (pl.UInt64(), [0, 2**63, 2**64 - 1], [pl.UInt64(), pl.Int64(), pl.Int128()], [-1, -(2**63), 2**64]),
    (pl.Int128(), [-(10**30), 3, 10**37], [pl.Int128(), pl.Int64()], [3 + 2**64, 10**38]),
    (pl.String(), TEXTS, [pl.String(), pl.Categorical(), pl.Enum([*TEXTS, "b"])], ["b"]),
    (pl.Categorical(), TEXTS, [pl.String(), pl.Categorical()], ["b"]),
    (pl.Enum(TEXTS), TEXTS, [pl.String(), pl.Enum([*TEXTS[::-1], "b"])], ["b"]),
    (pl.Boolean(), [False, True], [pl.Boolean()], []),
    (pl.Date(), DATES, [pl.Date(), pl.Datetime("ms"), pl.Datetime("ns", "Asia/Kolkata")], [DAY, BASES[0], 1]),
    (pl.Datetime("ms", "Europe/Berlin"), BASES, [pl.Datetime("us"), pl.Datetime("ns", "UTC")], [BASES[0] + 1, MS, US]),
    (pl.Decimal(10, 2), [Decimal("1.50"), Decimal(3)], [pl.Decimal(12, 3), pl.Int32()], [Decimal("1.505"), 2]),
    (pl.Binary(), [b"", b"\x00\xff", b"a"], [pl.Binary()], [b"\x00"]),
    (pl.Duration("ms"), [0, 5 * MS, -SECOND], [pl.Duration("ms"), pl.Duration("ns")], [5 * MS + 1, US]),
    (pl.Time(), [0, HOUR, HOUR + 1], [pl.Time()], [2]),
]


def unit_of(dtype: pl.DataType) -> int:
    return UNITS[dtype.time_unit] if isinstance(dtype, pl.Datetime | pl.Duration) else DAY


def fits(value: Any, dtype: pl.DataType) -> bool:
    """Whether a dtype has a value."""
    match dtype:
        case pl.Datetime() | pl.Duration() | pl.Date():
            return value % unit_of(dtype) == 0 and -(2**63) <= value // unit_of(dtype) < 2**63
        case pl.Float32() | pl.Float64():
            return abs(value) < 2 ** (24 if dtype == pl.Float32() else 53)
        case pl.Decimal():
            return Decimal(value) * 10**dtype.scale % 1 == 0 and abs(value) < 10 ** (dtype.precision - dtype.scale)
        case pl.UInt8() | pl.UInt16() | pl.UInt32() | pl.UInt64():
            return value % 1 == 0 and 0 <= value < 2 ** int(str(dtype)[4:])
        case pl.Int8() | pl.Int16() | pl.Int32() | pl.Int64() | pl.Int128():
            bits = int(str(dtype)[3:])
            return value % 1 == 0 and -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)
        case pl.Enum():
            return value in dtype.categories
    return True


def column(name: str, values: list[Any], dtype: pl.DataType) -> pl.Series:
    """Make a column of values in their plain form."""
    match dtype:
        case pl.Datetime() | pl.Duration() | pl.Date():
            counts = [None if value is None else value // unit_of(dtype) for value in values]
            return pl.Series(name, counts, pl.Int32 if dtype == pl.Date() else pl.Int64).cast(dtype)
        case pl.Time():
            return pl.Series(name, values, pl.Int64).cast(dtype)
        case pl.Float32() | pl.Float64():
            return pl.Series(name, [None if value is None else float(value) for value in values], dtype)
        case pl.Decimal():
            return pl.Series(name, [None if value is None else Decimal(value) for value in values], dtype)
        case pl.Int8() | pl.Int16() | pl.Int32() | pl.Int64() | pl.Int128():
            return pl.Series(name, [None if value is None else int(value) for value in values], dtype)
    return pl.Series(name, values, dtype)


def as_of(
    rows: list[Row], keys: dict[str, Any], declared: Declared, time: int | None, *, ttl: int | None, known: int | None
) -> Row | None:
    """Find the row that is the answer, by looking at all of them."""
    best: tuple[Any, ...] = ()
    for place, row in enumerate(rows):
        if any(value is None or row[name] is None or row[name] != value for name, value in keys.items()):
            continue
        when, made = 0, row.get("made")
        if declared.timestamp:
            when = row["at"]
            if when is None or time is None or when > time or (ttl is not None and when < time - ttl):
                continue
        if known is not None and (made is None or made > known):
            continue
        rank = (when, made is not None, made or 0, place)
        if not best or rank > best[:4]:
            best = (*rank, row)
    return best[4] if best else None


@dataclass
class Declared:
    """What a random table declares."""

    entity: dict[str, int]
    """Places in `KEYS` of the entity columns' types."""
    timestamp: pl.DataType | None
    created: pl.DataType | None
    ttl: timedelta | None
    partitioned: bool

    @property
    def dtypes(self) -> dict[str, pl.DataType]:
        times = {"at": self.timestamp, "made": self.created}
        return (
            {name: KEYS[kind][0] for name, kind in self.entity.items()}
            | {name: dtype for name, dtype in times.items() if dtype}
            | {"id": pl.Int64(), "x": pl.Float64(), "s": pl.Categorical()}
            | ({"part": pl.Int32()} if self.partitioned else {})
        )


@dataclass
class Model:
    """A table in the store, and what each of its versions holds."""

    store: tiffin.FeatureStore
    declared: Declared
    log: list[str] = field(default_factory=list)
    """The steps that made it."""
    versions: dict[int, tuple[int, list[Row]]] = field(default_factory=dict)
    """When each was committed, in milliseconds, and its rows in order."""

    @property
    def newest(self) -> list[Row]:
        return self.versions[max(self.versions)][1] if self.versions else []

    @property
    def table(self) -> Table:
        return self.store._catalog.resolve(parse_reference("g/t"))[0]

    def state(self, version: int) -> State:
        return self.table.log.at(version)

    def take(self, rows: list[Row], what: str) -> None:
        """Note what the versions made by one step hold; merging files makes one of its own."""
        self.log.append(what)
        for commit in self.store.history("g/t"):
            if commit.version not in self.versions:
                self.versions[commit.version] = (nanoseconds(commit.timestamp) // MS, rows)


def declare(rng: random.Random) -> Declared:
    count = rng.choice([0, 1, 1, 1, 1, 2, 2, 3])
    entity = {f"e{place}": rng.randrange(len(KEYS)) if rng.random() < 0.6 else 0 for place in range(count)}
    has_time = not entity or rng.random() < 0.8
    times: list[pl.DataType] = [pl.Date(), *(pl.Datetime(unit, rng.choice(ZONES)) for unit in ("us", "us", "ms", "ns"))]
    return Declared(
        entity=entity,
        timestamp=rng.choice(times) if has_time else None,
        created=rng.choice(times) if rng.random() < 0.4 else None,
        ttl=rng.choice([None, timedelta(hours=1), timedelta(microseconds=1)]) if has_time else None,
        partitioned=bool(entity) and rng.random() < 0.15,
    )


def some_time(rng: random.Random, dtype: pl.DataType) -> int | None:
    if rng.random() < 0.08:
        return None
    if rng.random() < 0.03 and fits(FAR[0], dtype):
        return rng.choice(FAR) // unit_of(dtype) * unit_of(dtype)
    step = rng.choice([0, 0, 0, US, -US, MS, -MS, SECOND, HOUR, -HOUR, DAY])
    return (rng.choice(BASES[:2]) + step) // max(unit_of(dtype), US) * max(unit_of(dtype), US)


class RowMaker:
    """Makes rows; each has its own number, by which it is known again."""

    def __init__(self, rng: random.Random, declared: Declared) -> None:
        self.rng = rng
        self.declared = declared
        self.pools = {name: rng.sample(KEYS[kind][1], 2) for name, kind in declared.entity.items()}
        self.count = 0

    def rows(self, most: int) -> list[Row]:
        return [self.row() for _ in range(self.rng.randint(0, most))]

    def row(self) -> Row:
        rng, declared = self.rng, self.declared
        self.count += 1
        row = {name: None if rng.random() < 0.05 else rng.choice(pool) for name, pool in self.pools.items()}
        if declared.timestamp:
            row["at"] = some_time(rng, declared.timestamp)
        if declared.created:
            row["made"] = some_time(rng, declared.created)
        row |= {
            "id": self.count,
            "x": rng.choice([None, float("nan"), -0.0, rng.random()]),
            "s": rng.choice([None, "a", "b"]),
        }
        if declared.partitioned:
            row["part"] = len(str(row[next(iter(declared.entity))])) % 2
        return row


def frame(rows: list[Row], declared: Declared) -> pl.DataFrame:
    return pl.DataFrame([column(name, [row[name] for row in rows], dtype) for name, dtype in declared.dtypes.items()])


def build(rng: random.Random, folder: Path, steps: int) -> Model:
    """Make a table by some random steps."""
    declared = declare(rng)
    store = tiffin.FeatureStore(
        folder, compact_files=rng.choice([2, 3, 16]), row_group_rows=rng.choice([1, 4, 100, 100]), disk_cache_bytes=0
    )
    model = Model(store, declared)
    maker = RowMaker(rng, declared)
    _save(model, maker.rows(12), "overwrite")
    for _ in range(steps):
        _step(rng, model, maker)
    return model


def _step(rng: random.Random, model: Model, maker: RowMaker) -> None:
    declared = model.declared
    match rng.choice(["append"] * 4 + ["upsert"] * 3 + ["overwrite", "compact", "restore", "foreign"]):
        case "append":
            rows = maker.rows(6)
            _save(model, rows, "append")
        case "upsert" if declared.entity and not declared.partitioned:
            key = [*declared.entity, *(["at"] if declared.timestamp else [])]
            unique = {tuple(row[name] for name in key): row for row in maker.rows(4)}
            rows = [row for values, row in unique.items() if None not in values]
            _save(model, rows, "upsert", key)
        case "overwrite":
            _save(model, maker.rows(8), "overwrite")
        case "compact":
            model.store.compact("g/t")
            model.take(model.newest, "compact")
        case "restore":
            version = rng.choice(list(model.versions))
            model.store.restore("g/t", version)
            model.take(model.versions[version][1], f"restore {version}")
        case "foreign" if not declared.partitioned:
            rows = maker.rows(6)
            stored = dtypes.to_stored(frame(rows, declared))
            deltalake.write_deltalake(model.store.describe("g/t").path, stored.to_arrow(), mode="append")
            model.take(model.newest + rows, "foreign append")


def _save(model: Model, rows: list[Row], mode: str, key: list[str] | None = None) -> None:
    declared = model.declared
    model.store.save(
        "g/t",
        frame(rows, declared),
        entity=list(declared.entity),
        timestamp="at" if declared.timestamp else None,
        created="made" if declared.created else None,
        ttl=declared.ttl,
        partition_by="part" if declared.partitioned else None,
        mode=mode,
    )
    before = [] if mode == "overwrite" else model.newest
    if key:
        replaced = {tuple(row[name] for name in key) for row in rows}
        before = [row for row in before if tuple(row[name] for name in key) not in replaced]
    model.take(before + rows, mode)


@dataclass
class Case:
    """A random question to a table: a spine and the options of the join."""

    keys: dict[str, list[Any]]
    key_dtypes: dict[str, pl.DataType]
    times: list[int | None] | None
    time_dtype: pl.DataType | None
    version: int
    ttl: timedelta | None
    known: list[int | None] | int | None
    known_dtype: pl.DataType | None
    use_reader: bool

    @property
    def height(self) -> int:
        return len(self.times) if self.times is not None else len(next(iter(self.keys.values())))


def ask(rng: random.Random, model: Model) -> Case:
    """Make a question."""
    declared = model.declared
    height = rng.choice([0, 1, 5, 12])
    version = max(model.versions) if rng.random() < 0.7 else rng.choice(list(model.versions))
    ttl = rng.choice(
        [None, None, timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1), timedelta(days=4_000_000)]
    )
    keys, key_dtypes = {}, {}
    for name, kind in declared.entity.items():
        dtype, pool, others, strangers = KEYS[kind]
        key_dtypes[name] = rng.choice([dtype, *others])
        usable = [
            value for value in [*pool, *pool, *pool, *strangers, None] if value is None or fits(value, key_dtypes[name])
        ]
        keys[name] = [rng.choice(usable) for _ in range(height)]
    times, time_dtype = None, None
    if declared.timestamp or rng.random() < 0.3:
        time_dtype = rng.choice([pl.Date(), *(pl.Datetime(unit, rng.choice(ZONES)) for unit in UNITS)])
        times = [_asked_time(rng, model, time_dtype, ttl or declared.ttl) for _ in range(height)]
    known, known_dtype = _asked_known(rng, model, height, version) if rng.random() < 0.5 else (None, None)
    return Case(keys, key_dtypes, times, time_dtype, version, ttl, known, known_dtype, rng.random() < 0.2)


def _asked_time(rng: random.Random, model: Model, dtype: pl.DataType, ttl: timedelta | None) -> int | None:
    """Ask for a time at which, or a ttl after which, a row is there, or one step beside it."""
    rows = [row["at"] for row in model.newest if row.get("at") is not None]
    time = rng.choice(rows) if rows else BASES[0]
    late = 0 if ttl is None else ttl // timedelta(microseconds=1) * US
    time += rng.choice([0, 0, 0, late, late]) + rng.choice([0, 0, 1, -1, US, -US, MS, HOUR, -HOUR, DAY])
    time = time // unit_of(dtype) * unit_of(dtype)
    return time if fits(time, dtype) and rng.random() < 0.93 else None


def _asked_known(
    rng: random.Random, model: Model, height: int, version: int
) -> tuple[list[int | None] | int | None, pl.DataType | None]:
    if model.declared.created:
        moments = [row["made"] for row in model.newest if row["made"] is not None] or BASES
    else:
        moments = [committed * MS for committed, _ in model.versions.values()]
    steps = [0, 0, US, -US, MS, -MS, 1, -1]
    if rng.random() < 0.3:
        moment = (rng.choice(moments) + rng.choice(steps)) // US * US
        return (moment, None) if abs(moment) < 10**19 else (moments[0], None)
    dtype = rng.choice([pl.Datetime(unit, rng.choice(ZONES)) for unit in UNITS])
    picked = [(rng.choice(moments) + rng.choice(steps)) // unit_of(dtype) * unit_of(dtype) for _ in range(height)]
    return [moment if fits(moment, dtype) and rng.random() < 0.95 else None for moment in picked], dtype


def expected(model: Model, case: Case) -> list[Row | None]:
    """Answer a question by plain loops."""
    declared = model.declared
    ttl = case.ttl if case.ttl is not None else declared.ttl
    answers = []
    for place in range(case.height):
        keys = {name: values[place] for name, values in case.keys.items()}
        time = case.times[place] if case.times is not None else None
        known = case.known[place] if isinstance(case.known, list) else case.known
        rows = model.versions[case.version][1]
        if case.known is not None and not declared.created:
            rows = _rows_known(model, case.version, known)
        if case.known is not None and known is None:
            rows = []
        answers.append(
            as_of(
                rows,
                keys,
                declared,
                time,
                ttl=None if ttl is None else ttl // timedelta(microseconds=1) * US,
                known=known if declared.created else None,
            )
        )
    return answers


def _rows_known(model: Model, limit: int, known: int | None) -> list[Row]:
    """Find the rows of the newest version that was committed by then."""
    rows: list[Row] = []
    for version in range(limit + 1):
        committed, there = model.versions[version]
        if known is not None and committed * MS <= known:
            rows = there
    return rows


def answered(model: Model, case: Case) -> pl.DataFrame:
    """Answer it by the code under test."""
    keys = pl.DataFrame([column(name, values, case.key_dtypes[name]) for name, values in case.keys.items()])
    times = None if case.times is None else column("t", case.times, case.time_dtype)
    known: Any = case.known
    if isinstance(known, list):
        known = column("known", known, case.known_dtype)
    elif known is not None:
        known = EPOCH + timedelta(microseconds=known // US)
    state = model.state(case.version)
    reader = model.store._reader if case.use_reader else None
    if reader:
        model.store.read("g/t", version=case.version)
    return joining.join(
        model.table, state, ["id", "x", "s"], keys, times, ttl=case.ttl, known=known, reader=reader, with_time=True
    )


def difference(model: Model, case: Case) -> str:
    """Tell how the two answers differ; empty if they do not."""
    declared = model.declared
    want, got = expected(model, case), answered(model, case)
    wanted = pl.DataFrame(
        [
            pl.Series("id", [row and row["id"] for row in want], pl.Int64),
            pl.Series("x", [row and row["x"] for row in want], pl.Float64),
            pl.Series("s", [row and row["s"] for row in want], pl.Categorical),
            column("__timestamp", [row.get("at") if row else None for row in want], declared.timestamp or MOMENT),
        ]
    )
    if got.equals(wanted) and got.schema == wanted.schema:
        return ""
    place = next((place for place in range(case.height) if not got[place].equals(wanted[place])), None)
    if place is None:
        return f"expected {wanted.shape} {wanted.schema}, got {got.shape} {got.schema}"
    keys = {name: values[place] for name, values in case.keys.items()}
    known = case.known[place] if isinstance(case.known, list) else case.known
    rows = [row for row in model.versions[case.version][1] if all(row[name] == value for name, value in keys.items())]
    return "\n".join(
        [
            f"{declared}, made by {', '.join(model.log)}",
            f"asked for {keys} at {case.times and case.times[place]}, known {known}, ttl {case.ttl}, v{case.version}",
            f"expected {wanted.row(place)}",
            f"got      {got.row(place)}",
            f"dtypes {case.key_dtypes}, {case.time_dtype}, {case.known_dtype}; reader {case.use_reader}",
            "rows of these keys, in order:",
            *map(str, rows),
        ]
    )
