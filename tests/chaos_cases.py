"""The faults of ./dev chaos: what each does to which collector, and what must be seen meanwhile."""
import ctypes
import dataclasses
import os
import pathlib
import shutil
import signal
import time
import typing

import agent_fixture
from agent_fixture import is_alive, wait_for

# What is read of each collector: where a fault strikes one call, and all of them.
DRIVERS = {
    "nvml": {"vendor": "nvidia", "call": 'call = "nvmlDeviceGetUtilizationRates"', "all": 'call = "*"',
             "denied": "NO_PERMISSION", "error": "UNKNOWN"},
    "level_zero": {"vendor": "intel", "call": 'call = "zesFrequencyGetState"', "all": 'call = "*"',
                   "denied": "INSUFFICIENT_PERMISSIONS", "error": "UNKNOWN"},
    # The kernel looks at permissions when a file is opened; those that are kept open stay readable.
    "intel_kernel": {"vendor": "intel", "call": 'file = "*freq0/act_freq"', "all": "",
                     "denied": "EACCES", "kept": True, "error": "EIO"},
    "amdgpu": {"vendor": "amd", "call": 'file = "*gpu_metrics"', "all": "",
               "denied": "EACCES", "kept": True, "error": "EIO"},
    "presence": {"vendor": "nvidia", "call": 'file = "config"', "all": 'file = "config"',
                 "denied": "EACCES", "kept": True, "error": "EIO"},
}
RIG_OF = {"intel_kernel": "kernel", "nvidia_smi": "program", "presence": "bus"}
COLLECTORS = ["nvml", "nvidia_smi", "level_zero", "intel_kernel", "amdgpu", "presence", "kernel_log", "sensors", "host"]
MEMORY_PATIENCE = 40


@dataclasses.dataclass
class Case:
    """One fault. `sees`: `dark` (all of its series go), `less` (some go), `down` (its process ends; it comes back by
    itself), `steady` (nothing goes), `maybe` (some may go). `begin` and `end` take the rig. `check` looks while the fault lasts and says what is
    wrong."""
    title: str
    sees: str
    begin: typing.Callable
    end: typing.Optional[typing.Callable] = None
    seconds: float = 1.5         # how long it lasts once it was seen
    patience: float = 15
    resets: bool = False         # the driver's counters begin anew
    statuses: bool = True        # every board keeps a status
    wild: bool = False           # numbers may be anything that could be true
    check: typing.Optional[typing.Callable] = None
    lasts: bool = False          # it must come back while what was done lasts; `end` is for the next case
    checks_after: bool = False   # `check` looks when it is back
    partly: bool = False         # what is computed of counters that stand still may go; they catch up afterwards


# ---- what a driver does --------------------------------------------------------------------------------------------

def numbered_anew(name):
    """After a driver came back with another order: its first board is the one that was its last."""
    def check(rig):
        if name != "nvml":
            return None
        label = next((labels.get("gpu") for metric, labels, _ in rig.agent.page().samples
                      if metric == "hw_gpu_memory_limit_bytes" and labels["hw_id"].endswith("2")), None)
        return None if label == "0" else f"the board that is the first now is called {label}"
    return check


def restore_order(rig, vendor):
    if rig.machine.order[vendor] != [0, 1, 2]:
        rig.unload(vendor)
        time.sleep(1)
        rig.load(vendor, [0, 1, 2])


