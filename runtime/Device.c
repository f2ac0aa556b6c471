//===- Device.c - which memory a call's tensors are in ----------------------===//
//
// Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0
//
//===----------------------------------------------------------------------===//

#include "runtime/Call.h"

static bool isCpu(DLDevice device) {
  return device.device_type == kDLCPU || device.device_type == kDLCUDAHost;
}

static bool isCuda(DLDevice device) {
  return device.device_type == kDLCUDA || device.device_type == kDLCUDAManaged;
}

// "CUDA device 1"
static void appendDevice(SeqText *text, DLDevice device) {
  if (isCuda(device))
    seqTextAppend(text, "on CUDA device %d", device.device_id);
  else if (isCpu(device))
    seqTextAppend(text, "in the CPU's memory");
  else
    seqTextAppend(text, "on a device of type %d", (int)device.device_type);
}

void seqBindDevice(SeqCall *call, const DLTensor *const *tensors) {
  call->device = 0;
  call->deviceOf = "";
  for (int32_t i = 0; call->mixer->device && i < call->mixer->tensor_count; ++i) {
    if (!tensors[i] || !isCuda(tensors[i]->device))
      continue;
    call->device = tensors[i]->device.device_id;
    call->deviceOf = call->mixer->tensors[i].name;
    return;
  }
}

int seqCheckDevice(const SeqCall *call, const char *name, const DLTensor *tensor) {
  char where[64];
  SeqText text = {where, where + sizeof where};
  appendDevice(&text, tensor->device);
  if (!call->mixer->device && isCpu(tensor->device))
    return SEQ_OK;
  if (!call->mixer->device)
    return seqFail(call, SEQ_INVALID_DEVICE,
                   "%s is %s; expected the CPU's memory: the library was compiled for the CPU%s",
                   name, where,
                   isCuda(tensor->device) ? " (--target=cuda makes one for GPUs)" : "");
  if (!isCuda(tensor->device))
    return seqFail(call, SEQ_INVALID_DEVICE,
                   "%s is %s; expected a CUDA device: the library was compiled for CUDA%s", name,
                   where, isCpu(tensor->device) ? " (without --target it is for the CPU)" : "");
  if (tensor->device.device_id != call->device)
    return seqFail(call, SEQ_INVALID_DEVICE, "%s is %s, but %s is on CUDA device %d", name, where,
                   call->deviceOf, call->device);
  return SEQ_OK;
}

static bool hasDerivedDim(const SeqMixer *mixer, const SeqTensor *tensor) {
  for (int32_t i = 0; i < tensor->rank; ++i)
    if (tensor->axes[i].dim >= 0 && mixer->dims[tensor->axes[i].dim].derived)
      return true;
  return false;
}

// Which place of a derived dim a sequence begins at would stand in the device's memory.
int seqCheckDeviceSeqlens(const SeqCall *call) {
  for (int32_t i = 0; i < call->mixer->tensor_count; ++i)
    if (hasDerivedDim(call->mixer, &call->mixer->tensors[i]))
      return seqFail(
          call, SEQ_UNSUPPORTED,
          "on a device, cu_seqlens does not go with %s, whose length follows from others",
          call->mixer->tensors[i].name);
  return SEQ_OK;
}

// What is checked by values of the CPU's memory elsewhere is the caller's to see to here:
// positions, lengths, and numbers of pages. A call must not wait for the device.
int seqCheckDeviceCall(const SeqCall *call) {
  if (call->options && (call->options->flags & SEQ_CHECKED))
    return seqFail(call, SEQ_UNSUPPORTED,
                   "a checked call would have to wait for the device: SEQ_CHECKED is for libraries "
                   "for the CPU");
  if (call->tokens > INT32_MAX)
    return seqFail(call, SEQ_INVALID_SHAPE, "position %lld is beyond the largest, 2^31 - 1",
                   (long long)call->tokens);
  if (call->pages && call->pages->shape[0] != call->sequences)
    return seqFail(call, SEQ_INVALID_SHAPE, "pages has %lld lines; expected one a sequence, %lld",
                   (long long)call->pages->shape[0], (long long)call->sequences);
  return SEQ_OK;
}
