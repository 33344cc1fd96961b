/* A library to preload: it writes down what a process does to the files under one folder, and makes chosen calls fail.

   The record is what a disk would get to see, in order: opened, written, truncated, synced, renamed, linked, removed. From it
   `powercut.py` makes the folder as it would be after a power cut at any point. A fault is: the n-th write or sync
   of a file whose path ends in a given way kills the process, tears the write and kills, or returns an error.

   Nothing happens before chaos_begin(). Without a trace file nothing is written down, and there are faults only. Only one thread at a time is inside, so the order of the
   record is the order of the calls. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FDS 4096
#define REAL(name) ((__typeof__(&name))real(#name))

enum { OPENED = 1, WRITTEN, TRUNCATED, SYNCED, RENAMED, REMOVED, FOLDER, FAILED, LINKED };
enum { KILL = 1, TEAR, IO_ERROR, NO_SPACE };

struct head {
    uint32_t op, path_len;
    uint64_t inode, offset, length, data_len;
};

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char root[PATH_MAX];
static int trace = -1;
static char *paths[FDS]; /* of the open files under the root */
static struct {
    char what; /* 'w' write, 's' sync */
    char suffix[256];
    long nth, left, seen;
    int action;
} fault;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static void put(uint32_t op, const char *path, uint64_t inode, uint64_t offset, uint64_t length, const void *data,
                uint64_t data_len) {
    if (trace < 0) return;
    struct head head = {op, path ? strlen(path) : 0, inode, offset, length, data_len};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)path, head.path_len}, {(void *)data, data_len}};
    ssize_t all = sizeof head + head.path_len + data_len;
    if (REAL(writev)(trace, parts, 3) != all) abort(); /* a record with holes proves nothing */
}

static int watched(const char *path) {
    size_t length = strlen(root);
    return length && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

static const char *path_of(int fd) { return fd >= 0 && fd < FDS ? paths[fd] : NULL; }

static uint64_t inode_of(int fd) {
    struct stat info;
    return fstat(fd, &info) ? 0 : info.st_ino;
}

/* Returns 0, or the action to take instead of the call. */
static int due(char what, const char *path) {
    if (!fault.what || fault.what != what || !path || !fault.left) return 0;
    size_t length = strlen(path), end = strlen(fault.suffix);
    if (length < end || strcmp(path + length - end, fault.suffix)) return 0;
    if (++fault.seen < fault.nth) return 0;
    if (fault.left > 0) fault.left--;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    put(FAILED, path, 0, now.tv_sec * 1000000000ull + now.tv_nsec, what, NULL, 0);
    return fault.action;
}

static int refuse(int action) {
    if (action == KILL || action == TEAR) kill(getpid(), SIGKILL), pause();
    errno = action == IO_ERROR ? EIO : ENOSPC;
    return -1;
}

void chaos_begin(const char *folder, const char *trace_file) {
    snprintf(root, sizeof root, "%s", folder);
    if (!trace_file) return;
    trace = REAL(open64)(trace_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (trace < 0) abort();
}

void chaos_fault(char what, const char *suffix, long nth, int action, long times) {
    fault.what = what;
    snprintf(fault.suffix, sizeof fault.suffix, "%s", suffix);
    fault.nth = nth;
    fault.action = action;
    fault.left = times;
    fault.seen = 0;
}

static int opened(int (*call)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    char whole[PATH_MAX];
    if (!root[0]) return call(path, flags, mode);
    if (path[0] == '/') snprintf(whole, sizeof whole, "%s", path);
    else {
        char here[PATH_MAX / 2];
        snprintf(whole, sizeof whole, "%s/%s", getcwd(here, sizeof here) ? here : "", path);
    }
    if (!watched(whole)) return call(path, flags, mode);
    pthread_mutex_lock(&lock);
    int there = !access(whole, F_OK);
    int fd = call(path, flags, mode);
    if (fd >= 0 && fd < FDS) {
        free(paths[fd]);
        paths[fd] = strdup(whole);
        put(OPENED, whole, inode_of(fd), !there, flags & O_TRUNC ? 1 : 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN(name)                                                                                                    \
    int name(const char *path, int flags, ...) {                                                                      \
        mode_t mode = 0;                                                                                              \
        if (flags & (O_CREAT | __O_TMPFILE)) {                                                                        \
            va_list more;                                                                                             \
            va_start(more, flags);                                                                                    \
            mode = va_arg(more, mode_t);                                                                              \
            va_end(more);                                                                                             \
        }                                                                                                             \
        return opened(REAL(name), path, flags, mode);                                                                 \
    }
OPEN(open)
OPEN(open64)

int close(int fd) {
    pthread_mutex_lock(&lock);
    if (path_of(fd)) {
        free(paths[fd]);
        paths[fd] = NULL;
    }
    int result = REAL(close)(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

/* `at` is the offset, or -1 for the file's own. */
static ssize_t written(int fd, const void *data, size_t size, off64_t at) {
    pthread_mutex_lock(&lock);
    const char *path = path_of(fd);
    ssize_t done;
    int action = due('w', path);
    if (action && action != TEAR) {
        done = refuse(action);
    } else {
        if (action == TEAR) size /= 2;
        done = at < 0 ? REAL(write)(fd, data, size) : REAL(pwrite64)(fd, data, size, at);
        if (path && done > 0) put(WRITTEN, path, inode_of(fd), at < 0 ? lseek64(fd, 0, SEEK_CUR) - done : at, done, data, done);
        if (action == TEAR) refuse(KILL);
    }
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *data, size_t size) { return path_of(fd) ? written(fd, data, size, -1) : REAL(write)(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return path_of(fd) ? written(fd, data, size, at) : REAL(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return path_of(fd) ? written(fd, data, size, at) : REAL(pwrite64)(fd, data, size, at); }

int ftruncate64(int fd, off64_t length) {
    pthread_mutex_lock(&lock);
    int result = REAL(ftruncate64)(fd, length);
    if (path_of(fd) && !result) put(TRUNCATED, path_of(fd), inode_of(fd), 0, length, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

/* `length` of the record: 1 if it worked. A failed sync is written down too: what it left unsynced may never be. */
static int synced(int (*call)(int), int fd) {
    pthread_mutex_lock(&lock);
    int action = due('s', path_of(fd));
    int result = action ? refuse(action) : call(fd);
    if (path_of(fd)) put(SYNCED, path_of(fd), inode_of(fd), 0, !result, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
int fsync(int fd) { return path_of(fd) ? synced(REAL(fsync), fd) : REAL(fsync)(fd); }
int fdatasync(int fd) { return path_of(fd) ? synced(REAL(fdatasync), fd) : REAL(fdatasync)(fd); }

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&lock);
    int result = REAL(rename)(from, to);
    if (!result && (watched(from) || watched(to))) put(RENAMED, from, 0, 0, 0, to, strlen(to));
    pthread_mutex_unlock(&lock);
    return result;
}

int link(const char *from, const char *to) {
    pthread_mutex_lock(&lock);
    int result = REAL(link)(from, to);
    if (!result && (watched(from) || watched(to))) put(LINKED, from, 0, 0, 0, to, strlen(to));
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) {
    pthread_mutex_lock(&lock);
    int result = REAL(unlink)(path);
    if (!result && watched(path)) put(REMOVED, path, 0, 0, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int mkdir(const char *path, mode_t mode) {
    pthread_mutex_lock(&lock);
    int result = REAL(mkdir)(path, mode);
    if (!result && watched(path)) put(FOLDER, path, 0, 0, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return result;
}
