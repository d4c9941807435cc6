// Preloaded into a broker, it sets the broker's clock wrong by as many milliseconds as the file $BROKER_CLOCK says (a 64-bit integer in
// the machine's order), from then on. Only the time of day is wrong: what runs by the monotonic clock goes on.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile long long *wrong;
static int (*right)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
  right = dlsym(RTLD_NEXT, "clock_gettime");
  const char *file = getenv("BROKER_CLOCK");
  int fd = file ? open(file, O_RDONLY) : -1;
  if (fd < 0) return;
  void *p = mmap(NULL, sizeof *wrong, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (p != MAP_FAILED) wrong = p;
}

int clock_gettime(clockid_t id, struct timespec *t) {
  int status = right(id, t);
  if (status || !wrong || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)) return status;
  long long ms = *wrong;
  t->tv_sec += ms / 1000;
  t->tv_nsec += ms % 1000 * 1000000;
  if (t->tv_nsec >= 1000000000) t->tv_nsec -= 1000000000, t->tv_sec++;
  if (t->tv_nsec < 0) t->tv_nsec += 1000000000, t->tv_sec--;
  return 0;
}

int gettimeofday(struct timeval *restrict v, void *restrict zone) {
  (void)zone;
  struct timespec t;
  if (clock_gettime(CLOCK_REALTIME, &t)) return -1;
  v->tv_sec = t.tv_sec;
  v->tv_usec = t.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *at) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  if (at) *at = t.tv_sec;
  return t.tv_sec;
}
