"""A process that ends at one of the requests with which it changes a bucket."""

from collections.abc import Callable
from typing import Any


class Killed(BaseException):
    """The process ends at this request."""


def until(left: list[int], change: Callable[..., Any]) -> Callable[..., Any]:
    """Calls `change` as often as `left` says."""

    def made(*args: Any) -> Any:
        if "lease" not in args[0]:
            if not left[0]:
                raise Killed
            left[0] -= 1
        return change(*args)

    return made
