"""Forgets everything that a caller can leave in a process it starts through sudo.

The caller is the bridge, which talks to the network: it must not choose descriptors, limits,
signals or an environment for what root runs. sudo does a part of this; a part is a setting
that an administrator may have changed.
"""

import os
import resource
import signal

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}

_FREE = resource.RLIM_INFINITY
LIMITS = {
    resource.RLIMIT_AS: (_FREE, _FREE),
    resource.RLIMIT_CORE: (0, _FREE),
    resource.RLIMIT_CPU: (_FREE, _FREE),
    resource.RLIMIT_DATA: (_FREE, _FREE),
    resource.RLIMIT_FSIZE: (_FREE, _FREE),
    resource.RLIMIT_NOFILE: (1024, 524288),
    resource.RLIMIT_NPROC: (_FREE, _FREE),
    resource.RLIMIT_STACK: (8 << 20, _FREE),
}
"""Limit -> (soft, hard): what a system service starts with."""


def reset() -> None:
    """Make this process as if init had started it, with every signal held back.

    Held back, because sudo relays what it is sent: a SIGTERM meant for the bridge must not end
    a verb half-way. `running` looks at those that it wants to hear.
    """
    _hold_signals()
    _own_descriptors()
    os.chdir("/")
    os.umask(0o022)
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    _set_niceness()
    for limit, wanted in LIMITS.items():
        _set_limit(limit, wanted)


def hear_signals() -> None:
    """For what may be ended at any time, because nothing of it is half-done then."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def signals_with_a_choice() -> set[signal.Signals]:
    """Every signal whose effect a process can choose."""
    return signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


def _hold_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    for number in signals_with_a_choice():
        signal.signal(number, signal.SIG_DFL)


def _own_descriptors() -> None:
    """0, 1 and 2 are open, and nothing else is."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open("/dev/null", os.O_RDWR)  # takes the lowest free number: this one
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:  # the listing's own
                pass


def _set_niceness() -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    except OSError:  # root of a container may not
        pass


def _set_limit(limit: int, wanted: tuple[int, int]) -> None:
    try:
        resource.setrlimit(limit, wanted)
    except (ValueError, OSError):  # nor raise these
        hard = resource.getrlimit(limit)[1]
        resource.setrlimit(limit, (hard, hard))
