"""One damaged table does not hide the others, and can be examined and dropped."""

import errno
import itertools
import os

import pytest

import tiffin
from faults import history
from faults.history import HISTORY, Ledger
from faults.simfs import Fault, SimulatedFiles
from tiffin.errors import CorruptData, StorageError, TableNotFound
from tiffin.files import LocalFiles
from tiffin.schema.names import TableName
from tiffin.tables.catalog import Catalog
from tiffin.tables.table import Options

ROWS = [{"id": 1}]


@pytest.fixture
def store(tmp_path):
    """A store with a whole table, and one whose newest commit is damaged."""
    path = tmp_path / "store"
    for name in ("g/whole", "g/damaged"):
        tiffin.FeatureStore(path).save(name, ROWS)
    commit = path / "features/g/damaged/_delta_log/00000000000000000000.json"
    commit.write_bytes(commit.read_bytes().replace(b"WRITE", b"WRIXE"))
    return tiffin.FeatureStore(path)


def test_the_other_tables_are_found(store):
    assert len(store.read("whole")) == 1
    with pytest.raises(TableNotFound, match="whole"):
        store.read("g/whloe")
    with pytest.raises(CorruptData, match="damaged"):
        store.read("g/damaged")


@pytest.mark.parametrize("reference", [None, "g/damaged", "damaged"])
def test_a_damaged_log_is_a_finding(store, reference):
    (finding,) = store.examine(reference)
    assert (finding.table, finding.kind) == ("g/damaged", "corrupt")
    assert store.examine("g/whole") == []


def test_a_damaged_table_can_be_dropped(store):
    store.drop("g/damaged")
    assert [info.table for info in store.tables()] == ["g/whole"]
    with pytest.raises(TableNotFound):
        store.drop("g/damaged")
    assert store.save("g/damaged", ROWS).version == 0


def test_the_files_are_examined_even_where_reading_does_not_check_them(tmp_path):
    store = tiffin.FeatureStore(tmp_path / "store", verify_checksums=False)
    store.save("g/t", ROWS)
    (path,) = (tmp_path / "store/features/g/t").glob("*.parquet")
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    assert [finding.kind for finding in store.examine()] == ["corrupt"]


class ReadOnly(LocalFiles):
    def remove(self, path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    remove_folder = remove


def test_the_remains_of_a_drop_do_not_keep_a_reader_out(store):
    remains = store.path / "features/g/.dropped-t-1"
    remains.mkdir()
    assert TableName("g", "whole") in Catalog(ReadOnly(), store.path / "features", Options()).names()
    assert remains.exists()
    tiffin.FeatureStore(store.path)
    assert not remains.exists()


def test_a_store_that_cannot_be_looked_through_says_so_in_our_words():
    disk = SimulatedFiles()
    history.run(history.opened(disk), HISTORY[:1], Ledger())
    refused = 0
    for at in itertools.count():
        fs, fault = disk.after_crash("kept"), Fault(at, "EIO")
        fs.plan(fault)
        try:
            Catalog(fs, history.FOLDER.parents[1], Options()).names()
        except StorageError:
            refused += 1
        if not fs.was_reached(fault):
            break
    assert refused
