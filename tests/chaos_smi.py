#!/usr/bin/env python3
"""A stand-in for nvidia-smi: three boards, as --query-gpu=FIELDS --format=csv prints them, and every way to fail.

    chaos_smi.py FOLDER --query-gpu=... --format=csv

FOLDER/mode says what it does: nothing or `fine`, hang, slow, crash, memory, garbage, sentinel, unloaded, denied, fewer,
flicker, reordered, lost, backwards, frozen.
"""
import os
import sys
import time

UNITS = {"memory.total": "MiB", "memory.used": "MiB", "memory.free": "MiB", "memory.reserved": "MiB",
         "utilization.gpu": "%", "utilization.memory": "%", "power.draw": "W", "power.draw.instant": "W",
         "power.draw.average": "W", "power.limit": "W", "enforced.power.limit": "W", "clocks.current.graphics": "MHz",
         "clocks.current.sm": "MHz", "clocks.current.memory": "MHz"}


def number(field, board, tick):
    """What a board answers: text, or None where this program does not know the field's value."""
    return {"index": board, "uuid": f"GPU-5c0a0000-0000-0000-0000-00000000000{board}",
            "pci.bus_id": f"00000000:{0x17 + 16 * board:02X}:00.0", "name": "NVIDIA L40S", "driver_version": "595.80",
            "serial": 1321323000771 + board, "vbios_version": "95.02.66.00.02",
            "memory.total": 46068 - 256 * board, "memory.used": 12000 + tick % 50, "memory.free": 33000 - tick % 50,
            "memory.reserved": 609, "utilization.gpu": 40 + tick % 20, "utilization.memory": 12,
            "temperature.gpu": 50 + board, "power.draw": f"{200 + tick % 9}.25", "power.draw.instant": "201.50",
            "power.draw.average": "203.00", "power.limit": "350.00", "enforced.power.limit": "350.00",
            "clocks.current.graphics": 2490, "clocks.current.sm": 2490, "clocks.current.memory": 9001,
            "fan.speed": "[N/A]", "pstate": "P0"}.get(field)


def mode_in(folder):
    try:
        with open(f"{folder}/mode", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "fine"


def main():
    mode = mode_in(sys.argv[1])
    query = next((word for word in sys.argv if word.startswith("--query-gpu=")), "")
    fields = query.partition("=")[2].split(",")
    if mode == "hang":
        while mode_in(sys.argv[1]) == "hang":
            time.sleep(0.02)
    elif mode == "slow":
        time.sleep(5)
    elif mode == "crash":
        os.abort()
    elif mode == "memory":
        while True:  # what its reader would have to keep
            os.write(1, b"x" * 65536)
    elif mode == "unloaded":
        print("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
        return 9
    elif mode == "denied":
        print("Failed to initialize NVML: Insufficient Permissions")
        return 4
    tick = 7 if mode == "frozen" else int(time.monotonic())
    if mode == "backwards":
        tick = -tick
    boards = {"fewer": [0, 1], "reordered": [2, 0, 1], "flicker": [0, 1, 2][:2 + tick % 2]}.get(mode, [0, 1, 2])
    print(", ".join(f"{field} [{UNITS[field]}]" if field in UNITS else field for field in fields))
    for place, board in enumerate(boards):
        cells = []
        for field in fields:
            value = place if field == "index" else number(field, board, tick)
            text = "[N/A]" if value is None else str(value)
            if field not in ("index", "uuid", "pci.bus_id", "name", "serial") and value is not None:
                if mode == "garbage":
                    text = ("4294967295", "-1e300", "\x7f%n", "")[(tick + len(cells)) % 4]
                elif mode == "sentinel":
                    text = "4294967295"
                elif mode == "lost" and board == 0:
                    text = "[GPU is lost]"
            cells.append(f"{text} {UNITS[field]}" if field in UNITS and text[:1] != "[" else text)
        print(", ".join(cells))
    return 0


if __name__ == "__main__":
    sys.exit(main())
