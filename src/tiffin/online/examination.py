"""Examining an LMDB file page by page, without LMDB, for what a write through it would trip over."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from lmdb.verify import VerifyError, verify

_PAGE = struct.Struct("=8x2xHHH")
"""Of the start of a page: flags, end of the list of nodes, begin of the nodes. The list follows."""
_NODE = struct.Struct("=HHHH")
"""Of a node: size of the value (low half, high half), flags, size of the key. Those of a branch hold a page number."""
_ROOTS = (80, 128)
"""Where in a meta page the roots are: of the tree of free pages, and of the tree."""
_TRANSACTION, _PAGE_BYTES = 144, 40
"""Where in a meta page the transaction and the size of a page are."""
_BRANCH, _ELSEWHERE = 0x01, 0x01
_NOWHERE = (1 << 64) - 1


def problem(folder: Path, data: bytes | memoryview) -> str:
    """Say what is wrong with the file of an LMDB environment to which nobody writes.

    Parameters
    ----------
    folder : Path
        The environment.
    data : bytes or memoryview
        The contents of its `data.mdb`.

    Returns
    -------
    str
        The first problem; empty if there is none.
    """
    try:
        found: list[str] = verify(str(folder), subdir=True)  # type: ignore[no-untyped-call]  # of lmdb
    except VerifyError as error:
        return str(error)
    return found[0] if found else _overlap(data)


def _overlap(data: bytes | memoryview) -> str:
    """Find a page whose nodes do not lie one behind the other up to its end: `verify` does not look for that."""
    page_bytes = _number(data, _PAGE_BYTES, 4)
    meta = max(0, page_bytes, key=lambda at: _number(data, at + _TRANSACTION, 8))
    pages = [root for at in _ROOTS if (root := _number(data, meta + at, 8)) != _NOWHERE]
    while pages:
        number = pages.pop()
        page = data[number * page_bytes : (number + 1) * page_bytes]
        flags, lower, upper = _PAGE.unpack_from(page)
        offsets = struct.unpack_from(f"={(lower - _PAGE.size) // 2}H", page, _PAGE.size)
        end = upper
        for offset in sorted(offsets):
            low, high, bits, key_bytes = _NODE.unpack_from(page, offset)
            if offset != end:
                return f"nodes of page {number} overlap"
            if flags & _BRANCH:
                pages.append(low | high << 16 | bits << 32)
                size = key_bytes
            else:
                size = key_bytes + (8 if bits & _ELSEWHERE else low | high << 16)
            end += _NODE.size + size + size % 2
        if end != page_bytes:
            return f"nodes of page {number} overlap"
    return ""


def _number(data: bytes | memoryview, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], sys.byteorder)
