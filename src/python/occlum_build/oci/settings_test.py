from __future__ import annotations

import pytest

from occlum_build.errors import Report
from occlum_build.oci.settings import (
    ARGS,
    LOG_LEVEL,
    PATH,
    RA_TYPE,
    SPID,
    SUBSCRIPTION_KEY,
    TYPE,
    Settings,
    read_settings,
)

SGX = {TYPE: "intelSgx", PATH: "/opt/pal.so", ARGS: "occlum_instance"}


def _errors(annotations: dict[str, str], *env: str) -> list[str]:
    report = Report()
    read_settings(annotations, env, report)
    assert all(problem.code == "bundle" for problem in report.errors)
    return [str(problem) for problem in report.errors]


def test_no_enclave() -> None:
    report = Report()
    assert read_settings({"a.b": "c"}, ["PATH=/bin", "X=1"], report) == Settings()
    assert not report.errors
    assert not report.warnings


def test_the_environment_wins() -> None:
    report = Report()
    env = ["ENCLAVE_RUNTIME_PATH=/usr/pal.so", "ENCLAVE_RUNTIME_ARGS=debug,no-epm,x=1"]
    settings = read_settings({**SGX, LOG_LEVEL: "off"}, env, report)
    assert settings == Settings("intelSgx", "/usr/pal.so", "debug no-epm x=1", "off")
    assert not report.errors


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({TYPE: "IntelSGX"}, "(IntelSGX) is not supported\n  hint: did you mean intelSgx?"),
        ({TYPE: "AWSNitroEnclaves"}, "did you mean AwsNitroEnclaves?"),
        ({TYPE: "tdx"}, "known are AwsNitroEnclaves, Jailhouse, intelSgx"),
        ({TYPE: ""}, "rune would run the program without an enclave"),
        ({PATH: ""}, "enclave runtime path is not configured"),
        ({PATH: "lib/pal.so"}, "must be absolute: lib/pal.so"),
        ({LOG_LEVEL: "warn"}, "rune would take `info`\n  hint: did you mean warning?"),
        ({LOG_LEVEL: "INFO"}, "did you mean info?"),
        ({RA_TYPE: "epid"}, "the attestation type epid is unknown"),
        ({RA_TYPE: "epidLinkable"}, "epidLinkable needs an SPID"),
        ({RA_TYPE: "EPIDUNLINKABLE"}, "epidUnlinkable needs an SPID"),
        ({"enclave.runtime.arg": "x"}, "did you mean enclave.runtime.args?"),
    ],
)
def test_refused(changed: dict[str, str], message: str) -> None:
    (error,) = _errors({**SGX, **changed})
    assert message in error


def test_a_value_of_one_character() -> None:
    (error,) = _errors(SGX, "ENCLAVE_RUNTIME_ARGS=.")
    assert "ignores a value of one character" in error
    assert "`./`" in error


def test_a_subscription_key_is_refused_and_not_told() -> None:
    key = "0123456789abcdef"
    for given in (
        _errors({**SGX, SUBSCRIPTION_KEY: key}),
        _errors(SGX, f"ENCLAVE_RA_EPID_SUB_KEY={key}"),
    ):
        (error,) = given
        assert "is a secret" in error
        assert key not in error


def test_warnings() -> None:
    report = Report()
    read_settings({**SGX, RA_TYPE: "epidLinkable", SPID: "ab"}, ["ENCLAVE_RUNTIME_ARG=x"], report)
    read_settings({**SGX, SPID: "ab"}, [], report)
    assert not report.errors
    assert [problem.message for problem in report.warnings] == [
        "ENCLAVE_RUNTIME_ARG means nothing to rune",
        "epidLinkable needs a subscription key, which is in no bundle",
        "enclave.attestation.ra_epid_spid has no effect without an EPID type in "
        "enclave.attestation.ra_type",
    ]
