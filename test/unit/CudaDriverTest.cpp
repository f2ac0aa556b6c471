//===- CudaDriverTest.cpp - contexts, images and errors of the driver ------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "test/unit/CudaSample.h"

#include <thread>

namespace seqmix::test {
namespace {

//===----------------------------------------------------------------------===//
// Devices, contexts, streams
//===----------------------------------------------------------------------===//

class CudaContexts : public CudaRuntime {
protected:
  CudaContexts() {
    fake.devices.assign(2, FakeDevice());
    call.options.flags = SEQ_UNSPLIT;
    other.options.flags = SEQ_UNSPLIT;
  }
  Call other{100, 1};
};

TEST_F(CudaContexts, UsesThePrimaryContextWhereNoneIsCurrent) {
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.launches[0].context, fake.primary(0));
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.calls["cuDevicePrimaryCtxRetain"], 1);
  EXPECT_EQ(fake.calls["cuCtxPushCurrent_v2"], 2);
  EXPECT_EQ(fake.calls["cuCtxPopCurrent_v2"], 2);
}

TEST_F(CudaContexts, UsesTheCurrentContext) {
  FakeContext *own = fake.makeContext(0);
  FakeCuda::stack() = {own};
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.launches[0].context, own);
  EXPECT_EQ(FakeCuda::stack(), std::vector<FakeContext *>{own});
  EXPECT_EQ(fake.calls["cuDevicePrimaryCtxRetain"], 0);
  EXPECT_EQ(fake.calls["cuCtxPushCurrent_v2"], 0);
  FakeCuda::stack().clear();
}

TEST_F(CudaContexts, UsesTheStreamsContext) {
  FakeContext *own = fake.makeContext(0), *current = fake.makeContext(1);
  FakeCuda::stack() = {current};
  call.options.stream = fake.makeStream(own);
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.launches[0].context, own);
  EXPECT_EQ(fake.launches[0].stream, call.options.stream);
  EXPECT_EQ(FakeCuda::stack(), std::vector<FakeContext *>{current});
  FakeCuda::stack().clear();
}

TEST_F(CudaContexts, LeavesTheContextOfAnotherDevice) {
  FakeContext *current = fake.makeContext(1);
  FakeCuda::stack() = {current};
  for (uintptr_t stream : {0, 1, 2}) {
    call.options.stream = addressOf(stream);
    ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
    EXPECT_EQ(fake.launches.back().context, fake.primary(0));
    EXPECT_EQ(fake.launches.back().stream, call.options.stream);
  }
  EXPECT_EQ(FakeCuda::stack(), std::vector<FakeContext *>{current});
  FakeCuda::stack().clear();
}

TEST_F(CudaContexts, LoadsOnceForAllDevicesAndContexts) {
  fake.devices[1].architecture = 80; // takes the PTX only
  FakeContext *own = fake.makeContext(0);
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  FakeCuda::stack() = {own};
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  FakeCuda::stack().clear();
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 1);
  ASSERT_EQ(other.forward(mixer), SEQ_OK) << seq_last_error();
  ASSERT_EQ(other.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 2);
  EXPECT_FALSE(fake.launches[1].isPtx);
  EXPECT_TRUE(fake.launches[2].isPtx);
  EXPECT_EQ(fake.launches[2].context, fake.primary(1));
}

TEST_F(CudaContexts, AllowsSharedMemoryOnceADevice) {
  Call a(4096), b(4096, 1);
  for (Call *one : {&a, &b, &a, &b}) {
    one->options.workspace = addressOf(0x70000000);
    one->options.workspace_bytes = 1 << 20;
    ASSERT_EQ(one->forward(mixer), SEQ_OK) << seq_last_error();
  }
  EXPECT_EQ(fake.calls["cuKernelSetAttribute"], 2);
}

TEST_F(CudaContexts, PreparesAheadOfCalls) {
  ASSERT_EQ(seq_rt_prepare(&mixer.set, 1), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 1);
  EXPECT_EQ(fake.calls["cuKernelSetAttribute"], 1);
  other.options.flags = 0;
  other.options.workspace = addressOf(0x70000000);
  other.options.workspace_bytes = 1 << 20;
  ASSERT_EQ(other.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 1);
  EXPECT_EQ(fake.calls["cuKernelSetAttribute"], 1);
  EXPECT_EQ(seq_rt_prepare(&mixer.set, 2), SEQ_INVALID_DEVICE);
  EXPECT_STREQ(seq_last_error(), "scan_prepare: there is no CUDA device 2; the driver has 2");
}

