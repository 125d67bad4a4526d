"""What a server writes down: JSON, one line each, without secrets and control characters."""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import StorageError
from tiffin.files import LOCAL, contained, make_folders, translated

if TYPE_CHECKING:
    from tiffin.server.edge.passage import Passage
    from tiffin.server.options import ServerOptions

_LONGEST = 500
_REFUSALS_PER_S = 10
AUDIT_BYTES = 64 << 20
AUDIT_FILES = 8
"""As many that are full are kept."""

_log = logging.getLogger("tiffin.server")


class Lines:
    """A log of JSON lines.

    Parameters
    ----------
    target : Path or None
        The file, in an existing folder, opened anew for each line: it can be moved away at any time. None is standard
        error.
    most_bytes : int, optional
        Once it is as large it is put by, as `name.1.jsonl`, and a new one begun. By default it grows on.
    """

    def __init__(self, target: Path | None, most_bytes: int | None = None) -> None:
        self._target = target
        self._most_bytes = most_bytes

    def write(self, **record: object) -> None:
        """Write a line; one that cannot be written is told of on standard error, and the request goes on.

        Parameters
        ----------
        **record : object
            What JSON has; texts are cut after 500 letters.
        """
        line = _line({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **record})
        if self._target is None:
            sys.stderr.write(line)
            return
        try:
            LOCAL.append(self._target, line.encode())
            if self._is_full(self._target):
                self._put_by(self._target)
        except (OSError, StorageError) as error:
            _log.error("cannot write to the log %s: %s; the line is %s", self._target, error, line.rstrip())

    def _is_full(self, target: Path) -> bool:
        found = LOCAL.stat(target) if self._most_bytes is not None else None
        return found is not None and self._most_bytes is not None and found.size >= self._most_bytes

    def _put_by(self, target: Path) -> None:
        """Give the file and those before it the next number; the last is overwritten."""
        with LOCAL.lock(target.with_suffix(".lock")):
            # Another process may have been quicker.
            if self._is_full(target):
                for number in range(AUDIT_FILES, 0, -1):
                    before = _numbered(target, number - 1)
                    if LOCAL.stat(before) is not None:
                        LOCAL.rename(before, _numbered(target, number))


def _numbered(target: Path, number: int) -> Path:
    return target.with_name(f"{target.stem}.{number}{target.suffix}") if number else target


class Restrained:
    """Lets through so many refusals a second, so that guessing keys does not fill the disk.

    Parameters
    ----------
    lines : Lines
        Where they are written.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._second = 0
        self._written = 0
        self._left_out = 0

    def write(self, **record: object) -> None:
        """Write a line, or count it among those left out; the next one that is written says how many there were."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._written = second, 0
        if self._written >= _REFUSALS_PER_S:
            self._left_out += 1
            return
        self._written += 1
        if self._left_out:
            record["left_out_before"] = self._left_out
            self._left_out = 0
        self._lines.write(**record)


class Journal:
    """The logs of requests.

    Parameters
    ----------
    access : Lines, optional
        Gets a line per request.
    audit : Lines, optional
        Gets a line per request that was to change the store or to administer it, and per refusal of a caller.
    """

    def __init__(self, access: Lines | None = None, audit: Lines | None = None) -> None:
        self._access = access
        self._audit = audit
        self._refusals = Restrained(audit) if audit is not None else None

    def write(self, passage: Passage, took_s: float) -> None:
        """Write down a request that has ended.

        Parameters
        ----------
        passage : Passage
            The request, with its answer's status.
        took_s : float
            Seconds.
        """
        if self._access is not None:
            self._access.write(**_facts(passage), ms=round(took_s * 1000, 3))
        if self._audit is None or self._refusals is None:
            return
        caller = passage.caller
        if passage.status in {401, 403}:
            self._refusals.write(event="refused", **_facts(passage), asked=caller.asked, tables=caller.tables or None)
        elif caller.asked in {"write", "admin"}:
            self._audit.write(event=caller.asked, **_facts(passage), tables=caller.tables or None)


def journal_of(options: ServerOptions, store: Path) -> Journal:
    """Open the logs that the options name.

    Parameters
    ----------
    options : ServerOptions
        `access_log` and `audit_log`.
    store : Path
        The store's folder, in which the audit log lies unless it is named.

    Raises
    ------
    StorageError
        A file cannot be written to.
    """
    if not options.audit_log:
        make_folders(LOCAL, contained(store, "logs"))
    access = _lines(Path(options.access_log)) if options.access_log else None
    if options.audit_log:
        return Journal(access, _lines(Path(options.audit_log)))
    # Nobody has chosen this place, so that nobody may look after it.
    return Journal(access, _lines(contained(store, "logs", "audit.jsonl"), AUDIT_BYTES))


def _lines(target: Path, most_bytes: int | None = None) -> Lines:
    if str(target) == "-":
        return Lines(None)
    with translated(target, doing="write to the log"):
        LOCAL.append(target, b"")
    return Lines(target, most_bytes)


def _facts(passage: Passage) -> dict[str, object]:
    # The path as it came is plain ASCII; what it asks for may name people, so it is left out.
    return {
        "request_id": passage.request_id,
        "client": passage.client,
        "key": passage.caller.name,
        "method": passage.method,
        "path": passage.raw_path.decode("latin-1"),
        "route": passage.route,
        "status": passage.status,
    }


class JsonFormatter(logging.Formatter):
    """Writes what the server says of itself, its failures above all, as JSON lines too."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; a trace is one of its values."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said = {"time": moment, "level": record.levelname.lower(), "message": record.getMessage()}
        if record.exc_info:
            said["trace"] = self.formatException(record.exc_info)
        return json.dumps(said)


def _line(record: dict[str, Any]) -> str:
    # `json` escapes all that is not plain ASCII: a terminal obeys more than the 32 control characters that JSON knows.
    short = {
        name: value[:_LONGEST] if isinstance(value, str) else value
        for name, value in record.items()
        if value is not None
    }
    return json.dumps(short, default=str) + "\n"
