"""Interpreters, which are nothing without their libraries."""

from __future__ import annotations

from collections.abc import Iterator

from occlum_build.checks.families.model import Config, Family, Finding, Need
from occlum_build.checks.files import Files
from occlum_build.errors import OcclumError
from occlum_build.shown import some

# A standard library in an archive: CPython's own, PyInstaller's, cx_Freeze's.
_PYTHON_ARCHIVES = ("**/python3{minor}.zip", "**/base_library.zip", "**/lib/library.zip")


def _python(path: str, what: str) -> Need:
    beside = tuple(f"**/python3.{{minor}}{threads}/{path}" for threads in ("", "t"))
    add = "copy lib/python3.{minor}, with its lib-dynload"
    return Need((*beside, *_PYTHON_ARCHIVES), what, add)


def _node_files(files: Files, path: str) -> Iterator[Finding]:
    facts = files.root.facts(path)
    lacking = [one for one in facts.data_paths if not files.is_file(one)] if facts else []
    if lacking:
        modules = sorted({"/".join(one.split("/")[:5]) for one in lacking})
        yield Finding(
            path,
            f"{path} needs built-in modules of Node ({some(lacking, 1)}), which the image does "
            "not have",
            "copy " + ", ".join(modules),
        )


def _dotnet_icu(files: Files, path: str) -> Iterator[Finding]:
    if files.has("**/libicuuc.so*"):
        return
    from occlum_build.files.json_text import load_json  # slow to import

    for config in files.matching("**/*.runtimeconfig.json"):
        try:
            options = load_json(files.root.read(config) or b"{}", config)["runtimeOptions"]
            invariant = options["configProperties"]["System.Globalization.Invariant"]
        except (OcclumError, KeyError, TypeError):
            continue
        if str(invariant).lower() == "true":
            return
    yield Finding(
        path,
        f"{path} needs ICU (libicuuc.so, libicui18n.so), which the image does not have",
        "copy the libraries of ICU, or set DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1",
    )


