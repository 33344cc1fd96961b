"""Exports that other evaluation tools open, and imports of what they wrote."""
