"""What is worked out once in a run, a failure included."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, ParamSpec, TypeVar

Asked = ParamSpec("Asked")
Found = TypeVar("Found")


class Once(Generic[Asked, Found]):
    """Decorates a function: who asks first waits for it to run, and all others get what came of it.

    Unlike with functools.cache, that may be an exception, and who asks meanwhile waits too.
    """

    def __init__(self, function: Callable[Asked, Found]) -> None:
        self._function = function
        self._outcomes: dict[object, Future[Found]] = {}
        self.__doc__ = function.__doc__

    def __call__(self, *args: Asked.args, **kwargs: Asked.kwargs) -> Found:
        """Return what the function returned for these arguments, or raise what it raised."""
        own: Future[Found] = Future()
        outcome = self._outcomes.setdefault((args, *sorted(kwargs.items())), own)
        if outcome is own:
            try:
                own.set_result(self._function(*args, **kwargs))
            except BaseException as error:
                own.set_exception(error)
        return outcome.result()

    def cache_clear(self) -> None:
        """Forget what came of all arguments."""
        self._outcomes.clear()
