"""The target type `occlum_enclave`."""

from __future__ import annotations

import json
import re
from typing import Any, Optional

from pants.engine.addresses import Address, UnparsedAddressInputs
from pants.engine.target import (
    COMMON_TARGET_FIELDS,
    BoolField,
    OptionalSingleSourceField,
    ScalarField,
    StringField,
    Target,
)
from pants.util.strutil import help_text

from pants_occlum.compat.owners import SecondaryOwnerMixin
from pants_occlum.compat.pants_rules import EnvironmentField
from pants_occlum.dist.output_path import DistPathField
from pants_occlum.findings import AllowField
from pants_occlum.image.target_types import ReportField
from pants_occlum.invalid import invalid_field
from pants_occlum.one_address import Addresses, OneAddressField, RawAddress
from pants_occlum.project_paths import literal, project_path

# Pants' help reads this hint at run time, when Python 3.9 cannot join types with `|`.
_Text = Optional[str]
_MRENCLAVE = re.compile("[0-9a-fA-F]{64}")


class EnclaveImageField(OneAddressField):
    alias = "image"
    required = True
    help = "The `occlum_image` that is the enclave's root file system."


class EnclaveToolchainField(OneAddressField):
    alias = "toolchain"
    help = help_text(
        """
        The `occlum_toolchain`. Default: Occlum as installed in
        `[occlum].toolchain_root`.
        """
    )


class EnclaveConfigFileField(OptionalSingleSourceField):
    alias = "config_file"
    expected_file_extensions = (".json",)
    help = "An Occlum.json. Default: that of the toolchain's template."


class EnclaveConfigField(ScalarField[Any]):
    """A patch of Occlum.json as canonical JSON text, as field values must be hashable."""

    alias = "config"
    expected_type = dict
    expected_type_description = "a dictionary"
    help = help_text(
        """
        What differs from `config_file` or the default Occlum.json, as a JSON merge patch
        (RFC 7396): `{"metadata": {"product_id": 7}}` changes one value, None removes a key, a list
        replaces.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: Any, address: Address) -> _Text:
        value = super().compute_value(raw_value, address)
        if value is None:
            return None
        try:
            return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise invalid_field(
                f"The 'config' field in target {address} must hold what JSON can hold: {error}"
            ) from None


class EnclaveInitfsField(OneAddressField):
    alias = "initfs"
    help = help_text(
        """
        An `occlum_image` to use as the initfs. Default: the one that
        `occlum init` makes, without the host's time zone.
        """
    )


class EnclaveInitField(OneAddressField, SecondaryOwnerMixin):
    """A path, or an address, which is told by its colon."""

    alias = "init"
    help = help_text(
        """
        A program to use as `/bin/init` of the default initfs: a file below this BUILD file's
        directory, `"init"`, or the address of a target that makes one, `":init"`, as a
        `shell_command` or `go_binary` does.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: RawAddress, address: Address) -> Addresses:
        computed = super().compute_value(raw_value, address)
        for value in computed or ():
            is_path = ":" not in value
            if is_path and (value.startswith("/") or ".." in value.split("/")):
                raise invalid_field(
                    f"The {cls.alias!r} field in target {address} must be a file below its BUILD "
                    f"file's directory, or the address of a target, not {value!r}."
                )
        return computed

    @property
    def file_path(self) -> str | None:
        """The path of the file below the build root, None where no file is named."""
        (value,) = self.value or (":",)
        return None if ":" in value else project_path(f"./{value}", self.address.spec_path)

    @property
    def filespec(self) -> Any:  # a Filespec, which takes no dictionary in newer versions
        return {"includes": [literal(self.file_path)] if self.file_path else []}

    def to_unparsed_address_inputs(self) -> UnparsedAddressInputs:
        return UnparsedAddressInputs(
            (self.value or ()) if self.file_path is None else (),
            owning_address=self.address,
            description_of_origin=f"the `{self.alias}` from the target {self.address}",
        )


class EnclaveBootField(OneAddressField):
    alias = "boot"
    help = help_text(
        """
        An `occlum_rootfs` that this enclave mounts as its root in place of `image`, which may then
        be tiny: the enclave is a boot template. Its initfs gets `/etc/boot.conf`, with the settings
        of that target and nothing of its image, so that MRENCLAVE stays when the image changes.
        Needs an `init` or `initfs` of your own that reads the file.
        """
    )


class SgxModeField(StringField):
    alias = "sgx_mode"
    default = "HW"
    valid_choices = ("HW", "SIM", "HYPER")
    help = "The platform: SGX hardware, simulation, or HyperEnclave."


class EdmmField(BoolField):
    alias = "edmm"
    default = False
    help = "Lay the enclave out for a platform with EDMM (dynamic enclave memory, SGX2)."


