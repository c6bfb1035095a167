"""What torch need not warn of. Importing this costs nothing."""

import warnings


def allow_read_only() -> None:
    """Keep torch from warning that arrays which processes share are read-only; nobody writes to them."""
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
