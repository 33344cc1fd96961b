"""What the SQL storage plugins share: schema, event log, projections and blobs."""

from themis_sql.database import Database
from themis_sql.schema import SCHEMA_VERSION, metadata, more_statements
from themis_sql.store import SqlStore

__all__ = ["Database", "SCHEMA_VERSION", "SqlStore", "metadata", "more_statements"]
