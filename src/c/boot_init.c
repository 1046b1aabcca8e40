/*
 * The init of a boot template: has the libOS mount a root file system that was made beforehand.
 *
 * Everything comes from /etc/boot.conf of the initfs, which MRENCLAVE covers (the format:
 * docs/runtime-boot.md). Arguments and environment are the host's, so they count for nothing.
 * Build it against musl, without -static, as the libOS starts only programs with an interpreter:
 *
 *     musl-gcc -Os -fPIE -pie -o init boot_init.c
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef BOOT_CONF
#define BOOT_CONF "/etc/boot.conf"
#endif
/* Where the init looks at the lower layer; made in the initfs. */
#ifndef LOWER_VIEW
#define LOWER_VIEW "/lower"
#endif

enum { BAD_CONF = 2, BAD_LOWER = 3, BAD_KEY = 4, NOT_MOUNTED = 5 }; /* exit statuses */
enum { KEY_BYTES = 16, KEY_TEXT = 3 * KEY_BYTES - 1, CONF_BYTES = 1 << 16 };
enum { SYS_MOUNT_ROOTFS = 363 };

/* As in Occlum's src/libos/src/config.rs; NULL keeps what the template was built with. */
struct user_rootfs_config {
    size_t len;
    const char *upper_layer_path;
    const char *lower_layer_path;
    const char *entry_point;
    const char *hostfs_source;
    const char *hostfs_target;
    char *const *envp;
};

_Static_assert(sizeof(struct user_rootfs_config) == 56, "size");
_Static_assert(offsetof(struct user_rootfs_config, len) == 0, "len");
_Static_assert(offsetof(struct user_rootfs_config, upper_layer_path) == 8, "upper_layer_path");
_Static_assert(offsetof(struct user_rootfs_config, lower_layer_path) == 16, "lower_layer_path");
_Static_assert(offsetof(struct user_rootfs_config, entry_point) == 24, "entry_point");
_Static_assert(offsetof(struct user_rootfs_config, hostfs_source) == 32, "hostfs_source");
_Static_assert(offsetof(struct user_rootfs_config, hostfs_target) == 40, "hostfs_target");
_Static_assert(offsetof(struct user_rootfs_config, envp) == 48, "envp");

static const char *upper, *lower, *entry_point, *hostfs_source, *hostfs_target;
static const char *key_file, *key_program;
static char **env; /* NULL without any */

static const struct {
    const char *name;
    const char **value;
} settings[] = {
    {"upper", &upper},
    {"lower", &lower},
    {"entry_point", &entry_point},
    {"hostfs_source", &hostfs_source},
    {"hostfs_target", &hostfs_target},
    {"key_file", &key_file},
    {"key_program", &key_program},
};

static unsigned char key[KEY_BYTES];
static char key_text[KEY_TEXT + 2]; /* room to see that there is more than a line end */

static void wipe_key(void)
{
    explicit_bzero(key, sizeof key);
    explicit_bzero(key_text, sizeof key_text);
}

__attribute__((noreturn, format(printf, 2, 3))) static void die(int status, const char *format, ...)
{
    va_list values;

    wipe_key();
    fputs("init: ", stderr);
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    fputc('\n', stderr);
    exit(status);
}

/* Up to `size` bytes, -1 on an error. Not by stdio, whose buffers would keep a key. */
static ssize_t read_up_to(int fd, char *buffer, size_t size)
{
    size_t length = 0;

    while (length < size) {
        ssize_t count = read(fd, buffer + length, size - length);
        if (count == 0)
            break;
        if (count > 0)
            length += (size_t)count;
        else if (errno != EINTR)
            return -1;
    }
    return (ssize_t)length;
}

static ssize_t read_file(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length;

    if (fd < 0)
        return -1;
    length = read_up_to(fd, buffer, size);
    close(fd);
    return length;
}

static void set(int line, const char *name, char *value)
{
    static size_t variables;

    if (*value == '\0')
        die(BAD_CONF, "%s:%d: %s has no value", BOOT_CONF, line, name);
    if (strcmp(name, "env") == 0) {
        env[variables++] = value;
        return;
    }
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (strcmp(name, settings[i].name) != 0)
            continue;
        if (*settings[i].value != NULL)
            die(BAD_CONF, "%s:%d: %s is given twice", BOOT_CONF, line, name);
        *settings[i].value = value;
        return;
    }
    die(BAD_CONF, "%s:%d: there is no setting %s", BOOT_CONF, line, name);
}

static void read_conf(void)
{
    static char conf[CONF_BYTES + 1];
    ssize_t length = read_file(BOOT_CONF, conf, sizeof conf);
    size_t variables = 0;
    int line = 0;

    if (length < 0)
        die(BAD_CONF, "%s: %s", BOOT_CONF, strerror(errno));
    if (length > CONF_BYTES)
        die(BAD_CONF, "%s: longer than %d bytes", BOOT_CONF, CONF_BYTES);
    conf[length] = '\0';
    if (strlen(conf) != (size_t)length)
        die(BAD_CONF, "%s: holds a byte that is zero", BOOT_CONF);
    for (const char *at = conf; (at = strstr(at, "env=")) != NULL; at++)
        variables++; /* at least as many as there are */
    if (variables > 0 && (env = calloc(variables + 1, sizeof *env)) == NULL)
        die(BAD_CONF, "%s", strerror(errno));
    for (char *next = conf; *next != '\0';) {
        char *name = next, *end = strchr(next, '\n'), *value;

        line++;
        next = end != NULL ? end + 1 : conf + length;
        if (end != NULL)
            *end = '\0';
        if ((value = strchr(name, '=')) == NULL)
            die(BAD_CONF, "%s:%d: not written as name=value", BOOT_CONF, line);
        *value++ = '\0';
        set(line, name, value);
    }
    if (env != NULL && env[0] == NULL)
        env = NULL;
    if (lower == NULL || upper == NULL)
        die(BAD_CONF, "%s: lower and upper must be given", BOOT_CONF);
    if ((key_file == NULL) == (key_program == NULL))
        die(BAD_CONF, "%s: one of key_file and key_program must be given", BOOT_CONF);
}

