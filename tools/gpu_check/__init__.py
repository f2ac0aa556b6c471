"""The parts of tools/gpu-check. What runs on the machine with the GPU needs Python 3.9, NumPy and PyTorch only."""
