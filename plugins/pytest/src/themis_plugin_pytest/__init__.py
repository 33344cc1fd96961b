"""A pytest fixture that runs a spec and asserts on its result.

Its use is known to type checkers by `RunSpec`, the type of the fixture `themis_run`.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from themis_plugin_pytest.checked import CheckedRun as CheckedRun
    from themis_plugin_pytest.fixtures import RunSpec as RunSpec

__all__ = ["CheckedRun", "RunSpec"]


def __getattr__(name: str) -> object:
    # On first use (PEP 562): pytest imports this package in every project beside which it is installed.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = "checked" if name == "CheckedRun" else "fixtures"
    return getattr(import_module(f"{__name__}.{home}"), name)
