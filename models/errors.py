"""The error of a model that a person can mend by a setting."""


class ModelError(Exception):
    """What a setting asks of a model cannot be had; the message is one sentence that names the setting."""