/* A layer without its metadata is made anew by the libOS: empty, and without a word. */
static void check_lower(void)
{
    char options[PATH_MAX + sizeof "dir="];
    struct stat found;
    int error;

    if (strchr(lower, ',') != NULL || strlen(lower) >= PATH_MAX)
        die(BAD_LOWER, "%s: too long, or with a comma, which ends a path in mount options", lower);
    snprintf(options, sizeof options, "dir=%s", lower);
    if (mkdir(LOWER_VIEW, 0700) != 0 && errno != EEXIST)
        die(BAD_LOWER, "%s: %s", LOWER_VIEW, strerror(errno));
    if (mount("hostfs", LOWER_VIEW, "hostfs", 0, options) != 0)
        die(BAD_LOWER, "%s: the host's directory cannot be mounted: %s", lower, strerror(errno));
    error = stat(LOWER_VIEW "/metadata", &found) == 0 ? 0 : errno;
    umount2(LOWER_VIEW, 0); /* if it fails: the initfs is gone soon, with what is mounted in it */
    if (error != 0)
        die(BAD_LOWER, "%s/metadata: %s: the root would be an empty file system", lower,
            strerror(error));
    if (!S_ISREG(found.st_mode) || found.st_size == 0)
        die(BAD_LOWER, "%s/metadata: not a file, or empty", lower);
}

static int digit(char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    if (character >= 'a' && character <= 'f')
        return character - 'a' + 10;
    if (character >= 'A' && character <= 'F')
        return character - 'A' + 10;
    return -1;
}

/* 16 pairs of hexadecimal digits joined by '-', and a line end or none. */
static void parse_key(const char *from, size_t length)
{
    int good = length == KEY_TEXT || (length == KEY_TEXT + 1 && key_text[KEY_TEXT] == '\n');

    for (int i = 0; good && i < KEY_BYTES; i++) {
        const char *pair = key_text + 3 * i;
        int high = digit(pair[0]), low = digit(pair[1]);

        good = high >= 0 && low >= 0 && (i == KEY_BYTES - 1 || pair[2] == '-');
        if (good)
            key[i] = (unsigned char)(high << 4 | low);
    }
    explicit_bzero(key_text, sizeof key_text);
    if (!good)
        die(BAD_KEY, "%s: not a key: 16 pairs of hexadecimal digits joined by '-'", from);
}

static void read_key_file(void)
{
    ssize_t length = read_file(key_file, key_text, sizeof key_text);

    if (length < 0)
        die(BAD_KEY, "%s: %s", key_file, strerror(errno));
    parse_key(key_file, (size_t)length);
}

/* What the program prints; it gets no arguments and no environment. */
static void read_key_from_program(void)
{
    char *const argv[] = {(char *)key_program, NULL}, *const no_env[] = {NULL};
    posix_spawn_file_actions_t actions;
    int ends[2], error, status;
    ssize_t length;
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) != 0)
        die(BAD_KEY, "%s: %s", key_program, strerror(errno));
    error = posix_spawn_file_actions_init(&actions);
    if (error == 0)
        error = posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    if (error == 0)
        error = posix_spawn(&child, key_program, &actions, NULL, argv, no_env);
    if (error != 0)
        die(BAD_KEY, "%s: %s", key_program, strerror(error));
    close(ends[1]);
    length = read_up_to(ends[0], key_text, sizeof key_text);
    if (length < 0)
        die(BAD_KEY, "%s: %s", key_program, strerror(errno));
    if (length == sizeof key_text)
        die(BAD_KEY, "%s: prints more than a key", key_program);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            die(BAD_KEY, "%s: %s", key_program, strerror(errno));
    if (WIFSIGNALED(status))
        die(BAD_KEY, "%s: ended by signal %d", key_program, WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        die(BAD_KEY, "%s: exit status %d", key_program, WEXITSTATUS(status));
    parse_key(key_program, (size_t)length);
}

static const char *hint(int error)
{
    switch (error) {
    case ENOSYS:
        return " (this is not Occlum's libOS, or too old a one)";
    case EPERM:
        return " (it is mounted once, and only once)";
    case EINVAL:
        return " (is the libOS of another version?)";
    default:
        return "";
    }
}

static void mount_rootfs(void)
{
    struct user_rootfs_config config = {
        .len = sizeof config,
        .upper_layer_path = upper,
        .lower_layer_path = lower,
        .entry_point = entry_point,
        .hostfs_source = hostfs_source,
        .hostfs_target = hostfs_target,
        .envp = env,
    };
    long result = syscall(SYS_MOUNT_ROOTFS, key, &config);
    int error = errno;

    wipe_key();
    if (result != 0)
        die(NOT_MOUNTED, "%s: the root file system cannot be mounted: %s%s", lower, strerror(error),
            hint(error));
}

int main(void)
{
    read_conf();
    check_lower();
    if (key_file != NULL)
        read_key_file();
    else
        read_key_from_program();
    mount_rootfs();
    return 0;
}
