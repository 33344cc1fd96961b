"""What the SQL storage plugins share: schema, event log, projections and blobs."""

from themis_sql.database import Database
from themis_sql.layout import SCHEMA_VERSION
from themis_sql.store import SqlStore

__all__ = ["Database", "SCHEMA_VERSION", "SqlStore"]