TEST_F(CudaContexts, RefusesAStreamOfAnotherDevice) {
  call.options.stream = fake.makeStream(fake.primary(1));
  EXPECT_EQ(call.forward(mixer), SEQ_INVALID_DEVICE);
  EXPECT_TEXT(seq_last_error(), "options.stream is of another device than the tensors");
  int word = 0;
  call.options.stream = &word;
  EXPECT_EQ(call.forward(mixer), SEQ_DRIVER_ERROR);
  EXPECT_TEXT(seq_last_error(), "options.stream is no stream");
}

TEST_F(CudaContexts, LoadsOnceForManyThreads) {
  std::vector<std::thread> threads;
  std::vector<int> statuses(8, -1);
  for (size_t i = 0; i < statuses.size(); ++i)
    threads.emplace_back([&, i] {
      Call own(4096, static_cast<int>(i % 2));
      own.options.workspace = addressOf(0x70000000);
      own.options.workspace_bytes = 1 << 20;
      for (int n = 0; n < 20; ++n)
        statuses[i] = own.forward(mixer);
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(statuses, std::vector<int>(8, SEQ_OK));
  EXPECT_EQ(fake.launches.size(), 8U * 20 * 3);
  EXPECT_EQ(fake.calls["cuInit"], 1);
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 1);
  EXPECT_EQ(fake.calls["cuKernelSetAttribute"], 2);
  EXPECT_EQ(fake.calls["cuDevicePrimaryCtxRetain"], 2);
}

//===----------------------------------------------------------------------===//
// Wrong calls
//===----------------------------------------------------------------------===//

TEST_F(CudaContexts, RefusesTensorsThatAreElsewhere) {
  call.g.value.device = {kDLCPU, 0};
  EXPECT_EQ(call.forward(mixer), SEQ_INVALID_DEVICE);
  EXPECT_STREQ(seq_last_error(),
               "scan_forward: g is in the CPU's memory; expected a CUDA device: the library was "
               "compiled for CUDA (without --target it is for the CPU)");
  call.g.value.device = {kDLCUDA, 1};
  EXPECT_EQ(call.forward(mixer), SEQ_INVALID_DEVICE);
  EXPECT_STREQ(seq_last_error(), "scan_forward: g is on CUDA device 1, but x is on CUDA device 0");
  call.g.value.device = {kDLROCM, 0};
  EXPECT_EQ(call.forward(mixer), SEQ_INVALID_DEVICE);
  EXPECT_TEXT(seq_last_error(), "g is on a device of type 10; expected a CUDA device");
  call.g.value.device = {kDLCUDAManaged, 0};
  EXPECT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  for (DeviceTensor *tensor : {&call.x, &call.g, &call.y})
    tensor->value.device = {kDLCPU, 0};
  EXPECT_EQ(call.forward(mixer), SEQ_INVALID_DEVICE);
  EXPECT_TEXT(seq_last_error(), "x is in the CPU's memory; expected a CUDA device");
}

TEST_F(CudaContexts, RefusesCarriesAndLengthsThatAreElsewhere) {
  Call host(100);
  host.s.value.device = {kDLCPU, 0};
  DLTensor *carry[] = {&host.s.value, nullptr};
  host.options.carry_out = carry;
  host.options.carry_count = 2;
  EXPECT_EQ(host.forward(mixer), SEQ_INVALID_DEVICE);
  EXPECT_TEXT(seq_last_error(), "S is in the CPU's memory; expected a CUDA device");
  Call packed(100);
  DeviceTensor ends(0x60000000, {3}, 1, {}, kI32);
  packed.options.cu_seqlens = &ends.value;
  EXPECT_EQ(packed.forward(mixer), SEQ_INVALID_DEVICE);
  EXPECT_TEXT(seq_last_error(), "cu_seqlens is on CUDA device 1, but x is on CUDA device 0");
}

TEST_F(CudaRuntime, RefusesWhatWouldWaitForTheDevice) {
  call.options.flags = SEQ_CHECKED;
  EXPECT_EQ(call.forward(mixer), SEQ_UNSUPPORTED);
  EXPECT_TEXT(seq_last_error(), "a checked call would have to wait for the device");
}

TEST_F(CudaRuntime, ChecksShapesAndOverlapsAsOnTheCpu) {
  call.g.shape[1] = 99;
  EXPECT_EQ(call.forward(mixer), SEQ_INVALID_SHAPE);
  EXPECT_TEXT(seq_last_error(), "g has shape [2, 99, 3]; expected [B, T, H/2]");
  call.g.shape[1] = 100;
  call.y.value.data = call.x.value.data;
  EXPECT_EQ(call.forward(mixer), SEQ_INVALID_LAYOUT);
  EXPECT_TEXT(seq_last_error(), "the output y overlaps x in memory");
  EXPECT_TRUE(fake.calls.empty());
}

TEST_F(CudaRuntime, RefusesPagesWhereKernelsDoNotTakeThem) {
  DeviceTensor pages(0x60000000, {2, 4}, 0, {}, kI32);
  call.options.flags = SEQ_UNSPLIT;
  call.options.pages = &pages.value;
  EXPECT_EQ(call.forward(mixer), SEQ_UNSUPPORTED);
  EXPECT_TEXT(seq_last_error(), "do not take the carry's rows in pages");
}

//===----------------------------------------------------------------------===//
// Images
//===----------------------------------------------------------------------===//

TEST_F(CudaContexts, TakesPtxWhereMachineCodeIsRefused) {
  fake.devices[0].takesMachineCode = false;
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_TRUE(fake.launches[0].isPtx);
  ASSERT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 2);
}

