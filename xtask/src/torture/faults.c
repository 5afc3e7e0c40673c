/* Put before libc by LD_PRELOAD: count the calls by which a program changes files below one folder, tell the phase that each
 * belongs to, and at a chosen one kill the process, or fail as a full or read-only disk does. The wall clock can be made to
 * jump. The program knows nothing of it.
 *
 * TORTURE_FOLDER  the folder; calls elsewhere are let through
 * TORTURE_PHASE   the phase of every call; empty: the phases of `srm train`, see phase()
 * TORTURE_SCORED  updates between two scores of that run
 * TORTURE_COUNTS  a file that gets `NAME N` a line at the end of the process, `total N` among them
 * TORTURE_KILL    NAME N WHERE: SIGKILL at the N-th call of the phase, from 1; WHERE is `before` it, `half` of what it
 *                 writes, `after` it, or so many microseconds later
 * TORTURE_FAIL    ERRNO N COUNT: from the N-th call of all on, COUNT calls fail; before a disk is full it takes half a write
 * TORTURE_CLOCK   N SECONDS: from the N-th call of all on, the wall clock is so far off
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { CHECKPOINT, METRICS, ROLLBACK, SCORING, OTHER, NAMED, PHASES };
static const char *names[PHASES] = {"checkpoint", "metrics", "rollback", "scoring", "other", ""};
static const char *folder, *counts;
static long scored, kill_at, fail_error, fail_from, fail_count, clock_from, clock_by;
static int kill_phase = -1;
static char kill_where[32];
static atomic_long seen[PHASES], total;
static atomic_int lasting = -1;

__attribute__((constructor)) static void begin(void) {
    const char *text = getenv("TORTURE_PHASE");
    folder = getenv("TORTURE_FOLDER");
    counts = getenv("TORTURE_COUNTS");
    if (text && *text) names[NAMED] = text;
    if ((text = getenv("TORTURE_SCORED"))) scored = atol(text);
    char name[32];
    if ((text = getenv("TORTURE_KILL")) && sscanf(text, "%31s %ld %31s", name, &kill_at, kill_where) == 3)
        for (int i = 0; i < PHASES; i++)
            if (!strcmp(names[i], name)) kill_phase = i;
    if ((text = getenv("TORTURE_FAIL"))) sscanf(text, "%ld %ld %ld", &fail_error, &fail_from, &fail_count);
    if ((text = getenv("TORTURE_CLOCK"))) sscanf(text, "%ld %ld", &clock_from, &clock_by);
}

__attribute__((destructor)) static void end(void) {
    FILE *file = counts ? fopen(counts, "w") : NULL;
    if (!file) return;
    for (int i = 0; i < PHASES; i++)
        if (*names[i]) fprintf(file, "%s %ld\n", names[i], seen[i]);
    fprintf(file, "total %ld\n", total);
    fclose(file);
}

/* srm's end, which calls no destructors. */
void _exit(int code) {
    end();
    syscall(SYS_exit_group, code);
    __builtin_unreachable();
}

static void die(void) {
    kill(getpid(), SIGKILL);
    pause();
}

static void *die_later(void *microseconds) {
    usleep((useconds_t)(size_t)microseconds);
    die();
    return NULL;
}

/* The phase of a call of `srm train`. A rollback lasts from its evidence to the next line of an update; a score from the
 * line of its update until it is in its own log. */
static int phase(const char *path, const char *data, size_t length) {
    if (*names[NAMED]) return NAMED;
    int metrics = strstr(path, "/metrics.jsonl") != NULL;
    if (strstr(path, "/divergence")) lasting = ROLLBACK;
    if (metrics && length > 10 && !strncmp(data, "{\"update\":", 10)) {
        lasting = -1;
        if (scored && strtol(data + 10, NULL, 10) % scored == 0) {
            lasting = SCORING;
            return METRICS;
        }
    }
    if (lasting >= 0) {
        int now = lasting;
        if (now == SCORING && strstr(path, "/scores.jsonl")) lasting = -1;
        return now;
    }
    if (metrics || strstr(path, "tfevents")) return METRICS;
    return strstr(path, "/checkpoints") ? CHECKPOINT : OTHER;
}

