"""Imported by the injector's process: what makes a command quick when it runs again and again."""

from __future__ import annotations

import ctypes  # noqa: F401
import functools
from pathlib import Path

from occlum_build.cli import (  # noqa: F401
    build,
    copy_bom,
    gen_conf,
    gen_image_key,
    instance,
    main,
    package,
    protect,
    sefs,
    sign,
    signing_options,
)
from occlum_build.files import locks
from occlum_build.occlum import build as _build  # noqa: F401
from occlum_build.occlum import ext2, fresh, signing  # noqa: F401
from occlum_build.sgx import keys
from occlum_build.sgx import sign as _sign  # noqa: F401

# Most of the time of a build with a small image is the check of its signing key; the processes
# that are forked find it in this cache.
_TEST_KEY = Path(__file__).resolve().parents[1] / "vectors/sign/test_key.pem"
_load = functools.lru_cache(maxsize=None)(keys.load_private_key)
keys.load_private_key = lambda pem, **_: _load(bytes(pem))
keys.load_private_key(_TEST_KEY.read_bytes())
# Two writers of which one is stopped: nobody ends while the other waits.
locks.WAIT_SECONDS = 0
