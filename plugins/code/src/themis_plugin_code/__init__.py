"""Programs that models write, run against tests."""
