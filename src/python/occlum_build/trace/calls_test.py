from __future__ import annotations

import pytest

from occlum_build.trace.calls import (
    CREATE,
    END,
    ENTER,
    EXEC,
    LINK,
    LIST,
    LOOK,
    OPEN,
    START,
    Calls,
    Event,
)


def read(*lines: str) -> list[Event]:
    calls = Calls()
    return [event for line in lines if (event := calls.event(line)) is not None]


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (
            'openat(AT_FDCWD</usr>, "lib/x.so", O_RDONLY|O_CLOEXEC) = 3</usr/lib/x.so>',
            Event(7, OPEN, "lib/x.so", "/usr"),
        ),
        ('openat(AT_FDCWD, "x", O_RDONLY) = -1 EACCES (Permission denied)', Event(7, OPEN, "x")),
        (
            'openat(5</etc>, "x", O_RDONLY|O_NONBLOCK|O_DIRECTORY) = -1 ENOENT (No such file)',
            Event(7, LIST, "x", "/etc", is_found=False),
        ),
        (
            'open("/a/b", O_WRONLY|O_CREAT, 0666) = -1 ENOTDIR (x)',
            Event(7, CREATE, "/a/b", "", False),
        ),
        ('openat(AT_FDCWD</>, "/x", O_RDONLY|O_PATH) = 3</x>', Event(7, LOOK, "/x", "/")),
        ('execve("/bin/ls", [...], 0x7ffd /* 3 vars */) = 0', Event(7, EXEC, "/bin/ls")),
        ("execve(0x7f2b, 0x7f2c, 0x7f2d) = 0", Event(7, EXEC)),
        ('newfstatat(AT_FDCWD</>, "/l", {...}, 0) = 0', Event(7, LOOK, "/l", "/")),
        (
            'newfstatat(AT_FDCWD</>, "/l", {...}, AT_SYMLINK_NOFOLLOW) = 0',
            Event(7, LINK, "/l", "/"),
        ),
        ('readlink("/l", ""..., 4095) = -1 EINVAL (Invalid argument)', Event(7, LINK, "/l")),
        ('mkdir("/var/x", 0777) = -1 ENOENT (No such file)', Event(7, CREATE, "/var/x", "", False)),
        ('chdir("/srv") = 0', Event(7, ENTER, "/srv")),
        ("fchdir(3</srv>) = 0", Event(7, ENTER, "/srv")),
        ("+++ exited with 0 +++", Event(7, END)),
        ("+++ killed by SIGKILL +++", Event(7, END)),
        ("vfork() = 12", Event(7, START, "12", "", is_found=False)),
        ("fork() = 4 /* 99 in strace's PID NS */", Event(7, START, "99", "", is_found=False)),
        (
            "clone3({flags=CLONE_VM|CLONE_THREAD, ...}, 88) = 5 /* 9 in strace's PID NS */",
            Event(7, START, "9"),
        ),
    ],
)
def test_what_a_line_tells(line: str, event: Event) -> None:
    assert read(f"7  {line}") == [event]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "7 ",
        "strace: Process 7 attached",
        '7 newfstatat(3</etc/x>, "", {...}, AT_EMPTY_PATH) = 0',
        "7 openat(AT_FDCWD, 0x7ffe, O_RDONLY) = -1 EFAULT (Bad address)",
        '7 openat(AT_FDCWD, "/x", O_RDONLY) = ?',
        '7 chmod("/x", 0644) = 0',
        "7 fchdir(3</x>) = -1 EACCES (Permission denied)",
        "7 vfork() = ? ERESTARTNOINTR",
        "7 <... openat resumed>",
    ],
)
def test_what_tells_nothing(line: str) -> None:
    assert read(line) == []


def test_names_of_any_bytes() -> None:
    name = r"a\"b\\c\n\303\244\1d"
    (event,) = read(rf'7 open("/{name}) = 3", O_RDONLY) = -1 ENOENT (No such file)')
    assert (event.path, event.is_found) == ('/a"b\\c\nä\x01d) = 3', False)
    (event,) = read('7 openat(3</a\\76b>(deleted), "\\377", O_RDONLY) = 4')
    assert (event.base, event.path) == ("/a>b", "\udcff")


def test_calls_of_several_processes_that_take_a_while() -> None:
    assert read(
        '7 openat(AT_FDCWD</>, "/x", O_RDONLY <unfinished ...>',
        '8 openat(AT_FDCWD</>, "/y", O_RDONLY) = 3</y>',
        "7 <... openat resumed>) = 3</x>",
    ) == [Event(8, OPEN, "/y", "/"), Event(7, OPEN, "/x", "/")]


def test_a_thread_that_executes_a_program_is_the_process_then() -> None:
    assert read(
        '9 execve("/bin/ls", [...], 0x1 <unfinished ...>',
        "7 +++ superseded by execve in pid 9 +++",
        "7 <... execve resumed>) = 0",
    ) == [Event(7, EXEC, "/bin/ls")]


@pytest.mark.parametrize("result", ["0", "?"])  # as strace has it without and with its filter
def test_a_thread_that_changes_its_number_by_executing_a_program(result: str) -> None:
    assert read(
        '7 openat(AT_FDCWD</>, "/fifo", O_RDONLY <unfinished ...>',
        '9 execve("/bin/ls", [...], 0x1 /* 2 vars */ <pid changed to 7 ...>',
        "7 <... openat resumed>) = ?",
        "7 +++ superseded by execve in pid 9 +++",
        f"7 <... execve resumed>) = {result}",
        '7 openat(AT_FDCWD</>, "/y", O_RDONLY) = 3</y>',
    ) == [Event(7, EXEC, "/bin/ls"), Event(7, OPEN, "/y", "/")]


def test_a_place_is_made_for_sockets_and_fifos() -> None:
    assert read(
        '7 bind(3<socket:[5]>, {sa_family=AF_UNIX, sun_path="/var/x\\n\\"y"}, 12) = -1 ENOENT (x)',
        '7 bind(4<socket:[6]>, {sa_family=AF_UNIX, sun_path=@"abstract"}, 11) = 0',
        "7 bind(4<socket:[6]>, {sa_family=AF_INET, sin_port=htons(0)}, 16) = 0",
        '7 mknodat(AT_FDCWD</srv>, "fifo", S_IFIFO|0666) = 0',
        '7 truncate("/srv/log", 0) = 0',
    ) == [
        Event(7, CREATE, '/var/x\n"y', is_found=False),
        Event(7, CREATE, "fifo", "/srv"),
        Event(7, OPEN, "/srv/log"),
    ]
