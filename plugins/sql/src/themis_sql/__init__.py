"""What the SQL storage plugins share: schema, event log, projections and blobs."""
