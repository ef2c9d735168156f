"""The one exception that means: the user can mend this."""


class EdgekitError(Exception):
    """An error that a user caused and can mend; the CLI prints it in one line and exits 1.

    ``message`` names the file or value and what is wrong with it, ``hint`` says what to do.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message
