"""Pages that show results: a report in one file, and a view of a store."""
