/*
 * Between a process and its file system, for tests: counts the calls that change what is below one folder, and makes the
 * one that the test chose the last of the process, or one that fails. Loaded with LD_PRELOAD.
 *
 * DOCKREG_TEST_FOLDER   the folder; calls elsewhere are passed on and not looked at.
 * DOCKREG_TEST_CONTROL  a file with a struct control, which the test writes to while the process runs.
 * DOCKREG_TEST_JOURNAL  a file to which each change that succeeded is appended, with its bytes; optional.
 *
 * With a journal all changes are made one after the other, in the order of the journal.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

enum kind { OPEN, WRITE, SYNC, RENAME, LINK, UNLINK, MKDIR, RMDIR, TRUNCATE, XATTR, READ };
enum action { COUNT, KILL, FAIL, HALF, HALF_AND_KILL };

struct control {
    uint32_t armed;   /* 0: nothing is counted */
    uint32_t kinds;   /* the bit (1 << kind) of each kind that counts */
    uint32_t action;  /* what happens to the calls from ``first`` to ``last``, counted from 1 */
    int32_t error;    /* the errno for FAIL */
    uint64_t first;
    uint64_t last;
    uint64_t count;   /* calls so far */
    uint64_t hits;    /* calls so far to which the action happened */
    char part[192];   /* what the path must have in it, with a $ behind it at its end; empty for any */
    char where[512];  /* the kind and path of the first call that was hit */
    uint64_t traced;  /* bytes that are used of: */
    char trace[65536]; /* a line like that for each call while the action is COUNT */
};

struct record {
    uint32_t magic;
    uint8_t kind;
    uint8_t made; /* OPEN: the file is new */
    uint16_t path;
    uint64_t inode;
    int64_t offset;
    uint64_t bytes;
};

#define MAGIC 0x0a6b6f64u
#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static struct control *control;
static const char *folder;
static size_t folder_length;
static int journal = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* When a process begins; a fork of one that had no folder calls it again, once it has its environment. */
__attribute__((constructor)) void dockreg_test_begin(void) {
    const char *place = getenv("DOCKREG_TEST_CONTROL"), *log = getenv("DOCKREG_TEST_JOURNAL");
    folder = getenv("DOCKREG_TEST_FOLDER");
    if (!folder || !place)
        return;
    folder_length = strlen(folder);
    int descriptor = syscall(SYS_openat, AT_FDCWD, place, O_RDWR | O_CLOEXEC);
    if (descriptor < 0)
        return;
    void *found = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    syscall(SYS_close, descriptor);
    if (found == MAP_FAILED)
        return;
    if (log) {
        descriptor = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_APPEND | O_CLOEXEC);
        if (descriptor >= 0) /* where programs that close what they inherit do not look */
            journal = fcntl(descriptor, F_DUPFD_CLOEXEC, 900), syscall(SYS_close, descriptor);
    }
    control = found;
}

static int is_below(const char *path) {
    return control && path && !strncmp(path, folder, folder_length) && (path[folder_length] == '/' || !path[folder_length]);
}

