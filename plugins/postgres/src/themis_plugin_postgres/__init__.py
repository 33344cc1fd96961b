"""A durable Postgres store, for Themis."""
