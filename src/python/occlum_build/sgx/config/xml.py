"""EnclaveSettings -> Enclave.xml, the signing tool's configuration, as Occlum 0.31 writes it."""

from __future__ import annotations

from collections.abc import Sequence

from occlum_build.sgx.config.model import EnclaveSettings


def enclave_xml(settings: EnclaveSettings) -> bytes:
    """One line, no declaration, no newline at the end; the elements and their order are Occlum's.

    To sgx_sign an element that is there is "given", also with its default value: none is left out.
    """
    elements = (*_sizes(settings), *_reserved(settings), *_identity(settings))
    body = "".join(f"<{name}>{value}</{name}>" for name, value in elements)
    return f"<EnclaveConfiguration>{body}</EnclaveConfiguration>".encode("ascii")


def _sizes(settings: EnclaveSettings) -> Sequence[tuple[str, object]]:
    threads, heap = settings.threads, settings.heap
    return (
        ("ProdID", settings.product_id),
        ("ISVSVN", settings.version_number),
        ("StackMaxSize", settings.stack_size),
        ("StackMinSize", settings.stack_size),
        ("HeapInitSize", heap.init),
        ("HeapMaxSize", heap.maximum),
        ("HeapMinSize", heap.init),
        ("TCSNum", threads.init),
        ("TCSMaxNum", threads.maximum),
        ("TCSMinPool", threads.init),
        ("TCSPolicy", 0),
    )


def _reserved(settings: EnclaveSettings) -> Sequence[tuple[str, object]]:
    reserved, region = settings.user_space.reserved, settings.user_space.region
    return (
        ("DisableDebug", int(not settings.debuggable)),
        ("MiscSelect", int(settings.edmm)),
        ("MiscMask", "0xFFFFFFFF" if settings.edmm else 0),
        ("ReservedMemMaxSize", reserved),
        ("ReservedMemMinSize", reserved),
        ("ReservedMemInitSize", reserved),
        ("ReservedMemExecutable", 1),
        *([] if region is None else [("UserRegionSize", region)]),
    )


def _identity(settings: EnclaveSettings) -> Sequence[tuple[str, object]]:
    return (
        ("EnableKSS", int(settings.enable_kss)),
        ("ISVEXTPRODID_H", settings.ext_prod_id.high),
        ("ISVEXTPRODID_L", settings.ext_prod_id.low),
        ("ISVFAMILYID_H", settings.family_id.high),
        ("ISVFAMILYID_L", settings.family_id.low),
        ("PKRU", settings.pkru),
        ("AMX", settings.amx),
    )
