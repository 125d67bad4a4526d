"""A store in which there is a file of every kind, what kind each of its files is, and all that can be asked of it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

import tiffin
from tiffin import reading
from tiffin.access.keys import keys_of
from tiffin.server.edge.logs import journal_of
from tiffin.server.options import ServerOptions

DAY = datetime(2024, 5, 1, tzinfo=UTC)
ALWAYS = timedelta(days=36_500)
RATINGS, STATS, ACTIVITY = "user/ratings", "movie/stats", "user/activity"
SERVICE, COMPUTED, SET = "ranker", "user/surprise", "june"
FEATURES = [f"{RATINGS}:mean", f"{RATINGS}:count", f"{STATS}:votes"]
ENTITIES = [{"user_id": user, "movie_id": user % 4} for user in range(14)]
USERS = [{"user_id": row["user_id"], "stars": 2.5} for row in ENTITIES]
MAP_BYTES = 1 << 24


def opened(folder: Path, **settings: object) -> tiffin.FeatureStore:
    """Open the store as all of these tests do; only those of the disk cache have one."""
    given = {"disk_cache_bytes": 0, "online_map_bytes": MAP_BYTES, "record_code": False, **settings}
    return tiffin.FeatureStore(folder, **given)


def ratings(version: int) -> list[dict[str, Any]]:
    """The rows that version 0, 1 and 2 of the ratings bring; some users come again."""
    users = range(version * 4, version * 4 + 6)
    return [
        {
            "user_id": user,
            "at": DAY + timedelta(days=version, hours=user),
            "mean": version + user / 7,
            "count": 100 * version + user,
            "word": f"word {version} {user}",
        }
        for user in users
    ]


def stats() -> list[dict[str, Any]]:
    """The movies."""
    return [{"movie_id": movie, "votes": 1000 + movie, "genre": "ab"[movie % 2]} for movie in range(4)]


def build(folder: Path) -> str:
    """Make the store; return the secret of its key. From now on this process caches frames of any size."""
    reading._WORTH_A_FILE_BYTES = 0
    with opened(folder, checkpoint_every=2, compact_files=0) as store:
        store.init().write_text('compression = "zstd"\ncompression_level = 3\nrow_group_rows = 1000\n')
        for version in range(3):
            store.save(
                RATINGS,
                ratings(version),
                entity="user_id",
                timestamp="at",
                ttl=ALWAYS,
                online=True,
                mode="append",
                message=f"version {version}",
            )
        store.tag(RATINGS, 1, "prod", message="good")
        store.constrain(RATINGS, "count >= 0")
        bad = [{**row, "count": -1} for row in ratings(3)[:2]]
        store.save(RATINGS, [*bad, *ratings(3)[2:]], mode="append", on_violation="quarantine")
        store.stage(RATINGS, ratings(4), "trial", mode="append", message="perhaps")
        store.compact(RATINGS)
        store.rename(RATINGS, "word", "text")
        store.deprecate(RATINGS, "text", "nobody reads it")
        store.save(STATS, stats(), entity="movie_id", partition_by="genre", online=True)
        store.save(STATS, [{**row, "votes": row["votes"] * 2} for row in stats()[:2]], mode="upsert")
        store.tag(STATS, 0, "first")
        windows = {"source": RATINGS, "entity": "user_id", "windows": ["1d"], "aggregations": {"mean": ["sum"]}}
        store.derive(ACTIVITY, windows, online=True)
        store.create_service(SERVICE, [*FEATURES, f"{ACTIVITY}:mean_sum_1d"], description="for the page")
        surprise = tiffin.on_demand(
            COMPUTED,
            inputs=[f"{RATINGS}:mean"],
            request={"stars": pl.Float64},
            outputs={"above": pl.Float64},
            sql={"above": "stars - mean"},
        )
        store.register(surprise)
        store.save_training_set(SET, store.get_historical_features(spine(), SERVICE), description="of June")
        store.profile(RATINGS)
        store.get_online_features(SERVICE, ENTITIES)
        _, secret = keys_of(folder).create("dashboard", ["read"], ["user"])
    with opened(folder, disk_cache_bytes="64MB") as store:
        store.read(RATINGS)
    journal_of(ServerOptions(), folder)
    with (folder / "logs" / "audit.jsonl").open("a") as log:
        print(json.dumps({"event": "write", "status": 200}), file=log)
    _leave_remains(folder)
    return secret


def _leave_remains(folder: Path) -> None:
    """Leave what killed writers leave: temporaries, marks, and a last commit that was torn."""
    (folder / "online" / "unfinished").touch()
    torn = folder / "features" / STATS / "_delta_log" / f"{2:020}.json"
    torn.write_bytes(b"")
    with opened(folder) as store:
        store.history(STATS)
    for place in ("registry/services", f"features/{RATINGS}/_delta_log", "config"):
        (folder / place / f".tiffin-{os.urandom(8).hex()}.tmp").write_bytes(b'{"name": "ra')


def spine() -> list[dict[str, Any]]:
    """Rows that are to be enriched."""
    return [
        {"user_id": row["user_id"], "movie_id": row["movie_id"], "event_timestamp": DAY + ALWAYS / 2}
        for row in ENTITIES
    ]


class Kind(NamedTuple):
    """A kind of file."""

    name: str
    pattern: str
    """Of paths in the store."""
    damage: str = "told"
    """What damage may do. `told`: an error names the file, and so does `examine`. `mended`: nothing is to be seen of
    it, the file is made again. `unread`: no answer depends on the contents. `edited`: people write it."""


_TABLE = r"(features/[a-z]+|registry/training_sets)/[a-z]+"
_LOG = rf"{_TABLE}/_delta_log"
KINDS = [
    Kind("commit", rf"{_LOG}/\d{{20}}\.json"),
    Kind("checkpoint", rf"{_LOG}/\d{{20}}\.checkpoint\.parquet"),
    Kind("checksum of a checkpoint", rf"{_LOG}/\.\d{{20}}\.checkpoint\.xxh3"),
    Kind("hint at the checkpoint", rf"{_LOG}/_last_checkpoint", "unread"),
    Kind("torn commit set aside", rf"{_LOG}/\d{{20}}\.json\.torn-\d+", "unread"),
    Kind("data file", rf"{_TABLE}/part-[0-9a-f]{{24}}\.parquet"),
    Kind("data file of a partition", rf"{_TABLE}/[a-z]+=[a-z]+/part-[0-9a-f]{{24}}\.parquet"),
    Kind("tags", rf"{_TABLE}/_tags\.json"),
    Kind("stage", rf"{_TABLE}/_stages/[a-z]+\.json"),
    Kind("quarantine", rf"{_TABLE}/_quarantine/\d{{20}}-[0-9a-f]{{32}}\.arrow"),
    Kind("service", r"registry/services/[a-z]+\.json"),
    Kind("on-demand features", r"registry/on_demand/[a-z]+/[a-z]+\.json"),
    Kind("API keys", r"config/keys\.json"),
    Kind("settings", r"config/tiffin\.toml", "edited"),
    Kind("profile", r"metadata/profiles/[0-9a-f]{32}/\d{20}-[0-9a-f]{32}\.json", "mended"),
    Kind("frame of the disk cache", r"cache/frames/[0-9a-f]{32}\.arrow", "mended"),
    Kind("mark of the disk cache", r"cache/frames/CACHEDIR\.TAG", "unread"),
    Kind("online index", r"online/data\.mdb", "mended"),
    Kind("lock of the online index", r"online/lock\.mdb", "mended"),
    Kind("name of the online index", r"online/name", "mended"),
    Kind("mark of an online write", r"online/unfinished", "unread"),
    Kind("audit log", r"logs/audit\.jsonl", "unread"),
    Kind("lock", r"(.*/)?(\.([a-z]+\.)*lock|\.keys\.json\.lock|[a-z]+\.lock|[0-9a-f]{24}\.lock)", "unread"),
    Kind("temporary", r".*/\.tiffin-[0-9a-f]{16}\.tmp", "unread"),
]


def kind_of(path: str) -> Kind:
    """Say what kind of file it is; a file of which none knows is one that these tests have forgotten."""
    found = [kind for kind in KINDS if re.fullmatch(kind.pattern, path)]
    assert len(found) == 1, f"{path} is of the kinds {[kind.name for kind in found]}: add a rule to KINDS"
    return found[0]


def files(folder: Path) -> list[str]:
    """Walk all files of the store."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


