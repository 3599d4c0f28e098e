/* Load generator of the mount benchmark: one operation many times from one thread, timed here, so that the generator's own
 * cost stays small beside the file system's. Prints operations or bytes per second. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t state = 88172645463325252ull;
static uint64_t next_random(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

/* Makes the next read of a file come from the disk. */
static int drop(const char *path, const struct stat *s, int type, struct FTW *ftw) {
  (void)s;
  (void)ftw;
  if (type != FTW_F) return 0;
  int fd = open(path, O_RDONLY);
  if (fd < 0) return 0;
  fdatasync(fd);
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  return close(fd);
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: load create|stat|unlink|write|read|drop PATH COUNT-OR-BYTES BLOCK[r]\n");
    return 2;
  }
  const char *what = argv[1], *path = argv[2];
  long long total = atoll(argv[3]);
  char *rest;
  long block = strtol(argv[4], &rest, 10);
  int is_random = *rest == 'r';
  char name[4096];
  double start = now(), result = 0;
  if (strcmp(what, "drop") == 0) {
    if (nftw(path, drop, 32, FTW_PHYS) != 0) fail("drop");
  } else if (strcmp(what, "create") == 0 || strcmp(what, "stat") == 0 || strcmp(what, "unlink") == 0) {
    for (long long i = 0; i < total; i++) {
      snprintf(name, sizeof name, "%s/file-%lld", path, i);
      if (*what == 'c') {
        int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0644);
        if (fd < 0) fail("create");
        if (close(fd) != 0) fail("close");
      } else if (*what == 's') {
        struct stat s;
        if (stat(name, &s) != 0) fail("stat");
      } else if (unlink(name) != 0) {
        fail("unlink");
      }
    }
    result = total / (now() - start);
  } else {
    int is_write = strcmp(what, "write") == 0;
    char *buffer = aligned_alloc(4096, block);
    for (long i = 0; i < block; i++) buffer[i] = (char)next_random();
    /* Random writes go into a file that is there; sequential ones make it. */
    int flags = is_write ? O_RDWR | (is_random ? 0 : O_CREAT | O_TRUNC) : O_RDONLY;
    start = now();
    int fd = open(path, flags, 0644);
    if (fd < 0) fail("open");
    long long size = is_random ? lseek(fd, 0, SEEK_END) : total;
    if (is_random && size < block) {
      fprintf(stderr, "the file is too short\n");
      return 1;
    }
    for (long long done = 0; done < total; done += block) {
      long long at = is_random ? (long long)(next_random() % (size / block)) * block : done;
      /* Different bytes in each block. */
      if (is_write) memcpy(buffer, &at, sizeof at);
      ssize_t count = is_write ? pwrite(fd, buffer, block, at) : pread(fd, buffer, block, at);
      if (count != block) fail(what);
      if (!is_write && !is_random && memcmp(buffer, &at, sizeof at) != 0) {
        fprintf(stderr, "wrong bytes at %lld\n", at);
        return 1;
      }
    }
    if (is_write && fsync(fd) != 0) fail("fsync");
    if (close(fd) != 0) fail("close");
    result = total / (now() - start);
  }
  printf("%.1f\n", result);
  return 0;
}
