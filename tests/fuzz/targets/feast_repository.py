"""A Feast repository from who is not trusted: its Python and YAML are read, and never run."""

from __future__ import annotations

import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from fuzz.drawing import Draw
from tiffin.errors import TiffinError
from tiffin.feast_repository.collecting import read_definitions
from tiffin.feast_repository.settings import read_project, write_settings

MOST_BYTES = 2048

_RUNS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect", "shutil.rmtree", "os.remove")
_LINES = [
    "from feast import *\n", "from feast import Entity, FeatureView, Field, FileSource, FeatureService\n",
    "import b\n",
    "from b import *\n", "from . import b as c\n", "user = Entity(name='user', join_keys=['user_id'])\n",
    "rows = FileSource(path='rows.parquet', timestamp_field='at')\n", "names = ['a', 'b']\n", "names += names\n",
    "view = FeatureView(name='ratings', entities=[user], schema=[Field(name='mean', dtype=Float64)], source=rows)\n",
    "service = FeatureService(name='ranker', features=[view, view[['mean']]])\n", "x = [n * 2 for n in names]\n",
    "if x:\n    y = 1\nelse:\n    y = 2\n", "for n in names:\n    x.append(n)\n", "import os; os.system('false')\n",
    "s = 'a' * 10\n", "s = f'{s}{s!r:>9}'\n", "open('stolen', 'w')\n", "__import__('os').system('false')\n",
    "d = {**{'a': 1}, 'b': names}\n", "view.name = 'other'\n", "def f():\n    return view\n", "x = 9 ** 9 ** 9\n",
    "x = 'a' * 10 ** 12\n", "from os.path import join\n", "p = join('a', '..', 'b')\n", "x, *y = names\n",
]  # fmt: skip
_watched: list[str] = []
_is_watching = False


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    sys.addaudithook(_heed)
    return tempfile.TemporaryDirectory(prefix="tiffin-fuzz-")


def _heed(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what a program that is run could do, and one that is read cannot."""
    if _is_watching and (event in _RUNS or (event == "open" and "w" in str(arguments[1]))):
        _watched.append(event)


def check(data: bytes) -> None:
    global _is_watching  # noqa: PLW0603 - the hook, which cannot be removed again, looks at it
    draw = Draw(data)
    root = Path(_folder().name)
    kind = draw.byte() % 4
    text = b"".join(draw.one_of(_LINES).encode() for _ in range(draw.byte() % 16)) + draw.rest()
    (root / "a.py").write_bytes(text if kind else b"import b\n")
    (root / "b.py").write_bytes(b"from a import *\nz = 1\n" if kind else text)
    (root / "feature_store.yaml").write_bytes(text if kind == 1 else write_settings("project", None))
    (root / ".feastignore").write_bytes(text[:40] if kind == 2 else b"")
    _is_watching = True
    try:
        assert read_project(root)
        read_definitions(root)
    except TiffinError:
        pass
    finally:
        _is_watching = False
    assert not _watched, (_watched, text)
