#!/usr/bin/env python3
"""Two mistakes that programs make on a GPU, each in a process of its own: an assertion that fails in a kernel, and a
write outside of any allocation. The driver ends the process and reports an Xid; the GPU stays well."""
import subprocess
import sys

PROGRAMS = {
    "assertion": "import torch; t = torch.zeros(4, device='cuda'); i = torch.tensor([9], device='cuda'); print(t[i].cpu())",
    "write": """import cupy
k = cupy.RawKernel('extern "C" __global__ void w(int* p) { p[1ull << 40] = 1; }', 'w')
a = cupy.zeros(4, dtype=cupy.int32)
k((1,), (1,), (a,))
cupy.cuda.Device().synchronize()""",
}

for name, program in PROGRAMS.items():
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    print(f"{name}: exit code {result.returncode}; {(result.stderr.strip().splitlines() or ['no message'])[-1]}")
