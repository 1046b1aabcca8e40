/* Preloaded into a process: the Nth system call that touches files fails, or a signal comes just
 * before it. Calls count while it is armed; see injected.py, which sets `injected`.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Shared with the processes that fork from this one; injected.py has the same fields. */
struct injected {
    long armed;        /* 0: calls pass and do not count */
    long only_changes; /* count only what changes files or directories */
    long at;           /* the number of the call that is hit, from 1 */
    long error;        /* its errno, or minus the number of a signal */
    long lasting;      /* count what takes space only, and fail at all from `at` on: a full disk */
    long calls;        /* how many were counted */
    char name[32];     /* of the call that was hit */
    char path[480];    /* its first path, "" for a descriptor */
};

static struct injected *injected;

__attribute__((constructor)) static void start(void) {
    injected = mmap(NULL, sizeof *injected, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                    -1, 0);
}

struct injected *injected_memory(void) { return injected; }

/* What a call does to files: nothing, it changes them, it needs space on the disk for that. */
enum { NOTHING, CHANGE, SPACE };

static int hit(const char *name, const char *path, int changes) {
    if (!injected || !injected->armed || (injected->only_changes && !changes))
        return 0;
    if (injected->lasting && changes != SPACE)
        return 0;
    if (++injected->calls != injected->at && !(injected->lasting && injected->calls > injected->at))
        return 0;
    snprintf(injected->name, sizeof injected->name, "%s", name);
    snprintf(injected->path, sizeof injected->path, "%s", path ? path : "");
    if (injected->error < 0) {
        raise((int)-injected->error);
        return 0;
    }
    errno = (int)injected->error;
    return 1;
}

/* The standard streams are the command's answer and not its work. */
static int hit_at(const char *name, int descriptor, int changes) {
    return descriptor > 2 && hit(name, "", changes);
}

