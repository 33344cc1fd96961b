"""The filter of system calls: no process, no socket, no signal to others, nothing that would undo another wall.

It needs no privilege, so it holds in containers that allow no namespaces. What it turns away fails with EPERM.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import Final

from themis_plugin_code.inside.kernel import MACHINE, NUMBERED_ALIKE, prctl

__all__ = ["filter_calls"]

Calls = Mapping[str, tuple[int, int | None]]

# System calls by their numbers on x86_64 and aarch64; None where a machine has not got one.
_NEVER: Final[Calls] = {
    "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281),
    "socket": (41, 198), "io_uring_setup": (425, 425),
    # into other processes, and out of the group that is ended with this one
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "sched_setaffinity": (203, 122), "sched_setscheduler": (144, 119), "sched_setparam": (142, 118),
    "sched_setattr": (314, 274), "ioprio_set": (251, 30), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "setsid": (112, 157), "setpgid": (109, 154), "setpriority": (141, 140),
    # out of the namespaces
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "chroot": (161, 51), "move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430),
    "mount_setattr": (442, 442), "open_by_handle_at": (304, 265),
    # files in memory, which no limit of address space counts
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    # what outlives a process, and what few programs need and many attacks do
    "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    "bpf": (321, 280), "perf_event_open": (298, 241), "keyctl": (250, 219), "add_key": (248, 217),
    "request_key": (249, 218), "userfaultfd": (323, 282),
}  # fmt: skip
_OF_OTHERS_FILES: Final[Calls] = {
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16), "removexattrat": (466, 466),
    "truncate": (76, 45), "utime": (132, None), "utimes": (235, None), "futimesat": (261, None),
    "utimensat": (280, 88),
}  # fmt: skip
"""What changes files without opening them: Landlock lets it pass, a file system that is read-only does not."""
_KILL, _TGKILL, _CLONE, _CLONE3 = (62, 129), (234, 131), (56, 220), (435, 435)
_PRCTL, _PRLIMIT, _SOCKETPAIR = (157, 167), (302, 261), (53, 199)
_FCNTL, _IOCTL = (72, 25), (16, 29)
_OWNED_BY: Final = (8, 15)
"""F_SETOWN and F_SETOWN_EX of `fcntl`: whom the kernel sends a signal when something can be read."""
_OWNED_BY_IOCTL: Final = (0x8901, 0x8902)
"""The same, FIOSETOWN and SIOCSPGRP of `ioctl`."""
_DATAGRAMS: Final = 2
"""A bit of the types of sockets that can send to any address, without being connected to it."""
_CLONE_THREAD: Final = 0x10000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _ARGUMENT = 0, 4, 16, 8
_ALLOW, _END, _ERROR, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x00050000, 1, 38

Step = tuple[int, int, int, int]


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


class _Step(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("value", ctypes.c_uint32))


def filter_calls(*, files: bool) -> None:
    """Turn system calls away from now on, for good; with `files` those too that change files without opening them.

    Raises OSError where it can't be done.
    """
    if not NUMBERED_ALIKE:
        raise OSError(f"seccomp: system calls of {MACHINE} are not known")
    steps = _steps(_OF_OTHERS_FILES if files else {})
    packed = b"".join(bytes(_Step(*step)) for step in steps)
    prctl(38, 1)  # PR_SET_NO_NEW_PRIVS, without which no filter may be set
    prctl(22, 2, _Filter(len(steps), packed))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def _steps(more: Calls) -> list[Step]:
    intel = MACHINE == "x86_64"
    column, architecture = (0, 0xC000003E) if intel else (1, 0xC00000B7)
    me = os.getpid()
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),  # others have other numbers
        (_RETURN, 0, 0, _END),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if intel:
        steps += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _ERROR | _EPERM)]  # x32: once more, renumbered
    for numbers in (*_NEVER.values(), *more.values()):
        number = numbers[column]
        if number is not None:
            steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERROR | _EPERM)]
    # `clone3` hides its flags from a filter; where it is missing, the C library starts threads by `clone`.
    steps += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _ERROR | _ENOSYS)]
    steps += _only(_CLONE[column], (_ANY_BIT, 1, 0, _CLONE_THREAD))
    steps += _only(_KILL[column], (_EQUAL, 1, 0, me))
    steps += _only(_TGKILL[column], (_EQUAL, 1, 0, me))
    steps += _only(_PRLIMIT[column], (_EQUAL, 1, 0, 0))  # its own limits, which it can read and lower
    steps += _only(_PRCTL[column], (_EQUAL, 0, 1, 1))  # PR_SET_PDEATHSIG: it ends with its warden
    steps += _only(_SOCKETPAIR[column], (_ANY_BIT, 0, 1, _DATAGRAMS), argument=1)
    for call, owned_by in ((_FCNTL, _OWNED_BY), (_IOCTL, _OWNED_BY_IOCTL)):
        for command in owned_by:
            steps += _never(call[column], command)
    return [*steps, (_RETURN, 0, 0, _ALLOW)]


def _never(number: int, second: int) -> list[Step]:
    """Turn a call away if its second argument is this."""
    return [
        (_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT + _ARGUMENT),
        (_EQUAL, 0, 1, second),
        (_RETURN, 0, 0, _ERROR | _EPERM),
        (_LOAD, 0, 0, _NUMBER),
    ]


def _only(number: int, test: Step, argument: int = 0) -> list[Step]:
    """Allow a call if a test of its first argument, or a later one, jumps over one step, else turn it away."""
    return [
        (_EQUAL, 0, 4, number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT + argument * _ARGUMENT),
        test,
        (_RETURN, 0, 0, _ERROR | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
