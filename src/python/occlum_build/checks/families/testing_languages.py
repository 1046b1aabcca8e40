"""Examples of the rows of the system, of languages and of Java, in the order of the table."""

from __future__ import annotations

from dataclasses import replace

from occlum_build.checks.families.testing import (
    LIBRARY,
    PROGRAM,
    SCRIPT,
    Case,
    empty,
    linked,
)

_NODE = replace(LIBRARY, data_paths=("/usr/share/nodejs/acorn/a.js", "/usr/share/nodejs/b/b.js"))
_PYTHON = "/usr/lib/python3.11"
_JAVA = "/usr/lib/jvm/java-17"

LANGUAGE_CASES = (
    Case(
        "name services of glibc",
        {"/lib/libc.so.6": LIBRARY, "/etc/nsswitch.conf": b"passwd: files [!UNAVAIL=return] ldap"},
        {"/lib/libnss_files.so.2": LIBRARY, "/lib/libnss_ldap.so.2": LIBRARY},
    ),
    Case(
        "character set converters of glibc",
        {"/usr/lib/gconv/gconv-modules": b""},
        {"/usr/lib/gconv/UTF-16.so": LIBRARY},
    ),
    Case(
        "OpenSSL",
        {"/etc/ssl/openssl.cnf": b"providers = p\n[p]\nlegacy = l\n[l]\nactivate = 1"},
        {"/usr/lib/ossl-modules/legacy.so": LIBRARY},
    ),
    Case(
        "CPython",
        {"/usr/bin/python3.11": PROGRAM},
        empty(
            f"{_PYTHON}/encodings/__init__.py",
            f"{_PYTHON}/collections/__init__.py",
            f"{_PYTHON}/json/__init__.py",
            f"{_PYTHON}/lib-dynload/_json.cpython-311-x86_64-linux-gnu.so",
        ),
        (empty("/opt/app/python311.zip"), empty("/opt/app/_internal/base_library.zip")),
    ),
    Case(
        "PyPy",
        {"/usr/lib/libpypy3.9-c.so": LIBRARY},
        empty("/usr/lib/pypy3.9/encodings/__init__.py"),
        (empty("/opt/pypy3.10-v7.3/lib/pypy3.10/encodings/__init__.py"),),
    ),
    Case(
        "Node.js as Debian builds it",
        {"/usr/lib/libnode.so.108": _NODE, "/usr/bin/node": PROGRAM},
        empty("/usr/share/nodejs/acorn/a.js", "/usr/share/nodejs/b/b.js"),
    ),
    Case(
        "Perl",
        {"/usr/bin/perl": PROGRAM},
        empty("/usr/lib/perl-base/strict.pm", "/usr/lib/perl-base/auto/POSIX/POSIX.so"),
        (empty("/usr/share/perl5/strict.pm", "/usr/lib64/perl5/auto/IO/IO.so"),),
    ),
    Case(
        "Ruby",
        {"/usr/bin/ruby3.1": PROGRAM},
        empty(
            "/usr/lib/ruby/3.1.0/rubygems.rb",
            "/usr/lib/x86_64/ruby/3.1.0/rbconfig.rb",
            "/usr/lib/x86_64/ruby/3.1.0/monitor.so",
        ),
        (
            empty(
                "/usr/local/lib/ruby/3.3.0/rubygems.rb",
                "/usr/local/lib/ruby/3.3.0/x86_64-linux/rbconfig.rb",
                "/usr/local/lib/ruby/3.3.0/x86_64-linux/monitor.so",
            ),
        ),
    ),
    Case(
        "Tcl",
        {"/usr/bin/tclsh8.6": PROGRAM},
        empty("/usr/share/tcltk/tcl8.6/init.tcl"),
        (empty("/opt/conda/lib/tcl8.6/init.tcl"),),
    ),
    Case(
        "Tk",
        {"/usr/bin/wish": PROGRAM, "/usr/lib/tcl8.6/init.tcl": b""},
        empty("/usr/share/tcltk/tk8.6/tk.tcl"),
    ),
    Case(
        "PHP",
        {
            "/usr/bin/php8.2": PROGRAM,
            "/etc/php/8.2/cli/conf.d/10-opcache.ini": b"zend_extension=opcache.so\n",
            "/etc/php/8.2/cli/conf.d/20-pdo.ini": b"; extension=no.so\nextension = pdo ; PDO\n",
        },
        {"/usr/lib/php/20220829/opcache.so": LIBRARY, "/usr/lib/php/20220829/pdo.so": LIBRARY},
    ),
    Case(
        "R",
        {"/usr/lib/R/lib/libR.so": LIBRARY},
        empty("/usr/lib/R/library/base/R/base", "/usr/lib/R/etc/Renviron"),
    ),
    Case(
        "the script that starts R",
        {"/usr/lib/R/bin/R": SCRIPT},
        {"/bin/bash": PROGRAM, "/bin/uname": PROGRAM, "/bin/sed": PROGRAM},
        (
            {
                "/bin/busybox": PROGRAM,
                "/bin/sh": "-> busybox",
                "/bin/sed": "-> busybox",
                "/bin/uname": "-> busybox",
            },
        ),
    ),
    Case(
        "Erlang",
        {"/usr/lib/erlang/erts-13/bin/beam.smp": PROGRAM},
        empty("/usr/lib/erlang/bin/start.boot", "/usr/lib/erlang/lib/kernel-8/ebin/kernel.app"),
    ),
    Case(
        "the script that starts Erlang",
        {"/usr/lib/erlang/bin/erl": SCRIPT},
        {"/bin/sh": PROGRAM, "/usr/bin/dirname": PROGRAM, "/usr/bin/basename": PROGRAM},
    ),
    Case(
        "Guile",
        {"/usr/bin/guile-3.0": PROGRAM},
        empty("/usr/share/guile/3.0/ice-9/boot-9.scm"),
    ),
    Case(
        ".NET",
        {"/opt/app/libcoreclr.so": LIBRARY},
        empty("/opt/app/System.Private.CoreLib.dll"),
    ),
    Case(
        "the host of .NET",
        {"/usr/share/dotnet/dotnet": PROGRAM},
        {
            "/usr/share/dotnet/host/fxr/8.0.1/libhostfxr.so": LIBRARY,
            "/usr/share/dotnet/shared/Microsoft.NETCore.App/8.0.1/libhostpolicy.so": LIBRARY,
        },
    ),
    Case(
        "globalization of .NET",
        {"/opt/app/libSystem.Globalization.Native.so": LIBRARY, "/x.runtimeconfig.json": b"[]"},
        {"/usr/lib/libicuuc.so.72": LIBRARY},
        (
            {
                "/opt/app/app.runtimeconfig.json": b'{"runtimeOptions": {"configProperties": '
                b'{"System.Globalization.Invariant": true}}}'
            },
        ),
    ),
    Case(
        "Java's launcher",
        {"/usr/bin/java": linked("libjli.so", "libc.so.6")},
        {"/jre/server/libjvm.so": LIBRARY, "/jre/lib/libjava.so": LIBRARY},
    ),
    Case(
        "the Java virtual machine",
        {f"{_JAVA}/lib/server/libjvm.so": LIBRARY},
        {
            **empty(
                f"{_JAVA}/lib/modules",
                f"{_JAVA}/lib/jvm.cfg",
                f"{_JAVA}/conf/security/java.security",
            ),
            f"{_JAVA}/lib/security/cacerts": "-> /etc/ssl/certs/java/cacerts",
            "/etc/ssl/certs/java/cacerts": b"x",
            **{
                f"{_JAVA}/lib/lib{name}.so": LIBRARY
                for name in ("java", "jimage", "zip", "net", "nio")
            },
        },
    ),
)
