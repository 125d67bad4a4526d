"""Why goals are missed: a text for each, kept in `reasons.toml`, without which the page is not written."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Result

FILE = Path(__file__).with_name("reasons.toml")


class UnexplainedMiss(Exception):
    """A goal is missed and nothing says why."""


class Miss(NamedTuple):
    """A goal that is missed."""

    part: str
    case: str
    result: Result
    why: str = ""


@dataclass(frozen=True)
class Reason:
    """Why goals are missed: of the cases of a part that a pattern fits."""

    part: str
    case: str
    """As in a shell: `*` is any text."""
    goal: str
    """As in a shell; a case may have several goals."""
    text: str

    def fits(self, miss: Miss) -> bool:
        """Tell whether it is about a miss."""
        return self.is_of(miss.part, miss.case, miss.result.goal)

    def is_of(self, part: str, case: str, goal: str) -> bool:
        """Tell whether it is about a case of a part, and that goal of it."""
        return self.part == part and fnmatchcase(case, self.case) and fnmatchcase(goal, self.goal)


def load(path: Path = FILE) -> list[Reason]:
    """Read the reasons.

    Raises
    ------
    ValueError
        An entry is not a reason: it lacks a field, has another, or says nothing.
    """
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("reason", [])
    for entry in entries:
        if not {"part", "case", "text"} <= entry.keys() <= {"part", "case", "goal", "text"} or not entry["text"]:
            raise ValueError(f"{path.name}: an entry needs part, case, text, and may have goal: {entry}")
    return [Reason(entry["part"], entry["case"], entry.get("goal", "*"), entry["text"]) for entry in entries]


def explain(results: Mapping[str, Sequence[Result]], reasons: Sequence[Reason]) -> list[Miss]:
    """Give each missed goal the first reason that fits it.

    Raises
    ------
    UnexplainedMiss
        There is none for some; the message names them all.
    """
    missed = [Miss(part, one.title(part), one) for part, several in results.items() for one in several if not one.met]
    found = [miss._replace(why=next((one.text for one in reasons if one.fits(miss)), "")) for miss in missed]
    if unexplained := [miss for miss in found if not miss.why]:
        told = "\n".join(f"  {part}: {case}: {one.measured} (goal {one.goal})" for part, case, one, _ in unexplained)
        raise UnexplainedMiss(
            f"goals are missed and {FILE.name} does not say why:\n{told}\n"
            "find out why, and write a [[reason]] with part, case and text; or measure again on a quiet machine"
        )
    return found