LANGUAGES = (
    Family(
        "python",
        "CPython",
        files=r"(?:lib)?python(?:3(?:\.(?P<minor>\d+))?)?[mt]?(?:\.so[.\d]*)?",
        needs=(
            _python(
                "encodings/__init__.py*", "the standard library of Python 3.{minor} (encodings)"
            ),
            _python("collections/__init__.py*", "its package collections"),
            _python("json/__init__.py*", "its package json"),
            _python("lib-dynload/*.so", "its compiled modules (lib-dynload)"),
        ),
    ),
    Family(
        "python",
        "PyPy",
        files=r"libpypy3(?:\.\d+)?-c\.so",
        needs=(
            Need(
                ("**/pypy3*/**/encodings/__init__.py*", "**/lib-python/3/encodings/__init__.py*"),
                "the standard library of PyPy",
                "copy lib/pypy3.N",
            ),
        ),
    ),
    Family(
        "node",
        "Node.js as Debian builds it",
        files=r"libnode\.so\.\d+",
        check=_node_files,
        checked="the files of /usr/share/nodejs whose paths are in the library",
    ),
    Family(
        "perl",
        "Perl",
        files=r"perl(?:5\.[\d.]+)?(?:-[\w-]+)?",
        needs=(
            Need(
                ("**/strict.pm",),
                "its library (strict.pm)",
                "copy the directories that `perl -e 'print join qq(\\n), @INC'` prints",
            ),
            Need(
                ("**/auto/POSIX/POSIX.so", "**/auto/IO/IO.so", "**/auto/Cwd/Cwd.so"),
                "its compiled modules (auto/POSIX/POSIX.so)",
                "copy the directories that `perl -e 'print join qq(\\n), @INC'` prints",
            ),
        ),
    ),
    Family(
        "ruby",
        "Ruby",
        files=r"ruby(?:\d\.\d)?",
        needs=(
            Need(
                ("**/[0-9]*/rubygems.rb", "**/*_ruby/rubygems.rb", "**/rubygems/rubygems.rb"),
                "its library (rubygems.rb)",
                "copy the directories that `ruby -e 'puts $:'` prints",
            ),
            Need(
                ("**/rbconfig.rb",),
                "its directory for this machine (rbconfig.rb)",
                "copy the directories that `ruby -e 'puts $:'` prints",
            ),
            Need(
                ("**/monitor.so",),
                "its compiled modules (monitor.so)",
                "copy the directories that `ruby -e 'puts $:'` prints",
            ),
        ),
    ),
    Family(
        "tcl",
        "Tcl",
        files=r"(?:tclsh|wish)(?P<version>8\.\d)?",
        needs=(
            Need(
                ("**/tcl{version}/init.tcl", "**/library/init.tcl"),
                "its library (tcl{version}/init.tcl)",
                "copy the directory that `echo 'puts $tcl_library' | tclsh` prints",
            ),
        ),
    ),
    Family(
        "tk",
        "Tk",
        files=r"wish(?P<version>8\.\d)?",
        needs=(
            Need(
                ("**/tk{version}/tk.tcl",),
                "its library (tk{version}/tk.tcl)",
                "copy the directory tk{version} beside that of Tcl",
            ),
        ),
    ),
    Family(
        "php",
        "PHP",
        files=r"(?:php(?:-fpm|-cgi)?|libphp)[\d.]*(?:\.so)?",
        configs=(
            Config(
                (
                    "**/php.ini",
                    "/etc/php/*/*/conf.d/*.ini",
                    "/etc/php*/conf.d/*.ini",
                    "**/php.d/*.ini",
                    "**/php/conf.d/*.ini",
                    "**/php/etc/conf.d/*.ini",
                ),
                r"""^(?:zend_)?extension\s*=\s*["']?([^\s"']+)""",
                "copy the extensions from the directory that `php -i` calls extension_dir, "
                "or leave their .ini files out",
                suffix=".so",
                comment=";",
            ),
        ),
    ),
    Family(
        "r",
        "R",
        files=r"libR\.so",
        needs=(
            Need(("**/library/base/R/base",), "its package base", "copy lib/R/library"),
            Need(
                ("**/etc/Renviron", "/etc/R/Renviron"), "its settings (Renviron)", "copy lib/R/etc"
            ),
        ),
    ),
    Family(
        "r",
        "the script that starts R",
        files="R",
        at=".*/bin/R",
        elf=False,
        needs=(
            Need(("**/bin/bash", "**/bin/sh"), "a shell", "copy /bin/bash"),
            Need(("**/bin/uname",), "uname", "copy /bin/uname"),
            Need(("**/bin/sed",), "sed", "copy /bin/sed"),
        ),
    ),
    Family(
        "erlang",
        "Erlang",
        files=r"beam\.smp",
        needs=(
            Need(
                ("**/start.boot", "**/start_clean.boot", "**/releases/*/start.boot"),
                "a boot file (start.boot)",
                "copy lib/erlang, with its bin and releases",
            ),
            Need(
                ("**/kernel-*/ebin/kernel.app", "**/kernel/ebin/kernel.app"),
                "its application kernel",
                "copy lib/erlang/lib",
            ),
        ),
    ),
    Family(
        "erlang",
        "the script that starts Erlang",
        files="erl",
        elf=False,
        needs=(
            Need(("/bin/sh",), "a shell", "copy a shell to /bin/sh"),
            Need(("**/bin/dirname",), "dirname", "copy /usr/bin/dirname"),
            Need(("**/bin/basename",), "basename", "copy /usr/bin/basename"),
        ),
    ),
    Family(
        "guile",
        "Guile",
        files=r"guile(?:-?\d\.\d)?|libguile-\d\.\d\.so\..*",
        needs=(
            Need(
                ("**/ice-9/boot-9.go", "**/ice-9/boot-9.scm"),
                "its library (ice-9/boot-9)",
                "copy share/guile and lib/guile",
            ),
        ),
    ),
    Family(
        "dotnet",
        ".NET",
        files=r"libcoreclr\.so",
        needs=(
            Need(
                ("**/System.Private.CoreLib.dll",),
                "its class library (System.Private.CoreLib.dll)",
                "copy the directory of libcoreclr.so",
            ),
        ),
    ),
    Family(
        "dotnet",
        "the host of .NET",
        files="dotnet",
        needs=(
            Need(("**/libhostfxr.so",), "libhostfxr.so", "copy host/fxr, which is beside it"),
            Need(
                ("**/libhostpolicy.so",),
                "a runtime (libhostpolicy.so)",
                "copy shared/Microsoft.NETCore.App, which is beside it",
            ),
        ),
    ),
    Family(
        "dotnet",
        "globalization of .NET",
        files=r"libSystem\.Globalization\.Native\.so",
        check=_dotnet_icu,
        checked="ICU, unless a runtimeconfig.json sets System.Globalization.Invariant",
    ),
)
