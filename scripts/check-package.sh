#!/usr/bin/env bash
# check-package.sh FILE.deb: unpacks a package into a temporary root and tries what is in it, without installing it.
set -euo pipefail
deb=$1
work=$(mktemp -d)
pid=
trap '[[ -z $pid ]] || kill "$pid" 2>/dev/null || true; rm -rf "$work"' EXIT

fail() {
  echo "check-package: $*" >&2
  exit 1
}

dpkg-deb --info "$deb"
dpkg-deb --contents "$deb"
dpkg-deb -x "$deb" "$work/root"
dpkg-deb -e "$deb" "$work/control"

for file in usr/bin/accelmon lib/systemd/system/accelmon.service etc/accelmon/accelmon.toml \
  usr/lib/accelmon/simulator/{libnvidia-ml.so.1,libaccelmon_ze.so,libaccelmon-kernel.so,lay-out-tree} \
  usr/share/accelmon/scenarios/{h100x8,mixed}.toml usr/share/man/man1/accelmon.1.gz usr/share/doc/accelmon/copyright; do
  [[ -e $work/root/$file ]] || fail "$file is not in the package"
done
grep -q '^Depends: .*libc6' "$work/control/control" || fail "the package does not depend on libc6"
grep -qx /etc/accelmon/accelmon.toml "$work/control/conffiles" || fail "the configuration is no conffile"
for script in postinst prerm postrm; do
  [[ -x $work/control/$script ]] || fail "$script cannot be run"
  sh -n "$work/control/$script"
done
while read -r mode owner _ _ _ path; do
  [[ $owner == root/root ]] || fail "$path belongs to $owner"
  [[ $mode != ????????w* ]] || fail "$path can be written by everybody"
done < <(dpkg-deb --contents "$deb")
program=$work/root/usr/bin/accelmon
if command -v systemd-analyze >/dev/null; then
  # With the program where it lies now, so that it is found.
  sed "s|=/usr/bin/accelmon|=$program|" "$work/root/lib/systemd/system/accelmon.service" >"$work/accelmon.service"
  systemd-analyze verify --man=no "$work/accelmon.service" 2>&1 | tee "$work/verify"
  [[ ! -s $work/verify ]] || fail "systemd-analyze does not like the unit"
fi

"$program" --version
"$program" config check "$work/root/etc/accelmon/accelmon.toml"
# The shipped configuration as it is, and with every default spelled out, at an address of its own.
socket=$work/accelmon.sock
sed -E "s|^# ([a-z_]+ = .*)|\1|; s|^address = .*|address = \"127.0.0.1:0\"\nsocket = \"$socket\"|" \
  "$work/root/etc/accelmon/accelmon.toml" >"$work/spelled-out.toml"
grep -q '^interval = ' "$work/spelled-out.toml" || fail "the example configuration shows no defaults"
# try_scenario NAME PATTERN COUNT: serves a simulated machine; COUNT lines of its status match PATTERN.
try_scenario() {
  "$program" serve --config "$work/spelled-out.toml" --simulate "$1" >"$work/out" 2>"$work/err" &
  pid=$!
  for _ in $(seq 200); do
    grep -q 'http://' "$work/out" && break
    kill -0 "$pid" 2>/dev/null || fail "it does not start: $(cat "$work/err")"
    sleep 0.1
  done
  "$program" status --config "$work/spelled-out.toml" | tee "$work/status"
  (($(grep -cE "$2" "$work/status") == $3)) || fail "status does not show the $3 devices of $1"
  kill -TERM "$pid"
  wait "$pid" || fail "it ended with code $? on SIGTERM: $(cat "$work/err")"
  pid=
  [[ ! -e $socket ]] || fail "it left its socket behind"
}
try_scenario h100x8 H100 8
try_scenario mi300x-spx MI300X 8
echo "the package is fine"
