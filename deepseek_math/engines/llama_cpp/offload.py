"""Which layers of a model go onto a GPU: as many as fit, where this build of llama.cpp has a device.

The package for Linux has none, that for macOS has Metal, and other builds have CUDA, Vulkan or more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import xllamacpp

from deepseek_math.errors import ServiceError

USABLE = 0.9  # of the devices' free memory
RESERVED = 1 << 29  # bytes of it that llama.cpp computes in
KINDS = xllamacpp.ggml_backend_dev_type
GPU, BUILT_IN = KINDS.GGML_BACKEND_DEVICE_TYPE_GPU, KINDS.GGML_BACKEND_DEVICE_TYPE_IGPU


@dataclass(frozen=True, slots=True)
class Device:
    name: str
    description: str
    free: int  # bytes


@dataclass(frozen=True, slots=True)
class Offload:
    """What of a model is where."""

    layers: int  # on the devices
    of: int  # all layers, the output counted as one, as llama.cpp counts them
    devices: tuple[Device, ...] = ()
    slots: int | None = None  # that the devices have room for, where all layers are there

    @property
    def host_share(self) -> float:
        """Of the weights and of the KV cache, what this machine's own memory must hold."""
        return 1 - self.layers / self.of

    def __str__(self) -> str:
        names = " and ".join(f"{device.name} ({device.description})" for device in self.devices)
        return f"{self.layers} of {self.of} layers on {names}"


def devices() -> list[Device]:
    """The GPUs that this build of llama.cpp can use; one inside the processor counts where there is no other."""
    found: dict[object, list[Device]] = {GPU: [], BUILT_IN: []}
    for entry in xllamacpp.get_device_info():
        if entry["type"] in found:
            found[entry["type"]].append(Device(entry["name"], entry["description"], entry["memory_free"]))
    return found[GPU] or found[BUILT_IN]


def plan(wanted: int | None, found: Sequence[Device], blocks: int, weights: int, each: int, slots: int) -> Offload:
    """Where the layers go of a model with `blocks` of them, and with `weights` bytes.

    `wanted` is GPU_LAYERS, None for as many as fit; `each` is the KV cache of one request in bytes, and `slots` how
    many there are to be. Where all layers fit beside one request, they go there, and the slots shrink to what is left.
    Every layer is taken for as large as the others. Raises ServiceError.
    """
    of = blocks + 1
    if not found and wanted:
        raise ServiceError(
            "setting_invalid",
            f"GPU_LAYERS={wanted}, and this build of llama.cpp has no GPU to put layers on. Leave it unset, or install "
            "a build of xllamacpp that has one.",
        )
    if not found or wanted == 0:
        return Offload(0, of)
    room = max(0, int(USABLE * sum(device.free for device in found)) - RESERVED)
    fits_whole = weights + each <= room
    if wanted is None:
        wanted = of if fits_whole else int(room / ((weights + slots * each) / of))
    layers = min(wanted, of)
    whole = layers == of
    return Offload(layers, of, tuple(found), max(1, min(slots, (room - weights) // each)) if whole else None)
