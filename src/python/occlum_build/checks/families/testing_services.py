"""Examples of the rows of servers and libraries, in the order of the table."""

from __future__ import annotations

from occlum_build.checks.families.testing import (
    LIBRARY,
    PROGRAM,
    SCRIPT,
    Case,
    empty,
    linked,
)

SERVICE_CASES = (
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
            **empty(
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
        {"/usr/lib/jvm/java-17/lib/libfontmanager.so": LIBRARY},
        empty("/etc/fonts/fonts.conf", "/usr/share/fonts/dejavu/DejaVuSans.ttf"),
    ),
    Case(
        "ICU with its data in a file",
        {"/usr/lib/libicudata.so.74": LIBRARY},
        empty("/usr/share/icu/74.2/icudt74l.dat"),
    ),
    Case(
        "full-screen programs",
        {"/bin/less": linked("libtinfo.so.6")},
        empty("/lib/terminfo/x/xterm"),
        (empty("/opt/conda/share/terminfo/x/xterm-256color"),),
    ),
    Case(
        "Vim",
        {"/usr/bin/vim.basic": linked("libtinfo.so.6"), "/lib/terminfo/x/xterm": b"x"},
        empty("/usr/share/vim/vim90/defaults.vim"),
    ),
    Case(
        "clients of TLS",
        {"/usr/bin/curl": linked("libcurl.so.4")},
        {"/usr/lib/ssl/cert.pem": "-> /certs", "/certs": b"x"},
        (empty("/etc/ssl/certs/ca-certificates.crt"), empty("/opt/conda/ssl/cacert.pem")),
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
        empty("/usr/share/misc/magic.mgc"),
    ),
    Case(
        "tools of ALSA",
        {"/usr/bin/aplay": linked("libasound.so.2")},
        empty("/usr/share/alsa/alsa.conf"),
    ),
    Case("PROJ", {"/usr/lib/libproj.so.25": LIBRARY}, empty("/usr/share/proj/proj.db")),
    Case(
        "Tesseract",
        {"/usr/bin/tesseract": PROGRAM},
        empty("/usr/share/tesseract-ocr/5/tessdata/eng.traineddata"),
    ),
)
