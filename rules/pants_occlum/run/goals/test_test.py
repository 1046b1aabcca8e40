from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pants.core.goals.test import Test, TestResult
from pants.engine.addresses import Address
from pants.engine.internals.scheduler import ExecutionError
from pants.engine.rules import QueryRule

from occlum_build.run.testing import write_config
from pants_occlum.run.goals.test import ImageTestFieldSet, ImageTestRequest
from pants_occlum.testing import Project

APP = {
    "app/bom.yaml": """
        targets:
          - target: /bin
            copy:
              - files: [/bin/bash, /bin/cat, /bin/sleep, ../greet.sh]
          - target: /
            mkdirs: [dev, host, proc, tmp]
        """,
    "app/greet.sh": "#!/bin/bash\necho hello $1 $NAME\n",
    "app/BUILD": """
        occlum_bom(name="bom", source="bom.yaml")
        occlum_image(name="image", boms=[":bom"])
        files(name="files", sources=["*.sh"])
        """,
}
TEST = """
occlum_image_test(name="{}", image=":image", {})
"""


@pytest.fixture
def app(tmp_path: Path) -> Project:
    project = Project(tmp_path, QueryRule(TestResult, [ImageTestRequest.Batch]))
    project.default_sysroot = "/"
    project.write(APP)
    (project.root / "app/greet.sh").chmod(0o755)
    return project


def add(app: Project, name: str, fields: str) -> None:
    with (app.root / "app/BUILD").open("a") as file:
        file.write(TEST.format(name, fields))


def run(app: Project, *names: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
    specs = [f"app:{name}" for name in names] or ["app:"]
    done = app.run(Test, *specs, options=options)
    return done.exit_code, done.stderr


def error_of(error: ExecutionError) -> str:
    """The text of the first error that a goal ended with."""
    errors: tuple[Exception, ...] = error.wrapped_exceptions
    return str(errors[0])


def told_of(app: Project, name: str) -> str:
    """What a test that fails prints."""
    app.runner.set_options(app.global_args)
    target = app.runner.get_target(Address("app", target_name=name))
    no_metadata: Any = None
    batch = ImageTestRequest.Batch("", (ImageTestFieldSet.create(target),), no_metadata)
    result = app.runner.request(TestResult, [batch])
    assert result.exit_code == 1
    assert result.xml_results is not None
    assert result.xml_results.files == (f"app.{name}.xml",)
    return result.message()


def test_a_test_that_passes_and_one_that_fails(app: Project) -> None:
    fields = 'args=["/bin/greet.sh", "a"], env=["NAME=b"], expect_stdout="hello a b\\n", '
    add(app, "passes", f'{fields} expect_stderr="", timeout=60')
    add(app, "fails", f'{fields} expect_exit=2, expect_files={{"/tmp/x": "re:"}}')
    add(app, "skipped", 'args=["/bin/gone"], skip_tests=True')
    code, told = run(app)
    assert code == 1
    assert "app:passes succeeded" in told
    assert "app:fails failed" in told
    assert "skipped" not in told
    assert "\nexit code: expected 2, found 0\n/tmp/x: expected a file, found none\n" in (
        told_of(app, "fails")
    )


def test_what_is_expected(app: Project) -> None:
    script = "'read a; echo $a; echo $a > /tmp/f; echo w >&2; exit 3'"
    fields = f'args=["/bin/bash", "-c", {script}], stdin="given\\n", expect_exit=3, '
    fields += 'expect_stdout="re:^giv", expect_stderr="w\\n", expect_files={"/tmp/f": "given\\n"}'
    add(app, "all", fields)
    service = "'/bin/bash -c \"echo x > /tmp/ready; PATH=/bin sleep 600\"'"
    fields = f'args=["/bin/cat", "/tmp/ready"], services=[{service}], '
    add(app, "service", f'{fields} wait_for=["file:/tmp/ready"], expect_stdout="x\\n"')
    assert run(app)[0] == 0


def test_a_program_that_is_not_there_fails_the_test_alone(app: Project) -> None:
    add(app, "gone", 'args=["/bin/gret.sh"]')
    add(app, "passes", 'args=["/bin/greet.sh"]')
    code, told = run(app)
    assert code == 1
    assert "app:passes succeeded" in told
    assert (
        "\nthere is no program /bin/gret.sh in the image\n  hint: did you mean /bin/greet.sh?\n"
    ) in told_of(app, "gone")


ENCLAVE = """
occlum_enclave(
    name="enclave",
    image=":image",
    config_file="Occlum.json",
    config={"env": {"default": ["A=1"], "untrusted": ["NAME"]}, "entry_points": ["/bin/greet.sh"]},
)
"""


def write_enclave(app: Project) -> None:
    write_config(app.root / "app/Occlum.json")
    with (app.root / "app/BUILD").open("a") as file:
        file.write(ENCLAVE)


def test_the_configuration_of_an_enclave_holds(app: Project) -> None:
    write_enclave(app)
    with (app.root / "app/BUILD").open("a") as file:
        file.write(
            """
of_enclave = dict(image=":enclave", args=["/bin/greet.sh"], expect_stdout="hello b\\n")
occlum_image_test(name="right", env=["NAME=b"], **of_enclave)
occlum_image_test(name="variable", env=["OTHER=b"], **of_enclave)
occlum_image_test(name="program", image=":enclave", args=["/bin/bash"])
"""
        )
    assert run(app, "right")[0] == 0
    assert "the enclave takes no OTHER from outside" in told_of(app, "variable")
    assert "/bin/bash is below no entry point: /bin/greet.sh" in told_of(app, "program")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("args=[]", "The 'args' field in target app:wrong names no program"),
        ('args=["/x"], expect_exit=256', "is a number from 0 to 255, not 256"),
        ('args=["/x"], expect_stdout="re:("', "re:( is no regular expression: missing )"),
        ('args=["/x"], expect_files={"x": ""}', "takes absolute paths in the image, not 'x'"),
        ('args=["/x"], expect_files={"/x": "re:["}', "The 'expect_files' field in target app:wro"),
        ('args=["/x"], env=["=x"]', "takes NAME=value, not '=x'"),
        ("args=['/x'], services=['\"']", "which names no program, or has a quotation mark too"),
        ('args=["/x"], wait_for=["tcp:x"]', "takes `tcp:PORT`, `unix:/path` and `file:/path`"),
        ('args=["/x"], wait_for=["http:/x"]', "takes `tcp:PORT`"),
        ('args=["/x"], wait_for=["tcp:65536"]', "takes `tcp:PORT`"),
        ('args=["/x"], wait_for=["tcp:0"]', "takes `tcp:PORT`"),
        ('args=["/x"], wait_for=["tcp:\\u00b2"]', "takes `tcp:PORT`"),
        ('args=["/x"], timeout=0', "'timeout' field in target app:wrong"),
    ],
)
def test_fields_that_are_wrong(app: Project, fields: str, told: str) -> None:
    add(app, "wrong", fields)
    with pytest.raises(ExecutionError) as caught:
        run(app)
    assert told in error_of(caught.value)


