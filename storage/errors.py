"""The one error that a person outside the code can mend."""


class InputError(Exception):
    """Something given from outside cannot be used; the message is one sentence that names the setting to change."""


class OutOfReachError(InputError):
    """What cannot be had right now, and may be had in a while without anybody doing anything."""
