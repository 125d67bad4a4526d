"""Feast repositories in and out: definitions are read without running them, and written to be read by people.

::

    importing    a repository's feature views to tables, its feature services to ours
    definitions  what it defines
    collecting   from its Python to that: discovery finds the files, reading and expressions tell what they stand for
    sources      the rows of a view; kinds: Feast's types of values beside ours
    exporting    tables and feature services to a repository; writing: its Python
    settings     feature_store.yaml
"""

from tiffin.feast_repository.definitions import LeftOut
from tiffin.feast_repository.exporting import Exported, ExportedTable, export_repository
from tiffin.feast_repository.importing import Imported, ImportedService, ImportedTable, import_repository

__all__ = [
    "Exported",
    "ExportedTable",
    "Imported",
    "ImportedService",
    "ImportedTable",
    "LeftOut",
    "export_repository",
    "import_repository",
]
