/*
 * A disk that forgets what was not synced, for one folder of one process.
 *
 * Preloaded into a program (LD_PRELOAD), it keeps a second copy of a folder: what a disk would hold if the power failed
 * now. The bytes of a file get there by fsync or fdatasync of that file, and names (of files that were made, renamed or
 * removed) by fsync of their folder. The program itself sees its folder as always. It is to be killed with SIGKILL; the
 * copy is then the image to start from.
 *
 *   DISK_FOLDER   the folder, an absolute path without links
 *   DISK_COPY     where the copy is kept: inodes/ holds contents by inode number, names/ links them to their names. Each
 *                 folder in there has a link named .folder that says which one it is, so that it is found when it has
 *                 another name; those whose own name is not on the disk are in orphans/. A file named ready tells that
 *                 all is there that was in the folder at the start. Where a process before this one has made it, and
 *                 ended without a power failure, it goes on: what that one did not sync is still to be synced
 *   DISK_EARLY    if set, names reach the disk at once, before the bytes of their files
 *   DISK_LIES     if set, syncing a file whose name ends so is answered with success, and does nothing
 *   DISK_DELAY    if set, how many microseconds a sync of a file takes at least, so that a crash may come before its end
 *   DISK_FAILS    if set to n, the n-th sync of a file fails with EIO, and nothing is synced from then on
 *
 * The name of a folder is on the disk once the folder around it was synced, as that of a file.
 *
 * Not covered: writing through mmap, stdio (RocksDB's LOG), links and renames between folders. None of these matters for
 * what the server promises. Copies within the kernel are refused, so that they are made with reads and writes.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define MAX_FD 4096

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *folder, *copy, *lies;
static int early;
static long fails = -1, syncs;
static useconds_t delay;
static int tracked[MAX_FD];
/* What was written since the last sync, by inode; a file that is not here has nothing to sync but its length. */
static struct dirty { ino_t inode; off_t from, to; struct dirty *next; } *dirty_files;

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_mkdir)(const char *, mode_t);
static int (*real_close)(int);

static void give_up(const char *what) {
    fprintf(stderr, "disk.c: %s: %s\n", what, strerror(errno));
    _exit(70);
}

static const char *below_folder(const char *path) {
    size_t length = folder ? strlen(folder) : 0;
    return length && strncmp(path, folder, length) == 0 && (path[length] == '/' || !path[length]) ? path + length : NULL;
}

static void inode_path(char *out, ino_t inode) {
    snprintf(out, PATH_MAX, "%s/inodes/%lu", copy, (unsigned long)inode);
}

static void copy_range(int from, int to, off_t start, off_t end) {
    static char buffer[1 << 16];
    while (start < end) {
        size_t want = end - start < (off_t)sizeof buffer ? (size_t)(end - start) : sizeof buffer;
        ssize_t got = pread(from, buffer, want, start);
        if (got < 0) give_up("read of a file to sync");
        if (got == 0) return;
        if (real_pwrite(to, buffer, got, start) != got) give_up("write of the copy");
        start += got;
    }
}

/* Brings the bytes of a file to the disk. The file is opened again, since the program's descriptor may be write-only. */
static void sync_file(int fd, const struct stat *about) {
    char path[PATH_MAX], self[64];
    inode_path(path, about->st_ino);
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    int from = real_open(self, O_RDONLY | O_CLOEXEC), to = real_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (from < 0 || to < 0) give_up("open of a file to sync");
    if (real_ftruncate(to, about->st_size) || fchmod(to, about->st_mode & 07777)) give_up("length of the copy");
    for (struct dirty **at = &dirty_files; *at; at = &(*at)->next) {
        struct dirty *one = *at;
        if (one->inode == about->st_ino) {
            copy_range(from, to, one->from, one->to);
            *at = one->next;
            free(one);
            break;
        }
    }
    real_close(from);
    real_close(to);
}

