"""How fast a GPU reads its memory. A decode step reads every weight once, so this limits its speed.

The figures are from NVIDIA's data sheets and product pages, by the name that the driver gives the device.
"""

from collections.abc import Mapping

BYTES_PER_SECOND: Mapping[str, float] = {  # of the names that a device's name contains, the longest counts
    "B200": 8.0e12,  # "HGX B200": 64 TB/s of eight
    "H200": 4.8e12,  # "H200 Tensor Core GPU": SXM and NVL
    "H100": 3.35e12,  # "H100 Tensor Core GPU": SXM
    "H100 NVL": 3.9e12,
    "H100 PCIe": 2.0e12,
    "A100-SXM4-80GB": 2.039e12,  # "A100 80GB": SXM
    "A100 80GB PCIe": 1.935e12,
    "A100-SXM4-40GB": 1.555e12,  # "A100 40GB", both forms
    "A100-PCIE-40GB": 1.555e12,
    "L40S": 0.864e12,
    "L4": 0.3e12,
    "A10G": 0.6e12,  # as the A10
    "V100-SXM2-16GB": 0.9e12,  # "V100": 900 GB/s in both forms, and with either memory
    "V100-SXM2-32GB": 0.9e12,
    "V100-PCIE-16GB": 0.9e12,
    "V100-PCIE-32GB": 0.9e12,
    "T4": 0.32e12,
    "GeForce RTX 4090": 1.008e12,
    "GeForce RTX 3090": 0.936e12,
}


def bandwidth(device: str) -> float | None:
    """Bytes a second of the device of this name. None if it is not in the table, or is a slice of a card (MIG)."""
    words = f" {device} "
    if " MIG " in words:  # "NVIDIA A100-SXM4-40GB MIG 1g.5gb": a share of the card's memory channels
        return None
    known = [name for name in BYTES_PER_SECOND if f" {name} " in words]
    if not known:
        return None
    return BYTES_PER_SECOND[max(known, key=len)]
