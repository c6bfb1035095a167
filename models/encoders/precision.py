"""In which number format an encoder computes; what it returns is float32 in any case."""

import torch

from models.errors import ModelError

AUTO = "auto"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def dtype_of(precision: str, device: torch.device, setting: str) -> torch.dtype:
    """The number format that a setting names; `auto` is the half precision that the device is fast in, else fp32.

    Args:
        precision: `auto`, `fp32`, `bf16` or `fp16`. fp32 is meant exactly: TF32 is switched off for this process.
        setting: the setting that gave it, for the sentence of an error.

    Raises:
        ModelError: there is no such format, or the device has none.
    """
    if precision != AUTO and precision not in DTYPES:
        raise ModelError(f"{setting} is {precision!r}, and it can be {AUTO}, {', '.join(DTYPES)}")
    dtype = _fast_dtype(device) if precision == AUTO else DTYPES[precision]
    if dtype is torch.bfloat16 and device.type == "cuda" and not _has_bf16(device):
        raise ModelError(f"{setting} is {precision!r}, and {device} has no bfloat16; fp16 or {AUTO} is possible")
    if dtype is torch.float32:
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    return dtype


def _fast_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cuda":
        return torch.bfloat16 if _has_bf16(device) else torch.float16
    # Elsewhere bfloat16 is emulated, which is slower than fp32.
    fast = device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return torch.bfloat16 if fast else torch.float32


def _has_bf16(device: torch.device) -> bool:
    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)
