//===- Workers.cpp ------------------------------------------------------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "tools/seq-run/Workers.h"

#include "llvm/Support/raw_ostream.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace llvm;

namespace seqmix::run {

namespace {

struct Worker {
  unsigned job;
  pid_t process;
  int pipe;
  std::string pending; ///< what has been read of an unfinished line
  std::chrono::steady_clock::time_point deadline;
  bool late = false;
};

void writeAll(int file, const std::string &text) {
  for (size_t at = 0; at < text.size();) {
    ssize_t written = write(file, text.data() + at, text.size() - at);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      _exit(3); // the parent is gone
    at += written;
  }
}

Worker start(unsigned job, double seconds, function_ref<void(unsigned, Report)> body) {
  int ends[2];
  if (pipe(ends) != 0)
    report_fatal_error("cannot make a pipe", false);
  fflush(nullptr);
  outs().flush();
  pid_t process = fork();
  if (process < 0)
    report_fatal_error("cannot start a process", false);
  if (process == 0) {
    close(ends[0]);
    body(job, [&](json::Value value) { writeAll(ends[1], formatv("{0}\n", value).str()); });
    fflush(nullptr);
    _exit(0);
  }
  close(ends[1]);
  auto length = std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
  return {job, process, ends[0], "", std::chrono::steady_clock::now() + length};
}

JobEnd endOf(const Worker &worker, int status, double seconds) {
  if (worker.late)
    return {false, fmt::format("took more than {:.0f} s", seconds)};
  if (WIFSIGNALED(status))
    return {false, fmt::format("killed by {}", strsignal(WTERMSIG(status)))};
  if (WEXITSTATUS(status) != 0)
    return {false, fmt::format("ended with status {}", WEXITSTATUS(status))};
  return {};
}

} // namespace

unsigned availableCpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0)
    return 1;
  return std::max(1, CPU_COUNT(&set));
}

void runJobs(unsigned count, unsigned parallel, double secondsEach,
             function_ref<void(unsigned, Report)> body,
             function_ref<void(unsigned, json::Value)> take,
             function_ref<bool(unsigned, const JobEnd &)> done) {
  std::vector<Worker> workers;
  unsigned next = 0;
  bool more = true;
  auto deliver = [&](Worker &worker) {
    size_t begin = 0;
    for (size_t end; (end = worker.pending.find('\n', begin)) != std::string::npos;
         begin = end + 1) {
      Expected<json::Value> value = json::parse(StringRef(worker.pending).slice(begin, end));
      if (value)
        take(worker.job, std::move(*value));
      else
        consumeError(value.takeError()); // a line cut short by a crash
    }
    worker.pending.erase(0, begin);
  };
  while (!workers.empty() || (more && next < count)) {
    while (more && next < count && workers.size() < parallel)
      workers.push_back(start(next++, secondsEach, body));
    std::vector<pollfd> files;
    for (const Worker &worker : workers)
      files.push_back({worker.pipe, POLLIN, 0});
    poll(files.data(), files.size(), 100);
    for (size_t w = workers.size(); w-- > 0;) {
      Worker &worker = workers[w];
      if (!worker.late && std::chrono::steady_clock::now() > worker.deadline) {
        worker.late = true;
        kill(worker.process, SIGKILL);
      }
      if (!files[w].revents)
        continue;
      char buffer[65536];
      ssize_t got = read(worker.pipe, buffer, sizeof buffer);
      if (got > 0) {
        worker.pending.append(buffer, got);
        deliver(worker);
        continue;
      }
      if (got < 0 && errno == EINTR)
        continue;
      int status = 0;
      waitpid(worker.process, &status, 0);
      close(worker.pipe);
      more &= done(worker.job, endOf(worker, status, secondsEach));
      workers.erase(workers.begin() + w);
    }
  }
}

} // namespace seqmix::run
