"""CRC-16/CCITT-FALSE, the check of `hdk+` lines (H6)."""

from __future__ import annotations

import binascii


def crc16_ccitt_false(data: bytes) -> int:
    """Polynomial 0x1021, start 0xFFFF, no reflection: b"123456789" gives 0x29B1."""
    return binascii.crc_hqx(data, 0xFFFF)
