//===- Pool.c - the threads that run tasks --------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//
//
// One job at a time. A 64-bit ticket holds the job's number and how many tasks are left; a thread
// claims a task by counting it down. The caller takes part and waits for tasks, not for workers, so
// a worker that wakes late costs nothing. Workers spin for some milliseconds before they sleep
// (waking one takes longer than a small call), each on a CPU of its own: one that is woken on the
// caller's CPU would stay queued behind it. A second caller does not wait for the first: it runs
// its tasks itself.
//
//===----------------------------------------------------------------------===//

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime/Call.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct {
  _Alignas(64) _Atomic uint64_t ticket; // job << 32 | tasks left
  _Alignas(64) _Atomic uint32_t done;   // tasks of the job that have ended
  atomic_int waiting;                   // the caller sleeps on `done`
  _Alignas(64) _Atomic uint32_t job;    // workers sleep on it
  atomic_int sleepers;
  atomic_int limit; // workers with a number of this or more stay out of the job
  // Written before the ticket, read after claiming from it.
  SeqTaskFn function;
  void *context;
  uint32_t count;
  _Alignas(64) atomic_flag busy;
  atomic_int process; // whose threads these are; 0 before the first, -1 while it changes
  int workers;        // guarded by `busy`, as all below
  bool crowded;
  int64_t spinNanoseconds;
} pool = {.busy = ATOMIC_FLAG_INIT};

static atomic_int threadSetting;