class StrictField(BoolField):
    alias = "strict"
    default = True
    help = help_text(
        """
        Fail on what Occlum's own tools take in an Occlum.json though a later stage refuses or
        ignores it (docs/occlum-json.md). With False that is a warning. What of an Occlum.json does
        not suit the image, as a mount point or entry point that the image lacks, is the same with
        both: an error where it is certain to fail, else a warning.
        """
    )


class EncryptField(BoolField):
    alias = "encrypt"
    default = False
    help = help_text(
        """
        Encrypt the image with the key in `[occlum].image_key_file`. Encrypting runs on this machine
        only and its result is in no cache that is shared.
        """
    )


class BuildinImageKeyField(BoolField):
    alias = "buildin_image_key"
    default = False
    help = help_text(
        """
        Put the image key into the initfs, as Occlum's `--buildin-image-key` does. Whoever has the
        instance can then read the image.
        """
    )


class SignField(BoolField):
    alias = "sign"
    default = True
    help = help_text(
        """
        Sign with `[occlum].signer`, `[occlum].sign_key_file` or else the toolchain's public test
        key. With False, `package` leaves the 256 bytes to sign in `signing-data`.
        """
    )


class SigningDateField(StringField):
    alias = "date"
    default = "19700101"
    help = "The date in the signature, YYYYMMDD: an input, so that every build gives the same."


class BuiltinConfigNewlineField(BoolField):
    alias = "builtin_config_newline"
    default = True
    help = help_text(
        """
        Write the configuration's MAC with the line end that Occlum's own tools leave in the
        measured `.builtin_config` section: 48 bytes instead of 47, and another MRENCLAVE.
        """
    )


class ExpectedMrenclaveField(StringField):
    alias = "expected_mrenclave"
    help = help_text(
        """
        The MRENCLAVE (64 hex digits) that the build must have. Another one fails the build and
        tells which input moved since the last `measurement.json`.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: _Text, address: Address) -> _Text:
        value = super().compute_value(raw_value, address)
        if value is not None and not _MRENCLAVE.fullmatch(value):
            raise invalid_field(
                f"The {cls.alias!r} field in target {address} must be 64 hex digits, not {value!r}."
            )
        return value


# Pants looks for owners of a file in one field of sources of a target, which is `config_file`; 2.17
# in those too that say that they own as well.
class ExpectedMeasurementField(OptionalSingleSourceField, SecondaryOwnerMixin):
    alias = "expected_measurement"
    help = help_text(
        """
        A file with all that the build is expected to come to, which is kept with the source, as
        `app.measurement.json`: MRENCLAVE, MRSIGNER, all inputs, and each entry of the image. What
        differs fails the build and is told, on any machine. `occlum-expect` writes the file.
        """
    )

    @classmethod
    def compute_value(cls, raw_value: _Text, address: Address) -> _Text:
        value = super().compute_value(raw_value, address)
        if value is None or (value.endswith("measurement.json") and not value.startswith("/")):
            return value
        raise invalid_field(  # it is a file that a goal writes over
            f"The {cls.alias!r} field in target {address} must be a file below its BUILD file's "
            f"directory that is called measurement.json or ends so, not {value!r}."
        )


class BuilderField(StringField):
    alias = "builder"
    default = "occlum-build"
    valid_choices = ("occlum-build", "occlum")
    help = help_text(
        """
        With `occlum`, the installed Occlum's own `occlum build` runs too, on the same image, initfs
        and configuration, and the build fails unless it comes to the same MACs and MRENCLAVE. Needs
        a toolchain with `root`, its SGX SDK, and an image that is not encrypted.
        """
    )


class OcclumEnclave(Target):
    alias = "occlum_enclave"
    core_fields = (
        *COMMON_TARGET_FIELDS,
        EnclaveImageField,
        EnclaveToolchainField,
        EnclaveConfigFileField,
        EnclaveConfigField,
        EnclaveInitfsField,
        EnclaveInitField,
        EnclaveBootField,
        SgxModeField,
        EdmmField,
        StrictField,
        EncryptField,
        BuildinImageKeyField,
        SignField,
        SigningDateField,
        BuiltinConfigNewlineField,
        ExpectedMrenclaveField,
        ExpectedMeasurementField,
        BuilderField,
        AllowField,
        ReportField,
        DistPathField,
        EnvironmentField,
    )
    help = help_text(
        """
        A complete Occlum instance with a signed enclave, made without Occlum's build tools.

        `package` writes the instance directory, the archive that `occlum package` would make, and
        `measurement.json`: MRENCLAVE, MRSIGNER, and all the inputs that they come from.
        """
    )
