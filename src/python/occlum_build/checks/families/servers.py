"""Servers whose configuration names the modules that they load."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from occlum_build.checks.families.model import Config, Family, Finding, Need
from occlum_build.checks.files import Files, literal
from occlum_build.shown import some

# Compiled when they are used: few images have such a file.
_PAM_MODULE = r"^[a-z]+\s+(?:\[[^]]*\]|\w+)\s+(\S+\.so)"
_PAM_INCLUDE = r"^(?:@include|\w+\s+(?:include|substack))\s+(\S+)"
_NGINX_MODULE = r"""^load_module\s+["']?([^\s"';]+)["']?\s*;"""
_NGINX_ADD = "copy them, or leave the configuration that loads them out"
_WRITTEN = r"(/(?!dev/|proc/)[^\s;]+)"
_MKDIRS = "make them with `mkdirs`, as nothing does when the service starts"
_INITDB = "copy share/postgresql and lib/postgresql of its version"


def _pam_modules(files: Files, path: str) -> Iterator[Finding]:
    """The modules of the services in /etc/pam.d that a program of the image has the name of."""
    services = files.matching("/etc/pam.d/*")
    used = [one for one in services if files.has(f"**/*bin/{literal(posixpath.basename(one))}")]
    if not used and not files.has("/etc/pam.d/other"):  # a BOM that names its own
        used = services
    lacking: dict[str, str] = {}
    read: set[str] = set()
    while used:
        service = used.pop(0)
        for line in files.root.lines(service) if service not in read else ():
            if match := re.match(_PAM_INCLUDE, line):
                used.append(posixpath.join("/etc/pam.d", match[1]))
            elif (match := re.match(_PAM_MODULE, line)) and not _is_module(match[1], files):
                lacking.setdefault(match[1], service)
        read.add(service)
    if lacking:
        first = next(iter(lacking.values()))
        yield Finding(
            first,
            f"{first} names {some(list(lacking))}, which the image does not have",
            "copy the modules from the directory security of the libraries of the system",
        )


def _is_module(name: str, files: Files) -> bool:
    return (
        files.is_file(name) if name.startswith("/") else files.has_named(posixpath.basename(name))
    )


SERVERS = (
    Family(
        "nginx",
        "nginx",
        files="nginx|openresty|angie",
        configs=(
            # Debian's, which are relative to its prefix; elsewhere that is /etc/nginx.
            Config(
                ("/etc/nginx/modules-enabled/*.conf",),
                _NGINX_MODULE,
                _NGINX_ADD,
                beside=("/usr/share/nginx", "/etc/nginx"),
            ),
            Config(
                ("**/nginx.conf", "/etc/nginx/modules/*.conf", "/usr/share/nginx/modules/*.conf"),
                _NGINX_MODULE,
                _NGINX_ADD,
            ),
            Config(
                ("**/nginx.conf",),
                r"^include\s+([^\s*?\[\];]+)\s*;",
                "copy the directory of the configuration",
                beside=(".",),
            ),
            Config(
                ("**/nginx.conf", "/etc/nginx/conf.d/*.conf", "/etc/nginx/sites-enabled/*"),
                rf"^(?:error_log|access_log|pid)\s+{_WRITTEN}",
                _MKDIRS,
                is_written=True,
            ),
        ),
    ),
    Family(
        "apache",
        "Apache httpd",
        files="apache2|httpd",
        linked=r"libapr-1\.so",
        configs=(
            Config(
                (
                    "**/apache2.conf",
                    "**/httpd.conf",
                    "/etc/apache2/mods-enabled/*.load",
                    "/etc/apache2/conf.d/*.conf",
                    "**/conf.modules.d/*.conf",
                ),
                r"""(?i)^LoadModule\s+\S+\s+["']?([^\s"']+)""",
                "copy them, or leave the LoadModule lines out",
            ),
        ),
    ),
    Family(
        "postgresql",
        "PostgreSQL",
        files="postgres",
        needs=(
            Need(
                ("**/timezonesets/Default",),
                "its shared files (timezonesets)",
                "copy share/postgresql of its version",
            ),
        ),
        configs=(
            Config(
                ("**/postgresql.conf", "**/postgresql.auto.conf"),
                r"^(?:shared|session|local)_preload_libraries\s*=\s*'([^']+)'",
                "copy them to lib/postgresql, or take them out of the setting",
                suffix=".so",
                split=r"\s*,\s*",
            ),
        ),
    ),
    Family(
        "postgresql",
        "initdb of PostgreSQL",
        files="initdb",
        linked=r"libpq\.so",
        needs=(
            Need(("**/bin/postgres",), "the program postgres", "copy it to the same directory"),
            Need(("**/postgres.bki",), "its shared files (postgres.bki)", _INITDB),
            Need(("**/snowball_create.sql",), "snowball_create.sql", _INITDB),
            Need(("**/plpgsql.so",), "plpgsql.so", _INITDB),
            Need(("**/dict_snowball.so",), "dict_snowball.so", _INITDB),
        ),
    ),
    Family(
        "mysql",
        "MySQL and MariaDB",
        files="mysqld|mariadbd",
        configs=(
            Config(
                ("**/my.cnf", "/etc/mysql/**/*.cnf", "/etc/my.cnf.d/*.cnf"),
                r"^plugin[-_]load(?:[-_]add)?\s*=\s*[\"']?([^\"']+)",
                "copy them to the directory that the server calls plugin_dir",
                suffix=".so",
                split=r"\s*;\s*|\w+=",
            ),
            Config(
                ("**/my.cnf", "/etc/mysql/**/*.cnf", "/etc/my.cnf.d/*.cnf"),
                rf"^(?:log[-_]error|pid[-_]file|socket)\s*=\s*{_WRITTEN}",
                _MKDIRS,
                is_written=True,
            ),
        ),
    ),
    Family(
        "redis",
        "Redis and Valkey",
        files="(?:redis|valkey|keydb)-server",
        configs=(
            Config(
                ("**/redis*.conf", "**/valkey*.conf", "**/keydb*.conf"),
                r"""^loadmodule\s+["']?([^\s"']+)""",
                "copy them, or leave the loadmodule lines out",
            ),
            Config(
                ("**/redis*.conf", "**/valkey*.conf", "**/keydb*.conf"),
                rf"^logfile\s+{_WRITTEN}",
                _MKDIRS,
                is_written=True,
            ),
            Config(
                ("**/redis*.conf", "**/valkey*.conf", "**/keydb*.conf"),
                rf"^dir\s+{_WRITTEN}",
                _MKDIRS,
                suffix="/.",
                is_written=True,
            ),
        ),
    ),
    Family(
        "openldap",
        "OpenLDAP's server",
        files="slapd",
        configs=(
            Config(
                ("**/slapd.conf", "**/slapd.d/**/cn=module*.ldif"),
                r"^(?:moduleload|olcModuleLoad:)\s+(?:\{\d+\})?(\S+)",
                "copy them from /usr/lib/ldap or /usr/lib64/openldap",
                suffix=".so",
            ),
        ),
    ),
    Family(
        "odbc",
        "ODBC (unixODBC)",
        files=r"isql|libodbc(?:inst)?\.so\..*",
        configs=(
            Config(
                ("**/odbcinst.ini", "**/odbc.ini", "**/.odbc.ini"),
                r"(?i)^Driver(?:64)?\s*=\s*(\S+\.so[.\d]*)",
                "copy the drivers, or leave their sections out",
                comment=";",
            ),
        ),
    ),
    Family(
        "pam",
        "PAM",
        files=r"libpam\.so\.0.*",
        check=_pam_modules,
        checked=(
            "the modules that /etc/pam.d names for programs of the image; not those of a line that "
            "starts with `-`, which may be absent"
        ),
    ),
    Family(
        "systemd",
        "clients of systemd",
        files="systemctl|journalctl|loginctl|hostnamectl|timedatectl|localectl|systemd-run",
        needs=(
            Need(
                ("**/systemd/systemd",),
                "systemd, to which it talks",
                "leave it out, and start services by their programs: nothing runs systemd here",
            ),
        ),
    ),
)
