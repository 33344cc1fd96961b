"""Judges: scores that a model gives, for Themis."""
