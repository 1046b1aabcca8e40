"""Libraries and tools that look for plugins and data when they run."""

from __future__ import annotations

from collections.abc import Iterator

from occlum_build.checks.families.model import Config, Family, Finding, Need
from occlum_build.checks.files import Files
from occlum_build.errors import NOTE

_ICU_STUB_BYTES = 1 << 16  # the data of ICU has megabytes
_FONTS = (
    "to draw text, copy libfontconfig.so.1, /etc/fonts, /usr/share/fontconfig and a directory of "
    "/usr/share/fonts"
)
_QUOTED_LIBRARY = r'^"([^"]+\.so)"'


def _icu_data(files: Files, path: str) -> Iterator[Finding]:
    entry = files.root.at(path)
    if entry is None or files.root.size(entry) >= _ICU_STUB_BYTES:
        return
    if files.has("**/icudt*.dat"):
        return
    yield Finding(
        path,
        f"{path} holds no data and needs a file of it (icudtNNl.dat), which the image does not "
        "have",
        "copy share/icu",
    )


LIBRARIES = (
    Family(
        "imagemagick",
        "ImageMagick with coders as modules",
        files=r"libMagickCore-\d\.Q\w+\.so\..*",
        linked=r"libltdl\.so",
        not_linked=r"libpng|libjpeg",
        needs=(
            Need(
                ("**/coders/*.so",),
                "its coders, without which it reads no format",
                "copy lib/ImageMagick-N, with its modules-*/coders",
            ),
        ),
    ),
    Family(
        "gdk-pixbuf",
        "gdk-pixbuf",
        files=r"libgdk_pixbuf-2\.0\.so\..*",
        configs=(
            Config(
                ("**/gdk-pixbuf-2.0/*/loaders.cache",),
                _QUOTED_LIBRARY,
                "copy the loaders beside it, or leave it out",
            ),
        ),
    ),
    Family(
        "gtk",
        "GTK",
        files=r"libgtk-(?P<version>[34])\.so\..*",
        needs=(
            Need(
                ("**/glib-2.0/schemas/gschemas.compiled",),
                "schemas of settings (gschemas.compiled)",
                "copy share/glib-2.0/schemas",
            ),
        ),
        configs=(
            Config(
                ("**/gtk-3.0/*/immodules.cache",),
                _QUOTED_LIBRARY,
                "copy the input modules beside it, or leave it out",
            ),
        ),
    ),
    Family(
        "gio",
        "GIO",
        files=r"libgio-2\.0\.so\..*",
        configs=(
            Config(
                ("**/gio/modules/giomodule.cache",),
                r"^(\S+\.so):",
                "copy the modules beside it, or leave it out",
            ),
        ),
    ),
    Family(
        "qt",
        "Qt",
        files=r"libQt(?P<version>[56])Gui\b.*\.so\..*",
        needs=(
            Need(
                ("**/platforms/libq*.so",),
                "a platform plugin (plugins/platforms), without which no application starts",
                "copy the directory plugins of Qt {version}; libqoffscreen.so needs no display",
            ),
        ),
    ),
    Family(
        "gstreamer",
        "GStreamer",
        files=r"gst-(?:launch|play|discoverer)-1\.0",
        needs=(
            Need(
                ("**/gstreamer-1.0/libgst*.so",),
                "plugins (gstreamer-1.0/libgst*.so)",
                "copy lib/gstreamer-1.0",
            ),
        ),
    ),
    Family(
        "fonts",
        "what draws text in Java",
        files=r"libfontmanager\.so",
        needs=(
            Need(
                ("**/fonts/fonts.conf", "**/fontconfig.bfc", "**/fontconfig.properties"),
                "a configuration of fonts (fonts.conf)",
                _FONTS,
                NOTE,
            ),
            Need(
                ("**/*.ttf", "**/*.otf", "**/*.ttc", "**/*.pfb", "**/*.pcf.gz", "**/*.t1"),
                "a font",
                _FONTS,
                NOTE,
            ),
        ),
    ),
    Family(
        "icu",
        "ICU with its data in a file",
        files=r"libicudata\.so\.\d.*",
        check=_icu_data,
        checked="icudtNNl.dat, where the library of the data is a stub",
    ),
    Family(
        "terminfo",
        "full-screen programs",
        files=(
            r"vim(?:\.\w+)?|nvim|nano|less|top|htop|tmux|screen|mc|mutt|w3m|lynx|watch|dialog|"
            r"whiptail|tput|tset|clear"
        ),
        linked=r"lib(?:n?curses|tinfo)",
        needs=(
            Need(
                ("**/terminfo/*/*", "**/terminfo.db", "/etc/termcap"),
                "descriptions of terminals (terminfo)",
                "copy /lib/terminfo or /usr/share/terminfo, or its entries for your terminals",
            ),
        ),
    ),
    Family(
        "vim",
        "Vim",
        files=r"vim(?:\.(?:basic|nox|gtk3|athena))?",
        linked=r"lib(?:n?curses|tinfo)",
        needs=(
            Need(
                ("**/vim/vim*/defaults.vim", "**/runtime/defaults.vim"),
                "its runtime files (defaults.vim)",
                "copy /usr/share/vim",
            ),
        ),
    ),
    Family(
        "ca-certificates",
        "clients of TLS",
        files=r"curl|wget2?|git-remote-https?|aria2c",
        linked=r"lib(?:curl|ssl|gnutls)",
        needs=(
            Need(
                (
                    "/etc/ssl/certs/*",
                    "/etc/pki/tls/certs/*",
                    "/etc/pki/ca-trust/extracted/pem/*",
                    "/etc/ssl/ca-bundle.pem",
                    "/var/lib/ca-certificates/ca-bundle.pem",
                    "**/ssl/cert.pem",
                    "**/cacert.pem",
                    "**/ca-bundle.crt",
                    "**/ca-certificates.crt",
                ),
                "CA certificates, to trust a server",
                "copy /etc/ssl/certs, or where your distribution has them",
            ),
        ),
    ),
    Family(
        "git",
        "Git",
        files="git",
        linked=r"libpcre|libz\.so",
        needs=(
            Need(
                ("**/git-core/git-remote-http", "**/git-core/git-remote-https"),
                "git-core/git-remote-https, to clone from a server",
                "copy lib/git-core or libexec/git-core, if you do",
                NOTE,
            ),
        ),
    ),
    Family(
        "magic",
        "libmagic and file",
        files=r"libmagic\.so\.1.*",
        needs=(Need(("**/magic.mgc",), "its database (magic.mgc)", "copy magic.mgc"),),
    ),
    Family(
        "alsa",
        "tools of ALSA",
        files="aplay|arecord|amixer|speaker-test",
        linked=r"libasound",
        needs=(Need(("**/alsa/alsa.conf",), "its settings (alsa.conf)", "copy /usr/share/alsa"),),
    ),
    Family(
        "proj",
        "PROJ",
        files=r"libproj(?:-\w+)?\.so\.(?:15|19|2\d).*",
        needs=(Need(("**/proj.db",), "its database (proj.db)", "copy /usr/share/proj"),),
    ),
    Family(
        "tesseract",
        "Tesseract",
        files="tesseract",
        needs=(
            Need(
                ("**/*.traineddata",),
                "a language (tessdata/*.traineddata)",
                "copy the directory tessdata, or a file of it",
            ),
        ),
    ),
)
