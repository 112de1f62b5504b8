"""What a verb wants done."""

from collections.abc import Callable, Sequence


class Plan:
    """A program to run as root, and how long to wait for it.

    argv      absolute program and arguments
    first     the same, of what has to be done before it
    deadline  seconds after which the program is ended, whatever it does
    timeout   seconds that the owner's own command has, if there is one in argv
    detached  the work is systemd's: it goes on when nobody waits for the program
    strict    a complaint on stderr is a failure, though the program's exit code is 0
    then      made of what the program wrote: what to do next, or None
    """

    __slots__ = ("argv", "deadline", "detached", "first", "strict", "then", "timeout")

    def __init__(
        self,
        argv: Sequence[str],
        *,
        deadline: float,
        first: Sequence[str] = (),
        timeout: float | None = None,
        detached: bool = False,
        strict: bool = False,
        then: "Callable[[str], Plan | None] | None" = None,
    ) -> None:
        self.argv = tuple(argv)
        self.first = tuple(first)
        self.deadline = deadline
        self.timeout = timeout
        self.detached = detached
        self.strict = strict
        self.then = then
