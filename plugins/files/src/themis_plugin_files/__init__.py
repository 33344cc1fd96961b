"""Dataset loaders for files."""
