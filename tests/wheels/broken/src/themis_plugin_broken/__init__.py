"""A plugin that works on nobody's machine."""
