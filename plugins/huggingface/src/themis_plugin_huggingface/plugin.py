"""Offers the loader of the Hugging Face Hub to Themis."""

from __future__ import annotations

from collections.abc import Callable

from themis_core import DatasetLoader, hookimpl

THEMIS_CONTRACT_VERSION = 1


@hookimpl
def themis_register_dataset_loaders(register: Callable[[str, type[DatasetLoader]], None]) -> None:
    from themis_plugin_huggingface.hub import HubLoader

    register("hub", HubLoader)
