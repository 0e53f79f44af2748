#!/bin/sh
# Fetches independent readers of NVML, python3-pynvml and nvtop, into DIR without installing them:
#   fetch-judges.sh DIR     -> DIR/usr/lib/python3/dist-packages/pynvml.py, DIR/usr/bin/nvtop
# They are in Debian's component contrib, which a machine need not have configured: the machine's own sources are read
# with contrib added, in a folder of their own, and nothing of the system changes. Exit status 77: they cannot be had here.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
dir=$1
packages="python3-pynvml nvtop"

skip() {
  echo "fetch-judges: $1; the checks by other readers are skipped" >&2
  exit 77
}

have_all() { [ -f "$dir/usr/lib/python3/dist-packages/pynvml.py" ] && [ -x "$dir/usr/bin/nvtop" ]; }
if have_all; then exit 0; fi

for tool in apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || skip "this machine has no $tool"
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/parts" "$work/lists/partial" "$work/cache/archives/partial" "$work/debs"

# Every Debian source that has the component main, with contrib beside it; the form (.sources or .list) is kept.
for file in /etc/apt/sources.list.d/*.sources; do
  [ -f "$file" ] || continue
  sed -E '/^Components:/{/(^|[[:space:]])contrib([[:space:]]|$)/! s/(^Components:.*main)/\1 contrib/}' "$file" \
    >"$work/parts/$(basename "$file")"
done
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
  [ -f "$file" ] || continue
  sed -E '/^deb /{/[[:space:]]contrib([[:space:]]|$)/! s/[[:space:]]main([[:space:]]|$)/ main contrib\1/}' "$file" \
    >"$work/parts/$(basename "$file")"
done

apt() {
  command apt-get -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/parts" \
    -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Get::List-Cleanup=0 \
    -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}

apt update >"$work/log" 2>&1 || true  # one source that fails need not matter
# shellcheck disable=SC2086 # a list of names
(cd "$work/debs" && apt download $packages) >>"$work/log" 2>&1 || {
  tail -n 3 "$work/log" >&2
  skip "$packages cannot be downloaded"
}
mkdir -p "$dir"
for package in "$work"/debs/*.deb; do dpkg-deb -x "$package" "$dir"; done
have_all || skip "the packages do not hold what was expected"
