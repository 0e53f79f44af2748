"""The machine of ./dev chaos: one agent with every collector that this host can feed, and handles on what each reads.

Three makers' boards, three of each (simulator/), a sensors tree and a kernel log of the suite's own, and a program that
stands in for nvidia-smi. The agent runs from an installation of its own, so that its files can be replaced.
"""
import ctypes
import http.client
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import agent_fixture
from agent_fixture import Agent, Scenario, children_of, command_line, descriptors, is_alive, wait_for
from chaos_watch import Watch, vocabulary

INTERVAL, SLOW, HANG = 0.1, 1.0, 2.0
SEDATE = 0.5  # the interval on a machine that does other things
SELDOM = ("kernel_log", "presence")  # are polled every SLOW, the others every interval

# What runs beside each other. Two collectors that read one device are not there at once: the second would step in, and
# nothing could be seen of the first.
RIGS = {
    "main": {"off": ["intel_kernel", "nvidia_smi"],
             "owners": {"nvidia": "nvml", "intel": "level_zero", "amd": "amdgpu"}},
    "kernel": {"off": ["level_zero", "nvidia_smi"],
               "owners": {"nvidia": "nvml", "intel": "intel_kernel", "amd": "amdgpu"}},
    # NVML cannot be loaded, and the program is there.
    "program": {"off": ["intel_kernel"], "owners": {"nvidia": "nvidia_smi", "intel": "level_zero", "amd": "amdgpu"}},
    # Nobody reads NVIDIA's boards: what the bus shows of them is on the page.
    "bus": {"off": ["intel_kernel", "nvml", "nvidia_smi"], "owners": {"intel": "level_zero", "amd": "amdgpu"}},
}

BOARDS = {
    "device": lambda i: f"""
[[device]]
use = ["l40s"]
uuid = "GPU-5c0a0000-0000-0000-0000-00000000000{i}"
serial = {1321323000771 + i}
phase = {7 * i}
pci.addresses = ["00000000:{0x17 + 16 * i:02X}:00.0"]
pcie.counter_bits = 32
memory.total_mib = {46068 - 256 * i}
utilization.gpu = {{ kind = "square", low = 30, high = 85, period = 30, duty = 0.6 }}
""",
    "amd": lambda i: f"""
[[amd]]
use = ["mi300x"]
unique_id = {0x5d2c81a0b9e41100 + i}
phase = {5 * i}
pci.addresses = ["0000:{0x65 + 32 * i:02x}:00.0"]
memory.total_mib = {196592 - 1024 * i}
""",
    "intel": lambda i: f"""
[[intel]]
use = ["b60"]
phase = {4 * i}
pci.addresses = ["0000:{0xca + 8 * i:02x}:00.0"]
memory.total_mib = {24480 - 128 * i}
energy.base_j = {260900 - 200 * i}
utilization.gpu = [{{ kind = "sine", low = 30, high = 80, period = 45 }}, {{ kind = "noise", low = -5, high = 5, step = 1 }}]
""",
}
KINDS = {"nvidia": "device", "amd": "amd", "intel": "intel"}


class Machine:
    """The text of the scenario: which boards, in which order, with which counters."""

    def __init__(self):
        text = (Scenario.BASE / "mixed.toml").read_text()
        self.head = text[:text.index("[[device]]")]
        self.order = {vendor: [0, 1, 2] for vendor in KINDS}
        self.more = {vendor: "" for vendor in KINDS}  # further keys of each board
        self.past = ""    # what the driver went through: when it was loaded anew
        self.fault = ""

    def text(self):
        out = self.head
        for vendor, kind in KINDS.items():
            for board in self.order[vendor]:
                out += BOARDS[kind](board) + self.more[vendor]
        return out + "\n" + self.past + self.fault


