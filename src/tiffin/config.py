"""One settings object: arguments > environment `TIFFIN_*` > `config/tiffin.toml` > defaults."""

from __future__ import annotations

import getpass
import os
import re
import tomllib
from dataclasses import dataclass, field, fields
from datetime import timedelta
from difflib import get_close_matches
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from tiffin.errors import InvalidInputError, did_you_mean
from tiffin.files import LOCAL, contained, translated
from tiffin.schema.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

ENVIRONMENT_PREFIX = "TIFFIN_"

_MOST = 2**63 - 1
_MOST_SECONDS = timedelta(days=999_999_999).total_seconds()

_SIZES = {unit: 1000**n for n, unit in enumerate(["b", "kb", "mb", "gb", "tb"])} | {
    unit: 1024**n for n, unit in enumerate(["kib", "mib", "gib", "tib"], start=1)
}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)([a-z]*)")


def parse_size(text: str) -> int:
    """Read a number of bytes as people write it.

    Parameters
    ----------
    text : str
        A number and a unit: `B`, `kB`, `MB`, `GB`, `TB` (powers of 1000) or `KiB`, `MiB`, `GiB`, `TiB` (powers
        of 1024), in any case. Without a unit, bytes.

    Returns
    -------
    int
        Bytes, rounded down.

    Raises
    ------
    InvalidInputError
        The text is no such size.
    """
    match = _SIZE.fullmatch(text.replace(" ", "").lower())
    unit = _SIZES.get(match[2] or "b") if match else None
    if match is None or unit is None:
        raise InvalidInputError(f"{text!r} is not a size", hint='write it like "512MB", "1GiB" or "1048576"')
    return int(Fraction(match[1]) * unit)


def _setting(default: object, about: str, read: Callable[[object], Any], shown: str = "") -> Any:
    """Declare a setting: its default, what it is for, how a value is read, and the default as TOML."""
    return field(default=default, metadata={"about": about, "read": read, "shown": shown or str(default)})


@dataclass(frozen=True)
class _Unless:
    """Lets a word stand for None, which TOML and the environment cannot say."""

    word: str
    read: Callable[[object], Any]

    def __call__(self, value: object) -> Any:
        return None if value is None or value == self.word else self.read(value)


def _count(least: int, most: int = _MOST, *, is_size: bool = False) -> Callable[[object], int]:
    def read(value: object) -> int:
        number: object = value
        if isinstance(value, str) and is_size:
            number = parse_size(value)
        elif isinstance(value, str) and re.fullmatch(r"[0-9]{1,18}", value):
            number = int(value)
        if isinstance(number, bool) or not isinstance(number, int) or not least <= number <= most:
            bounds = f"from {least:_} to {most:_}" if most < _MOST else f"of at least {least:_}"
            raise InvalidInputError(f"{value!r} is not a {'size' if is_size else 'whole number'} {bounds}")
        return number

    return read


def _seconds(value: object) -> float:
    duration = parse_duration(value) if isinstance(value, str) else value
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    # As durations in texts are: to the microsecond, and no longer than a timedelta.
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1e-6 <= seconds <= _MOST_SECONDS:
        raise InvalidInputError(f"{value!r} is not a duration above zero", hint='write it like "1h", or "never"')
    return round(float(seconds), 6)