static void pauseThread(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

static void futexWait(_Atomic uint32_t *word, uint32_t value) {
  syscall(SYS_futex, (void *)word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futexWake(_Atomic uint32_t *word) {
  syscall(SYS_futex, (void *)word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static int64_t nanoseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

long seqEnvironmentNumber(const char *name, long most, long otherwise) {
  const char *text = getenv(name);
  if (!text || !*text)
    return otherwise;
  char *end;
  long value = strtol(text, &end, 10);
  return *end || value < 0 || value > most ? otherwise : value;
}

//===----------------------------------------------------------------------===//
// How many threads
//===----------------------------------------------------------------------===//

// CPUs that the process may use: its affinity, and the quota of its control group.
static int availableCpus(void) {
  cpu_set_t set;
  int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
  if (file) {
    // "quota period" in microseconds, or "max period"
    char text[64], *rest;
    if (fgets(text, sizeof text, file)) {
      long quota = strtol(text, &rest, 10), period = strtol(rest, NULL, 10);
      long most = quota > 0 && period > 0 ? (quota - 1) / period + 1 : cpus;
      cpus = most < cpus ? (int)most : cpus;
    }
    fclose(file);
  }
  return cpus < 1 ? 1 : cpus > SEQ_MAX_THREADS ? SEQ_MAX_THREADS : cpus;
}

int seq_num_threads(void) {
  int threads = atomic_load_explicit(&threadSetting, memory_order_relaxed);
  if (threads > 0)
    return threads;
  threads = (int)seqEnvironmentNumber("SEQMIX_NUM_THREADS", SEQ_MAX_THREADS, 0);
  if (threads == 0)
    threads = availableCpus();
  // A concurrent call finds the same number; one that was set meanwhile must win.
  int expected = 0;
  return atomic_compare_exchange_strong(&threadSetting, &expected, threads) ? threads : expected;
}

int seq_set_num_threads(int threads) {
  if (threads < 0 || threads > SEQ_MAX_THREADS)
    return SEQ_INVALID_ARGUMENT;
  atomic_store(&threadSetting, threads);
  return SEQ_OK;
}

//===----------------------------------------------------------------------===//
// Workers
//===----------------------------------------------------------------------===//

// Claims and runs tasks of one job until none is left.
static void work(uint32_t job, int32_t thread) {
  uint64_t ticket = atomic_load(&pool.ticket);
  if ((uint32_t)(ticket >> 32) != job || (uint32_t)ticket == 0)
    return;
  uint32_t mode = seqSetFloatMode();
  while ((uint32_t)(ticket >> 32) == job && (uint32_t)ticket != 0) {
    if (!atomic_compare_exchange_weak(&pool.ticket, &ticket, ticket - 1))
      continue;
    uint32_t count = pool.count;
    pool.function(pool.context, (int64_t)(count - (uint32_t)ticket), thread);
    if (atomic_fetch_add(&pool.done, 1) + 1 == count && atomic_load(&pool.waiting))
      futexWake(&pool.done);
    ticket = atomic_load(&pool.ticket);
  }
  seqRestoreFloatMode(mode);
}

typedef struct Worker {
  int number;
  uint32_t job; // the last one before it was made
  int cpu;      // to stay on, or -1
  int64_t spin;
} Worker;

static uint32_t waitForJob(uint32_t last, int64_t spin) {
  int64_t start = 0;
  for (uint32_t turn = 0;; ++turn) {
    uint32_t job = atomic_load_explicit(&pool.job, memory_order_acquire);
    if (job != last)
      return job;
    if (spin > 0 && turn % 64 == 0) {
      int64_t now = nanoseconds();
      start = turn == 0 ? now : start;
      if (now - start > spin)
        spin = 0;
    }
    if (spin > 0) {
      pauseThread();
      continue;
    }
    atomic_fetch_add(&pool.sleepers, 1);
    if (atomic_load(&pool.job) == last)
      futexWait(&pool.job, last);
    atomic_fetch_sub(&pool.sleepers, 1);
  }
}

static void *runWorker(void *argument) {
  Worker worker = *(Worker *)argument;
  free(argument);
  if (worker.cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(worker.cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
  }
  for (uint32_t job = worker.job;;) {
    job = waitForJob(job, worker.spin);
    if (worker.number < atomic_load_explicit(&pool.limit, memory_order_relaxed))
      work(job, worker.number + 1);
  }
  return NULL;
}

// The CPU for a worker: those of the process in turn, starting behind the caller's.
static int workerCpu(int number) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0)
    return -1;
  int cpus = CPU_COUNT(&set), current = sched_getcpu();
  if (number + 1 >= cpus || current < 0)
    return -1;
  for (int found = -1, step = 0; step < CPU_SETSIZE; ++step) {
    int cpu = (current + 1 + step) % CPU_SETSIZE;
    if (CPU_ISSET(cpu, &set) && ++found == number)
      return cpu;
  }
  return -1;
}

// The threads are the parent's: after a fork the child starts without any, whatever the pool was
// doing. Asked by the process's number, since a handler that runs at the fork would have to be
// unregistered when a library is closed.
static void noticeFork(void) {
  int self = (int)getpid(), owner = atomic_load(&pool.process);
  while (owner != self) {
    if (owner < 0) { // another thread is at it
      pauseThread();
      owner = atomic_load(&pool.process);
    } else if (atomic_compare_exchange_weak(&pool.process, &owner, -1)) {
      atomic_store(&pool.ticket, 0);
      atomic_store(&pool.waiting, 0);
      atomic_store(&pool.sleepers, 0);
      pool.workers = 0;
      pool.spinNanoseconds = 1000 * seqEnvironmentNumber("SEQMIX_SPIN_US", 1000000, 20000);
      atomic_flag_clear(&pool.busy);
      atomic_store(&pool.process, self);
      return;
    }
  }
}

static bool makeWorker(bool pin) {
  Worker *worker = malloc(sizeof *worker);
  if (!worker)
    return false;
  *worker = (Worker){.number = pool.workers,
                     .job = atomic_load(&pool.job),
                     .cpu = pin ? workerCpu(pool.workers) : -1,
                     .spin = pool.crowded ? 0 : pool.spinNanoseconds};
  pthread_attr_t attributes;
  pthread_t thread;
  bool made = pthread_attr_init(&attributes) == 0;
  if (made) {
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    made = pthread_create(&thread, &attributes, runWorker, worker) == 0;
    pthread_attr_destroy(&attributes);
  }
  if (!made)
    free(worker);
  return made;
}

// Makes workers until there are `wanted`, or no more can be had.
static void makeWorkers(int wanted) {
  if (pool.workers >= wanted)
    return;
  // More threads than CPUs: spinning and fixed places would only be in the way.
  pool.crowded = wanted + 1 > availableCpus();
  // Signals are for the threads of the application.
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  bool pin = !pool.crowded && seqEnvironmentNumber("SEQMIX_PIN", 1, 1);
  while (pool.workers < wanted && makeWorker(pin))
    ++pool.workers;
  pthread_sigmask(SIG_SETMASK, &old, NULL);
}
//===----------------------------------------------------------------------===//
// Jobs
//===----------------------------------------------------------------------===//

static void runAlone(SeqTaskFn function, void *context, int64_t count) {
  uint32_t mode = seqSetFloatMode();
  for (int64_t task = 0; task < count; ++task)
    function(context, task, 0);
  seqRestoreFloatMode(mode);
}

static void waitForTasks(uint32_t count) {
  for (int turn = 0;; ++turn) {
    uint32_t done = atomic_load_explicit(&pool.done, memory_order_acquire);
    if (done == count)
      return;
    if (turn < 20000 && !pool.crowded) {
      pauseThread();
      continue;
    }
    atomic_store(&pool.waiting, 1);
    done = atomic_load(&pool.done);
    if (done != count)
      futexWait(&pool.done, done);
    atomic_store(&pool.waiting, 0);
  }
}

void seqRunTasks(SeqTaskFn function, void *context, int64_t count, int32_t threads) {
  if (threads > count)
    threads = (int32_t)count;
  if (threads > 1)
    noticeFork();
  // A ticket counts 32 bits of tasks.
  if (threads <= 1 || count > UINT32_MAX ||
      atomic_flag_test_and_set_explicit(&pool.busy, memory_order_acquire)) {
    runAlone(function, context, count);
    return;
  }
  makeWorkers(threads - 1);
  uint32_t job = atomic_load(&pool.job) + 1;
  pool.function = function;
  pool.context = context;
  pool.count = (uint32_t)count;
  atomic_store_explicit(&pool.limit, threads - 1, memory_order_relaxed);
  atomic_store(&pool.done, 0);
  atomic_store(&pool.ticket, ((uint64_t)job << 32) | (uint64_t)count);
  atomic_store(&pool.job, job);
  if (atomic_load(&pool.sleepers))
    futexWake(&pool.job);
  work(job, 0);
  waitForTasks((uint32_t)count);
  atomic_flag_clear_explicit(&pool.busy, memory_order_release);
}