def test_an_image_that_is_none(app: Project) -> None:
    with (app.root / "app/BUILD").open("a") as file:
        file.write('occlum_image_test(name="wrong", image=":bom", args=["/x"])\n')
    with pytest.raises(ExecutionError) as caught:
        run(app)
    assert "The 'image' field in target app:wrong must be an `occlum_image` or" in error_of(
        caught.value
    )


def test_an_image_that_cannot_be_built_fails_its_tests_alone(app: Project) -> None:
    add(app, "passes", 'args=["/bin/greet.sh"]')
    with (app.root / "app/BUILD").open("a") as file:
        file.write(
            """
occlum_bom(name="wrong_bom", source="wrong.yaml")
occlum_image(name="wrong_image", boms=[":wrong_bom"])
occlum_image_test(name="wrong", image=":wrong_image", args=["/bin/gone"])
"""
        )
    app.write({"app/wrong.yaml": "targets: [{target: /bin, copy: [{files: [/bin/gone]}]}]"})
    code, told = run(app)
    assert code == 1
    assert "app:passes succeeded" in told
    assert "app:wrong failed" in told
    assert "app:wrong_image cannot be built, 1 error:\n\napp/wrong.yaml:1:" in (
        told_of(app, "wrong")
    )


def test_each_test_has_a_report(app: Project) -> None:
    add(app, "passes", 'args=["/bin/greet.sh"]')
    add(app, "fails", 'args=["/bin/greet.sh"], expect_exit=2')
    run(app, options=("--test-report",))
    reports = app.root / "dist/test/reports"
    texts = {one.name: one.read_text() for one in reports.iterdir()}
    assert sorted(texts) == ["app.fails.xml", "app.passes.xml"]
    assert '<testcase classname="app" name="passes" />' in texts["app.passes.xml"]
    assert '<failure message="exit code: expected 2, found 0">' in texts["app.fails.xml"]


BROKEN = """
occlum_bom(name="broken_bom", source="broken.yaml")
occlum_image(name="broken", boms=[":broken_bom"])
"""


def test_what_a_machine_lacks_skips_only_what_says_so(app: Project) -> None:
    app.write({"app/broken.yaml": "targets: [{target: /bin, copy: [{files: [/usr/bin/none]}]}]"})
    with (app.root / "app/BUILD").open("a") as file:
        file.write(BROKEN)
    for name, lacking in (("skips", "/usr/bin/none"), ("fails", "/bin/bash")):
        fields = f'image=":broken", args=["/bin/none"], skip_without=["{lacking}"]'
        with (app.root / "app/BUILD").open("a") as file:
            file.write(f'occlum_image_test(name="{name}", {fields})\n')
    assert run(app, "skips")[0] == 0
    code, told = run(app, "fails")
    assert code == 1 and "app:fails failed" in told


def test_what_skips_a_test_is_a_path_or_the_right_to_run(app: Project) -> None:
    add(app, "odd", 'args=["/bin/cat"], skip_without=["redis"]')
    with pytest.raises(ExecutionError) as caught:
        run(app, "odd")
    assert "takes absolute paths and `namespaces`, not 'redis'" in error_of(caught.value)
