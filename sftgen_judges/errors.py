"""The base of every error that the user can fix. It is shown as one message, never as a traceback."""


class SftgenError(Exception):
    """Something that sftgen was given cannot be used; the message names it, what was expected, and what to do."""
