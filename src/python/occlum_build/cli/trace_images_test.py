"""Images made wrong on purpose: all that is missing is found, and what is pasted mends it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from occlum_build.cli.testing_trace import make, pasted, run, snippet_of
from occlum_build.trace.testing import need

PYTHON = Path("/usr/bin/python3").resolve()  # /usr/bin/python3.11
LIBRARY = Path("/usr/lib", PYTHON.name)
PERL = sorted(Path("/usr/share/perl").glob("5.*.*"))[-1:]
NGINX_MODULE = "/usr/share/nginx/modules/ngx_http_echo_module.so"
NGINX_CONF = """
user root;
load_module modules/ngx_http_echo_module.so;
error_log stderr;
pid /dev/null;
events {}
http { access_log off; server { listen 127.0.0.1:8099; location / { echo hello; } } }
"""


@dataclass(frozen=True)
class Wrong:
    """`found` are regular expressions of paths that are missing, in order; `works` is printed by a
    program whose image lacks nothing, on either stream.
    """

    bom: str
    args: tuple[str, ...]
    works: str
    found: tuple[str, ...]
    needs: tuple[str, ...]
    options: tuple[str, ...] = ()
    fails_with: int = 1
    files: dict[str, str] = field(default_factory=dict)


CASES = {
    "python without its lib-dynload": Wrong(
        bom=f"""\
excludes: [__pycache__, config-*, dist-packages, lib-dynload, sitecustomize.py, test]
targets:
- target: /usr/bin
  copy: [{{files: [{PYTHON}]}}]
- target: /usr/lib
  copy: [{{dirs: [{LIBRARY}]}}]
- target: /
  mkdirs: [dev, proc]
""",
        args=(str(PYTHON), "-c", "import sqlite3; print(sqlite3.connect(':memory:') is not None)"),
        options=("--env", "HOME=/", "--env", "LC_ALL=C"),
        works="True\n",
        found=(rf"{LIBRARY}/lib-dynload/_sqlite3\.[^/]+\.so",),
        needs=(str(PYTHON), f"{LIBRARY}/sqlite3", f"{LIBRARY}/lib-dynload"),
    ),
    "nginx without a module that its configuration loads": Wrong(
        bom="""\
targets:
- target: /usr/sbin
  copy: [{files: [/usr/sbin/nginx]}]
- target: /usr/lib/ssl
  copy: [{files: [/usr/lib/ssl/openssl.cnf]}]
- target: /etc
  copy: [{files: [/etc/passwd, /etc/group]}]
- target: /etc/nginx
  copy: [{from: FOLDER, files: [nginx.conf]}]
- target: /
  mkdirs: [dev, proc, var/lib/nginx, var/log/nginx]
""",
        args=("/usr/sbin/nginx", "-t", "-e", "stderr"),
        options=("--writable",),
        works="test is successful\n",
        found=(NGINX_MODULE,),
        needs=("/usr/sbin/nginx", NGINX_MODULE),
        files={"nginx.conf": NGINX_CONF},
    ),
    "a locale missing": Wrong(
        bom="""\
targets:
- target: /usr/bin
  copy: [{files: [/usr/bin/locale]}]
- target: /
  mkdirs: [dev, proc]
""",
        args=("/usr/bin/locale", "charmap"),
        options=("--env", "LC_ALL=C.utf8"),
        works="UTF-8\n",
        found=(r"/usr/lib/locale(/C\.utf8)?",),  # the only one, or beside others
        needs=("/usr/bin/locale", "/usr/lib/locale/C.utf8/LC_CTYPE"),
        fails_with=0,
    ),
    "a Perl module missing": Wrong(
        bom="""\
targets:
- target: /usr/bin
  copy: [{files: [/usr/bin/perl]}]
- target: /usr/lib/x86_64-linux-gnu
  copy: [{dirs: [/usr/lib/x86_64-linux-gnu/perl-base]}]
- target: /
  mkdirs: [dev, proc]
""",
        args=("/usr/bin/perl", "-e", "use JSON::PP; use Text::Balanced; print 'fine', $/"),
        works="fine\n",
        found=(
            r"/usr/share/perl/5\.[\d.]+/JSON",  # all that is in it, of which the program names one
            r"/usr/share/perl/5\.[\d.]+/Text/Balanced\.pm",
        ),
        needs=("/usr/bin/perl", *(f"{one}/JSON/PP.pm" for one in PERL)),
        fails_with=2,
    ),
}


def found_in(snippet: str, expected: tuple[str, ...]) -> bool:
    """Whether a snippet copies what is expected, in that order, and nothing else."""
    copied = re.findall(r"^    - (\S+)  # ", snippet, re.MULTILINE)
    assert "mkdirs" not in snippet
    assert len(copied) == len(expected), copied
    return all(re.fullmatch(one, path) for one, path in zip(expected, copied))


@pytest.mark.parametrize("name", CASES)
def test_what_is_missing_is_found_and_mended(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    case = CASES[name]
    need(*case.needs)
    for file, text in case.files.items():
        (tmp_path / file).write_text(text)
    bom = case.bom.replace("FOLDER", str(tmp_path))
    image = make(tmp_path / "wrong", bom)
    assert run(image, *case.options, "--", *case.args) == case.fails_with
    assert case.works not in "".join(capfd.readouterr())

    assert run("--trace", *case.options, image, "--", *case.args) == 0
    told = capfd.readouterr()
    assert case.works in told.out + told.err
    snippet = snippet_of(told.err)
    assert found_in(snippet, case.found)
    mended = make(tmp_path / "mended", pasted(bom, snippet))
    capfd.readouterr()
    assert run(mended, *case.options, "--", *case.args) == 0
    assert case.works in "".join(capfd.readouterr())
    # What was pasted is needed, and nothing else is missing.
    assert run("--trace", *case.options, mended, "--", *case.args) == 0
    assert "# nothing is missing that / has\n" in capfd.readouterr().err