/* What to do at a call: 0 let it through, > 0 fail with that error, -1 die after half of it, -2 after it. */
static int meet(const char *path, const char *data, size_t length, int takes_room) {
    size_t inside = folder ? strlen(folder) : 0;
    if (!inside || strncmp(path, folder, inside) || (path[inside] && path[inside] != '/')) return 0;
    int now = phase(path, data, length);
    long of_phase = ++seen[now], of_all = ++total;
    if (now == kill_phase && of_phase == kill_at) {
        if (!strcmp(kill_where, "before")) die();
        if (!strcmp(kill_where, "half")) return -1;
        if (!strcmp(kill_where, "after")) return -2;
        pthread_t thread;
        pthread_create(&thread, NULL, die_later, (void *)(size_t)atol(kill_where));
    }
    int failing = fail_error && of_all >= fail_from && of_all < fail_from + fail_count;
    return failing && (takes_room || fail_error != ENOSPC) ? (int)fail_error : 0;
}

static const char *path_of(int fd, char *place) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, place, PATH_MAX);
    place[length < 0 ? 0 : length] = 0;
    return place;
}

static const char *path_in(int fd, const char *name, char *place) {
    if (*name == '/' || fd == AT_FDCWD) return name;
    size_t length = strlen(path_of(fd, place));
    snprintf(place + length, PATH_MAX - length, "/%s", name);
    return place;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
/* A call that changes a name or a whole file. */
#define AROUND(result, path, room, call)                    \
    char place[2 * PATH_MAX];                               \
    (void)place;                                            \
    int verdict = meet(path, "", 0, room);                  \
    if (verdict > 0) return errno = verdict, -1;            \
    result value = call;                                    \
    if (verdict < 0) die();                                 \
    return value
/* A call that writes `count` bytes: a disk that fills up takes a part first. */
#define WRITING(fd, data, count, write_some)                                            \
    char place[2 * PATH_MAX];                                                           \
    int verdict = meet(path_of(fd, place), data, count, 1);                             \
    if (verdict > 0 && verdict == ENOSPC && total == fail_from && count > 1) {          \
        size_t some = count / 2;                                                        \
        return write_some;                                                              \
    }                                                                                   \
    if (verdict > 0) return errno = verdict, -1;                                        \
    size_t some = verdict == -1 ? count / 2 : count;                                    \
    ssize_t value = write_some;                                                         \
    if (verdict < 0) die();                                                             \
    return value

ssize_t write(int fd, const void *data, size_t count) { WRITING(fd, data, count, REAL(write)(fd, data, some)); }
ssize_t pwrite64(int fd, const void *data, size_t count, off64_t at) {
    WRITING(fd, data, count, REAL(pwrite64)(fd, data, some, at));
}
int ftruncate64(int fd, off64_t length) { AROUND(int, path_of(fd, place), 0, REAL(ftruncate64)(fd, length)); }
int fsync(int fd) { AROUND(int, path_of(fd, place), 0, REAL(fsync)(fd)); }
int fdatasync(int fd) { AROUND(int, path_of(fd, place), 0, REAL(fdatasync)(fd)); }
int rename(const char *from, const char *to) { AROUND(int, to, 0, REAL(rename)(from, to)); }
int unlink(const char *path) { AROUND(int, path, 0, REAL(unlink)(path)); }
int rmdir(const char *path) { AROUND(int, path, 0, REAL(rmdir)(path)); }
int mkdir(const char *path, mode_t mode) { AROUND(int, path, 1, REAL(mkdir)(path, mode)); }
int symlink(const char *to, const char *path) { AROUND(int, path, 1, REAL(symlink)(to, path)); }
int unlinkat(int fd, const char *name, int flags) {
    AROUND(int, path_in(fd, name, place), 0, REAL(unlinkat)(fd, name, flags));
}
ssize_t copy_file_range(int from, off64_t *at, int fd, off64_t *to, size_t count, unsigned flags) {
    AROUND(ssize_t, path_of(fd, place), 1, REAL(copy_file_range)(from, at, fd, to, count, flags));
}
int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    if (!(flags & (O_CREAT | O_TRUNC))) return REAL(open64)(path, flags, mode);
    struct stat found;
    AROUND(int, path, stat(path, &found) != 0, REAL(open64)(path, flags, mode));
}

/* Seconds by which the wall clock is off. */
static long off(void) { return clock_by && total >= clock_from ? clock_by : 0; }

int clock_gettime(clockid_t clock, struct timespec *time) {
    int value = REAL(clock_gettime)(clock, time);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) time->tv_sec += off();
    return value;
}
int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    int value = REAL(gettimeofday)(time, zone);
    time->tv_sec += off();
    return value;
}