def driver_cases(name):
    d = DRIVERS[name]
    vendor = d["vendor"]

    def fault(kind, place="all", more=""):
        text = f'[[fault]]\nkind = "{kind}"\nvendor = "{vendor}"\n{d[place]}\n{more}\n'
        return lambda rig: rig.fault(text)

    mend = lambda rig: rig.fault("")
    unload = lambda rig: rig.unload(vendor)
    cases = [
        Case("a call hangs for ever", "dark", fault("hang", "call"), mend),
        Case("every call hangs", "dark", fault("hang"), mend),
        Case("a call takes 5 s", "dark", fault("slow", "call", "milliseconds = 5000"), mend),
        Case("the driver aborts", "down", fault("crash", "call"), mend),
        # Every call: one alone would soon be asked less often, since it takes too long.
        Case("the driver eats memory", "down", fault("memory"), mend, patience=MEMORY_PATIENCE),
        Case("a device is lost and comes back", "less", fault("lost", "all", "device = 0"), mend),
        Case("a device leaves the list and comes back", "less", fault("gone", "all", "device = 0"), mend),
        Case("the number of devices changes between calls", "less",
             fault("gone", "all", "device = 2\nevery = 0.31\nfor = 0.15"), mend, seconds=4),
        Case("the driver is unloaded and loaded again", "less", unload,
             lambda rig: rig.load(vendor), resets=True),
        Case("it comes back with another order of devices", "less", unload,
             lambda rig: rig.load(vendor, [2, 0, 1]), resets=True, check=numbered_anew(name), checks_after=True),
        Case("a call fails", "less", fault("error", "call", f'code = "{d["error"]}"'), mend),
        Case("permission is lost", "steady" if d.get("kept") else "less",
             fault("error", "call", f'code = "{d["denied"]}"'), mend),
        Case("wild numbers", "less", fault("garbage"), mend, seconds=3, wild=True),
        Case("sentinels in place of numbers", "less", fault("sentinel"), mend, seconds=3),
        Case("values stand still", "steady", lambda rig: fault("frozen", "all", f"from = {rig.now() + 0.5:.3f}")(rig), mend,
             seconds=3, partly=True),
        Case("counters run backwards", "steady", lambda rig: fault("backwards", "all", f"from = {rig.now() + 0.5:.3f}")(rig),
             mend, seconds=3, partly=True),
    ]
    if name == "presence":
        # It reads a few registers: there is nothing to count, and what it cannot read is what it has to tell.
        left_out = ("a call hangs for ever", "values stand still", "counters run backwards", "wild numbers",
                    "it comes back with another order of devices", "the driver is unloaded and loaded again")
        cases = [case for case in cases if case.title not in left_out]
        for case in cases:
            if case.sees == "less":
                case.sees = "steady"
        next(c for c in cases if c.title == "a device is lost and comes back").check = says_off_the_bus
    if name in WRAPS:
        cases.insert(0, Case("its counters go round", "steady", lambda rig: None, seconds=1, check=WRAPS[name]))
    return cases


def says_off_the_bus(rig):
    found = rig.agent.page().values("accelmon_device_unread", reason="off_the_bus")
    return None if 1 in found else "the page does not say that the board is off the bus"


def grows_past(metric, bound, what, seconds=40, **labels):
    """Waits until a counter has grown past the width of what it is made of."""
    def check(rig):
        def there():
            found = rig.agent.page().values(metric, **labels)
            return found and max(found) > bound
        try:
            wait_for(f"{metric} past {bound:.0f}", there, seconds)
        except AssertionError as wrong:
            return f"{what} did not go round: {wrong}"
        return None
    return check


WRAPS = {
    "nvml": grows_past("hw_gpu_io_bytes_total", 2**32, "a counter of 32 bits", hw_vendor="nvidia"),
    "level_zero": grows_past("hw_energy_joules_total", 262144, "the energy counter", hw_vendor="intel"),
    "sensors": grows_past("hw_energy_joules_total", 3 * 40, "the energy counter", hw_id="rapl-package-0"),
}


# ---- what nvidia-smi, sensors and the log do -----------------------------------------------------------------------

def program_cases():
    def mode(text):
        def begin(rig):
            fresh = rig.smi / "mode.new"
            fresh.write_text(text)
            os.replace(fresh, rig.smi / "mode")
        return begin

    fine = mode("fine")
    return [
        Case("the program hangs for ever", "dark", mode("hang"), fine),
        Case("the program takes 5 s", "less", mode("slow"), fine, seconds=4),
        Case("the program aborts", "less", mode("crash"), fine),
        Case("the program prints without end", "less", mode("memory"), fine),
        Case("a device is lost and comes back", "less", mode("lost"), fine),
        Case("a device leaves the list and comes back", "less", mode("fewer"), fine),
        Case("the number of devices changes between calls", "less", mode("flicker"), fine, seconds=4),
        Case("the driver is unloaded and loaded again", "less", mode("unloaded"), fine),
        Case("it comes back with another order of devices", "maybe", mode("reordered"), fine, patience=3),
        Case("permission is lost", "less", mode("denied"), fine),
        Case("wild numbers", "less", mode("garbage"), fine, seconds=3, wild=True),
        Case("sentinels in place of numbers", "less", mode("sentinel"), fine, seconds=3),
        Case("values stand still", "steady", mode("frozen"), fine, seconds=3),
    ]


