/* Moves a process's time of day and slows its disk, as a file says that the harness writes:
 *   int64 clock_offset_ns, int64 sync_delay_us, int64 write_delay_us
 * Loaded with LD_PRELOAD; TRACE_CHAOS_SHIM names the file. Without it nothing changes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct dials {
    volatile int64_t clock_offset_ns;
    volatile int64_t sync_delay_us;
    volatile int64_t write_delay_us;
};

static struct dials still;
static struct dials *dials = &still;

#define REAL(name) __typeof__(name) *real_##name
static REAL(clock_gettime);
static REAL(gettimeofday);
static REAL(time);
static REAL(fsync);
static REAL(fdatasync);
static REAL(write);
static REAL(pwrite);
static REAL(pwrite64);
static REAL(pwritev);

__attribute__((constructor)) static void load(void) {
#define FIND(name) real_##name = (__typeof__(real_##name))dlsym(RTLD_NEXT, #name)
    FIND(clock_gettime);
    FIND(gettimeofday);
    FIND(time);
    FIND(fsync);
    FIND(fdatasync);
    FIND(write);
    FIND(pwrite);
    FIND(pwrite64);
    FIND(pwritev);
    const char *path = getenv("TRACE_CHAOS_SHIM");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *map = mmap(NULL, sizeof(struct dials), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (map != MAP_FAILED) dials = map;
}

static void pause_us(int64_t us) {
    if (us <= 0) return;
    struct timespec left = {us / 1000000, (us % 1000000) * 1000};
    while (nanosleep(&left, &left) != 0) {
    }
}

static int is_file(int fd) {
    struct stat about;
    return fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
}

static void before_write(int fd) {
    int64_t us = dials->write_delay_us;
    if (us > 0 && is_file(fd)) pause_us(us);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    int result = real_clock_gettime ? real_clock_gettime(id, now) : -1;
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        int64_t ns = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + dials->clock_offset_ns;
        now->tv_sec = ns / 1000000000;
        now->tv_nsec = ns % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *now, void *zone) {
    int result = real_gettimeofday(now, zone);
    if (result == 0) {
        int64_t us = (int64_t)now->tv_sec * 1000000 + now->tv_usec + dials->clock_offset_ns / 1000;
        now->tv_sec = us / 1000000;
        now->tv_usec = us % 1000000;
    }
    return result;
}

time_t time(time_t *out) {
    time_t now = real_time(NULL) + dials->clock_offset_ns / 1000000000;
    if (out) *out = now;
    return now;
}

int fsync(int fd) {
    pause_us(dials->sync_delay_us);
    return real_fsync(fd);
}

int fdatasync(int fd) {
    pause_us(dials->sync_delay_us);
    return real_fdatasync(fd);
}

ssize_t write(int fd, const void *bytes, size_t length) {
    before_write(fd);
    return real_write(fd, bytes, length);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) {
    before_write(fd);
    return real_pwrite(fd, bytes, length, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    before_write(fd);
    return real_pwrite64(fd, bytes, length, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    before_write(fd);
    return real_pwritev(fd, parts, count, at);
}
