"""Simulations whose tables stand in the documentation: how often intervals cover the truth."""