def sensors_cases():
    def meter(text):
        def begin(rig):
            rig.sensors.text = text
        return begin

    def chip_goes(rig):
        shutil.rmtree(rig.root / "sensors/class/hwmon/hwmon0")

    def watts(number):
        def begin(rig):
            rig.sensors.watts = number
        return begin

    return [
        Case("its counters go round", "steady", lambda rig: None, seconds=1, check=WRAPS["sensors"]),
        Case("a chip goes and comes back", "less", chip_goes, lambda rig: rig.sensors.chip(), seconds=2),
        Case("wild numbers", "less", meter("-7\x7f\n"), meter(None), seconds=2),
        Case("sentinels in place of numbers", "less", meter("18446744073709551615\n"), meter(None), seconds=2),
        Case("values stand still", "steady", watts(0), watts(80.0), seconds=2),
    ]


def kernel_log_cases():
    def flood(rig):
        rig.events = sum(rig.agent.page().values("accelmon_gpu_events_total", hw_vendor="amd"))
        for _ in range(200):
            os.write(rig.log, bytes(range(1, 256)) * 8 + b"\n")
            os.write(rig.log, b"4,99999999999999999999,99999999999999999999,-;amdgpu 0000:65:00.0: GPU reset begin!\n")

    def still_counts(rig):
        time.sleep(1)  # the flood has to be read
        rig.say("amdgpu 0000:65:00.0: amdgpu: GPU reset begin!")
        try:
            wait_for("the next event", lambda: sum(rig.agent.page().values(
                "accelmon_gpu_events_total", hw_vendor="amd")) > rig.events, 10)
        except AssertionError as wrong:
            return str(wrong)
        return None

    return [Case("the log is flooded with noise", "steady", flood, seconds=1, check=still_counts)]


# ---- what happens to its process -----------------------------------------------------------------------------------

