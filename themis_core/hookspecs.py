"""The hooks that plugins implement, and in which order a run calls them.

No discovery and no calling: that is `plugins`.

A run, hook by hook (only plugins that the spec names are imported and asked):

    themis_register_dataset_loaders ┐
    themis_register_engines         │
    themis_register_extractors      │ once each per plugin, when the spec first names the plugin; in which order
    themis_register_metrics         │ is not promised
    themis_register_judges          │
    themis_register_conclusions     │
    themis_register_storage_backends│
    themis_register_exporters       ┘
    themis_run_started                once
      themis_request_started          ┐ once per attempt at a request, those of judges too: one before, and one of
      themis_request_finished         │ the other two after it
      themis_request_failed           ┘
      themis_trial_finished           once per trial, after its commit returned
    themis_run_finished               once, also after an interruption or error

    themis_register_price_tables      only when `prices` of a spec names the plugin
    themis_register_commands          only when `themis <namespace> …` is typed
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:  # click would cost `import themis_core` its import time
    import click

    from themis_core.components import (
        Conclusion,
        DatasetLoader,
        Engine,
        Exporter,
        Extractor,
        Judge,
        Metric,
        PriceTable,
        StorageBackend,
    )
    from themis_core.records import (
        RequestFailed,
        RequestFinished,
        RequestStarted,
        RunFinished,
        RunStarted,
        TrialFinished,
    )

__all__ = ["REGISTRATION_HOOKS", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("themis")
hookimpl = pluggy.HookimplMarker("themis")

REGISTRATION_HOOKS: Mapping[str, str] = {
    "dataset_loader": "themis_register_dataset_loaders",
    "engine": "themis_register_engines",
    "extractor": "themis_register_extractors",
    "metric": "themis_register_metrics",
    "judge": "themis_register_judges",
    "conclusion": "themis_register_conclusions",
    "storage_backend": "themis_register_storage_backends",
    "exporter": "themis_register_exporters",
}
"""Component kind to the hook that registers it."""


@hookspec
def themis_register_dataset_loaders(register: Callable[[str, type[DatasetLoader] | str], None]) -> None:
    """Offer dataset loaders: call `register(name, cls)` for each; specs name it `namespace/name`.

    Instead of the class, `register` takes its place as a text, such as `"my_plugin.loaders:Rows"`: that module is
    imported when the component is first named. So a plugin of many components starts as fast as one of few.

    Called once per session in the main thread, when a spec first names the plugin. Import heavy modules inside. An
    exception becomes a PluginError that names the plugin. What it returns is ignored.
    """


@hookspec
def themis_register_engines(register: Callable[[str, type[Engine] | str], None]) -> None:
    """Offer engines: call `register(name, cls)` for each. Called as `themis_register_dataset_loaders` is."""


@hookspec
def themis_register_extractors(register: Callable[[str, type[Extractor] | str], None]) -> None:
    """Offer extractors: call `register(name, cls)` for each. Called as `themis_register_dataset_loaders` is."""


@hookspec
def themis_register_metrics(register: Callable[[str, type[Metric] | str], None]) -> None:
    """Offer metrics: call `register(name, cls)` for each. Called as `themis_register_dataset_loaders` is."""


@hookspec
def themis_register_judges(register: Callable[[str, type[Judge] | str], None]) -> None:
    """Offer judges: call `register(name, cls)` for each. Called as `themis_register_dataset_loaders` is."""


@hookspec
def themis_register_conclusions(register: Callable[[str, type[Conclusion] | str], None]) -> None:
    """Offer conclusions: call `register(name, cls)` for each. Called as `themis_register_dataset_loaders` is."""


@hookspec
def themis_register_storage_backends(register: Callable[[str, type[StorageBackend] | str], None]) -> None:
    """Offer storage backends: call `register(name, cls)` for each. Called as `themis_register_dataset_loaders` is."""


@hookspec
def themis_register_exporters(register: Callable[[str, type[Exporter] | str], None]) -> None:
    """Offer exporters: call `register(name, cls)` for each; `themis export --to` names it `namespace/name`.

    Called as `themis_register_dataset_loaders` is, also when a command first names the plugin.
    """


@hookspec
def themis_register_price_tables(register: Callable[[str, type[PriceTable]], None]) -> None:
    """Offer tables of prices: call `register(name, cls)` for each; specs name it `prices: {from: namespace/name}`.

    Called when a spec names the plugin in `prices`; otherwise as `themis_register_dataset_loaders` is.
    """


@hookspec
def themis_register_commands(cli: click.Group) -> None:
    """Add commands to `cli`, the click group of the plugin's own namespace: `themis <namespace> <command>`.

    Called only when somebody types that namespace, so no plugin slows down or breaks other commands. An exception
    becomes a PluginError. What it returns is ignored.
    """


@hookspec
def themis_run_started(event: RunStarted) -> None:
    """Observe that an execution begins, its manifest in hand; nothing was called yet.

    Called once, in the event loop's thread: return fast. An exception, SystemExit among them, is logged with the
    plugin's name and passed over. What it returns is ignored.
    """


@hookspec
def themis_request_started(event: RequestStarted) -> None:
    """Observe that an attempt at a request is about to be sent: to which model, for which trial, with what.

    Called once per attempt, those at requests of judges included, in the event loop's thread: return fast. Where no
    plugin has one of the three hooks of requests, no event is made. What is answered from the store is no request. What
    was asked in a batch is told of when its outcome is read, with the batch's id and the time at which it was handed
    in; the next hook follows at once. Treated like `themis_run_started` otherwise.
    """


@hookspec
def themis_request_finished(event: RequestFinished) -> None:
    """Observe what an attempt brought. It is not saved yet.

    Called once per attempt that brought a generation. Treated like `themis_request_started` otherwise.
    """


@hookspec
def themis_request_failed(event: RequestFailed) -> None:
    """Observe that an attempt failed, and how; the run may try again.

    Called once per attempt that failed, or that was cut off as the run ended. Treated like `themis_request_started`
    otherwise.
    """


@hookspec
def themis_trial_finished(event: TrialFinished) -> None:
    """Observe one finished trial. Its outcome and scores are on stable storage already.

    Called once per trial that this execution finished, in the event loop's thread: return fast. Treated like
    `themis_run_started` otherwise.
    """


@hookspec
def themis_run_finished(event: RunFinished, summary: Mapping[str, Any]) -> None:
    """Observe that the execution ended; `summary` is what `themis run --format json` prints, thresholds included.

    Called once, in the main thread, also after an interruption. Treated like `themis_run_started` otherwise.
    """
