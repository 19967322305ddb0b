"""The one exception for bad input."""

import click


class InputError(click.ClickException, ValueError):
    """Bad input that a person has to fix: names the file, the row or key, the value, and the fix.

    A `ClickException`, so that every stage and command ends with one line and exit code 1 instead
    of a traceback.
    """
