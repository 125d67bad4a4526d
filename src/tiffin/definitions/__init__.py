"""Definitions: what tables and feature services declare, as one document that can live in git.

::

    model      what a definition says; from what a table declares, and back
    document   definitions as TOML, read strictly
    changes    what applying a definition would change
"""

from tiffin.definitions.changes import Applied, FieldChange
from tiffin.definitions.document import read, write
from tiffin.definitions.model import ColumnDefinition, Definitions, ServiceDefinition, TableDefinition

__all__ = [
    "Applied",
    "ColumnDefinition",
    "Definitions",
    "FieldChange",
    "ServiceDefinition",
    "TableDefinition",
    "read",
    "write",
]
