"""The one error that a person outside the code can mend."""


class InputError(Exception):
    """Something given from outside cannot be used; the message is one sentence that names the setting to change.

    Attributes:
        without_data: the same without what it quotes of the data, where it quotes any: for those who may not see these.
    """

    def __init__(self, message: str = "", *, without_data: str | None = None):
        super().__init__(message)
        self.without_data = without_data


class OutOfReachError(InputError):
    """What is unavailable now, and may become available again by itself."""