/* Links what is new in a folder, or what is another file now. */
static void link_names(const char *live, const char *kept, int is_there) {
    char from[PATH_MAX], name[PATH_MAX * 2], fresh[PATH_MAX];
    struct stat about, before;
    struct dirent *entry;
    DIR *listing = opendir(live);
    while (listing && (entry = readdir(listing))) {
        snprintf(name, sizeof name, "%s/%s", live, entry->d_name);
        if (lstat(name, &about) || !S_ISREG(about.st_mode)) continue;
        inode_path(from, about.st_ino);
        int made = real_open(from, O_WRONLY | O_CREAT | O_CLOEXEC, about.st_mode & 07777);
        if (made >= 0) real_close(made);
        snprintf(name, sizeof name, "%s/%s", kept, entry->d_name);
        int was_there = stat(name, &before) == 0;
        if (was_there != is_there) continue;
        if (was_there && stat(from, &about) == 0 && before.st_ino == about.st_ino) continue;
        snprintf(fresh, sizeof fresh, "%s/fresh", copy);
        real_unlink(fresh);
        if (link(from, fresh) || real_rename(fresh, name)) give_up("link of the copy");
    }
    if (listing) closedir(listing);
}

static int is_inner(const struct dirent *entry) {
    return entry->d_type == DT_DIR && strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
}

/* Which folder a folder of the copy is. */
static ino_t which(const char *kept) {
    char link[PATH_MAX], text[32] = { 0 };
    if (snprintf(link, sizeof link, "%s/.folder", kept) >= (int)sizeof link) return 0;
    return readlink(link, text, sizeof text - 1) > 0 ? strtoul(text, NULL, 10) : 0;
}

static void mark(const char *kept, ino_t inode) {
    char link[PATH_MAX], text[32];
    if (snprintf(link, sizeof link, "%s/.folder", kept) >= (int)sizeof link) give_up("a long path");
    snprintf(text, sizeof text, "%lu", (unsigned long)inode);
    real_unlink(link);
    if (symlink(text, link)) give_up("a folder of the copy");
}

/* Finds the folder of the copy that is this one, at or below a path. */
static int find(const char *at, ino_t inode, char found[PATH_MAX]) {
    char inner[PATH_MAX];
    struct dirent *entry;
    if (which(at) == inode) return snprintf(found, PATH_MAX, "%s", at) > 0;
    DIR *listing = opendir(at);
    int is_there = 0;
    while (listing && !is_there && (entry = readdir(listing))) {
        if (!is_inner(entry) || snprintf(inner, sizeof inner, "%s/%s", at, entry->d_name) >= (int)sizeof inner) continue;
        is_there = find(inner, inode, found);
    }
    if (listing) closedir(listing);
    return is_there;
}

static int find_kept(ino_t inode, char found[PATH_MAX]) {
    char at[PATH_MAX];
    snprintf(at, sizeof at, "%s/names", copy);
    if (find(at, inode, found)) return 1;
    snprintf(at, sizeof at, "%s/orphans", copy);
    return find(at, inode, found);
}

/* A place for a folder without a name. */
static void free_place(char at[PATH_MAX]) {
    struct stat about;
    unsigned long count = 0;
    do snprintf(at, PATH_MAX, "%s/orphans/%lu", copy, count++); while (!lstat(at, &about));
}

/* A folder that has lost its name. */
static void orphan(const char *kept) {
    char at[PATH_MAX];
    free_place(at);
    if (real_rename(kept, at)) give_up("an orphan of the copy");
}

/* The folder of the copy for this one; where its name is not on the disk yet, one without a name. */
static void kept_of(ino_t inode, char kept[PATH_MAX]) {
    if (find_kept(inode, kept)) return;
    free_place(kept);
    if (real_mkdir(kept, 0700)) give_up("an orphan of the copy");
    mark(kept, inode);
}