TEST_F(CudaContexts, SaysWhyNoImageIsTaken) {
  fake.devices[0].takesMachineCode = false;
  fake.devices[0].takesPtx = false;
  EXPECT_EQ(call.forward(mixer), SEQ_DRIVER_ERROR);
  EXPECT_STREQ(seq_last_error(),
               "scan_forward: the library has no code that the driver takes for CUDA device 0 "
               "(Fake GPU 0, sm_90); machine code for sm_90a: no kernel image is available "
               "(CUDA_ERROR_NO_BINARY_FOR_GPU, 209); PTX for sm_80: a fake error "
               "(CUDA_ERROR_FAKE, 218)");
  fake.devices[0].takesPtx = true; // tried again
  EXPECT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
}

TEST_F(CudaContexts, SaysWhatTheDriversCompilerSays) {
  mixer.images[1].bytes = "no PTX";
  fake.devices[0].takesMachineCode = false;
  EXPECT_EQ(call.forward(mixer), SEQ_DRIVER_ERROR);
  EXPECT_TEXT(seq_last_error(),
              "PTX for sm_80: a fake error (CUDA_ERROR_FAKE, 218): ptxas fatal: no "
              "version");
}

TEST_F(CudaContexts, KnowsWhichChipsAnImageIsFor) {
  fake.devices[1].architecture = 75;
  EXPECT_EQ(other.forward(mixer), SEQ_DRIVER_ERROR);
  EXPECT_TEXT(seq_last_error(), "sm_75); machine code for sm_90a is for other chips; PTX for sm_80 "
                                "is for other chips");
  EXPECT_EQ(fake.calls["cuLibraryLoadData"], 0);
  // Machine code of sm_90a does not run on later chips; PTX of sm_80 does.
  Mixer later;
  fake.devices[0].architecture = 100;
  ASSERT_EQ(call.forward(later), SEQ_OK) << seq_last_error();
  EXPECT_TRUE(fake.launches[0].isPtx);
}

