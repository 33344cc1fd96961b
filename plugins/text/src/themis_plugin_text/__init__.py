"""Metrics over text."""
