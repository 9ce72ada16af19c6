/* dma-buf for a kernel without udmabuf and dma_heap, by LD_PRELOAD: memfds in their place.
 *
 *   cc -O2 -fPIC -shared -o dmabuf.so dmabuf.c -ldl
 *
 * libcamera and picamera2 ask the kernel for buffers that devices can share. No device shares them here, so a memfd does
 * all that is asked of the descriptor: mmap, dup, close. Answered are opening /dev/udmabuf and /dev/dma_heap/NAME (a
 * descriptor of /dev/null that is remembered), UDMABUF_CREATE (a dup of the caller's memfd), DMA_HEAP_IOCTL_ALLOC (a new
 * memfd of that length), and DMA_BUF_IOCTL_SYNC and SET_NAME on a memfd (0).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FDS 65536
enum { OTHER, UDMABUF, HEAP };
static unsigned char kinds[FDS]; /* a closed number is taken back by the next open that is not ours */

struct udmabuf_create { uint32_t memfd, flags; uint64_t offset, size; };
struct heap_allocation { uint64_t len; uint32_t fd, fd_flags; uint64_t heap_flags; };

#define UDMABUF_CREATE 0x40187542UL
#define DMA_HEAP_IOCTL_ALLOC 0xc0184800UL

static int kind_of(const char *path) {
    if (!strcmp(path, "/dev/udmabuf")) return UDMABUF;
    return strncmp(path, "/dev/dma_heap/", 14) ? OTHER : HEAP;
}

static int remember(int fd, int kind) {
    if (fd >= 0 && fd < FDS) kinds[fd] = kind;
    return fd;
}

static int mode_of(int flags, va_list more) { return flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, int) : 0; }

#define OPEN(name)                                                                   \
    int name(const char *path, int flags, ...) {                                     \
        int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);               \
        int kind = kind_of(path);                                                    \
        if (kind) return remember(real("/dev/null", O_RDWR | (flags & O_CLOEXEC)), kind); \
        va_list more;                                                                \
        va_start(more, flags);                                                       \
        int mode = mode_of(flags, more);                                             \
        va_end(more);                                                                \
        return remember(real(path, flags, mode), OTHER);                             \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                 \
    int name(int dir, const char *path, int flags, ...) {                            \
        int (*real)(int, const char *, int, ...) = dlsym(RTLD_NEXT, #name);          \
        int kind = kind_of(path);                                                    \
        if (kind) return remember(real(dir, "/dev/null", O_RDWR | (flags & O_CLOEXEC)), kind); \
        va_list more;                                                                \
        va_start(more, flags);                                                       \
        int mode = mode_of(flags, more);                                             \
        va_end(more);                                                                \
        return remember(real(dir, path, flags, mode), OTHER);                        \
    }
OPENAT(openat)
OPENAT(openat64)

/* What glibc calls behind fortified opens. */
int __open_2(const char *path, int flags) { return open(path, flags); }
int __open64_2(const char *path, int flags) { return open64(path, flags); }

int access(const char *path, int mode) {
    int (*real)(const char *, int) = dlsym(RTLD_NEXT, "access");
    return kind_of(path) ? 0 : real(path, mode);
}

static int is_memfd(int fd) {
    char link[64], target[64] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    return readlink(link, target, sizeof target - 1) > 0 && !strncmp(target, "/memfd:", 7);
}

static int allocate(struct heap_allocation *wanted) {
    int fd = memfd_create("heap", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (wanted->len + 4095) & ~4095ULL)) return -1;
    wanted->fd = fd;
    return 0;
}

int ioctl(int fd, unsigned long request, ...) {
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    request &= 0xffffffffUL;
    int kind = fd >= 0 && fd < FDS ? kinds[fd] : OTHER;
    if (kind == UDMABUF && request == UDMABUF_CREATE)
        return fcntl(((struct udmabuf_create *)argument)->memfd, F_DUPFD_CLOEXEC, 3);
    if (kind == HEAP && request == DMA_HEAP_IOCTL_ALLOC) return allocate(argument);
    if ((request >> 8 & 0xff) == 'b' && is_memfd(fd)) return 0;
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, argument);
}
