//===- RuntimeThreadsTest.cpp - concurrent calls, forks, allocation, the floating-point mode -===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/RuntimeSample.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cfenv>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

using namespace seqmix::test;

// The linker sends what the runtime allocates through here (--wrap).
static std::atomic<int> allocations;
extern "C" {
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes) {
  ++allocations;
  return __real_aligned_alloc(alignment, bytes);
}
}

// What the sanitizers ask a program that runs under them.
extern "C" const char *__tsan_default_options() {
  return "die_after_fork=0:allocator_may_return_null=1:halt_on_error=1";
}
extern "C" const char *__asan_default_options() { return "allocator_may_return_null=1"; }

namespace {

TEST(RuntimeThreads, SameBitsForEveryNumberOfThreads) {
  ScanCall call(9, 17, 6, 8);
  call.options.threads = 1;
  ASSERT_EQ(call.forward(), SEQ_OK);
  std::vector<float> want = call.y.data;
  for (int threads : {2, 3, 4, 7, 16}) {
    call.options.threads = threads;
    for (int repeat = 0; repeat < 20; ++repeat) {
      call.y.data.assign(call.y.data.size(), -1);
      ASSERT_EQ(call.forward(), SEQ_OK);
      ASSERT_EQ(call.y.data, want) << threads << " threads";
    }
  }
}

TEST(RuntimeThreads, CallsFromManyThreads) {
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (unsigned caller = 0; caller < 6; ++caller)
    callers.emplace_back([caller, &wrong] {
      ScanCall call(1 + caller, 5 + caller, 4, 8, caller);
      ScanCarry end(1 + caller, 4, 8);
      call.options.threads = 1;
      if (call.forward(nullptr, &end) != SEQ_OK)
        ++wrong;
      std::vector<float> want = call.y.data, state = end.state.data;
      for (int repeat = 0; repeat < 300; ++repeat) {
        call.options.threads = 1 + static_cast<int>((repeat + caller) % 4);
        call.y.data.assign(call.y.data.size(), -1);
        if (call.forward(nullptr, &end) != SEQ_OK || call.y.data != want || end.state.data != state)
          ++wrong;
        // Errors are each thread's own.
        call.options.threads = -1 - static_cast<int>(caller);
        std::string text =
            "scan_forward: options.threads is " + std::to_string(call.options.threads);
        if (call.forward() == SEQ_OK || std::string(seq_last_error()).rfind(text, 0) != 0)
          ++wrong;
      }
    });
  for (std::thread &caller : callers)
    caller.join();
  EXPECT_EQ(wrong, 0);
}

// A kernel that calls the library itself.
std::atomic<int> nestedFailures;
void nestedKernel(const int64_t *) {
  ScanCall call(3, 4, 4, 8);
  std::vector<float> want = call.expected(nullptr);
  call.options.threads = 2;
  if (call.forward() != SEQ_OK)
    ++nestedFailures;
  for (size_t i = 0; i < want.size(); ++i)
    if (std::abs(call.y.data[i] - want[i]) > 1e-4f)
      ++nestedFailures;
}

SeqMixerSet setWith(SeqKernelFn forward, SeqMixer &mixer, SeqKernel &kernel,
                    const SeqMixer *const *sizes) {
  mixer = *scanSet().sizes[0];
  kernel = mixer.kernels[1];
  kernel.forward = forward;
  kernel.shared = nullptr;
  mixer.kernels = &kernel;
  mixer.kernel_count = 1;
  return {"scan", sizes, 1, 0};
}

TEST(RuntimeThreads, NestedCalls) {
  SeqMixer mixer;
  SeqKernel kernel;
  const SeqMixer *sizes[] = {&mixer};
  SeqMixerSet set = setWith(nestedKernel, mixer, kernel, sizes);
  ScanCall call(4, 2, 2, 8);
  call.options.threads = 3;
  ASSERT_EQ(call.forward(set), SEQ_OK);
  EXPECT_EQ(nestedFailures, 0);
}

TEST(RuntimeThreads, WorksAfterFork) {
  ScanCall call(8, 9, 4, 8);
  call.options.threads = 3;
  ASSERT_EQ(call.forward(), SEQ_OK); // there are workers now
  std::vector<float> want = call.y.data;
  for (int repeat = 0; repeat < 3; ++repeat) {
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(20);
      bool right = true;
      for (int turn = 0; turn < 5; ++turn) {
        call.y.data.assign(call.y.data.size(), -1);
        right &= call.forward() == SEQ_OK && call.y.data == want;
      }
      _exit(right ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ASSERT_EQ(call.forward(), SEQ_OK);
  }
}

#if defined(__x86_64__)
std::atomic<int> wrongModes;
void modeKernel(const int64_t *) {
  if ((_mm_getcsr() & 0xffc0u) != 0x9fc0u) // to nearest, masked, FTZ and DAZ
    ++wrongModes;
}

TEST(RuntimeThreads, FloatModeIsSetInTasksAndRestored) {
  SeqMixer mixer;
  SeqKernel kernel;
  const SeqMixer *sizes[] = {&mixer};
  SeqMixerSet set = setWith(modeKernel, mixer, kernel, sizes);
  ScanCall call(16, 2, 4, 8);
  std::fesetround(FE_UPWARD);
  uint32_t before = _mm_getcsr();
  for (int threads : {1, 4}) {
    call.options.threads = threads;
    EXPECT_EQ(call.forward(set), SEQ_OK);
    EXPECT_EQ(_mm_getcsr(), before);
  }
  std::fesetround(FE_TONEAREST);
  EXPECT_EQ(wrongModes, 0);
}
#endif

TEST(RuntimeThreads, NothingIsAllocatedInAWorkspace) {
  ScanCall call(8, 9, 4, 8);
  call.options.threads = 2;
  ASSERT_EQ(call.forward(), SEQ_OK); // makes the workers
  int64_t extents[] = {8, 4, 9};
  size_t bytes = 0;
  ASSERT_EQ(seq_rt_workspace_size(&scanSet(), extents, 2, &bytes), SEQ_OK);
  void *memory = __real_aligned_alloc(64, bytes);
  call.options.workspace = memory;
  call.options.workspace_bytes = bytes;
  allocations = 0;
  ASSERT_EQ(call.forward(), SEQ_OK);
  EXPECT_EQ(allocations, 0);
  call.options.workspace = nullptr;
  ASSERT_EQ(call.forward(), SEQ_OK);
  EXPECT_EQ(allocations, 1);
  free(memory);
}

TEST(RuntimeThreads, OutOfMemoryIsAStatus) {
  SeqMixer mixer = *scanSet().sizes[0];
  SeqKernel kernel = mixer.kernels[1];
  kernel.sequence_bytes = int64_t(1) << 61;
  mixer.kernels = &kernel;
  mixer.kernel_count = 1;
  const SeqMixer *sizes[] = {&mixer};
  SeqMixerSet set = {"scan", sizes, 1, 0};
  ScanCall call(1, 6, 2, 8);
  EXPECT_EQ(call.forward(set), SEQ_OUT_OF_MEMORY);
  kernel.sequence_bytes = int64_t(1) << 56; // no overflow, but nobody has it
  EXPECT_EQ(call.forward(set), SEQ_OUT_OF_MEMORY);
  EXPECT_NE(std::string(seq_last_error()).find("no memory for a workspace"), std::string::npos);
}

TEST(RuntimeThreads, NumberOfThreads) {
  int before = seq_num_threads();
  EXPECT_GE(before, 1);
  EXPECT_EQ(seq_set_num_threads(3), SEQ_OK);
  EXPECT_EQ(seq_num_threads(), 3);
  EXPECT_EQ(seq_set_num_threads(-1), SEQ_INVALID_ARGUMENT);
  EXPECT_EQ(seq_set_num_threads(0), SEQ_OK);
  setenv("SEQMIX_NUM_THREADS", "5", 1);
  EXPECT_EQ(seq_num_threads(), 5);
  EXPECT_EQ(seq_set_num_threads(0), SEQ_OK);
  unsetenv("SEQMIX_NUM_THREADS");
  EXPECT_EQ(seq_num_threads(), before);
}

} // namespace
