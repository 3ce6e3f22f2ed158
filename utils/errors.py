"""Errors on purpose: a learner should have met them before they matter."""
from collections.abc import Callable


def show_error(action: Callable[[], object], hide: str = "") -> None:
    """Runs an action that must fail, and prints the error's kind and the first sentence of its message.

    Args:
        action: called without arguments.
        hide: text to leave out of the message, such as the path of a temporary folder.

    Raises:
        AssertionError: the action did not fail.
    """
    try:
        action()
    except Exception as error:
        print(f"{type(error).__name__}: {str(error).replace(hide, '').split('. ')[0].strip()}")
    else:
        raise AssertionError("no error was raised")
