#!/usr/bin/env python3
"""Keeps a GPU busy for a time: matrix products in bf16, and copies both ways over PCIe beside them.

usage: load.py SECONDS [matmul|copy|both]

Prints what PyTorch's caching allocator holds, for comparison with what the driver says of this process.
"""
import os
import sys
import time

import torch


def main():
    seconds = float(sys.argv[1])
    what = sys.argv[2] if len(sys.argv) > 2 else "both"
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    b = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    c = torch.empty_like(a)
    host = torch.empty(1 << 28, dtype=torch.uint8, pin_memory=True)
    device = torch.empty(1 << 28, dtype=torch.uint8, device="cuda")
    up, down = torch.cuda.Stream(), torch.cuda.Stream()
    host_back = torch.empty_like(host).pin_memory()
    torch.cuda.synchronize()
    print(f"pid {os.getpid()}: allocated {torch.cuda.memory_allocated()} reserved {torch.cuda.memory_reserved()}", flush=True)
    end = time.monotonic() + seconds
    products = copied = 0
    began = time.monotonic()
    while time.monotonic() < end:
        if what != "copy":
            for _ in range(20):
                torch.matmul(a, b, out=c)
            products += 20
        if what != "matmul":
            with torch.cuda.stream(up):
                device.copy_(host, non_blocking=True)
            with torch.cuda.stream(down):
                host_back.copy_(device, non_blocking=True)
            copied += 1 << 28
        torch.cuda.synchronize()
    took = time.monotonic() - began
    print(f"{products * 2 * 8192**3 / took / 1e12:.0f} TFLOP/s, {copied / took / 1e9:.1f} GB/s each way; "
          f"{copied} B each way in {took:.1f} s", flush=True)


if __name__ == "__main__":
    main()
