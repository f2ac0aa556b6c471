// RUN: %sm80 %s -o %t.80
// RUN: %sm90a %s -o %t.90

// Kernels of the emulator's unit tests (test/unit/GpuEmulator*Test.cpp), which find ops by the marks in comments.

gpu.module @basics {

llvm.func @vector_add(%a: !llvm.ptr<1>, %b: !llvm.ptr<1>, %c: !llvm.ptr<1>, %n: i32) attributes {gpu.kernel, nvvm.kernel} {
  %block = nvvm.read.ptx.sreg.ctaid.x : i32
  %extent = nvvm.read.ptx.sreg.ntid.x : i32
  %thread = nvvm.read.ptx.sreg.tid.x : i32
  %first = llvm.mul %block, %extent : i32
  %i = llvm.add %first, %thread : i32
  %inside = llvm.icmp "slt" %i, %n : i32
  llvm.cond_br %inside, ^work, ^end
^work:
  %pa = llvm.getelementptr %a[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
  %pb = llvm.getelementptr %b[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
  %pc = llvm.getelementptr %c[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
  %x = llvm.load %pa : !llvm.ptr<1> -> f32 // load a
  %y = llvm.load %pb : !llvm.ptr<1> -> f32
  %z = llvm.fadd %x, %y : f32
  llvm.store %z, %pc : f32, !llvm.ptr<1> // store c
  llvm.br ^end
^end:
  llvm.return
}

// The sum of 32 numbers in every lane.
llvm.func @warp_sum(%value: f32) -> f32 {
  %all = llvm.mlir.constant(-1 : i32) : i32
  %clamp = llvm.mlir.constant(31 : i32) : i32
  %c16 = llvm.mlir.constant(16 : i32) : i32
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %c0 = llvm.mlir.constant(0 : i32) : i32
  llvm.br ^loop(%c16, %value : i32, f32)
^loop(%offset: i32, %sum: f32):
  %other = nvvm.shfl.sync bfly %all, %sum, %offset, %clamp : f32 -> f32 // warp_sum shuffle
  %next = llvm.fadd %sum, %other : f32
  %half = llvm.lshr %offset, %c1 : i32
  %more = llvm.icmp "ne" %half, %c0 : i32
  llvm.cond_br %more, ^loop(%half, %next : i32, f32), ^done
^done:
  llvm.return %next : f32
}

llvm.mlir.global internal @partial() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<32 x f32>

// One sum a block: warps, then one warp over what the warps left.
llvm.func @block_sum(%a: !llvm.ptr<1>, %sums: !llvm.ptr<1>) attributes {gpu.kernel, nvvm.kernel} {
  %c0 = llvm.mlir.constant(0 : i32) : i32
  %c5 = llvm.mlir.constant(5 : i32) : i32
  %c31 = llvm.mlir.constant(31 : i32) : i32
  %zero = llvm.mlir.constant(0.0 : f32) : f32
  %block = nvvm.read.ptx.sreg.ctaid.x : i32
  %extent = nvvm.read.ptx.sreg.ntid.x : i32
  %thread = nvvm.read.ptx.sreg.tid.x : i32
  %first = llvm.mul %block, %extent : i32
  %i = llvm.add %first, %thread : i32
  %pa = llvm.getelementptr %a[%i] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
  %x = llvm.load %pa : !llvm.ptr<1> -> f32
  %sum = llvm.call @warp_sum(%x) : (f32) -> f32
  %warp = llvm.lshr %thread, %c5 : i32
  %lane = llvm.and %thread, %c31 : i32
  %partial = llvm.mlir.addressof @partial : !llvm.ptr<3>
  %is_first = llvm.icmp "eq" %lane, %c0 : i32
  llvm.cond_br %is_first, ^leave, ^meet
^leave:
  %mine = llvm.getelementptr %partial[0, %warp] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, !llvm.array<32 x f32>
  llvm.store %sum, %mine : f32, !llvm.ptr<3> // store partial
  llvm.br ^meet
^meet:
  nvvm.barrier // between partial sums
  %is_warp0 = llvm.icmp "eq" %warp, %c0 : i32
  llvm.cond_br %is_warp0, ^gather, ^end
^gather:
  %warps = llvm.lshr %extent, %c5 : i32
  %has = llvm.icmp "ult" %lane, %warps : i32
  llvm.cond_br %has, ^read, ^total(%zero : f32)
^read:
  %theirs = llvm.getelementptr %partial[0, %lane] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, !llvm.array<32 x f32>
  %y = llvm.load %theirs : !llvm.ptr<3> -> f32 // load partial
  llvm.br ^total(%y : f32)
^total(%part: f32):
  %all = llvm.call @warp_sum(%part) : (f32) -> f32
  llvm.cond_br %is_first, ^write, ^end
^write:
  %ps = llvm.getelementptr %sums[%block] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
  llvm.store %all, %ps : f32, !llvm.ptr<1>
  llvm.br ^end
^end:
  llvm.return
}

// Inclusive prefix sums of each warp's 32 integers.
llvm.func @prefix_sum(%a: !llvm.ptr<1>, %out: !llvm.ptr<1>) attributes {gpu.kernel, nvvm.kernel} {
  %all = llvm.mlir.constant(-1 : i32) : i32
  %c0 = llvm.mlir.constant(0 : i32) : i32
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %c32 = llvm.mlir.constant(32 : i32) : i32
  %thread = nvvm.read.ptx.sreg.tid.x : i32
  %lane = nvvm.read.ptx.sreg.laneid : i32
  %pa = llvm.getelementptr %a[%thread] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
  %x = llvm.load %pa : !llvm.ptr<1> -> i32
  llvm.br ^loop(%c1, %x : i32, i32)
^loop(%distance: i32, %sum: i32):
  %pair = nvvm.shfl.sync up %all, %sum, %distance, %c0 {return_value_and_is_valid} : i32 -> !llvm.struct<(i32, i1)>
  %other = llvm.extractvalue %pair[0] : !llvm.struct<(i32, i1)>
  %valid = llvm.extractvalue %pair[1] : !llvm.struct<(i32, i1)>
  %added = llvm.add %sum, %other : i32
  %next = llvm.select %valid, %added, %sum : i1, i32
  %double = llvm.shl %distance, %c1 : i32
  %more = llvm.icmp "ult" %double, %c32 : i32
  llvm.cond_br %more, ^loop(%double, %next : i32, i32), ^done
^done:
  %po = llvm.getelementptr %out[%thread] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
  llvm.store %next, %po : i32, !llvm.ptr<1>
  llvm.return
}

llvm.mlir.global external @dynamic() {addr_space = 3 : i32, alignment = 16 : i64} : !llvm.array<0 x f32>

// Each thread reads what the thread `distance` further on wrote.
llvm.func @neighbour(%out: !llvm.ptr<1>, %distance: i32) attributes {gpu.kernel, nvvm.kernel} {
  %thread = nvvm.read.ptx.sreg.tid.x : i32
  %memory = llvm.mlir.addressof @dynamic : !llvm.ptr<3>
  %mine = llvm.getelementptr %memory[%thread] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
  %value = llvm.uitofp %thread : i32 to f32
  llvm.store %value, %mine : f32, !llvm.ptr<3> // store own
  nvvm.barrier // before the neighbour
  %next = llvm.add %thread, %distance : i32
  %theirs = llvm.getelementptr %memory[%next] : (!llvm.ptr<3>, i32) -> !llvm.ptr<3>, f32
  %read = llvm.load %theirs : !llvm.ptr<3> -> f32 // load neighbour
  %po = llvm.getelementptr %out[%thread] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, f32
  llvm.store %read, %po : f32, !llvm.ptr<1>
  llvm.return
}

// Lanes below `limit` take a shuffle that names all of them.
llvm.func @divergent_shuffle(%out: !llvm.ptr<1>, %limit: i32) attributes {gpu.kernel, nvvm.kernel} {
  %all = llvm.mlir.constant(-1 : i32) : i32
  %clamp = llvm.mlir.constant(31 : i32) : i32
  %c1 = llvm.mlir.constant(1 : i32) : i32
  %thread = nvvm.read.ptx.sreg.tid.x : i32
  %below = llvm.icmp "ult" %thread, %limit : i32
  llvm.cond_br %below, ^shuffle, ^end(%thread : i32)
^shuffle:
  %other = nvvm.shfl.sync bfly %all, %thread, %c1, %clamp : i32 -> i32 // divergent shuffle
  llvm.br ^end(%other : i32)
^end(%value: i32):
  %po = llvm.getelementptr %out[%thread] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
  llvm.store %value, %po : i32, !llvm.ptr<1>
  llvm.return // divergent end
}

// Warps from `limit` on do not come to the barrier.
llvm.func @deadlock(%limit: i32) attributes {gpu.kernel, nvvm.kernel} {
  %c5 = llvm.mlir.constant(5 : i32) : i32
  %thread = nvvm.read.ptx.sreg.tid.x : i32
  %warp = llvm.lshr %thread, %c5 : i32
  %below = llvm.icmp "ult" %warp, %limit : i32
  llvm.cond_br %below, ^wait, ^end
^wait:
  nvvm.barrier // never complete
  llvm.br ^end
^end:
  llvm.return // early end
}

}
