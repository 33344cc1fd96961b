"""What the plugin offers, and what it imports for that."""

from __future__ import annotations

import subprocess
import sys

from themis_core import DatasetLoader
from themis_plugin_huggingface import plugin
from themis_plugin_huggingface.hub import HubLoader


def test_it_offers_the_hub() -> None:
    offered: dict[str, type[DatasetLoader]] = {}
    plugin.themis_register_dataset_loaders(register=offered.__setitem__)
    assert offered == {"hub": HubLoader}
    assert plugin.THEMIS_CONTRACT_VERSION == 1


def test_offering_imports_nothing_heavy() -> None:
    code = (
        "import sys; from themis_plugin_huggingface import plugin\n"
        "plugin.themis_register_dataset_loaders(register=lambda name, cls: None)\n"
        "print(sorted({'datasets', 'huggingface_hub', 'pyarrow', 'pandas', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
