"""Where documents come from, and how data files are read. A benchmark imports these names."""

from sftgen_tasks.data.documents import finish, loaded, make_manifest
from sftgen_tasks.data.generated import Generated, distinct
from sftgen_tasks.data.hub import HubSource
from sftgen_tasks.data.rows import Rows, check_columns, digest
from sftgen_tasks.data.tables import DataError, read_table

__all__ = [
    "DataError",
    "Generated",
    "HubSource",
    "Rows",
    "check_columns",
    "digest",
    "distinct",
    "finish",
    "loaded",
    "make_manifest",
    "read_table",
]