def corrupt_stream(pid, noise=bytes(range(256)) * 8):
    """Writes bytes of our own into a collector's channel to the agent, through a copy of its descriptor."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(434, pid, 0)
    if pidfd < 0:
        raise OSError(ctypes.get_errno(), "pidfd_open")
    fd = libc.syscall(438, pidfd, 3, 0)
    os.close(pidfd)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    try:
        os.write(fd, noise)
    finally:
        os.close(fd)


class Unkillable:
    """A process that SIGKILL does not end. Where this machine has the first version of control groups, its freezer makes
    one: the kernel shows it in state D, uninterruptible sleep. Elsewhere a tracer that holds it at its exit does: for its
    parent that is the same."""

    FREEZER = pathlib.Path("/sys/fs/cgroup/freezer")
    how = "frozen"

    def __init__(self):
        self.group = self.pid = None

    def begin(self, pid):
        self.pid = pid
        group = self.FREEZER / f"accelmon-chaos-{os.getpid()}"
        try:
            group.mkdir()
            (group / "cgroup.procs").write_text(str(pid))
            (group / "freezer.state").write_text("FROZEN")
            self.group = group
            wait_for("the process to be frozen", lambda: (group / "freezer.state").read_text().strip() == "FROZEN", 5)
        except OSError:
            Unkillable.how = "held by a tracer at its exit"
            libc = ctypes.CDLL(None, use_errno=True)
            libc.ptrace.argtypes = [ctypes.c_ulong] * 4
            if libc.ptrace(0x4206, pid, 0, 0x40) != 0:  # PTRACE_SEIZE, PTRACE_O_TRACEEXIT
                raise OSError(ctypes.get_errno(), "neither a freezer nor a tracer is allowed here") from None
            os.kill(pid, signal.SIGSTOP)

    def end(self):
        if self.group is not None:
            (self.group / "freezer.state").write_text("THAWED")
            wait_for("the process to be gone", lambda: not is_alive(self.pid), 10)
            wait_for("its group to be empty", lambda: not (self.group / "cgroup.procs").read_text().strip(), 10)
            self.group.rmdir()
            self.group = None
        elif self.pid is not None:
            libc = ctypes.CDLL(None, use_errno=True)
            libc.ptrace.argtypes = [ctypes.c_ulong] * 4
            os.waitpid(self.pid, os.WNOHANG | 0x40000000)  # __WALL
            libc.ptrace(17, self.pid, 0, 0)  # PTRACE_DETACH


def process_cases(name):
    stopped, stuck = {}, Unkillable()

    def stop(rig):
        stopped["pid"] = rig.pid_of(name)
        os.kill(stopped["pid"], signal.SIGSTOP)

    def go_on(_):
        if is_alive(stopped["pid"]):
            os.kill(stopped["pid"], signal.SIGCONT)

    def freeze(rig):
        stuck.begin(rig.pid_of(name))

    def is_stuck(rig):
        try:
            entry = wait_for("it to be called stuck", lambda: (lambda one: one if one["state"] == "stuck" else None)(
                rig.agent.collector(name)), 40)
        except AssertionError as wrong:
            return str(wrong)
        others = [pid for pid in agent_fixture.children_of(rig.agent.pid)
                  if agent_fixture.command_line(pid)[1:3] == ["collect", name]]
        return None if others == [stuck.pid] else f"{entry['message']}; beside it runs {others}"

    def kill(rig):
        os.kill(rig.pid_of(name), signal.SIGKILL)

    cases = [
        Case("its process stands still", "dark", stop, go_on),
        Case("it hangs and cannot be killed", "dark", freeze, lambda rig: stuck.end(), check=is_stuck),
        Case("its process is killed", "down", kill),
        Case("its stream is corrupted", "down", lambda rig: corrupt_stream(rig.pid_of(name))),
        # What is let go is nobody's loss: its boards are not called failed.
        Case("it is released and taken up again", "dark", lambda rig: rig.control("release", name),
             lambda rig: rig.control("resume", name), statuses=False),
    ]
    return cases


# ---- the program's file --------------------------------------------------------------------------------------------

STRANGER = """#!/bin/sh
# Another version, which speaks another language.
exec 3>&3
printf 'HELLO 99 from another version\\n' >&3
exec sleep 600
"""


def replace(rig, how):
    fresh = rig.program.with_name("accelmon.new")
    whole = pathlib.Path(agent_fixture.PROGRAM)
    if how == "same":
        shutil.copy(whole, fresh)
    elif how == "half":
        data = whole.read_bytes()
        fresh.write_bytes(data[:len(data) // 2])
    else:
        fresh.write_text(STRANGER)
    fresh.chmod(0o755)
    os.replace(fresh, rig.program)


def replaced_cases(name):
    def begin(how):
        def act(rig):
            replace(rig, how)
            rig.struck = time.monotonic()
            os.kill(rig.pid_of(name), signal.SIGKILL)
        return act

    def one_image(rig):
        """What was started since is the program that the agent is, not the file that lies there now."""
        agent, ours = (os.stat(f"/proc/{pid}/exe") for pid in (rig.agent.pid, rig.pid_of(name)))
        return None if (agent.st_dev, agent.st_ino) == (ours.st_dev, ours.st_ino) else "it runs another program than the agent"

    return [Case(f"the program's file is replaced{how}, and it is killed", "down", begin(key),
                 lambda rig: replace(rig, "same"), check=one_image, lasts=True)
            for key, how in (("same", " by itself"), ("half", " by half of it"), ("other", " by another program"))]


def cases_of(name):
    special = {"nvidia_smi": program_cases, "sensors": sensors_cases, "kernel_log": kernel_log_cases}
    cases = driver_cases(name) if name in DRIVERS else special[name]() if name in special else []
    # One that loads a maker's library, one that reads files, one that starts a program, and the host's.
    cases += process_cases(name) + (replaced_cases(name) if name in ("nvml", "amdgpu", "nvidia_smi", "host") else [])
    if name == "presence":
        # It is who tells the status of boards that nobody reads: while it is away there is nobody who could.
        for case in cases:
            case.statuses = False
    return cases