def own_orphans():
    """Processes that outlive their parent become ours: so that none goes unseen."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def reap(ours):
    """Collects orphans that have ended. `ours`: pids that somebody else waits for."""
    for pid in children_of(os.getpid()):
        if pid not in ours and not is_alive(pid):
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def installation(root, broken_nvml):
    """An installation of the program under test in `root`: its own copy of the program, the rest by links."""
    source = pathlib.Path(agent_fixture.PROGRAM).resolve().parent.parent
    (root / "bin").mkdir(parents=True)
    shutil.copy(agent_fixture.PROGRAM, root / "bin/accelmon")
    os.symlink(source / "share", root / "share")
    if not broken_nvml:
        os.symlink(source / "lib", root / "lib")
        return
    ours = root / "lib/accelmon/simulator"
    ours.mkdir(parents=True)
    for path in (source / "lib/accelmon/simulator").iterdir():
        os.symlink(path, ours / path.name)
    (ours / "libnvidia-ml.so.1").unlink()
    (ours / "libnvidia-ml.so.1").write_text("this is no library\n")


class Sensors(threading.Thread):
    """A /sys of the suite's own: a chip with a temperature and an energy meter that runs, and goes round."""

    RANGE = 40_000_000  # microjoules: round in half a second at 80 W

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root = root
        self.stop = threading.Event()
        self.watts, self.joules = 80.0, 1.0
        self.text = None  # instead of the meter's number
        self.write("class/powercap/intel-rapl:0/name", "package-0\n")
        self.write("class/powercap/intel-rapl:0/max_energy_range_uj", f"{self.RANGE}\n")
        self.write("class/powercap/intel-rapl:0/energy_uj", "1000000\n")
        self.chip()
        self.start()

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        # Into the same file: its reader keeps it open, as it keeps sysfs' files.
        with open(file, "r+" if file.exists() else "w", encoding="ascii") as out:
            out.write(text)
            out.truncate()

    def chip(self):
        self.write("class/hwmon/hwmon0/name", "coretemp\n")
        self.write("class/hwmon/hwmon0/temp1_input", "45000\n")
        self.write("class/hwmon/hwmon0/temp1_label", "Package id 0\n")

    def run(self):
        before = time.monotonic()
        while not self.stop.wait(0.05):
            now = time.monotonic()
            self.joules += self.watts * (now - before)
            before = now
            number = f"{int(self.joules * 1e6) % self.RANGE:012d}\n"
            self.write("class/powercap/intel-rapl:0/energy_uj", self.text or number)


