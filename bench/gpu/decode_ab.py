#!/usr/bin/env python3
"""Does the agent cost inference anything? A decode loop with and without it, in turns.

usage: decode_ab.py ACCELMON [--blocks N] [--seconds S] [--seed N]

The loop generates tokens, one at a time, with a model of Llama's shape (random weights, bf16, batch 1, a KV cache): once
launched kernel by kernel, which feels the host, once as a CUDA graph, which feels the GPU alone. Each block holds every
condition once, in random order; "off" is there twice, so that the difference of nothing from nothing shows what the
method can see. Scraped once a second where the agent runs. Prints Markdown.
"""
import argparse
import os
import random
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request

import torch
import torch.nn.functional as F

LAYERS, WIDTH, HEADS, HIDDEN, VOCABULARY, CONTEXT = 24, 2048, 16, 5632, 32000, 512
PORT = 19433


class Decoder:
    """One step: a token in, the next token out. Everything lies in fixed places, so that a graph can hold it."""

    def __init__(self):
        def weight(*shape):
            return torch.randn(*shape, device="cuda", dtype=torch.bfloat16) * 0.02
        self.layers = [dict(qkv=weight(3 * WIDTH, WIDTH), out=weight(WIDTH, WIDTH), gate=weight(2 * HIDDEN, WIDTH),
                            down=weight(WIDTH, HIDDEN), n1=weight(WIDTH), n2=weight(WIDTH),
                            k=torch.zeros(1, HEADS, CONTEXT, WIDTH // HEADS, device="cuda", dtype=torch.bfloat16),
                            v=torch.zeros(1, HEADS, CONTEXT, WIDTH // HEADS, device="cuda", dtype=torch.bfloat16))
                       for _ in range(LAYERS)]
        self.embedding = weight(VOCABULARY, WIDTH)
        self.norm = weight(WIDTH)
        self.token = torch.zeros(1, dtype=torch.long, device="cuda")
        self.at = torch.zeros(1, dtype=torch.long, device="cuda")
        self.places = torch.arange(CONTEXT, device="cuda")

    def step(self):
        x = self.embedding[self.token]
        mask = (self.places <= self.at).view(1, 1, 1, CONTEXT)
        for layer in self.layers:
            y = F.rms_norm(x, (WIDTH,), layer["n1"])
            q, k, v = F.linear(y, layer["qkv"]).view(3, 1, HEADS, 1, WIDTH // HEADS).unbind(0)
            layer["k"].index_copy_(2, self.at, k)
            layer["v"].index_copy_(2, self.at, v)
            y = F.scaled_dot_product_attention(q, layer["k"], layer["v"], attn_mask=mask)
            x = x + F.linear(y.reshape(1, WIDTH), layer["out"])
            gate, up = F.linear(F.rms_norm(x, (WIDTH,), layer["n2"]), layer["gate"]).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, layer["down"])
        logits = F.linear(F.rms_norm(x, (WIDTH,), self.norm), self.embedding)
        self.token.copy_(logits.argmax(-1))
        self.at.copy_((self.at + 1) % CONTEXT)


def run(step, seconds):
    """Latencies of single tokens, in seconds."""
    times = []
    end = time.perf_counter() + seconds
    torch.cuda.synchronize()
    last = time.perf_counter()
    while last < end:
        step()
        torch.cuda.synchronize()
        now = time.perf_counter()
        times.append(now - last)
        last = now
    return times


def family(pid):
    out = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children") as file:
            out += [int(word) for word in file.read().split()]
    return out


def cpu_seconds(pids):
    """In nanoseconds' steps where the kernel keeps them (schedstat), else in ticks."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0]) / 1e9
    return total


def memory(pids):
    """{name of the collector: (Pss, private) in KiB}"""
    out = {}
    for pid in pids:
        with open(f"/proc/{pid}/cmdline") as file:
            words = [w for w in file.read().split("\0") if w]
        with open(f"/proc/{pid}/smaps_rollup") as file:
            kib = {line.split()[0]: int(line.split()[1]) for line in file if line.split()[-1] == "kB"}
        out[" ".join(words)[-60:]] = (kib["Pss:"], kib["Private_Dirty:"] + kib["Private_Clean:"], kib["Rss:"])
    return out


class Agent:
    def __init__(self, program, interval, folder):
        self.log = open(os.path.join(folder, "agent.log"), "wb")
        self.process = subprocess.Popen(
            [program, "serve", "--listen", f"127.0.0.1:{PORT}", "--socket", os.path.join(folder, "socket"),
             "--interval", interval], stdout=self.log, stderr=self.log)
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/-/ready", timeout=1).read()
                break
            except OSError:
                time.sleep(0.05)
        time.sleep(1.0)  # discovery is not what is measured
        self.pids = family(self.process.pid)
        self.began, self.cpu = time.monotonic(), cpu_seconds(self.pids)

    def stop(self):
        share = (cpu_seconds(self.pids) - self.cpu) / (time.monotonic() - self.began)
        used = memory(self.pids)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        return share, used


class Smi:
    def __init__(self, interval_ms):
        self.process = subprocess.Popen(
            ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used,power.draw,temperature.gpu,clocks.sm",
             "--format=csv", f"-lms={interval_ms}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1.0)
        self.began, self.cpu = time.monotonic(), cpu_seconds([self.process.pid])

    def stop(self):
        share = (cpu_seconds([self.process.pid]) - self.cpu) / (time.monotonic() - self.began)
        used = memory([self.process.pid])
        self.process.kill()
        self.process.wait()
        return share, used


def interval_of_mean(values, rounds=4000):
    """Mean and a bootstrap 95 % interval of it."""
    means = sorted(statistics.fmean(random.choices(values, k=len(values))) for _ in range(rounds))
    return statistics.fmean(values), means[int(rounds * 0.025)], means[int(rounds * 0.975)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("accelmon")
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=3.5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    folder = tempfile.mkdtemp()
    torch.manual_seed(1)
    decoder = Decoder()
    with torch.inference_mode():
        for _ in range(50):
            decoder.step()
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(5):
                decoder.step()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            decoder.step()
        makers = {"off": lambda: None, "off again": lambda: None,
                  "agent 1 Hz": lambda: Agent(options.accelmon, "1s", folder),
                  "agent 10 Hz": lambda: Agent(options.accelmon, "100ms", folder),
                  "nvidia-smi 1 Hz": lambda: Smi(1000)}
        print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}; {options.blocks} blocks of "
              f"{options.seconds} s a condition; decoder of {LAYERS} layers, width {WIDTH}")
        memories = {}
        for name, step in (("CUDA graph", graph.replay), ("launched kernel by kernel", decoder.step)):
            run(step, 3)
            tokens = {condition: [] for condition in makers}
            p50 = {condition: [] for condition in makers}
            p99 = {condition: [] for condition in makers}
            cpu = {condition: [] for condition in makers}
            for _ in range(options.blocks):
                order = list(makers)
                random.shuffle(order)
                for condition in order:
                    under_test = makers[condition]()
                    scraper = subprocess.Popen(
                        ["sh", "-c", f"while :; do curl -s -o /dev/null -H 'Accept-Encoding: gzip' "
                                     f"http://127.0.0.1:{PORT}/metrics; sleep 1; done"], start_new_session=True)
                    times = run(step, options.seconds)
                    os.killpg(scraper.pid, signal.SIGTERM)
                    scraper.wait()
                    tokens[condition].append(len(times) / sum(times))
                    times.sort()
                    p50[condition].append(times[len(times) // 2])
                    p99[condition].append(times[len(times) * 99 // 100])
                    if under_test is not None:
                        share, used = under_test.stop()
                        cpu[condition].append(share)
                        memories[condition] = used
            print(f"\n### {name}\n\n| condition | tokens/s (median) | against off, % [95 % interval] | p50 ms | p99 ms "
                  "| p99 against off, % | its CPU, % of a core |\n|---|---|---|---|---|---|---|")
            for condition in makers:
                ratio = [100 * (b / a - 1) for a, b in zip(tokens["off"], tokens[condition])]
                tail = [100 * (b / a - 1) for a, b in zip(p99["off"], p99[condition])]
                mean, low, high = interval_of_mean(ratio)
                tail_mean, tail_low, tail_high = interval_of_mean(tail)
                print(f"| {condition} | {statistics.median(tokens[condition]):.1f} | {mean:+.2f} [{low:+.2f}, {high:+.2f}] "
                      f"| {1e3 * statistics.median(p50[condition]):.3f} | {1e3 * statistics.median(p99[condition]):.3f} "
                      f"| {tail_mean:+.2f} [{tail_low:+.2f}, {tail_high:+.2f}] "
                      f"| {100 * statistics.fmean(cpu[condition]) if cpu[condition] else 0:.2f} |", flush=True)
        print("\n### Memory\n\n| condition | process | Pss KiB | private KiB | Rss KiB |\n|---|---|---|---|---|")
        for condition, used in memories.items():
            for process, (pss, private, rss) in used.items():
                print(f"| {condition} | {process} | {pss} | {private} | {rss} |")


if __name__ == "__main__":
    main()
