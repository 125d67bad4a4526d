"""Small JSON files with a checksum: each bit counts, and files from before there was one are read."""

import msgspec
import pytest

from tiffin.access.keys import keys_of
from tiffin.errors import CorruptData
from tiffin.files import LOCAL
from tiffin.files.sealed import read_sealed, seal, unseal


class Record(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    version: int
    share: float = 0.5
    text: str = ""


RECORD = Record(name="prod", version=3, text="é\n")


def test_what_was_sealed_comes_back(tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(seal(RECORD))
    assert read_sealed(LOCAL, path, Record) == RECORD
    assert read_sealed(LOCAL, tmp_path / "other.json", Record) is None


@pytest.mark.parametrize("is_always_sealed", [True, False])
def test_no_flipped_bit_changes_what_is_read(is_always_sealed):
    data = seal(RECORD)
    refused = 0
    for place in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        try:
            found = unseal(bytes(flipped), Record, is_always_sealed=is_always_sealed)
        except msgspec.MsgspecError:
            refused += 1
        else:
            # The layout is not part of what it says.
            assert found == RECORD
    assert refused > 8 * len(data) * 0.9


def test_a_file_of_before_is_read_where_there_were_such():
    old = msgspec.json.encode(RECORD)
    assert unseal(old, Record, is_always_sealed=False) == RECORD
    with pytest.raises(msgspec.MsgspecError):
        unseal(old, Record)
    with pytest.raises(msgspec.MsgspecError, match="checkstm"):
        unseal(seal(RECORD).replace(b"checksum", b"checkstm"), Record, is_always_sealed=False)


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"[" * 100_000, b'{"checksum": 1}', b'{"name": "\xe4"}'])
def test_what_is_no_record_is_corrupt(tmp_path, data):
    path = tmp_path / "record.json"
    path.write_bytes(data)
    with pytest.raises(CorruptData, match=r"record\.json"):
        read_sealed(LOCAL, path, Record)


def test_a_key_cannot_change_what_it_may_do_by_a_flipped_bit(tmp_path):
    store_keys = keys_of(tmp_path)
    store_keys.create("dashboard", ["read"], ["user"])
    path = tmp_path / "config" / "keys.json"
    path.write_bytes(path.read_bytes().replace(b'"user"', b'"usep"'))
    with pytest.raises(CorruptData, match="checksum"):
        store_keys.keys()