/* Gives folders the names that they have now. */
static void name_folders(const char *live, const char *kept) {
    char from[PATH_MAX], name[PATH_MAX * 2];
    struct stat about, before;
    struct dirent *entry;
    DIR *listing = opendir(live);
    while (listing && (entry = readdir(listing))) {
        snprintf(name, sizeof name, "%s/%s", live, entry->d_name);
        if (!is_inner(entry) || lstat(name, &about)) continue;
        kept_of(about.st_ino, from);
        snprintf(name, sizeof name, "%s/%s", kept, entry->d_name);
        if (!strcmp(name, from)) continue;
        if (!lstat(name, &before)) orphan(name);
        if (real_rename(from, name)) give_up("a folder's name");
        chmod(name, about.st_mode & 07777);
    }
    if (listing) closedir(listing);
}

/*
 * Brings the names in one folder to the disk: first those that are new, then those that are another file now, at last
 * those that are gone. A journal keeps their order, so that a file which is renamed into place never names one that is
 * not there yet.
 */
static void sync_names(const char *below) {
    char live[PATH_MAX], kept[PATH_MAX], name[PATH_MAX * 2];
    struct stat about;
    struct dirent *entry;
    snprintf(live, sizeof live, "%s%s", folder, below);
    if (stat(live, &about)) return;
    kept_of(about.st_ino, kept);
    chmod(kept, about.st_mode & 07777);
    link_names(live, kept, 0);
    name_folders(live, kept);
    link_names(live, kept, 1);
    DIR *listing = opendir(kept);
    if (!listing) return;
    while ((entry = readdir(listing))) {
        snprintf(name, sizeof name, "%s/%s", live, entry->d_name);
        if ((entry->d_type != DT_REG && !is_inner(entry)) || !lstat(name, &about)) continue;
        snprintf(name, sizeof name, "%s/%s", kept, entry->d_name);
        if (entry->d_type == DT_REG) real_unlink(name); else orphan(name);
    }
    closedir(listing);
}

static void parent_changed(const char *path) {
    const char *below = below_folder(path);
    char parent[PATH_MAX];
    if (!below || !early) return;
    snprintf(parent, sizeof parent, "%s", below);
    char *end = strrchr(parent, '/');
    if (end) *end = 0;
    sync_names(parent);
}

