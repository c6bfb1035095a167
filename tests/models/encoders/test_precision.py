"""Devices and number formats that settings name; GPUs, which are not here, are played."""

import pytest
import torch

from models.device import devices_of
from models.encoders.precision import dtype_of
from models.errors import ModelError

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch, "empty", lambda size, device: None)
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.device("cpu"))


@pytest.mark.usefixtures("gpus")
def test_every_gpu_is_meant_unless_one_is_named() -> None:
    assert [str(device) for device in devices_of("auto")] == ["cuda:0", "cuda:1", "cuda:2"]
    assert [str(device) for device in devices_of("cuda")] == ["cuda:0", "cuda:1", "cuda:2"]
    assert [str(device) for device in devices_of("cuda:1")] == ["cuda:1"]
    assert [str(device) for device in devices_of("cpu")] == ["cpu"]


@pytest.mark.parametrize("name", ["cuda:99", "quantum"])
def test_a_device_that_is_not_there_is_one_sentence(name: str) -> None:
    with pytest.raises(ModelError, match=f"device is '{name}'"):
        devices_of(name)


@pytest.mark.parametrize(
    ("bf16", "amx", "dtype"),
    [
        (True, False, torch.bfloat16),
        (False, True, torch.bfloat16),
        (False, False, torch.float32),
    ],
)
def test_auto_is_bfloat16_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, amx: bool, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert dtype_of("auto", CPU, "image_precision") is dtype


@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(("bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float16)])
def test_auto_is_half_precision_on_a_gpu(monkeypatch: pytest.MonkeyPatch, bf16: bool, dtype: torch.dtype) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    assert dtype_of("auto", GPU, "image_precision") is dtype


@pytest.mark.usefixtures("gpus")
def test_bfloat16_on_a_gpu_without_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    with pytest.raises(ModelError, match="text_precision is 'bf16', and cuda:0 has no bfloat16"):
        dtype_of("bf16", GPU, "text_precision")
    assert dtype_of("fp16", GPU, "text_precision") is torch.float16


def test_a_precision_that_there_is_none_of() -> None:
    with pytest.raises(ModelError, match="text_precision is 'int8', and it can be auto, fp32, bf16, fp16"):
        dtype_of("int8", CPU, "text_precision")


def test_fp32_is_meant_exactly() -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    assert dtype_of("fp32", CPU, "image_precision") is torch.float32
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
