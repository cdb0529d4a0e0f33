"""The frames of an error, as an error tracker sees them."""

from __future__ import annotations

import traceback
from types import FrameType


def frames_of(error: BaseException, module: str) -> list[FrameType]:
    """Return the frames of an error, and of the errors that led to it.

    Args:
        error: The error.
        module: The start of the names of the modules whose frames to return.
    """
    frames: list[FrameType] = []
    pending: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while pending:
        current = pending.pop()
        if current is not None and not any(current is other for other in seen):
            seen.append(current)
            frames += [frame for frame, _ in traceback.walk_tb(current.__traceback__)]
            pending += [current.__cause__, current.__context__]
    return [frame for frame in frames if frame.f_globals["__name__"].startswith(module)]
