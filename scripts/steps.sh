# Sourced by ./dev: says what is being done in one line a step, and keeps the full output in build/log/NAME.log.
#
# Needs from its caller: $root, $log_dir. A command run by step() may write a summary of a few words to descriptor 3.

steps_total=0
steps_done=0

steps() { steps_total=$1; }

# 112 -> "1 m 52 s"
duration() {
  if (($1 < 60)); then echo "$1 s"; else echo "$(($1 / 60)) m $(($1 % 60)) s"; fi
}

step_begin() {
  steps_done=$((steps_done + 1))
  step_name=$1
  step_head=$(printf '[%d/%d] %-10s' "$steps_done" "$steps_total" "$1")
  step_log=$log_dir/${1// /-}.log
  step_started=$SECONDS
  if [[ -t 1 ]]; then printf '%s ...' "$step_head"; fi
}

step_end() {
  if [[ -t 1 ]]; then printf '\r\033[K'; fi
  printf '%s %s\n' "$step_head" "$1"
}

# step_done NAME TEXT: a step that only has something to say.
step_done() {
  step_begin "$1"
  step_end "$2"
}

step_failed() {
  step_end "failed after $(duration $((SECONDS - step_started)))"
  {
    echo
    tail -n 40 "$step_log"
    echo
    echo "dev: '$step_name' failed; the full log is ${step_log#"$root/"}"
  } >&2
  exit "$1"
}

# step NAME COMMAND...
step() {
  step_begin "$1"
  shift
  local code
  # No `if` and no `||` around the subshell: they would switch errexit off inside it.
  set +e
  (
    set -e
    "$@"
  ) >"$step_log" 2>&1 3>"$step_log.summary" </dev/null
  code=$?
  set -e
  ((code == 0)) || step_failed "$code"
  local seconds=$((SECONDS - step_started)) summary
  summary=$(<"$step_log.summary")
  rm -f "$step_log.summary"
  step_end "ok ($(duration "$seconds")${summary:+; $summary})"
}

# Like step(), for a build by ninja: shows how far it is while it runs.
step_build() {
  local watcher=
  if [[ -t 1 ]]; then
    (
      while sleep 1; do
        progress=$(tail -n 1 "$log_dir/$1.log" 2>/dev/null | grep -o '^\[[0-9]*/[0-9]*\]') || continue
        printf '\r\033[K%s %s' "$(printf '[%d/%d] %-10s' $((steps_done + 1)) "$steps_total" "$1")" "$progress"
      done
    ) &
    watcher=$!
    trap 'kill $watcher 2>/dev/null || true' EXIT
  fi
  step "$@"
  if [[ -n $watcher ]]; then
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    trap - EXIT
  fi
}

# The packages of some groups. Runs in this shell and not under step(): sudo may have to ask for a password.
step_packages() {
  step_begin packages
  : >"$step_log"
  ensure_packages "$@"
  step_end "ok ($packages_summary)"
}
