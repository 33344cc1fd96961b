"""Your own Python code as an engine: a function, a coroutine function or a class."""

from themis_plugin_python.steps import Steps

__all__ = ["Steps"]
