"""Engines for OpenAI-compatible servers."""
