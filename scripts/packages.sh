# Sourced by ./dev: installs the Debian packages of scripts/packages.txt that are missing.
#
# Needs from its caller: $root, $log_dir, fail().

packages_file=$root/scripts/packages.txt
tools_dir=$root/.cache/tools

# Names of the packages of the given groups.
packages_of() {
  local group
  for group in "$@"; do
    awk -v group="$group" '$1 == group { print $2 }' "$packages_file"
  done | sort -u
}

package_is_installed() {
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

packages_updated=0
apt_update() {
  ((packages_updated)) && return 0
  packages_updated=1
  # Without this mode apt-get says 0 though it could not fetch a list.
  "${as_root[@]}" apt-get update -q -o APT::Update::Error-Mode=any
}

# Whether apt knows where to get every one of these packages. No lists at all (a fresh machine) means no.
apt_knows() {
  local name
  for name in "$@"; do
    apt-cache policy "$name" 2>/dev/null | grep -q '^  Candidate: [^(]' || return 1
  done
}

packages_fail() {
  {
    echo "dev: could not install: $*"
    grep -E '^E: ' "$log_dir/packages.log" | sort -u | head -n 3 | sed 's/^/     /'
    echo "     Is there a network? The full log is ${log_dir#"$root/"}/packages.log. Install them by hand, or, if they"
    echo "     are there in another way, say ACCELMON_SKIP_PACKAGES=1."
  } >&2
  exit 1
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -q -y --no-install-recommends \
    -o Dpkg::Use-Pty=0 "$@" </dev/null
}

# ensure_packages GROUP...: installs what is missing. Sets packages_summary to what there was to do.
ensure_packages() {
  local name missing=() present=0
  as_root=()
  if [[ ${ACCELMON_SKIP_PACKAGES:-0} == 1 ]]; then
    packages_summary="skipped, as ACCELMON_SKIP_PACKAGES=1 says"
    return 0
  fi
  command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
    fail "this installs Debian packages, and there is no apt-get here. Install what scripts/packages.txt names" \
      "(groups: $*) and say ACCELMON_SKIP_PACKAGES=1."
  for name in $(packages_of "$@"); do
    if package_is_installed "$name"; then present=$((present + 1)); else missing+=("$name"); fi
  done
  packages_summary="$present present"
  ((${#missing[@]})) || return 0

  if ((EUID != 0)); then
    command -v sudo >/dev/null || fail "these packages are missing, and installing them needs root:" \
      "apt-get install ${missing[*]}"
    as_root=(sudo --preserve-env=DEBIAN_FRONTEND)
    # The password is asked for here and now, not in the middle of a log file.
    sudo -v || fail "no right to install: ${missing[*]}"
  fi
  # Lists that are too old name files that are gone: one more try with fresh ones.
  {
    { apt_knows "${missing[@]}" || apt_update; } &&
      { apt_install "${missing[@]}" || { apt_update && apt_install "${missing[@]}"; }; }
  } >>"$log_dir/packages.log" 2>&1 || packages_fail "${missing[@]}"
  packages_summary="${#missing[@]} installed, $present present"
}

# ensure_tools: puts the programs of the group `tool` on the PATH. A package that would start a service is unpacked
# and not installed. What cannot be had is left out: the tests that need it say so and are skipped.
ensure_tools() {
  PATH=$PATH:$tools_dir/usr/bin
  [[ ${ACCELMON_SKIP_PACKAGES:-0} == 1 ]] && return 0
  local name program work deb
  as_root=()
  ((EUID == 0)) || as_root=(sudo -n)
  for name in $(packages_of tool); do
    # PACKAGE, or PACKAGE:PROGRAM where the program has another name.
    program=${name##*:}
    name=${name%%:*}
    [[ -x /usr/bin/$program || -x $tools_dir/usr/bin/$program ]] && continue
    work=$(mktemp -d)
    (
      cd "$work" || exit 1
      apt_knows "$name" || apt_update
      # As root apt downloads as another user where it can; it says so where it cannot, which is all right.
      apt-get download -q "$name" || { apt_update && apt-get download -q "$name"; }
    ) >>"$log_dir/packages.log" 2>&1 </dev/null
    deb=$(find "$work" -name '*.deb' | head -n 1)
    if [[ -n $deb ]]; then
      mkdir -p "$tools_dir"
      dpkg-deb -x "$deb" "$tools_dir"
    else
      echo "dev: $name could not be downloaded; what needs it is skipped" >&2
    fi
    rm -rf "$work"
  done
  # Debian has no StatsD server. Where there is npm it is had from there, as its authors publish it.
  if [[ ! -d $tools_dir/statsd/node_modules/statsd ]] && command -v npm >/dev/null && command -v node >/dev/null; then
    mkdir -p "$tools_dir/statsd"
    npm install --prefix "$tools_dir/statsd" --ignore-scripts --omit=optional --no-audit --no-fund --no-save \
      statsd@0.9.0 >>"$log_dir/packages.log" 2>&1 </dev/null ||
      echo "dev: statsd could not be had from npm; what needs it is skipped" >&2
  fi
}
