from __future__ import annotations

from occlum_build.trace.calls import END, ENTER, EXEC, LINK, LOOK, OPEN, START, Event
from occlum_build.trace.processes import Ask, Processes

# Ours is 1, and starts 2, which executes a program.
BEGIN = (
    Event(1, EXEC, "/python"),
    Event(1, OPEN, "/ours"),
    Event(1, START, "2", is_found=False),
    Event(2, OPEN, "/ours"),
    Event(2, EXEC, "/bin/app"),
)
APP = Ask("/bin/app", "/bin/app", EXEC, True)


def asks(*events: Event) -> list[Ask]:
    processes = Processes(1, "/bin/app")
    return [ask for event in (*BEGIN, *events) for ask in processes.asks(event)]


def test_what_we_do_ourselves_does_not_count() -> None:
    assert asks() == [APP]


def test_relative_paths() -> None:
    found = asks(
        Event(2, OPEN, "a//./b"),
        Event(2, ENTER, "/srv"),
        Event(2, OPEN, "x"),
        Event(2, OPEN, "y", "/etc"),
        Event(2, LINK, "../z", "/srv/link"),
        Event(2, LINK, "//../z"),
        Event(2, ENTER, "gone", is_found=False),
        Event(2, LOOK, "w"),
        Event(2, OPEN, "v", "anon_inode:[eventpoll]"),
    )
    assert [one.path for one in found[1:]] == [
        "/a/b", "/srv", "/srv/x", "/etc/y", "/srv/link/../z", "/../z", "/srv/gone", "/srv/w",
    ]  # fmt: skip


def test_a_process_goes_on_as_the_one_that_started_it() -> None:
    found = asks(
        Event(2, ENTER, "/srv"),
        Event(2, START, "3", is_found=False),
        Event(3, OPEN, "x"),
        Event(3, ENTER, "/tmp"),
        Event(3, EXEC, "/bin/ls"),
        Event(3, OPEN, "y"),
        Event(2, OPEN, "z"),
    )
    assert [(one.path, one.by) for one in found[2:]] == [
        ("/srv/x", "/bin/app"),
        ("/tmp", "/bin/app"),
        ("/bin/ls", "/bin/app"),
        ("/tmp/y", "/bin/ls"),
        ("/srv/z", "/bin/app"),
    ]


def test_threads_share_their_working_directory() -> None:
    found = asks(Event(2, START, "3"), Event(3, ENTER, "/srv"), Event(2, OPEN, "x"))
    assert found[-1] == Ask("/srv/x", "/bin/app", OPEN, True)


def test_calls_that_are_told_before_the_start_of_their_process() -> None:
    found = asks(
        Event(4, OPEN, "/four"),
        Event(3, START, "4", is_found=False),
        Event(3, EXEC, "/bin/ls"),
        Event(3, END),
        Event(2, START, "3", is_found=False),
        Event(4, OPEN, "/later"),
    )
    assert [(one.path, one.by) for one in found[1:]] == [
        ("/four", "/bin/app"),
        ("/bin/ls", "/bin/app"),
        ("/later", "/bin/app"),
    ]


def test_a_number_is_that_of_another_process_later() -> None:
    found = asks(
        Event(2, START, "3", is_found=False),
        Event(3, EXEC, "/bin/ls"),
        Event(3, END),
        Event(3, OPEN, "/x"),
        Event(2, START, "3", is_found=False),
    )
    assert found[-1] == Ask("/x", "/bin/app", OPEN, True)


def test_programs_that_are_not_there() -> None:
    assert asks(Event(2, EXEC, "/bin/no", is_found=False), Event(2, OPEN, "/x"))[1:] == [
        Ask("/bin/no", "/bin/app", EXEC, False),
        Ask("/x", "/bin/app", OPEN, True),
    ]


def test_a_program_whose_path_cannot_be_read() -> None:
    processes = Processes(1, "/bin/app")
    events = (Event(1, START, "1"), Event(2, OPEN, "/a"), Event(2, EXEC), Event(2, OPEN, "/x"))
    found = [ask for event in events for ask in processes.asks(event)]
    assert found == [APP, Ask("/x", "/bin/app", OPEN, True)]


def test_what_is_never_told_of_takes_bounded_memory() -> None:
    processes = Processes(1, "/bin/app")
    for _ in range(100_001):
        assert not list(processes.asks(Event(99, OPEN, "/x")))
    assert processes.is_incomplete