/* What is there at the start is on the disk. */
static void take_over(const char *below) {
    char path[PATH_MAX], name[PATH_MAX * 2];
    struct stat about;
    struct dirent *entry;
    snprintf(path, sizeof path, "%s%s", folder, below);
    DIR *listing = opendir(path);
    if (!listing) give_up("the folder");
    while ((entry = readdir(listing))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (lstat(name, &about)) continue;
        if (S_ISDIR(about.st_mode)) {
            snprintf(name, sizeof name, "%s/%s", below, entry->d_name);
            take_over(name);
        } else if (S_ISREG(about.st_mode)) {
            char to_path[PATH_MAX];
            inode_path(to_path, about.st_ino);
            int from = real_open(name, O_RDONLY | O_CLOEXEC);
            int to = real_open(to_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
            if (from < 0 || to < 0) give_up("the folder's files");
            copy_range(from, to, 0, about.st_size);
            fchmod(to, about.st_mode & 07777);
            real_close(from);
            real_close(to);
        }
    }
    closedir(listing);
    /* Outer folders first, so that the copy has where to put the inner ones. */
    if (!*below) sync_names("");
}

static void take_over_names(const char *below) {
    char path[PATH_MAX], name[PATH_MAX];
    struct dirent *entry;
    sync_names(below);
    snprintf(path, sizeof path, "%s%s", folder, below);
    DIR *listing = opendir(path);
    while (listing && (entry = readdir(listing))) {
        if (!is_inner(entry)) continue;
        if (snprintf(name, sizeof name, "%s/%s", below, entry->d_name) < (int)sizeof name) take_over_names(name);
    }
    if (listing) closedir(listing);
}

/* A process before this one has taken over: anything that it wrote may not be on the disk yet. */
static void go_on(const char *below) {
    char path[PATH_MAX], name[PATH_MAX * 2];
    struct stat about;
    struct dirent *entry;
    snprintf(path, sizeof path, "%s%s", folder, below);
    DIR *listing = opendir(path);
    if (!listing) give_up("the folder");
    while ((entry = readdir(listing))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (lstat(name, &about)) continue;
        if (S_ISDIR(about.st_mode)) {
            snprintf(name, sizeof name, "%s/%s", below, entry->d_name);
            go_on(name);
        } else if (S_ISREG(about.st_mode)) {
            struct dirty *one = calloc(1, sizeof *one);
            if (!one) give_up("memory");
            *one = (struct dirty){ about.st_ino, 0, about.st_size, dirty_files };
            dirty_files = one;
        }
    }
    closedir(listing);
}

/* Other libraries may make calls before this one's constructor has run. */
static void resolve(void) {
    real_open = dlsym(RTLD_NEXT, "open64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_writev = dlsym(RTLD_NEXT, "writev");
    real_pwritev = dlsym(RTLD_NEXT, "pwritev64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_rename = dlsym(RTLD_NEXT, "rename");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_mkdir = dlsym(RTLD_NEXT, "mkdir");
    real_close = dlsym(RTLD_NEXT, "close");
}

__attribute__((constructor)) static void begin(void) {
    char path[PATH_MAX];
    resolve();
    const char *wanted = getenv("DISK_FOLDER");
    copy = getenv("DISK_COPY");
    if (!wanted || !copy) return;
    early = getenv("DISK_EARLY") != NULL;
    lies = getenv("DISK_LIES");
    if (getenv("DISK_FAILS")) fails = atol(getenv("DISK_FAILS"));
    if (getenv("DISK_DELAY")) delay = atol(getenv("DISK_DELAY"));
    folder = wanted;
    snprintf(path, sizeof path, "%s/ready", copy);
    if (access(path, F_OK) == 0) {
        go_on("");
        return;
    }
    real_mkdir(copy, 0700);
    const char *parts[] = { "inodes", "orphans", "names" };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        snprintf(path, sizeof path, "%s/%s", copy, parts[i]);
        real_mkdir(path, 0700);
    }
    struct stat about;
    if (stat(folder, &about)) give_up("the folder");
    mark(path, about.st_ino);
    take_over("");
    take_over_names("");
    snprintf(path, sizeof path, "%s/ready", copy);
    real_close(real_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static void made(const char *path, int fd, int existed) {
    struct stat about;
    if (fd < 0 || fd >= MAX_FD || !below_folder(path) || fstat(fd, &about) || !S_ISREG(about.st_mode)) return;
    pthread_mutex_lock(&lock);
    tracked[fd] = 1;
    if (!existed) {
        /* The number may have belonged to a file that is gone from the folder, but not yet from the disk. */
        char kept[PATH_MAX];
        inode_path(kept, about.st_ino);
        real_unlink(kept);
        parent_changed(path);
    }
    pthread_mutex_unlock(&lock);
}

static int open_any(const char *path, int flags, mode_t mode) {
    struct stat about;
    if (!real_open) resolve();
    int existed = !(flags & O_CREAT) || lstat(path, &about) == 0;
    int fd = real_open(path, flags, mode);
    if (flags & (O_WRONLY | O_RDWR)) made(path, fd, existed);
    return fd;
}

#define MODE(flags, mode) mode_t mode = 0; if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) { MODE(flags, mode) return open_any(path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, mode) return open_any(path, flags, mode); }

int close(int fd) {
    if (fd >= 0 && fd < MAX_FD) tracked[fd] = 0;
    if (!real_close) resolve();
    return real_close(fd);
}

/* Remembers that these bytes are not on the disk. */
static void wrote(int fd, off_t from, ssize_t count) {
    struct stat about;
    struct dirty *one;
    if (count <= 0 || fstat(fd, &about)) return;
    pthread_mutex_lock(&lock);
    for (one = dirty_files; one && one->inode != about.st_ino; one = one->next) {}
    if (!one) {
        one = calloc(1, sizeof *one);
        *one = (struct dirty){ about.st_ino, from, from + count, dirty_files };
        dirty_files = one;
    }
    if (from < one->from) one->from = from;
    if (from + count > one->to) one->to = from + count;
    pthread_mutex_unlock(&lock);
}

static int is_tracked(int fd) { return fd >= 0 && fd < MAX_FD && tracked[fd]; }

ssize_t write(int fd, const void *bytes, size_t count) {
    if (!real_write) resolve();
    ssize_t done = real_write(fd, bytes, count);
    if (is_tracked(fd)) wrote(fd, lseek(fd, 0, SEEK_CUR) - (done > 0 ? done : 0), done);
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!real_writev) resolve();
    ssize_t done = real_writev(fd, parts, count);
    if (is_tracked(fd)) wrote(fd, lseek(fd, 0, SEEK_CUR) - (done > 0 ? done : 0), done);
    return done;
}

static ssize_t pwrite_any(int fd, const void *bytes, size_t count, off_t at) {
    if (!real_pwrite) resolve();
    ssize_t done = real_pwrite(fd, bytes, count, at);
    if (is_tracked(fd)) wrote(fd, at, done);
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite_any(fd, bytes, count, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t at) { return pwrite_any(fd, bytes, count, at); }

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    if (!real_pwritev) resolve();
    ssize_t done = real_pwritev(fd, parts, count, at);
    if (is_tracked(fd)) wrote(fd, at, done);
    return done;
}

static int sync_any(int fd) {
    struct stat about;
    char path[PATH_MAX], self[64];
    if (!real_fsync) resolve();
    if (!folder || fstat(fd, &about)) return real_fsync(fd);
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(self, path, sizeof path - 1);
    if (length < 0) return real_fsync(fd);
    path[length] = 0;
    const char *below = below_folder(path);
    if (!below) return real_fsync(fd);
    if (S_ISREG(about.st_mode) && lies && strlen(path) > strlen(lies) && !strcmp(path + length - strlen(lies), lies)) return 0;
    if (S_ISREG(about.st_mode) && delay) usleep(delay);
    int failed = 0;
    pthread_mutex_lock(&lock);
    if (S_ISREG(about.st_mode)) syncs++;
    failed = fails >= 0 && syncs >= fails;
    /* The length may have grown meanwhile; what is copied is what was written. */
    if (!failed && fstat(fd, &about) == 0) {
        if (S_ISREG(about.st_mode)) sync_file(fd, &about);
        if (S_ISDIR(about.st_mode)) sync_names(below);
    }
    pthread_mutex_unlock(&lock);
    if (failed) {
        fprintf(stderr, "disk.c: sync %ld fails\n", syncs);
        errno = EIO;
        return -1;
    }
    return 0;
}

int fsync(int fd) { return sync_any(fd); }
int fdatasync(int fd) { return sync_any(fd); }

int rename(const char *from, const char *to) {
    if (!real_rename) resolve();
    int done = real_rename(from, to);
    pthread_mutex_lock(&lock);
    if (!done) parent_changed(to);
    pthread_mutex_unlock(&lock);
    return done;
}

int mkdir(const char *path, mode_t mode) {
    char kept[PATH_MAX];
    struct stat about;
    if (!real_mkdir) resolve();
    int done = real_mkdir(path, mode);
    if (done || !below_folder(path) || stat(path, &about)) return done;
    pthread_mutex_lock(&lock);
    /* The number may have belonged to a folder that is gone, but not yet from the disk. */
    if (find_kept(about.st_ino, kept)) mark(kept, 0);
    parent_changed(path);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *there, size_t count, unsigned int flags) { errno = ENOSYS; return -1; }
ssize_t sendfile(int to, int from, off_t *at, size_t count) { errno = ENOSYS; return -1; }
ssize_t sendfile64(int to, int from, off64_t *at, size_t count) { errno = ENOSYS; return -1; }

int unlink(const char *path) {
    if (!real_unlink) resolve();
    int done = real_unlink(path);
    pthread_mutex_lock(&lock);
    if (!done) parent_changed(path);
    pthread_mutex_unlock(&lock);
    return done;
}