/* The path of an open file, if it is below the folder. */
static int path_of(int descriptor, char *path, size_t size) {
    char link[40];
    if (!control || descriptor < 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, size - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    return is_below(path);
}

static int full_path(int at, const char *path, char *full, size_t size) {
    if (!control || !path)
        return 0;
    if (path[0] == '/' || at == AT_FDCWD)
        return snprintf(full, size, "%s", path) < (int)size && is_below(full);
    char start[4096];
    return path_of(at, start, sizeof start) && snprintf(full, size, "%s/%s", start, path) < (int)size;
}

static int fits(const char *path) {
    size_t length = strlen(control->part), whole = strlen(path);
    if (!length || control->part[length - 1] != '$')
        return !length || strstr(path, control->part);
    return whole >= length - 1 && !strncmp(path + whole - (length - 1), control->part, length - 1);
}

/* Count a call. Returns 0 to go on, -1 for a failure (errno is set), 1 to do half of it, 2 to do half of it and die. */
static int meet(enum kind kind, const char *path) {
    static const char *const names[] = {"open", "write", "sync", "rename", "link", "unlink", "mkdir", "rmdir", "truncate", "xattr", "read"};
    if (!control->armed || !(control->kinds & (1u << kind)))
        return 0;
    if (!fits(path))
        return 0;
    uint64_t number = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
    if (control->action == COUNT) {
        char line[512];
        size_t length = snprintf(line, sizeof line, "%s %s\n", names[kind], path + folder_length);
        uint64_t at = __atomic_fetch_add(&control->traced, length, __ATOMIC_SEQ_CST);
        if (length < sizeof line && at + length < sizeof control->trace)
            memcpy(control->trace + at, line, length);
        return 0;
    }
    if (number < control->first || number > control->last)
        return 0;
    if (__atomic_add_fetch(&control->hits, 1, __ATOMIC_SEQ_CST) == 1)
        snprintf(control->where, sizeof control->where, "%s %s", names[kind], path + folder_length);
    switch (control->action) {
    case KILL:
        kill(getpid(), SIGKILL);
        return -1;
    case FAIL:
        errno = control->error;
        return -1;
    case HALF:
        return kind == WRITE ? 1 : 0;
    default:
        if (kind != WRITE)
            kill(getpid(), SIGKILL);
        return 2;
    }
}

static void enter(void) {
    if (journal >= 0)
        pthread_mutex_lock(&lock);
}

static void leave(void) {
    int kept = errno;
    if (journal >= 0)
        pthread_mutex_unlock(&lock);
    errno = kept;
}

static int is_shared_memory(const char *path) {
    size_t length = strlen(path);
    return length > 4 && !strcmp(path + length - 4, "-shm");
}

static void note(enum kind kind, int made, const char *path, const char *other, uint64_t inode, int64_t offset, const struct iovec *parts, int count, size_t bytes) {
    if (journal < 0 || is_shared_memory(path))
        return;
    int kept = errno;
    struct record record = {MAGIC, kind, made, 0, inode, offset, bytes};
    char paths[8300];
    record.path = snprintf(paths, sizeof paths, "%s%s%s", path, other ? "\n" : "", other ? other : "");
    struct iovec all[1100] = {{&record, sizeof record}, {paths, record.path}};
    int used = 2;
    for (int at = 0; at < count && bytes && used < 1100; at++) {
        size_t part = parts[at].iov_len < bytes ? parts[at].iov_len : bytes;
        all[used++] = (struct iovec){parts[at].iov_base, part};
        bytes -= part;
    }
    /* One call takes 1024 parts; nobody gives more than 1024 less these two. */
    if (syscall(SYS_writev, journal, all, used) < 0)
        abort();
    errno = kept;
}

static uint64_t inode_of(int descriptor) {
    struct stat status;
    return fstat(descriptor, &status) ? 0 : status.st_ino;
}

static uint64_t inode_named(const char *path) {
    struct stat status;
    return lstat(path, &status) ? 0 : status.st_ino;
}

/* Opening */

static int open_any(int at, const char *path, int flags, mode_t mode) {
    char full[4096];
    if (!full_path(at, path, full, sizeof full) || !(flags & (O_CREAT | O_WRONLY | O_RDWR | O_TRUNC)))
        return syscall(SYS_openat, at, path, flags, mode);
    enter();
    int result = -1;
    if (meet(OPEN, full) >= 0) {
        int made = (flags & O_CREAT) && !inode_named(full);
        result = syscall(SYS_openat, at, path, flags, mode);
        if (result >= 0 && made)
            note(OPEN, 1, full, NULL, inode_of(result), 0, NULL, 0, 0);
        else if (result >= 0 && flags & O_TRUNC)
            note(TRUNCATE, 0, full, NULL, inode_of(result), 0, NULL, 0, 0);
    }
    leave();
    return result;
}

#define OPENS(name, parameters, at, given)                   \
    int name parameters {                                    \
        mode_t mode = 0;                                     \
        if (flags & (O_CREAT | __O_TMPFILE)) {               \
            va_list more;                                    \
            va_start(more, flags);                           \
            mode = va_arg(more, mode_t);                     \
            va_end(more);                                    \
        }                                                    \
        return open_any(at, path, flags | (given), mode);    \
    }
OPENS(open, (const char *path, int flags, ...), AT_FDCWD, 0)
OPENS(open64, (const char *path, int flags, ...), AT_FDCWD, O_LARGEFILE)
OPENS(openat, (int at, const char *path, int flags, ...), at, 0)
OPENS(openat64, (int at, const char *path, int flags, ...), at, O_LARGEFILE)

/* Writing */

static size_t total(const struct iovec *parts, int count) {
    size_t sum = 0;
    for (int at = 0; at < count; at++)
        sum += parts[at].iov_len;
    return sum;
}

static ssize_t put(int descriptor, const struct iovec *parts, int count, int64_t offset) {
    if (offset < 0)
        return syscall(SYS_writev, descriptor, parts, count);
    return syscall(SYS_pwritev, descriptor, parts, count, (long)offset, 0L);
}

static ssize_t write_any(int descriptor, const struct iovec *parts, int count, int64_t offset) {
    char path[4096];
    if (!path_of(descriptor, path, sizeof path))
        return put(descriptor, parts, count, offset);
    enter();
    ssize_t result = -1;
    int order = meet(WRITE, path);
    if (order >= 0) {
        struct iovec half = {parts->iov_base, total(parts, count) / 2};
        if (half.iov_len > parts->iov_len)
            half.iov_len = parts->iov_len;
        int64_t start = offset;
        if (start < 0)
            start = fcntl(descriptor, F_GETFL) & O_APPEND ? lseek(descriptor, 0, SEEK_END) : lseek(descriptor, 0, SEEK_CUR);
        result = order && half.iov_len ? put(descriptor, &half, 1, offset) : put(descriptor, parts, count, offset);
        if (result > 0)
            note(WRITE, 0, path, NULL, inode_of(descriptor), start, parts, count, result);
        if (order == 2)
            kill(getpid(), SIGKILL);
    }
    leave();
    return result;
}

ssize_t write(int descriptor, const void *bytes, size_t size) {
    struct iovec part = {(void *)bytes, size};
    char path[4096];
    if (!path_of(descriptor, path, sizeof path))
        return syscall(SYS_write, descriptor, bytes, size);
    return write_any(descriptor, &part, 1, -1);
}
ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t offset) {
    struct iovec part = {(void *)bytes, size};
    return write_any(descriptor, &part, 1, offset);
}
ssize_t pwrite64(int descriptor, const void *bytes, size_t size, off64_t offset) {
    struct iovec part = {(void *)bytes, size};
    return write_any(descriptor, &part, 1, offset);
}
ssize_t writev(int descriptor, const struct iovec *parts, int count) { return write_any(descriptor, parts, count, -1); }
ssize_t pwritev(int descriptor, const struct iovec *parts, int count, off_t offset) { return write_any(descriptor, parts, count, offset); }
ssize_t pwritev64(int descriptor, const struct iovec *parts, int count, off64_t offset) { return write_any(descriptor, parts, count, offset); }