class Rig:
    """One agent and its machine. `limits`: see chaos_watch.Limits."""

    def __init__(self, kind, limits, nice=None, config="", history=False, memory="32MiB"):
        self.kind, self.limits = kind, limits
        self.interval = SEDATE if limits.lenient else INTERVAL
        self.owners = RIGS[kind]["owners"]
        self.folder = tempfile.TemporaryDirectory(prefix="accelmon-chaos-")
        root = self.root = pathlib.Path(self.folder.name)
        installation(root / "installed", kind == "program")
        self.program = root / "installed/bin/accelmon"
        self.machine = Machine()
        self.scenario = Scenario(self.machine.text())
        self.sensors = Sensors(root / "sensors")
        self.log_path = root / "kmsg"
        # A file keeps what was said, as the kernel's ring does for whoever reads it anew.
        self.log = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.smi = root / "smi"
        self.smi.mkdir()
        script = self.smi / "nvidia-smi"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{pathlib.Path(__file__).with_name("chaos_smi.py")}" '
                          f'"{self.smi}" "$@"\n')
        script.chmod(0o755)
        off = "".join(f"[collectors.{name}]\nenabled = false\n" for name in RIGS[kind]["off"])
        self.config = (f'slow = "{SLOW:g}s"\nrare = "5s"\nhang = "{HANG:g}s"\n[store]\nmemory = "{memory}"\n'
                       + (f'path = "{root}/history.db"\ncommit = "500ms"\n' if history else "") + off +
                       f'[collectors.kernel_log]\npath = "{self.log_path}"\n'
                       f'[collectors.sensors]\nsysfs = "{root}/sensors"\n' +
                       (f'[collectors.nvidia_smi]\nprogram = "{script}"\nmin_interval = "1s"\ntimeout = "2s"\n'
                        if kind == "program" else "") + config)
        self.struck = 0.0  # when the fault began, where making it takes time
        self.under = ("nice", "-n", str(nice)) if nice is not None else ()
        self.entries, self.known = {}, vocabulary()
        self.start()

    def start(self, address=None):
        kept, agent_fixture.PROGRAM = agent_fixture.PROGRAM, str(self.program)
        try:
            self.agent = Agent(simulate=self.scenario, poll=f"{self.interval * 1000:.0f}ms", config=self.config,
                               under=self.under, address=address)
        finally:
            agent_fixture.PROGRAM = kept
        self.say("amdgpu 0000:65:00.0: amdgpu: GPU reset begin!")
        self.names = sorted(set(self.owners.values()) | {"host", "sensors", "kernel_log", "presence"})
        self.intervals = {name: SLOW if name in SELDOM else self.interval for name in self.names}
        self.most_files = {}  # of a process, when all was well
        self.watch = Watch(self.agent.port, self.owners, self.intervals, self.limits, self.known, self.entries,
                           self.under)

    def say(self, line):
        """One line of the kernel's log."""
        os.write(self.log, f"4,{int(time.monotonic() * 1000)},{time.monotonic_ns() // 1000},-;{line}\n".encode())

    def fault(self, text):
        self.machine.fault = text
        self.scenario.write(self.machine.text())

    def variable(self, name):
        """What the agent tells its collectors of the simulation."""
        with open(f"/proc/{self.agent.collectors()['presence']}/environ", "rb") as file:
            return next(word.partition(b"=")[2].decode() for word in file.read().split(b"\0")
                        if word.startswith(name.encode() + b"="))

    def now(self):
        """Scenario time."""
        return time.monotonic() - int(self.variable("ACCELMON_SIM_EPOCH_NS")) * 1e-9

    def unload(self, vendor):
        """The driver goes. load() brings it back: its counters begin anew, and its devices have the order given."""
        self.unloaded = (f'[[fault]]\nkind = "driver_unloaded"\nvendor = "{vendor}"\n'
                         f"from = {self.now():.3f}\n")
        self.fault(self.unloaded)

    def load(self, vendor, order=None):
        if order is not None:
            self.machine.order[vendor] = order
            self.scenario.write(self.machine.text())
            self.lay_out(vendor)
        self.machine.past += f"{self.unloaded}until = {self.now():.3f}\n"
        self.fault("")

    def lay_out(self, vendor):
        """A maker's files of the kernel anew, as its driver makes them when it is loaded: numbers follow the order."""
        tree = pathlib.Path(self.variable("ACCELMON_SIM_ROOT"))
        drivers = {"nvidia": "nvidia", "amd": "amdgpu", "intel": "xe"}
        for board in (tree / "sys/bus/pci/drivers" / drivers[vendor]).iterdir():
            for part in ("drm", "hwmon"):
                shutil.rmtree(board.resolve() / part, ignore_errors=True)
        if vendor == "amd":
            shutil.rmtree(tree / "sys/class/kfd", ignore_errors=True)
        for folder in ("sys/class/drm", "sys/class/hwmon", "sys/dev/char"):
            for link in (tree / folder).iterdir():
                if not link.exists():
                    link.unlink()
        tool = self.root / "installed/lib/accelmon/simulator/lay-out-tree"
        subprocess.run([tool, str(self.scenario), tree], check=True)

    def pid_of(self, name):
        return wait_for(f"a process of {name}", lambda: self.agent.collectors().get(name))

    def control(self, verb, name):
        """`accelmon release` and `resume`, without the cost of a process."""
        connection = http.client.HTTPConnection("localhost", timeout=20)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(20)
        connection.sock.connect(self.agent.socket)
        try:
            connection.request("POST", f"/api/v1/{verb}?vendor={name}")
            response = connection.getresponse()
            body = response.read().decode()
            if response.status != 200:
                raise AssertionError(f"{verb} {name}: {response.status} {body}")
        finally:
            connection.close()

    def afresh(self, name):
        """Lets the collector go and takes it up again, so that the next fault does not meet the back-off of this one."""
        self.control("release", name)
        self.control("resume", name)

    def settle(self, name, seconds=60):
        """Everything is there, and steady for a while. The newest page."""
        deadline = time.monotonic() + seconds
        last, since = None, time.monotonic()
        while time.monotonic() < deadline:
            page = self.watch.next_page()
            up = all(page.collector("up", one) == 1 for one in self.names)
            state = (up, page.counts.get(name, 0))
            if state != last or not up or not state[1]:
                last, since = state, time.monotonic()
            elif time.monotonic() - since > 1.3 * SLOW:
                return page
        raise AssertionError(f"{name} does not settle: {last}, "
                             + str({one: page.collector("up", one) for one in self.names}))

    def clients(self):
        """Pids of processes that are the suite's own."""
        ours = {self.watch.client.pid}
        return ours | set(children_of(self.watch.client.pid))

    def family(self):
        """Names of all processes that came of the agent, orphans included; sorted."""
        ours, found, todo = self.clients(), [], [os.getpid()]
        reap(ours | {self.agent.pid})
        while todo:
            for pid in children_of(todo.pop()):
                if pid in ours:
                    continue
                todo.append(pid)
                words = command_line(pid)
                found.append(" ".join(words[:3]) if is_alive(pid) else f"{' '.join(words[:3])} (dead)")
        return sorted(found)

    def open_files(self):
        """Descriptors of the agent and of each collector."""
        return {"agent": descriptors(self.agent.pid) or 0,
                **{name: descriptors(pid) or 0 for name, pid in self.agent.collectors().items()}}

    def holes(self, name, since, until):
        """How many polls of a collector its history lacks between two times, by its longest series there. Of those that
        are polled seldom their own count is enough: what they tell is not one number a poll."""
        if name in SELDOM:
            return 0
        probe = {"host": "system.cpu.time", "sensors": "hw.energy"}.get(name, "accelmon.power.ema,hw.power")
        answer = self.agent.get(f"/api/v1/range?metric={probe}&from={since:.3f}&to={until:.3f}&max_points=20000").json()
        series = [one["points"] for one in answer.get("series", []) if one["source"] == name and not one["step_seconds"]]
        times = [point[0] for point in max(series, key=len, default=[])]
        steps = [b - a for a, b in zip([since, *times], [*times, until])]
        # One that came late is followed by a shorter step, and is not lost.
        return max(0, sum(round(step / self.interval) - 1 for step in steps))

    def end(self):
        self.sensors.stop.set()
        self.watch.end()
        self.agent.end()
        os.close(self.log)
        self.scenario.folder.cleanup()
        self.folder.cleanup()
        reap(set())

