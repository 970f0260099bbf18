"""Which frames are being executed, in this thread and in others: so what an interrupt has left behind is found.

Another thread goes on while its stack is looked at. A function that has ended still says who called it, but a generator
that was left does not: there the stack is cut off, and nothing is known of what is below. A generator is left at the
beginning and the end of each ``with`` of a `contextlib.contextmanager`, so this happens.
"""

from __future__ import annotations

from types import FrameType

_GENERATORS = 0x20 | 0x80 | 0x100 | 0x200
"""The flags of generators and coroutines in `code.co_flags`, by the names CO_GENERATOR, CO_COROUTINE,
CO_ITERABLE_COROUTINE and CO_ASYNC_GENERATOR of `inspect`, which takes long to import."""


def on_stack(frame: FrameType, innermost: FrameType | None) -> bool:
    """Return whether a frame is being executed: whether it is ``innermost`` or one of its callers.

    Also true if that cannot be told, because the stack of another thread is cut off. Look again later, with the frame
    that is then the innermost one.
    """
    last = None
    while innermost is not None:
        if innermost is frame:
            return True
        last, innermost = innermost, innermost.f_back
    return last is not None and is_cut_off(last)


def is_cut_off(outermost: FrameType) -> bool:
    """Return whether the last frame that was found on a stack had a caller: no thread begins with a generator."""
    return bool(outermost.f_code.co_flags & _GENERATORS)
