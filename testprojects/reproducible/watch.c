/* A library to preload into a build. It writes down what each process sees of the machine, and
 * with -DTURN_ROUND it gives the entries of every directory in the opposite order.
 *
 * LOG is a file that exists, SELF the path of this library. What is started with a cleared
 * environment, as Pants starts processes, gets the library all the same.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static char program[256];

/* One line, written at once, so that those of several processes do not mix. */
static void say(const char *line)
{
    int saved = errno, log = open(LOG, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (log >= 0) {
        if (write(log, line, strlen(line)) < 0)
            abort();
        close(log);
    }
    errno = saved;
}

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

__attribute__((constructor)) static void look(int argc, char **argv)
{
    char line[4096];
    cpu_set_t cpus;
    mode_t mask = umask(0);
    umask(mask);
    sched_getaffinity(0, sizeof cpus, &cpus);
    snprintf(program, sizeof program, "%s\t%s", argc > 0 ? argv[0] : "", argc > 1 ? argv[1] : "");
    snprintf(line, sizeof line, "seen\t%s\t%u\t%03o\t%d\t%s\t%s\t%s\t%s\n", program, getuid(), mask,
             CPU_COUNT(&cpus), variable("HOME"), variable("LANG"), variable("TZ"),
             variable("PYTHONHASHSEED"));
    say(line);
}

/* This library for a program that is started with `env`. */
#define WITH_LIBRARY(env, more)                                      \
    size_t count = 0, has = 0;                                       \
    for (; (env)[count]; count++)                                    \
        has |= !strncmp((env)[count], "LD_PRELOAD=", 11);            \
    char *more[count + 2];                                           \
    memcpy(more, (env), (count + 1) * sizeof *more);                 \
    if (!has) {                                                      \
        more[count] = "LD_PRELOAD=" SELF;                            \
        more[count + 1] = NULL;                                      \
    }

int execve(const char *path, char *const argv[], char *const env[])
{
    int (*next)(const char *, char *const[], char *const[]) = dlsym(RTLD_NEXT, "execve");
    WITH_LIBRARY(env, more)
    return next(path, argv, more);
}

int execvp(const char *file, char *const argv[])
{
    int (*next)(const char *, char *const[], char *const[]) = dlsym(RTLD_NEXT, "execvpe");
    WITH_LIBRARY(environ, more)
    return next(file, argv, more);
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attributes, char *const argv[], char *const env[])
{
    __typeof__(&posix_spawnp) next = dlsym(RTLD_NEXT, "posix_spawnp");
    WITH_LIBRARY(env, more)
    return next(pid, file, actions, attributes, argv, more);
}

#ifdef TURN_ROUND

/* All entries of a directory that is being read, of which `left` were not given yet. */
struct listing {
    DIR *directory;
    struct dirent64 **entries;
    size_t count, left;
    struct listing *next;
};

static struct listing *listings;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct listing *read_all(DIR *directory)
{
    struct dirent64 *(*next)(DIR *) = dlsym(RTLD_NEXT, "readdir64"), *entry;
    struct listing *listing = calloc(1, sizeof *listing);
    int saved = errno;
    while ((entry = next(directory))) {
        size_t size = (listing->count + 1) * sizeof *listing->entries;
        listing->entries = realloc(listing->entries, size);
        struct dirent64 *copy = malloc(sizeof *copy);
        memcpy(copy, entry, entry->d_reclen);
        listing->entries[listing->count++] = copy;
    }
    errno = saved;
    listing->left = listing->count;
    listing->directory = directory;
    listing->next = listings;
    return listings = listing;
}

static void forget(DIR *directory)
{
    for (struct listing **link = &listings; *link; link = &(*link)->next) {
        struct listing *listing = *link;
        if (listing->directory == directory) {
            *link = listing->next;
            for (size_t n = 0; n < listing->count; n++)
                free(listing->entries[n]);
            free(listing->entries);
            free(listing);
            return;
        }
    }
}

struct dirent64 *readdir64(DIR *directory)
{
    static int told;
    pthread_mutex_lock(&lock);
    struct listing *listing = listings;
    while (listing && listing->directory != directory)
        listing = listing->next;
    if (!listing)
        listing = read_all(directory);
    struct dirent64 *entry = listing->left ? listing->entries[--listing->left] : NULL;
    /* Two of them are "." and "..". */
    int tell = listing->count > 3 && !told;
    told |= tell;
    pthread_mutex_unlock(&lock);
    if (tell) {
        char line[512];
        snprintf(line, sizeof line, "turned\t%s\n", program);
        say(line);
    }
    return entry;
}

struct dirent *readdir(DIR *directory)
{
    return (struct dirent *)readdir64(directory); /* the same where off_t has 64 bits */
}

void rewinddir(DIR *directory)
{
    void (*next)(DIR *) = dlsym(RTLD_NEXT, "rewinddir");
    pthread_mutex_lock(&lock);
    forget(directory);
    pthread_mutex_unlock(&lock);
    next(directory);
}

int closedir(DIR *directory)
{
    int (*next)(DIR *) = dlsym(RTLD_NEXT, "closedir");
    pthread_mutex_lock(&lock);
    forget(directory);
    pthread_mutex_unlock(&lock);
    return next(directory);
}

#endif