#define REAL(type, name, parameters)                       \
    static type(*real) parameters;                         \
    if (!real)                                             \
        real = (type(*) parameters)dlsym(RTLD_NEXT, #name)

#define BY_PATH(type, name, parameters, arguments, path, changes) \
    type name parameters {                                        \
        REAL(type, name, parameters);                             \
        return hit(#name, path, changes) ? -1 : real arguments;   \
    }

#define BY_DESCRIPTOR(type, name, parameters, arguments, descriptor, changes) \
    type name parameters {                                                    \
        REAL(type, name, parameters);                                         \
        return hit_at(#name, descriptor, changes) ? -1 : real arguments;      \
    }

#define OPEN(name, parameters, types, arguments)                              \
    int name parameters {                                                     \
        REAL(int, name, types);                                               \
        va_list more;                                                         \
        va_start(more, flags);                                                \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;     \
        va_end(more);                                                         \
        if (hit(#name, path, flags & (O_CREAT | O_TRUNC) ? SPACE : NOTHING))             \
            return -1;                                                        \
        return real arguments;                                                \
    }

#define AT int dir, const char *path
OPEN(open, (const char *path, int flags, ...), (const char *, int, ...), (path, flags, mode))
OPEN(open64, (const char *path, int flags, ...), (const char *, int, ...), (path, flags, mode))
OPEN(openat, (AT, int flags, ...), (int, const char *, int, ...), (dir, path, flags, mode))
OPEN(openat64, (AT, int flags, ...), (int, const char *, int, ...), (dir, path, flags, mode))

BY_PATH(int, rename, (const char *path, const char *to), (path, to), path, CHANGE)
BY_PATH(int, renameat, (AT, int to_dir, const char *to), (dir, path, to_dir, to), path, CHANGE)
BY_PATH(int, renameat2, (AT, int to_dir, const char *to, unsigned flags),
        (dir, path, to_dir, to, flags), path, CHANGE)
BY_PATH(int, link, (const char *path, const char *to), (path, to), to, SPACE)
BY_PATH(int, linkat, (AT, int to_dir, const char *to, int flags), (dir, path, to_dir, to, flags),
        to, SPACE)
BY_PATH(int, symlink, (const char *target, const char *path), (target, path), path, SPACE)
BY_PATH(int, symlinkat, (const char *target, int dir, const char *path), (target, dir, path),
        path, SPACE)
BY_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode), path, SPACE)
BY_PATH(int, mkdirat, (AT, mode_t mode), (dir, path, mode), path, SPACE)
BY_PATH(int, unlink, (const char *path), (path), path, CHANGE)
BY_PATH(int, unlinkat, (AT, int flags), (dir, path, flags), path, CHANGE)
BY_PATH(int, rmdir, (const char *path), (path), path, CHANGE)
BY_PATH(int, chmod, (const char *path, mode_t mode), (path, mode), path, CHANGE)
BY_PATH(int, fchmodat, (AT, mode_t mode, int flags), (dir, path, mode, flags), path, CHANGE)
BY_PATH(int, utimensat, (AT, const struct timespec times[2], int flags),
        (dir, path, times, flags), path, CHANGE)
BY_PATH(int, truncate64, (const char *path, off64_t size), (path, size), path, CHANGE)
BY_PATH(int, stat64, (const char *path, struct stat64 *found), (path, found), path, NOTHING)
BY_PATH(int, lstat64, (const char *path, struct stat64 *found), (path, found), path, NOTHING)
BY_PATH(int, fstatat64, (AT, struct stat64 *found, int flags), (dir, path, found, flags), path,
        NOTHING)
BY_PATH(ssize_t, readlink, (const char *path, char *text, size_t size), (path, text, size), path,
        NOTHING)
BY_PATH(ssize_t, readlinkat, (AT, char *text, size_t size), (dir, path, text, size), path,
        NOTHING)

BY_DESCRIPTOR(int, fchmod, (int fd, mode_t mode), (fd, mode), fd, CHANGE)
BY_DESCRIPTOR(int, futimens, (int fd, const struct timespec times[2]), (fd, times), fd, CHANGE)
BY_DESCRIPTOR(int, ftruncate64, (int fd, off64_t size), (fd, size), fd, CHANGE)
BY_DESCRIPTOR(int, posix_fallocate64, (int fd, off64_t from, off64_t size), (fd, from, size), fd,
              SPACE)
BY_DESCRIPTOR(int, fsync, (int fd), (fd), fd, CHANGE)
BY_DESCRIPTOR(int, fdatasync, (int fd), (fd), fd, CHANGE)
BY_DESCRIPTOR(int, flock, (int fd, int how), (fd, how), fd, NOTHING)
BY_DESCRIPTOR(int, fstat64, (int fd, struct stat64 *found), (fd, found), fd, NOTHING)
BY_DESCRIPTOR(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size), fd,
              NOTHING)
BY_DESCRIPTOR(ssize_t, pread64, (int fd, void *data, size_t size, off64_t from),
              (fd, data, size, from), fd, NOTHING)
BY_DESCRIPTOR(ssize_t, preadv64v2,
              (int fd, const struct iovec *parts, int count, off64_t from, int flags),
              (fd, parts, count, from, flags), fd, NOTHING)
BY_DESCRIPTOR(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size), fd,
              SPACE)
BY_DESCRIPTOR(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count),
              fd, SPACE)
BY_DESCRIPTOR(ssize_t, pwrite64, (int fd, const void *data, size_t size, off64_t from),
              (fd, data, size, from), fd, SPACE)
BY_DESCRIPTOR(ssize_t, pwritev64v2,
              (int fd, const struct iovec *parts, int count, off64_t from, int flags),
              (fd, parts, count, from, flags), fd, SPACE)
BY_DESCRIPTOR(ssize_t, sendfile64, (int to, int from, off64_t *offset, size_t size),
              (to, from, offset, size), to, SPACE)
BY_DESCRIPTOR(ssize_t, copy_file_range,
              (int from, off64_t *in, int to, off64_t *out, size_t size, unsigned flags),
              (from, in, to, out, size, flags), to, SPACE)

/* A close that fails has closed all the same. */
int close(int fd) {
    REAL(int, close, (int));
    int failed = hit_at("close", fd, NOTHING), number = errno;
    int result = real(fd);
    if (failed)
        errno = number;
    return failed ? -1 : result;
}

DIR *opendir(const char *path) {
    REAL(DIR *, opendir, (const char *));
    return hit("opendir", path, NOTHING) ? NULL : real(path);
}

DIR *fdopendir(int fd) {
    REAL(DIR *, fdopendir, (int));
    return hit("fdopendir", "", NOTHING) ? NULL : real(fd);
}

struct dirent64 *readdir64(DIR *directory) {
    REAL(struct dirent64 *, readdir64, (DIR *));
    return hit("readdir64", "", NOTHING) ? NULL : real(directory);
}
