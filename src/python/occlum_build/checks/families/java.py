"""The Java runtime: its launcher, its virtual machine, and what these open."""

from __future__ import annotations

from occlum_build.checks.families.model import Family, Need

_RUNTIME = "copy all of the Java runtime's directory, {home}"


def _native(name: str) -> Need:
    return Need((f"{{home}}/lib/{name}", f"{{home}}/lib/*/{name}"), name, _RUNTIME)


JAVA = (
    Family(
        "java",
        "Java's launcher",
        files="java",
        linked=r"libjli\.so",
        needs=(
            Need(
                ("**/libjvm.so",),
                "a virtual machine (libjvm.so)",
                "copy all of the Java runtime's directory, as /usr/lib/jvm/NAME",
            ),
            Need(
                ("**/libjava.so",),
                "libjava.so",
                "copy all of the Java runtime's directory, as /usr/lib/jvm/NAME",
            ),
        ),
    ),
    Family(
        "java",
        "the Java virtual machine",
        files=r"libjvm\.so",
        at=r"(?P<home>.*)/lib/(?:[^/]+/)?(?:server|client|minimal|zero)/libjvm\.so",
        needs=(
            Need(
                ("{home}/lib/modules", "{home}/lib/rt.jar", "{home}/modules/java.base/*.class"),
                "its class library (lib/modules)",
                _RUNTIME,
            ),
            _native("libjava.so"),
            Need(("{home}/lib/libjimage.so", "{home}/lib/rt.jar"), "libjimage.so", _RUNTIME),
            _native("libzip.so"),
            _native("libnet.so"),
            _native("libnio.so"),
            _native("jvm.cfg"),
            Need(
                ("{home}/conf/security/java.security", "{home}/lib/security/java.security"),
                "its security settings (java.security)",
                "copy {home}/conf and {home}/lib/security, and where their links lead",
            ),
            Need(
                ("{home}/lib/security/cacerts", "{home}/lib/security/jssecacerts"),
                "CA certificates (lib/security/cacerts)",
                "copy them to {home}/lib/security/cacerts, as /etc/ssl/certs/java/cacerts of the "
                "package ca-certificates-java, or no TLS connection will be trusted",
            ),
        ),
    ),
)
