#!/bin/sh
# What the agent and NVML say on a machine with a GPU, idle and under load. Files go to the folder named.
#
#   bench/gpu/observe.sh ACCELMON NVML_PROBE FOLDER
set -u
accelmon=$1 probe=$2 out=$3
here=$(dirname "$0")
mkdir -p "$out"
url=http://127.0.0.1:19422

{ id; uname -a; cat /etc/os-release | head -2; ldconfig -p | grep nvidia-ml; command -v nvidia-smi
  ls -l /dev/nvidia*; ls /sys/bus/pci/devices; cat /proc/driver/nvidia/version; dmesg | grep -i nvrm | tail -5; nvidia-smi
} >"$out/host.txt" 2>&1
nvidia-smi -q >"$out/smi-idle.txt" 2>&1
nvidia-smi -q -x >"$out/smi-idle.xml" 2>&1
"$accelmon" doctor >"$out/doctor.txt" 2>&1
"$accelmon" serve --listen 127.0.0.1:19422 --socket "$out/socket" >"$out/serve.log" 2>&1 &
agent=$!
sleep 12
curl -s "$url/metrics" >"$out/idle.prom"
"$accelmon" status --socket "$out/socket" >"$out/status-idle.txt" 2>&1
curl -s "$url/api/v1/status" >"$out/status-idle.json"
python3 "$here/judge.py" "$url/metrics" >"$out/judge-idle.md" 2>&1
"$probe" --rounds 200 --watch 6 >"$out/probe-idle.md" 2>&1
# Without rights, and where no page may be both written and executed.
setpriv --reuid=65534 --regid=65534 --clear-groups "$probe" --rounds 0 --watch 0 >"$out/probe-nobody.md" 2>&1
setpriv --reuid=65534 --regid=65534 --clear-groups "$accelmon" doctor >"$out/doctor-nobody.txt" 2>&1
python3 -c 'import ctypes, os, sys
print("PR_SET_MDWE", ctypes.CDLL(None).prctl(65, 1, 0, 0, 0), flush=True)
os.execv(sys.argv[1], sys.argv[1:])' "$probe" --rounds 0 --watch 0 >"$out/probe-mdwe.md" 2>&1
python3 "$here/load.py" 100 both >"$out/load.txt" 2>&1 &
load=$!
sleep 25
curl -s "$url/metrics" >"$out/busy.prom"
python3 "$here/judge.py" "$url/metrics" >"$out/judge-busy.md" 2>&1
"$accelmon" status --socket "$out/socket" >"$out/status-busy.txt" 2>&1
nvidia-smi -q >"$out/smi-busy.txt" 2>&1
"$probe" --rounds 100 --watch 15 >"$out/probe-busy.md" 2>&1
wait $load
sleep 3
curl -s "$url/metrics" >"$out/after.prom"
curl -s "$url/api/v1/status" >"$out/status-after.json"
kill $agent
wait $agent
rm -f "$out/socket"
