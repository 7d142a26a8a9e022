"""Ends this process when its parent does."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent(parent: int) -> None:
    """Have the kernel send us SIGTERM when `parent` dies; end at once if it is not our parent any more.

    The kernel ties this to the *thread* that started us: the parent must start us on one that lasts.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    if os.getppid() != parent:  # it died before the call above, so no signal will come
        raise SystemExit(0)
