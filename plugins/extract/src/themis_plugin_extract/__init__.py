"""Extractors that find the answer in a model's output."""