TEST_F(CudaContexts, TakesTheFirstTargetThatFits) {
  Mixer two;
  SeqImage late = {"sm_90", kLaterPtx, sizeof kLaterPtx, SEQ_IMAGE_PTX, 90, 0, 0};
  SeqCode code = {&late, kNames, newState(), 1, 3};
  SeqLaunch other = kWhole[0];
  other.threads[0] = 96;
  SeqSchedule schedule = {&other, nullptr, 1, 0, 0};
  SeqDeviceTarget targets[] = {{"sm_90", &code, &schedule, nullptr, 1, 0}, two.target};
  two.device = {targets, 2, 0};
  fake.devices[1].architecture = 86;
  ASSERT_EQ(call.forward(two), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.launches[0].block[0], 96U);
  ASSERT_EQ(this->other.forward(two), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.launches[1].block[0], 32U);
  setenv("SEQMIX_TARGET", "sm_80", 1);
  ASSERT_EQ(call.forward(two), SEQ_OK) << seq_last_error();
  EXPECT_EQ(fake.launches[2].block[0], 32U);
  setenv("SEQMIX_TARGET", "sm_75", 1);
  EXPECT_EQ(call.forward(two), SEQ_DRIVER_ERROR);
  EXPECT_TEXT(seq_last_error(), "sm_90 is not SEQMIX_TARGET; sm_80 is not SEQMIX_TARGET");
  unsetenv("SEQMIX_TARGET");
}

//===----------------------------------------------------------------------===//
// Errors of the driver
//===----------------------------------------------------------------------===//

TEST_F(CudaRuntime, ReportsEveryFunctionThatFails) {
  call.options.flags = SEQ_UNSPLIT;
  EXPECT_TEXT(errorOf("cuInit", 100), "scan_forward: the CUDA driver does not start (cuInit): the "
                                      "CUDA driver says: a fake error (CUDA_ERROR_FAKE, 100)");
  for (const char *function : {"cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetAttribute",
                               "cuCtxGetCurrent", "cuDevicePrimaryCtxRetain"})
    EXPECT_TEXT(errorOf(function), std::string("scan_forward: ") + function +
                                       ": the CUDA driver says: a fake error (CUDA_ERROR_FAKE, "
                                       "999)");
  EXPECT_TEXT(errorOf("cuCtxPushCurrent_v2"), "cuCtxPushCurrent: the CUDA driver says");
  for (const char *function : {"cuLibraryLoadData", "cuLibraryGetKernel", "cuKernelGetFunction"})
    EXPECT_TEXT(errorOf(function), "machine code for sm_90a: a fake error (CUDA_ERROR_FAKE, 999); "
                                   "PTX for sm_80: a fake error (CUDA_ERROR_FAKE, 999)");
  EXPECT_TEXT(errorOf("cuLaunchKernel", 700),
              "scan_forward: kernel scan of sm_80: the launch is refused: the CUDA driver says: a "
              "fake error (CUDA_ERROR_FAKE, 700)");
  EXPECT_TRUE(fake.launches.empty());
  EXPECT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error(); // nothing is left of it
}

TEST_F(CudaRuntime, ReportsErrorsWithACurrentContext) {
  call.options.flags = SEQ_UNSPLIT;
  FakeCuda::stack() = {fake.makeContext(0)};
  EXPECT_TEXT(errorOf("cuCtxGetDevice"), "cuCtxGetDevice: the CUDA driver says");
  call.options.stream = fake.makeStream(FakeCuda::stack()[0]);
  EXPECT_TEXT(errorOf("cuStreamGetCtx"), "options.stream is no stream (cuStreamGetCtx)");
  EXPECT_TEXT(errorOf("cuCtxGetDevice"), "cuCtxGetDevice: the CUDA driver says");
  FakeCuda::stack().clear();
}

TEST_F(CudaRuntime, ReportsSharedMemoryThatIsRefused) {
  call.options.workspace = addressOf(0x70000000);
  call.options.workspace_bytes = 1 << 20;
  EXPECT_TEXT(errorOf("cuKernelSetAttribute"),
              "scan_forward: kernel summaries of sm_80: its shared memory is refused");
  EXPECT_EQ(call.forward(mixer), SEQ_OK) << seq_last_error();
}

TEST_F(CudaRuntime, SurvivesADriverWithoutWords) {
  call.options.flags = SEQ_UNSPLIT;
  fake.failures = {{"cuGetErrorName", 1}, {"cuGetErrorString", 1}, {"cuLaunchKernel", 5}};
  EXPECT_EQ(call.forward(mixer), SEQ_DRIVER_ERROR);
  EXPECT_TEXT(seq_last_error(), "unknown error (unknown, 5)");
}

} // namespace
} // namespace seqmix::test