def _choice(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if value not in words:
            raise InvalidInputError(f"{value!r} is not one of {', '.join(words)}", hint=did_you_mean(str(value), words))
        return str(value)

    return read


def _online_index(value: object) -> str:
    if value != "lmdb" and not re.match(r"rediss?://[^\s]", str(value)):
        # Not shown, as it may hold a password.
        raise InvalidInputError("it is neither lmdb nor the URL of a Redis server")
    return str(value)


def _yes_or_no(value: object) -> bool:
    known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    if not isinstance(value, bool):
        raise InvalidInputError(f"{value!r} is not true or false")
    return value


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What can be set about a store. `default_toml` says what each setting means.

    Raises
    ------
    InvalidInputError
        A value is not allowed; the message names the setting.
    """

    compression: Literal["zstd", "snappy", "lz4", "none"] = _setting(
        "zstd",
        'Compression of Parquet files: "zstd", "snappy", "lz4" or "none". Always lossless.',
        _choice("zstd", "snappy", "lz4", "none"),
        '"zstd"',
    )
    compression_level: int | None = _setting(
        None,
        'Level of zstd, 1 (quick) to 22 (small); "default" is 1. The other codecs have none.',
        _Unless("default", _count(1, 22)),
        '"default"',
    )
    memory_cache_bytes: int = _setting(
        512 * 1024**2, "Memory cache: most bytes held; 0 turns it off.", _count(0, is_size=True), '"512MiB"'
    )
    memory_cache_entries: int = _setting(1000, "Memory cache: most frames held; 0 turns it off.", _count(0))
    cache_ttl_s: float | None = _setting(
        3600.0,
        'Memory cache: how long a frame may be served before it is read again; "never" to keep it. (Seconds, or "1h".)',
        _Unless("never", _seconds),
        '"1h"',
    )
    disk_cache_bytes: int = _setting(
        1024**3,
        "Disk cache: most bytes held; 0 turns it off. Tables below 128 KiB are left out.",
        _count(0, is_size=True),
        '"1GiB"',
    )
    keep_versions: int | None = _setting(
        None,
        'How many of the newest versions stay readable when a checkpoint is due; "all" keeps each until a vacuum.',
        _Unless("all", _count(1)),
        '"all"',
    )
    checkpoint_every: int = _setting(
        100, "Commits of a table between two checkpoints, which keep opening it quick.", _count(1)
    )
    compact_files: int = _setting(
        16, "How many small files of similar size are merged into one when they have come together; 0 never.", _count(0)
    )
    target_file_bytes: int = _setting(
        128 * 1024**2, "Size that a Parquet file should have after merging.", _count(1, is_size=True), '"128MiB"'
    )
    row_group_rows: int = _setting(
        131_072, "Rows in a Parquet row group: the least that is read to find one entity.", _count(1), "131_072"
    )
    record_code: bool = _setting(
        True,
        "Whether a save notes the git commit of the code in the current folder.",
        _yes_or_no,
        "true",
    )
    verify_checksums: bool = _setting(
        True, "Check each file against its checksum when it is first read.", _yes_or_no, "true"
    )
    online_index: str = _setting(
        "lmdb",
        'Where online rows are kept: "lmdb" in the store\'s folder, or a server: "redis://user:password@host:6379/0".',
        _online_index,
        '"lmdb"',
    )
    online_map_bytes: int = _setting(
        64 * 1024**3,
        "Most bytes that online rows may take in the store's folder. They cost address space, not memory or disk.",
        _count(1024**2, is_size=True),
        '"64GiB"',
    )

    def __post_init__(self) -> None:
        for name, value in vars(self).copy().items():
            object.__setattr__(self, name, _read(name, value, f"argument: {name}"))
        if self.compression_level is not None and self.compression != "zstd":
            raise InvalidInputError(
                f"compression_level = {self.compression_level} does not go with compression = {self.compression!r}",
                hint='only "zstd" has levels: leave the level out or choose zstd',
            )


_FIELDS = {setting.name: setting for setting in fields(Settings)}


def load(base: Path, environ: Mapping[str, str], overrides: Mapping[str, object]) -> Settings:
    """Gather the settings of a store.

    Parameters
    ----------
    base : Path
        The store's folder; `config/tiffin.toml` in it is read if it is there.
    environ : mapping of str to str
        The environment. `TIFFIN_COMPRESSION` sets `compression`, and so on. Names that are far from every
        setting's are left to other parts of Tiffin.
    overrides : mapping of str to object
        What the caller named; wins over all others.

    Returns
    -------
    Settings
        Complete and checked.

    Raises
    ------
    InvalidInputError
        An unknown setting or a value that is not allowed; the message names where it came from.
    StorageError
        The file cannot be read.
    """
    found: dict[str, object] = {}
    for origin, values in (
        ("config/tiffin.toml", _from_file(base)),
        ("environment", _from_environment(environ)),
        ("argument", overrides),
    ):
        for name, value in values.items():
            source = f"{origin}: {ENVIRONMENT_PREFIX + name.upper() if origin == 'environment' else name}"
            if name not in _FIELDS:
                raise InvalidInputError(f"{source} is not a setting", hint=did_you_mean(name, _FIELDS), setting=name)
            found[name] = _read(name, value, source)
    return Settings(**found)  # type: ignore[arg-type]  # each was read by its field's own reader


def to_environment(settings: Settings) -> dict[str, str]:
    """Say settings as environment variables, so that another process has the same.

    Parameters
    ----------
    settings : Settings
        Complete, as `load` returned them.

    Returns
    -------
    dict of str to str
        `TIFFIN_COMPRESSION` and so on. A None is the word that stands for it.
    """
    texts = {}
    for name, setting in _FIELDS.items():
        value = getattr(settings, name)
        text = f"{value:.6f}" if isinstance(value, float) else str(value)
        texts[ENVIRONMENT_PREFIX + name.upper()] = setting.metadata["read"].word if value is None else text
    return texts


def _from_file(base: Path) -> dict[str, object]:
    path = contained(base, "config", "tiffin.toml")
    with translated(path, doing="read"):
        if LOCAL.stat(path) is None:
            return {}
        text = bytes(LOCAL.read(path))
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{str(path)!r} is not valid TOML: {error}", hint="correct the line named") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    named = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(ENVIRONMENT_PREFIX)
    }
    # A near miss is a typing error that would otherwise go unnoticed; the rest is not about settings.
    return {name: value for name, value in named.items() if get_close_matches(name, _FIELDS, n=1, cutoff=0.8)}


def _read(name: str, value: object, source: str) -> object:
    try:
        return _FIELDS[name].metadata["read"](value)
    except InvalidInputError as error:
        hint = error.hint or _FIELDS[name].metadata["about"]
        raise InvalidInputError(f"{source}: {error.message}", hint=hint, setting=name) from None


def author(environ: Mapping[str, str]) -> str:
    """Return who saves: `TIFFIN_AUTHOR`, else the name of this process' user.

    Parameters
    ----------
    environ : mapping of str to str
        The environment.
    """
    return environ.get(ENVIRONMENT_PREFIX + "AUTHOR") or _user()


@cache
def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container may run as a user that has no name.
        return f"uid {os.getuid()}"


def default_toml() -> str:
    """Write the settings file that `tiffin init` makes: every setting with its meaning and default, commented out.

    Returns
    -------
    str
        TOML. Without the `# ` before each name it says what the defaults are.
    """
    lines = ["# Settings of this store. Remove the mark before a name to change its value."]
    lines += [f"# An environment variable such as {ENVIRONMENT_PREFIX}COMPRESSION wins over this file."]
    for setting in fields(Settings):
        lines += ["", f"## {setting.metadata['about']}", f"# {setting.name} = {setting.metadata['shown']}"]
    return "\n".join(lines) + "\n"
