"""What this machine has for workers: cores, memory, GPUs."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Machine", "NoDevice", "Seats"]

_CGROUP = Path("/sys/fs/cgroup/memory.max")
_NVIDIA = Path("/proc/driver/nvidia/gpus")
_VISIBLE = "CUDA_VISIBLE_DEVICES"


class NoDevice(Exception):
    """There is no free GPU for a worker that needs one."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What processes of this machine may use."""

    cpus: int
    memory_bytes: int | None
    """Main memory in all, or what the container may use; None if it can't be told."""
    gpus: tuple[str, ...]
    """As `CUDA_VISIBLE_DEVICES` names them, which also says which there are; else those of Nvidia's driver."""

    @classmethod
    def here(cls) -> Machine:
        """This machine, as this process may use it."""
        affinity = getattr(os, "sched_getaffinity", None)  # Linux alone
        return cls(len(affinity(0)) if affinity else os.cpu_count() or 1, _memory(), _gpus())


@dataclass(slots=True)
class Seats:
    """Which GPUs of a machine are taken by how much. Parts of one GPU are shared; whole ones are not."""

    gpus: tuple[str, ...]
    _taken: dict[str, float] = field(default_factory=dict)

    def take(self, gpus: float) -> tuple[str, ...]:
        """The GPUs of one more worker. Raises NoDevice."""
        share, wanted = (gpus, 1) if gpus < 1 else (1.0, int(gpus))
        free = [each for each in self.gpus if self._taken.get(each, 0.0) + share <= 1 + 1e-9]
        if len(free) < wanted:
            raise NoDevice(f"{gpus:g} GPU wanted, {len(free)} of {len(self.gpus)} free")
        # The fullest first, so that whole ones stay free.
        free.sort(key=lambda each: -self._taken.get(each, 0.0))
        for each in free[:wanted]:
            self._taken[each] = self._taken.get(each, 0.0) + share
        return tuple(free[:wanted])

    def give_back(self, taken: tuple[str, ...], gpus: float) -> None:
        """The worker that took them has ended."""
        for each in taken:
            self._taken[each] -= min(gpus, 1.0)


def _memory() -> int | None:
    found = []
    with suppress(OSError, ValueError, AttributeError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError):  # "max" where there is no limit
        found.append(int(_CGROUP.read_text()))
    return min(found, default=None)


def _gpus() -> tuple[str, ...]:
    visible = os.environ.get(_VISIBLE)
    if visible is not None:
        return tuple(each.strip() for each in visible.split(",") if each.strip() not in ("", "-1", "NoDevFiles"))
    with suppress(OSError):
        return tuple(str(number) for number in range(len(list(_NVIDIA.iterdir()))))
    return ()
