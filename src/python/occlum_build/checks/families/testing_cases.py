"""An example of each row of the table: what shows the family, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Union

from occlum_build.elf.facts import ElfFacts

Content = Union[ElfFacts, bytes, str, None]
PROGRAM = ElfFacts("ET_DYN", "EM_X86_64", 64, is_dynamic=True, interpreter="/lib64/ld.so")
LIBRARY = replace(PROGRAM, interpreter=None)
SCRIPT = b"#!/bin/sh\n"


def linked(*needed: str) -> ElfFacts:
    """A program or library that needs these libraries."""
    return replace(PROGRAM, needed=needed)


@dataclass(frozen=True)
class Case:
    """An image of `shown` needs each of `needed`; with any of `instead` beside it, it is whole."""

    title: str
    shown: dict[str, Content]
    needed: dict[str, Content]
    instead: tuple[dict[str, Content], ...] = field(default=())


def _empty(*paths: str) -> dict[str, Content]:
    return dict.fromkeys(paths, b"x")


_NODE = replace(LIBRARY, data_paths=("/usr/share/nodejs/acorn/a.js", "/usr/share/nodejs/b/b.js"))
_PYTHON = "/usr/lib/python3.11"
_JAVA = "/usr/lib/jvm/java-17"

CASES = (
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
        _empty(
            f"{_PYTHON}/encodings/__init__.py",
            f"{_PYTHON}/collections/__init__.py",
            f"{_PYTHON}/json/__init__.py",
            f"{_PYTHON}/lib-dynload/_json.cpython-311-x86_64-linux-gnu.so",
        ),
        (_empty("/opt/app/python311.zip"), _empty("/opt/app/_internal/base_library.zip")),
    ),
    Case(
        "PyPy",
        {"/usr/lib/libpypy3.9-c.so": LIBRARY},
        _empty("/usr/lib/pypy3.9/encodings/__init__.py"),
        (_empty("/opt/pypy3.10-v7.3/lib/pypy3.10/encodings/__init__.py"),),
    ),
    Case(
        "Node.js as Debian builds it",
        {"/usr/lib/libnode.so.108": _NODE, "/usr/bin/node": PROGRAM},
        _empty("/usr/share/nodejs/acorn/a.js", "/usr/share/nodejs/b/b.js"),
    ),
    Case(
        "Perl",
        {"/usr/bin/perl": PROGRAM},
        _empty("/usr/lib/perl-base/strict.pm", "/usr/lib/perl-base/auto/POSIX/POSIX.so"),
        (_empty("/usr/share/perl5/strict.pm", "/usr/lib64/perl5/auto/IO/IO.so"),),
    ),
    Case(
        "Ruby",
        {"/usr/bin/ruby3.1": PROGRAM},
        _empty("/usr/lib/ruby/3.1.0/rubygems.rb", "/usr/lib/x86_64/ruby/3.1.0/rbconfig.rb"),
        (
            _empty(
                "/usr/local/lib/ruby/3.3.0/rubygems.rb",
                "/usr/local/lib/ruby/3.3.0/x86_64-linux/rbconfig.rb",
            ),
        ),
    ),
    Case(
        "Tcl",
        {"/usr/bin/tclsh8.6": PROGRAM},
        _empty("/usr/share/tcltk/tcl8.6/init.tcl"),
        (_empty("/opt/conda/lib/tcl8.6/init.tcl"),),
    ),
    Case(
        "Tk",
        {"/usr/bin/wish": PROGRAM, "/usr/lib/tcl8.6/init.tcl": b""},
        _empty("/usr/share/tcltk/tk8.6/tk.tcl"),
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
        _empty("/usr/lib/R/library/base/R/base", "/usr/lib/R/etc/Renviron"),
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
        _empty("/usr/lib/erlang/bin/start.boot", "/usr/lib/erlang/lib/kernel-8/ebin/kernel.app"),
    ),
    Case(
        "the script that starts Erlang",
        {"/usr/lib/erlang/bin/erl": SCRIPT},
        {"/bin/sh": PROGRAM, "/usr/bin/dirname": PROGRAM, "/usr/bin/basename": PROGRAM},
    ),
    Case(
        "Guile",
        {"/usr/bin/guile-3.0": PROGRAM},
        _empty("/usr/share/guile/3.0/ice-9/boot-9.scm"),
    ),
    Case(
        ".NET",
        {"/opt/app/libcoreclr.so": LIBRARY},
        _empty("/opt/app/System.Private.CoreLib.dll"),
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
            **_empty(
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
    Case(
        "nginx",
        {
            "/usr/sbin/nginx": PROGRAM,
            "/etc/nginx/nginx.conf": b"load_module /opt/ngx_a.so;\n# load_module no.so;\n"
            b"include mime.types;\ninclude conf.d/*.conf;\n"
            b"error_log /var/log/nginx/error.log warn;\npid /run/nginx.pid;",
            "/etc/nginx/modules-enabled/50-echo.conf": b"load_module modules/ngx_echo.so;",
            "/usr/lib/nginx/modules/ngx_echo.so": LIBRARY,
        },
        {
            "/opt/ngx_a.so": LIBRARY,
            "/etc/nginx/mime.types": b"x",
            "/usr/share/nginx/modules": "-> /usr/lib/nginx/modules",
            "/var/log/nginx": None,
            "/run": None,
        },
    ),
    Case(
        "Apache httpd",
        {
            "/usr/sbin/apache2": linked("libapr-1.so.0"),
            "/etc/apache2/mods-enabled/a.load": b"LoadModule a_module /usr/lib/apache2/mod_a.so",
            "/etc/httpd/conf/httpd.conf": b'  LoadModule b_module "modules/mod_b.so"',
        },
        {"/usr/lib/apache2/mod_a.so": LIBRARY, "/usr/lib64/httpd/modules/mod_b.so": LIBRARY},
    ),
    Case(
        "PostgreSQL",
        {
            "/usr/lib/postgresql/15/bin/postgres": PROGRAM,
            "/data/postgresql.conf": b"shared_preload_libraries = 'a, $libdir/b.so' # now",
        },
        {
            "/usr/share/postgresql/15/timezonesets/Default": b"x",
            "/usr/lib/postgresql/15/lib/a.so": LIBRARY,
            "/usr/lib/postgresql/15/lib/b.so": LIBRARY,
        },
    ),
    Case(
        "initdb of PostgreSQL",
        {"/usr/local/bin/initdb": linked("libpq.so.5")},
        {
            "/usr/local/bin/postgres": SCRIPT,
            **_empty(
                "/usr/local/share/postgresql/postgres.bki",
                "/usr/local/share/postgresql/snowball_create.sql",
                "/usr/local/lib/postgresql/plpgsql.so",
                "/usr/local/lib/postgresql/dict_snowball.so",
            ),
        },
    ),
    Case(
        "MySQL and MariaDB",
        {
            "/usr/sbin/mysqld": PROGRAM,
            "/etc/my.cnf": b'[mysqld]\nplugin-load-add="a=auth_socket.so;audit_log"\n',
        },
        {"/usr/lib/mysql/plugin/auth_socket.so": LIBRARY, "/usr/lib/mysql/audit_log.so": LIBRARY},
    ),
    Case(
        "Redis and Valkey",
        {
            "/bin/redis-server": PROGRAM,
            "/etc/redis/redis.conf": b"# loadmodule /no.so\nloadmodule /opt/rejson.so MAX 3\n"
            b'dir /var/lib/redis\nlogfile /var/log/redis/redis.log\nlogfile ""',
        },
        {"/opt/rejson.so": LIBRARY, "/var/lib/redis": None, "/var/log/redis": None},
    ),
    Case(
        "OpenLDAP's server",
        {
            "/usr/sbin/slapd": PROGRAM,
            "/etc/ldap/slapd.conf": b"moduleload back_mdb.la\nmoduleload\tsyncprov",
        },
        {"/usr/lib/ldap/back_mdb.so": LIBRARY, "/usr/lib/ldap/syncprov.so": LIBRARY},
    ),
    Case(
        "ODBC (unixODBC)",
        {
            "/usr/lib/libodbc.so.2": LIBRARY,
            "/etc/odbcinst.ini": b"[PG]\nDriver=psqlodbca.so\nDriver64 = /opt/my.so.1\nSetup=no.so",
        },
        {"/usr/lib/odbc/psqlodbca.so": LIBRARY, "/opt/my.so.1": LIBRARY},
    ),
    Case(
        "PAM",
        {
            "/lib/libpam.so.0": LIBRARY,
            "/bin/login": PROGRAM,
            "/etc/pam.d/other": b"auth required pam_deny.so",
            "/etc/pam.d/login": b"auth [default=1] pam_a.so\n-session optional pam_no.so\n"
            b"@include common-auth",
            "/etc/pam.d/common-auth": b"account required pam_b.so x=y\nauth include login",
        },
        {"/lib/security/pam_a.so": LIBRARY, "/lib/security/pam_b.so": LIBRARY},
    ),
    Case(
        "clients of systemd",
        {"/bin/systemctl": PROGRAM},
        {"/usr/lib/systemd/systemd": PROGRAM},
    ),
    Case(
        "ImageMagick with coders as modules",
        {"/usr/lib/libMagickCore-6.Q16.so.6": linked("libltdl.so.7", "libz.so.1")},
        {"/usr/lib/ImageMagick-6.9.11/modules-Q16/coders/png.so": LIBRARY},
    ),
    Case(
        "gdk-pixbuf",
        {
            "/usr/lib/libgdk_pixbuf-2.0.so.0": LIBRARY,
            "/usr/lib/gdk-pixbuf-2.0/2.10.0/loaders.cache": b'# no\n"/usr/lib/a.so"\n"svg" 6 ""\n',
        },
        {"/usr/lib/a.so": LIBRARY},
    ),
    Case(
        "GTK",
        {
            "/usr/lib/libgtk-3.so.0": LIBRARY,
            "/usr/lib/gtk-3.0/3.0.0/immodules.cache": b'"/usr/lib/im-xim.so" \n"xim" "X"\n',
        },
        {"/usr/share/glib-2.0/schemas/gschemas.compiled": b"x", "/usr/lib/im-xim.so": LIBRARY},
    ),
    Case(
        "GIO",
        {
            "/usr/lib/libgio-2.0.so.0": LIBRARY,
            "/usr/lib/gio/modules/giomodule.cache": b"libgiognutls.so: gio-tls-backend\n",
        },
        {"/usr/lib/gio/modules/libgiognutls.so": LIBRARY},
    ),
    Case(
        "Qt",
        {"/usr/lib/libQt5Gui.so.5": LIBRARY},
        {"/usr/lib/qt5/plugins/platforms/libqoffscreen.so": LIBRARY},
    ),
    Case(
        "GStreamer",
        {"/usr/bin/gst-launch-1.0": PROGRAM},
        {"/usr/lib/gstreamer-1.0/libgstcoreelements.so": LIBRARY},
    ),
    Case(
        "what draws text in Java",
        {f"{_JAVA}/lib/libfontmanager.so": LIBRARY},
        _empty("/etc/fonts/fonts.conf", "/usr/share/fonts/dejavu/DejaVuSans.ttf"),
    ),
    Case(
        "ICU with its data in a file",
        {"/usr/lib/libicudata.so.74": LIBRARY},
        _empty("/usr/share/icu/74.2/icudt74l.dat"),
    ),
    Case(
        "full-screen programs",
        {"/bin/less": linked("libtinfo.so.6")},
        _empty("/lib/terminfo/x/xterm"),
        (_empty("/opt/conda/share/terminfo/x/xterm-256color"),),
    ),
    Case(
        "Vim",
        {"/usr/bin/vim.basic": linked("libtinfo.so.6"), "/lib/terminfo/x/xterm": b"x"},
        _empty("/usr/share/vim/vim90/defaults.vim"),
    ),
    Case(
        "clients of TLS",
        {"/usr/bin/curl": linked("libcurl.so.4")},
        {"/usr/lib/ssl/cert.pem": "-> /certs", "/certs": b"x"},
        (_empty("/etc/ssl/certs/ca-certificates.crt"), _empty("/opt/conda/ssl/cacert.pem")),
    ),
    Case(
        "Git",
        {"/usr/bin/git": linked("libpcre2-8.so.0", "libz.so.1")},
        {"/usr/lib/git-core/git-remote-http": SCRIPT},
        ({"/git-core/git-remote-https": "-> git-remote-h", "/git-core/git-remote-h": SCRIPT},),
    ),
    Case(
        "libmagic and file",
        {"/usr/lib/libmagic.so.1": LIBRARY},
        _empty("/usr/share/misc/magic.mgc"),
    ),
    Case(
        "tools of ALSA",
        {"/usr/bin/aplay": linked("libasound.so.2")},
        _empty("/usr/share/alsa/alsa.conf"),
    ),
    Case("PROJ", {"/usr/lib/libproj.so.25": LIBRARY}, _empty("/usr/share/proj/proj.db")),
    Case(
        "Tesseract",
        {"/usr/bin/tesseract": PROGRAM},
        _empty("/usr/share/tesseract-ocr/5/tessdata/eng.traineddata"),
    ),
)
