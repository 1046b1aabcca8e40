"""SIGSTRUCT: the 1808 bytes that a CPU checks when it initialises an enclave (Intel SDM 37.14)."""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass, replace

from occlum_build.errors import OcclumError
from occlum_build.sgx.attributes import Attributes
from occlum_build.sgx.records import Record
from occlum_build.sgx.xml_config import EnclaveConfig

SIGSTRUCT_SIZE = 1808
MODULUS_SIZE = 384
EXPONENT = 3

_HEADER = bytes.fromhex("06000000E100000000000100")
_HEADER2 = bytes.fromhex("01010000600000006000000001000000")
_RELEASE_TYPE = 1 << 31
_VENDOR_INTEL = 0x8086
_SIGNED_PARTS = (slice(0, 128), slice(900, 1028))

SIGSTRUCT = Record(
    SIGSTRUCT_SIZE,
    {
        "header": (0, "12s"),
        "type": (12, "I"),
        "vendor": (16, "I"),
        "date_bcd": (20, "I"),
        "header2": (24, "16s"),
        "hw_version": (40, "I"),
        "modulus": (128, "384s"),
        "exponent": (512, "I"),
        "signature": (516, "384s"),
        "misc_select": (900, "I"),
        "misc_mask": (904, "I"),
        "isv_family_id": (912, "16s"),
        "flags": (928, "Q"),
        "xfrm": (936, "Q"),
        "flags_mask": (944, "Q"),
        "xfrm_mask": (952, "Q"),
        "mrenclave": (960, "32s"),
        "isv_ext_prod_id": (1008, "16s"),
        "isv_prod_id": (1024, "H"),
        "isv_svn": (1026, "H"),
        "q1": (1040, "384s"),
        "q2": (1424, "384s"),
    },
)


@dataclass(frozen=True)
class Sigstruct:
    """A SIGSTRUCT. Numbers are numbers, `modulus` to `q2` too; ids and MRENCLAVE are raw bytes."""

    date_bcd: int
    misc_select: int
    misc_mask: int
    flags: int
    flags_mask: int
    xfrm: int
    xfrm_mask: int
    mrenclave: bytes
    isv_prod_id: int
    isv_svn: int
    isv_family_id: bytes = bytes(16)
    isv_ext_prod_id: bytes = bytes(16)
    type: int = 0
    vendor: int = 0
    hw_version: int = 0
    modulus: int = 0
    exponent: int = 0
    signature: int = 0
    q1: int = 0
    q2: int = 0

    @classmethod
    def of(
        cls,
        config: EnclaveConfig,
        attributes: Attributes,
        mrenclave: bytes,
        date: datetime.date,
    ) -> Sigstruct:
        """The SIGSTRUCT to be signed."""
        return cls(
            date_bcd=int(f"{date.year:04}{date.month:02}{date.day:02}", 16),
            misc_select=config["MiscSelect"],
            misc_mask=config["MiscMask"],
            flags=attributes.flags,
            flags_mask=attributes.flags_mask,
            xfrm=attributes.xfrm,
            xfrm_mask=attributes.xfrm_mask,
            mrenclave=mrenclave,
            isv_prod_id=config["ProdID"],
            isv_svn=config["ISVSVN"],
            isv_family_id=_id128(config, "ISVFAMILYID"),
            isv_ext_prod_id=_id128(config, "ISVEXTPRODID"),
            type=_RELEASE_TYPE if config["ReleaseType"] else 0,
            vendor=_VENDOR_INTEL if config["IntelSigned"] else 0,
            hw_version=config["HW"],
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Sigstruct:
        """Read 1808 bytes; OcclumError `sigstruct` when they are no SIGSTRUCT."""
        if len(data) != SIGSTRUCT_SIZE:
            raise OcclumError(
                "sigstruct", f"a SIGSTRUCT has {SIGSTRUCT_SIZE} bytes, not {len(data)}"
            )
        fields = SIGSTRUCT.unpack(data)
        if (fields.pop("header"), fields.pop("header2")) != (_HEADER, _HEADER2):
            raise OcclumError("sigstruct", "no SIGSTRUCT: its constant header bytes differ")
        for name in ("modulus", "signature", "q1", "q2"):
            fields[name] = int.from_bytes(fields[name], "little")
        return cls(**fields)

    def to_bytes(self) -> bytes:
        """The 1808 bytes."""
        fields = {
            name: getattr(self, name)
            for name in SIGSTRUCT.fields
            if name not in ("header", "header2", "modulus", "signature", "q1", "q2")
        }
        numbers = {
            name: getattr(self, name).to_bytes(MODULUS_SIZE, "little")
            for name in ("modulus", "signature", "q1", "q2")
        }
        return SIGSTRUCT.pack(header=_HEADER, header2=_HEADER2, **fields, **numbers)

    def signing_data(self) -> bytes:
        """The 256 bytes that the signature covers."""
        data = self.to_bytes()
        return b"".join(data[part] for part in _SIGNED_PARTS)

    @property
    def date(self) -> str:
        """The date as YYYYMMDD."""
        return f"{self.date_bcd:08x}"

    @property
    def mrsigner(self) -> bytes:
        """SHA-256 of the modulus: who signed."""
        return hashlib.sha256(self.modulus.to_bytes(MODULUS_SIZE, "little")).digest()

    def signed(self, signature: int, modulus: int) -> Sigstruct:
        """With this signature, and the quotients that let a CPU check it without dividing."""
        square = signature * signature
        return replace(
            self,
            modulus=modulus,
            exponent=EXPONENT,
            signature=signature,
            q1=square // modulus,
            q2=square % modulus * signature // modulus,
        )


def _id128(config: EnclaveConfig, prefix: str) -> bytes:
    number = config[f"{prefix}_H"] << 64 | config[f"{prefix}_L"]
    return number.to_bytes(16, "little")
