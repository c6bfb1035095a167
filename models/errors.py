"""The errors of a model that a person can mend."""


class ModelError(Exception):
    """What a setting asks of a model is impossible; the message is one sentence that names the setting."""


class LostProcessError(ModelError):
    """Of the processes that share a training one is not there, or not any more."""
