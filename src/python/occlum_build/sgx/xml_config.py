"""The signing configuration: `Enclave.xml` as sgx_sign of the SGX SDK 2.20 understands it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from occlum_build.errors import OcclumError, Place, Problem
from occlum_build.sgx.records import PAGE_SIZE
from occlum_build.sgx.xml_reader import Element, read_parameters

MAX_SIZE_BYTES = (2**64 - 1) // 2
U32_MAX = 2**32 - 1
U64_MAX = 2**64 - 1


class Parameter(NamedTuple):
    """The least, greatest and default value of one element."""

    least: int
    greatest: int
    default: int


_FLAG = Parameter(0, 1, 0)
_ID = Parameter(0, U64_MAX, 0)

PARAMETERS: Mapping[str, Parameter] = {
    "ProdID": Parameter(0, 0xFFFF, 0),
    "ISVSVN": Parameter(0, 0xFFFF, 0),
    "ReleaseType": _FLAG,
    "IntelSigned": _FLAG,
    "ProvisionKey": _FLAG,
    "LaunchKey": _FLAG,
    "DisableDebug": _FLAG,
    "HW": Parameter(0, 16, 0),
    "TCSNum": Parameter(1, U32_MAX, 1),
    "TCSMaxNum": Parameter(1, U32_MAX, 1),
    "TCSMinPool": Parameter(0, U32_MAX, 1),
    "TCSPolicy": Parameter(0, 1, 1),
    "StackMaxSize": Parameter(0x2000, MAX_SIZE_BYTES, 0x40000),
    "StackMinSize": Parameter(0x2000, MAX_SIZE_BYTES, 0x2000),
    "HeapMaxSize": Parameter(0, MAX_SIZE_BYTES, 0x1000000),
    "HeapMinSize": Parameter(0, MAX_SIZE_BYTES, 0x1000),
    "HeapInitSize": Parameter(0, MAX_SIZE_BYTES, 0x1000),
    "ReservedMemMaxSize": Parameter(0, MAX_SIZE_BYTES, 0),
    "ReservedMemMinSize": Parameter(0, MAX_SIZE_BYTES, 0),
    "ReservedMemInitSize": Parameter(0, MAX_SIZE_BYTES, 0),
    "ReservedMemExecutable": _FLAG,
    "UserRegionSize": Parameter(0, MAX_SIZE_BYTES, 0),
    "MiscSelect": Parameter(0, U32_MAX, 0),
    "MiscMask": Parameter(0, U32_MAX, U32_MAX),
    "EnableKSS": _FLAG,
    "ISVFAMILYID_H": _ID,
    "ISVFAMILYID_L": _ID,
    "ISVEXTPRODID_H": _ID,
    "ISVEXTPRODID_L": _ID,
    "EnclaveImageAddress": Parameter(0x1000, MAX_SIZE_BYTES, 0),
    "ELRangeStartAddress": Parameter(0, MAX_SIZE_BYTES, 0),
    "ELRangeSize": Parameter(0x1000, MAX_SIZE_BYTES, 0),
    "PKRU": Parameter(0, 2, 0),
    "AMX": Parameter(0, 2, 0),
    "EnableAEXNotify": _FLAG,
}
_PAGE_ALIGNED = (
    *("StackMaxSize", "StackMinSize", "HeapMaxSize", "HeapMinSize", "HeapInitSize"),
    *("ReservedMemMaxSize", "ReservedMemMinSize", "ReservedMemInitSize", "UserRegionSize"),
    *("EnclaveImageAddress", "ELRangeStartAddress", "ELRangeSize"),
)
_KSS_IDS = ("ISVFAMILYID_H", "ISVFAMILYID_L", "ISVEXTPRODID_H", "ISVEXTPRODID_L")


@dataclass(frozen=True)
class MemorySizes:
    """The three levels of a memory region, in bytes: added, committed at start, reserved."""

    least: int
    init: int
    greatest: int

    @property
    def is_dynamic(self) -> bool:
        return not self.least == self.init == self.greatest


@dataclass(frozen=True)
class ElRange:
    """The address range of an enclave and where in it the image lies, in bytes."""

    image_address: int
    start: int
    size: int

    @property
    def image_offset(self) -> int:
        return self.image_address - self.start


@dataclass(frozen=True)
class EnclaveConfig:
    """A checked signing configuration; `places` says where in the file each element stands."""

    values: Mapping[str, int]
    heap: MemorySizes
    reserved: MemorySizes
    tcs_max_num: int
    elrange: ElRange | None
    places: Mapping[str, Place]

    def __getitem__(self, name: str) -> int:
        """The value of an element of `PARAMETERS`: the given one or the default."""
        return self.values[name]


def parse_config(text: bytes | None, file: str = "Enclave.xml") -> EnclaveConfig:
    """Parse and check the XML text; None stands for no file, which means all defaults.

    Raises OcclumError `enclave-xml` with the place of every offending element.
    """
    elements = {} if text is None else read_parameters(text, file, PARAMETERS)
    problems = [
        Problem(
            "enclave-xml",
            f"{name} = {element.value} is not within {least}..{greatest}",
            element.place,
        )
        for name, element in elements.items()
        for least, greatest, _ in [PARAMETERS[name]]
        if not least <= element.value <= greatest
    ]
    values = {name: parameter.default for name, parameter in PARAMETERS.items()}
    values.update((name, element.value) for name, element in elements.items())
    config = EnclaveConfig(
        values=values,
        heap=_memory_sizes("Heap", values, elements),
        reserved=_memory_sizes("ReservedMem", values, elements),
        tcs_max_num=values["TCSMaxNum"] if "TCSMaxNum" in elements else values["TCSNum"],
        elrange=_elrange(values) if "ELRangeSize" in elements else None,
        places={name: element.place for name, element in elements.items()},
    )
    if not problems:
        problems = [
            Problem("enclave-xml", f"{name}: {message}", config.places.get(name, Place(file)))
            for name, message in _conflicts(config)
        ]
    if problems:
        raise OcclumError.of(problems)
    return config


def _memory_sizes(
    prefix: str, values: Mapping[str, int], elements: Mapping[str, Element]
) -> MemorySizes:
    greatest = values[f"{prefix}MaxSize"]
    init_name = f"{prefix}InitSize"
    init = values[init_name] if init_name in elements else greatest
    return MemorySizes(values[f"{prefix}MinSize"], init, greatest)


def _elrange(values: Mapping[str, int]) -> ElRange:
    return ElRange(
        values["EnclaveImageAddress"], values["ELRangeStartAddress"], values["ELRangeSize"]
    )


def _conflicts(config: EnclaveConfig) -> Iterator[tuple[str, str]]:
    """The element and the message of each rule that values break together."""
    for name in _PAGE_ALIGNED:
        if config[name] % PAGE_SIZE:
            yield name, f"{config[name]:#x} is not a multiple of the page size 0x1000"
    if config["StackMinSize"] > config["StackMaxSize"]:
        yield "StackMinSize", "is above StackMaxSize"
    for prefix, sizes in (("Heap", config.heap), ("ReservedMem", config.reserved)):
        if sizes.init > sizes.greatest:
            yield f"{prefix}InitSize", f"is above {prefix}MaxSize"
        elif sizes.least > sizes.init:
            upper = "InitSize" if f"{prefix}InitSize" in config.places else "MaxSize"
            yield f"{prefix}MinSize", f"is above {prefix}{upper}"
    yield from _thread_conflicts(config)
    if (config["HW"] == 0) != (config["LaunchKey"] == 0):
        name = "LaunchKey" if config["LaunchKey"] else "HW"
        yield name, "LaunchKey and HW are either both zero or both not"
    for name in _KSS_IDS:
        if config[name] and not config["EnableKSS"]:
            yield name, "needs EnableKSS = 1"
    yield from _elrange_conflicts(config)


def _thread_conflicts(config: EnclaveConfig) -> Iterator[tuple[str, str]]:
    if config.tcs_max_num < config["TCSNum"]:
        yield "TCSMaxNum", "is below TCSNum"
    if config["TCSMinPool"] > config.tcs_max_num:
        limit = "TCSMaxNum" if "TCSMaxNum" in config.places else "TCSNum"
        yield "TCSMinPool", f"is above {limit}"
    if config["UserRegionSize"] and not config["MiscSelect"] & config["MiscMask"] & 1:
        yield "UserRegionSize", "needs bit 0 of MiscSelect and of MiscMask (dynamic memory)"


def _elrange_conflicts(config: EnclaveConfig) -> Iterator[tuple[str, str]]:
    elrange = config.elrange
    if elrange is None:
        for name in ("EnclaveImageAddress", "ELRangeStartAddress"):
            if name in config.places:
                yield name, "needs ELRangeSize"
        return
    if elrange.size & (elrange.size - 1):
        yield "ELRangeSize", f"{elrange.size:#x} is not a power of two"
    elif elrange.start % elrange.size:
        yield "ELRangeStartAddress", "is not a multiple of ELRangeSize"
    if elrange.image_address < elrange.start:
        yield "EnclaveImageAddress", "is below ELRangeStartAddress"
