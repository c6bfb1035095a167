"""Which processor a model runs on."""

import torch

from models.errors import ModelError


def device_of(name: str) -> torch.device:
    """The device that a setting names; `auto` is a GPU where there is one.

    Raises:
        ModelError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise ModelError(f"device is {name!r}, and this machine has none of that name") from None
    return device