/* Other calls for an open file: what to do, and what to note down. */
#define ON_FILE(kind, call, offset)                                                   \
    char path[4096];                                                                  \
    if (!path_of(descriptor, path, sizeof path))                                      \
        return call;                                                                  \
    enter();                                                                          \
    int result = -1;                                                                  \
    if (meet(kind, path) >= 0 && !(result = call))                                    \
        note(kind, 0, path, NULL, inode_of(descriptor), offset, NULL, 0, 0);          \
    leave();                                                                          \
    return result

int fsync(int descriptor) { REAL(fsync); ON_FILE(SYNC, real(descriptor), 0); }
int fdatasync(int descriptor) { REAL(fdatasync); ON_FILE(SYNC, real(descriptor), 0); }
int ftruncate(int descriptor, off_t size) { REAL(ftruncate); ON_FILE(TRUNCATE, real(descriptor, size), size); }
int ftruncate64(int descriptor, off64_t size) { REAL(ftruncate64); ON_FILE(TRUNCATE, real(descriptor, size), size); }
int fsetxattr(int descriptor, const char *name, const void *value, size_t size, int flags) {
    REAL(fsetxattr);
    ON_FILE(XATTR, real(descriptor, name, value, size, flags), 0);
}

/* Names */

#define ON_NAME(kind, at, name, call, inode)                                                \
    char full[4096];                                                                        \
    if (!full_path(at, name, full, sizeof full))                                            \
        return call;                                                                        \
    enter();                                                                                \
    int result = -1;                                                                        \
    if (meet(kind, full) >= 0 && !(result = call))                                          \
        note(kind, 0, full, NULL, inode, 0, NULL, 0, 0);                                    \
    leave();                                                                                \
    return result

