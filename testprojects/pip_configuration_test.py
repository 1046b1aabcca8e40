"""A constraint in the machine's configuration of pip breaks no build."""

from __future__ import annotations

from pathlib import Path

from pants_runner import pants_runner

LOCK_FILE = "3rdparty/python/default.lock"
BUILD = """
python_requirement(name="elftools", requirements=["pyelftools==0.32"], modules=["elftools"])
python_sources(name="sources")
pex_binary(name="app", entry_point="app.py")
"""


def test_what_a_lock_file_names_is_downloaded(tmp_path: Path) -> None:
    with pants_runner(tmp_path / "pants", parts=(LOCK_FILE,), backends=None) as pants:
        pants.write("testprojects/app/BUILD", BUILD)
        pants.write("testprojects/app/app.py", "import elftools\n")
        config_dirs = _configuration_with_a_constraint(tmp_path)

        pants.run(
            f"--subprocess-environment-env-vars=+['XDG_CONFIG_DIRS={config_dirs}']",
            "package",
            "testprojects/app:app",
        ).expect(0)

        assert (pants.dist / "testprojects.app/app.pex").is_file()


def _configuration_with_a_constraint(top: Path) -> str:
    """A value of XDG_CONFIG_DIRS: a constraint for pip besides this machine's own settings."""
    constraints = top / "constraints.txt"
    constraints.write_text("torch<=2\npyelftools<9\n")
    settings = top / "xdg/pip/pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"[global]\nconstraint = {constraints}\n")
    return f"/etc/xdg:{top / 'xdg'}"
