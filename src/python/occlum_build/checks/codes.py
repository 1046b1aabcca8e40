"""Every code of a warning or note, and of an error that a check finds, with what it means.

docs/checks.md has the same list, with more words; a test compares them.
"""

from __future__ import annotations

from collections.abc import Mapping

CODES: Mapping[str, str] = {
    "archive": "a zip archive that cannot be read, or whose ELF files are for another libc",
    "bundle": "settings of a bundle that do not work together",
    "config-edmm": "a size of Occlum.json that counts on machines with EDMM, or without it, only",
    "config-ignored": "a value of Occlum.json that counts for nothing",
    "config-repeated-key": "a key of Occlum.json that is given more than once",
    "config-unknown-key": "a key of Occlum.json that Occlum does not know",
    "config-yaml": "an Occlum.yaml, which Occlum 0.31 does not read",
    "directory": "a fifo, socket or device, which an image cannot hold",
    "dlopen": "files that a program opens at run time, plainly in use and absent",
    "elf": "a file that looks like an ELF file but is none",
    "ext2": "an ext2 file system is mounted, and the image has no program that can make it",
    "image": "the image's directory holds what the BOM does not name",
    "image-key": "the image key is in the initfs, where everybody can read it",
    "image-key-missing": "an encrypted image whose key Occlum's own init looks for in vain",
    "image-type": "a release enclave whose image can be read by everybody",
    "interpreter": "a program or script whose loader or interpreter the image lacks",
    "key-file": "a file with an image key that others can read or change",
    "libos-entry-point": "an entry point that leads to nothing, or a program below none of them",
    "libos-env": "environment variables that the libOS cannot read",
    "libos-mac": "a MAC that the libOS cannot read",
    "libos-mount": "a mount that the libOS refuses, or has no directory of the image for",
    "libos-program": "a program that a kernel starts, but the libOS refuses",
    "libos-size": "a size that the libOS cannot read",
    "libos-type": "a value of another type than the libOS reads",
    "libos-user-space": "no user space for a process, or too little",
    "libraries": "a library that a program needs and its loader will not find",
    "library-version": "a library without a symbol version that a program needs",
    "link-dangling": "links that lead to nothing in the image, or in a loop",
    "loader": "programs that use another loader than Occlum's",
    "name-too-long": "a name, path or link target that Linux cannot open",
    "oci": "settings of an OCI image that do not work together, or names that a layer cannot hold",
    "override": "a line of a BOM that overrides what another one puts somewhere",
    "program": "a program that nothing can start: absent, not executable, for another machine",
    "sefs-mode": "mode bits beyond 0777, which a secure file system does not keep",
    "sefs-special-file": "a fifo, socket or device, which a secure file system cannot hold",
    "sgx-mode": "what a mode of the SGX SDK makes different",
    "sign-feature": "a CPU feature that sgx_sign refuses",
    "sign-id": "an id that sgx_sign refuses",
    "sign-key": "a signing key that others have or can read",
    "sign-page": "a size that sgx_sign refuses, as it is no multiple of a page",
    "sign-size": "a size that sgx_sign refuses, as it is too large",
    "sign-stack": "a stack that sgx_sign refuses, as it is too small",
    "sign-threads": "a number of threads that sgx_sign refuses",
    "sparse": "a large sparse file, of which an image holds every byte",
    "unowned": "files of the project that a copy leaves out, as no target owns them",
    "usage": "an option that counts for nothing",
    "xattr": "capabilities and other extended attributes of a file, which no image keeps",
}