Ask = Callable[[tiffin.FeatureStore], Any]


def rows(frame: tiffin.FeatureFrame) -> dict[str, list[Any]]:
    """Give a frame as plain values."""
    return frame.to_polars().to_dict(as_series=False)


def questions(secret: str) -> dict[str, Ask]:
    """All that can be asked, by a name; what is about rows, and can never be other rows, begins with that word."""
    asked: dict[str, Ask] = {}
    for table, versions in ((RATINGS, range(8)), (STATS, range(2)), (ACTIVITY, range(1))):
        for version in versions:
            asked[f"rows of {table}@{version}"] = lambda s, t=table, v=version: rows(s.read(t, version=v))
        asked[f"rows of the newest {table}"] = lambda s, t=table: rows(s.read(t))
        asked[f"history of {table}"] = lambda s, t=table: s.history(t)
        asked[f"definition of {table}"] = lambda s, t=table: s.describe(t)
        asked[f"tags of {table}"] = lambda s, t=table: s.tags(t)
        asked[f"lineage of {table}"] = lambda s, t=table: s.lineage(t)
    asked |= {
        "rows of one user": lambda s: rows(s.read(RATINGS, entities=[5], columns=["user_id", "mean"])),
        "rows as of a time": lambda s: rows(s.read(RATINGS, as_of=s.history(RATINGS)[-2].timestamp)),
        "rows of a partition": lambda s: rows(s.read(STATS, where=[("genre", "==", "b")])),
        "rows of a tag": lambda s: rows(s.read(f"{RATINGS}@prod")),
        "rows of a stage": lambda s: rows(s.read(f"{RATINGS}@trial")),
        "rows of the quarantine": lambda s: rows(s.quarantine(RATINGS)),
        "rows of a training frame": lambda s: rows(s.get_historical_features(spine(), SERVICE)),
        "rows of a training set": lambda s: rows(s.reproduce(SET)),
        "rows online": lambda s: online(s.get_online_features(SERVICE, ENTITIES)),
        "rows computed online": lambda s: online(s.get_online_features([COMPUTED], USERS)),
        "difference": lambda s: s.diff(RATINGS, 0, 2),
        "stages": lambda s: s.stages(RATINGS),
        "services": lambda s: s.services(),
        "service": lambda s: s.service(SERVICE),
        "on-demand features": lambda s: s.registered(),
        "training sets": lambda s: [one.to_dict() for one in s.training_sets()],
        "training set": lambda s: s.training_set(SET).to_dict(),
        "profile": lambda s: s.profile(RATINGS),
        "check": lambda s: s.check(RATINGS),
        "definitions": lambda s: s.definitions(),
        "search": lambda s: s.search("mean"),
        "derived": lambda s: s.derived(),
        "explanation": lambda s: str(s.explain(f"{RATINGS}:mean", 5, DAY + ALWAYS / 2)),
        "keys": lambda s: keys_of(s.path).keys(),
        "who has a key": lambda s: keys_of(s.path).verify(secret),
        "audit log": lambda s: journal_of(ServerOptions(), s.path) and "open",
    }
    return asked


def online(answer: Any) -> dict[str, Any]:
    """Give an online answer with its statuses."""
    return {"values": answer.to_dict(), "statuses": answer.statuses}