int unlink(const char *path) { REAL(unlink); ON_NAME(UNLINK, AT_FDCWD, path, real(path), 0); }
int rmdir(const char *path) { REAL(rmdir); ON_NAME(RMDIR, AT_FDCWD, path, real(path), 0); }
int unlinkat(int at, const char *path, int flags) {
    REAL(unlinkat);
    ON_NAME(flags & AT_REMOVEDIR ? RMDIR : UNLINK, at, path, real(at, path, flags), 0);
}
int mkdir(const char *path, mode_t mode) { REAL(mkdir); ON_NAME(MKDIR, AT_FDCWD, path, real(path, mode), inode_named(full)); }
int mkdirat(int at, const char *path, mode_t mode) { REAL(mkdirat); ON_NAME(MKDIR, at, path, real(at, path, mode), inode_named(full)); }

static int two_names(enum kind kind, int from, const char *old, int to, const char *new, unsigned flags) {
    char first[4096], second[4096];
    int below = full_path(from, old, first, sizeof first) && full_path(to, new, second, sizeof second);
    if (below)
        enter();
    int result = -1;
    if (!below || meet(kind, second) >= 0) {
        result = kind == LINK ? syscall(SYS_linkat, from, old, to, new, flags) : syscall(SYS_renameat2, from, old, to, new, flags);
        if (below && !result)
            note(kind, 0, first, second, inode_named(second), 0, NULL, 0, 0);
    }
    if (below)
        leave();
    return result;
}
int rename(const char *old, const char *new) { return two_names(RENAME, AT_FDCWD, old, AT_FDCWD, new, 0); }
int renameat(int from, const char *old, int to, const char *new) { return two_names(RENAME, from, old, to, new, 0); }
int renameat2(int from, const char *old, int to, const char *new, unsigned flags) { return two_names(RENAME, from, old, to, new, flags); }
int link(const char *old, const char *new) { return two_names(LINK, AT_FDCWD, old, AT_FDCWD, new, 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) { return two_names(LINK, from, old, to, new, flags); }

/* Reading changes nothing; it can fail. */

#define READS(name, parameters, descriptor, ...)                        \
    ssize_t name parameters {                                           \
        REAL(name);                                                     \
        char path[4096];                                                \
        if (control && control->armed && control->kinds & (1u << READ)  \
            && path_of(descriptor, path, sizeof path) && meet(READ, path) < 0) \
            return -1;                                                  \
        return real(__VA_ARGS__);                                       \
    }
READS(read, (int in, void *to, size_t size), in, in, to, size)
READS(pread, (int in, void *to, size_t size, off_t offset), in, in, to, size, offset)
READS(pread64, (int in, void *to, size_t size, off64_t offset), in, in, to, size, offset)
READS(preadv, (int in, const struct iovec *to, int count, off_t offset), in, in, to, count, offset)
READS(preadv64, (int in, const struct iovec *to, int count, off64_t offset), in, in, to, count, offset)
READS(sendfile, (int out, int in, off_t *offset, size_t size), in, out, in, offset, size)
READS(sendfile64, (int out, int in, off64_t *offset, size_t size), in, out, in, offset, size)
