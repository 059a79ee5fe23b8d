# What all parts of the program share. Variables begin with w_, so that none of
# the account's own is changed for the script.

umask 077

# This process, the follower of the output, and who waits for the script's end.
w_self=$$ w_follower='' w_watcher='' w_zero=''

# One line to the worker. Everything else on this stream is what tools say.
w_say() { printf '@%s\n' "$*" >&2; }

# A refusal that ends the conversation: a kind of error, and a text.
w_fail() {
  w_say "error $*"
  exit 1
}

# Sets w_started to the start time of process $1, which tells it from a later
# one of the same number; fails for one that has ended.
w_started() {
  { IFS= read -r w_line <"/proc/$1/stat"; } 2>/dev/null || return 1
  # Behind the name, which may hold blanks and parentheses.
  set -- ${w_line##*) }
  case $1 in Z | X) return 1 ;; esac
  shift 19
  w_started=$1
}

# Writes down this process in file $1, which may be a subshell of another.
w_sign() {
  { IFS= read -r w_line </proc/self/stat; } 2>/dev/null || return 1
  w_self=${w_line%% *}
  w_started "$w_self" && printf '%s %s\n' "$w_self" "$w_started" >"$1"
}

# Whether the process that signed file $1 lives; sets w_pid.
w_alive() {
  w_pid='' w_since=''
  { read -r w_pid w_since <"$1"; } 2>/dev/null
  [ -n "$w_since" ] && w_started "$w_pid" && [ "$w_started" = "$w_since" ]
}

# Ends the process that signed file $1, unless it is this one.
w_end_signer() {
  if w_alive "$1" && [ "$w_pid" != "$w_self" ]; then kill -9 "$w_pid" 2>/dev/null; fi
}

# Sets w_here to whether the slot is still that of instance $w_id.
w_ours() {
  w_here=''
  { IFS= read -r w_here <"$w_slot/id"; } 2>/dev/null
  [ "$w_here" = "$w_id" ]
}

# Ends whoever tends the slot, and all of its group.
w_end_tender() {
  if w_alive "$w_slot/tender"; then kill -9 "-$w_pid" 2>/dev/null; fi
}

# Sets w_zero to whether grep reads what ends in NULs. Who tends the slot has
# found it out while there was time.
w_find_zero() {
  [ -z "$w_zero" ] || return 0
  { IFS= read -r w_zero <"$w_slot/zero"; } 2>/dev/null
  [ -z "$w_zero" ] || return 0
  w_zero=no
  if printf 'a\0b\0' | grep -qzxF b 2>/dev/null; then w_zero=yes; fi
}

# The files in /proc of the processes that have one of these lines in their
# environment.
w_marked() {
  if [ "$w_zero" = yes ]; then
    grep -lzxF "$1" /proc/[0-9]*/environ 2>/dev/null
  else
    for w_file in /proc/[0-9]*/environ; do
      if tr '\0' '\n' <"$w_file" 2>/dev/null | grep -qxF "$1"; then
        printf '%s\n' "$w_file"
      fi
    done
  fi
}

# Sets w_members to the processes of the script: those of its session, and
# those that left it but kept its id in their environment. $1 is one more line
# of the environment by which to find some.
w_members() {
  w_members='' w_session=''
  { read -r w_session <"$w_slot/session"; } 2>/dev/null
  w_find_zero
  for w_file in $(
    # Both at the same time.
    if [ -n "$w_session" ]; then
      grep -lE "\) [RSDTtIWPK] [0-9]+ [0-9]+ $w_session " /proc/[0-9]*/stat 2>/dev/null &
    fi
    w_marked "WORKER_INSTANCE_ID=$w_id$1"
    wait
  ); do
    w_file=${w_file#/proc/}
    w_pid=${w_file%%/*}
    case " $w_members " in *" $w_pid "*) continue ;; esac
    if w_started "$w_pid"; then w_members="$w_members $w_pid"; fi
  done
}

# From here on no shell begins in the slot: one that looked before has the mark
# of the instance by now, and is found by it.
w_close() {
  if w_ours; then true 2>/dev/null >"$w_slot/ending"; fi
}

# Ends the script and all that belongs to it, with signal $1 first.
w_end_all() {
  w_close
  if [ "$1" != 9 ]; then
    w_members
    if [ -n "$w_members" ]; then
      kill "-$1" $w_members 2>/dev/null
      sleep 2
    fi
  fi
  w_round=0
  while :; do
    # The helpers too: the supervisor would see a death that is our doing.
    w_members "
WORKER_SSH_HELPER=$w_id"
    w_others=''
    for w_pid in $w_members; do
      # The switch itself may be at work here.
      if [ "$w_pid" != "$w_self" ]; then w_others="$w_others $w_pid"; fi
    done
    w_members=$w_others
    [ -n "$w_members" ] || return 0
    kill -9 $w_members 2>/dev/null
    w_round=$((w_round + 1))
    [ "$w_round" -lt 50 ] || return 1
    if [ "$w_round" -gt 2 ]; then sleep 0.1 2>/dev/null || sleep 1; fi
  done
}

# Runs the revert command, if there is one. Its failure leaves the slot stale.
w_revert() {
  [ -e "$w_slot/revert" ] || return 0
  (cd / && exec /bin/sh "$w_slot/revert" </dev/null >"$w_slot/revert-output" 2>&1) && return 0
  : >"$w_slot/stale"
  return 1
}

# Removes what is in the slot, but not what tells whose it is, who is at work
# here, and by what its processes are found; what a script made unwritable too.
w_empty() {
  set --
  for w_file in "$w_slot"/*; do
    case $w_file in
      */id | */marks | */boot | */keeper | */session | */zero | */ending) ;;
      *) set -- "$@" "$w_file" ;;
    esac
  done
  [ -e "$1" ] || return 0
  rm -rf "$@" 2>/dev/null || {
    chmod -R u+rwX "$@" 2>/dev/null
    rm -rf "$@"
  }
}

# Removes the slot. What it is goes last, so that what is left can still be found.
w_remove_files() {
  w_empty || return 1
  rm -f "$w_slot/session" "$w_slot/zero" "$w_slot/ending" "$w_slot/marks" "$w_slot/boot" "$w_slot/id" "$w_slot/keeper"
  # Another may remove it at the same time. From here on it may be another's.
  rmdir "$w_slot" || [ ! -e "$w_slot" ] || return 1
  # The place of all slots, if this was the last.
  for w_file in "${w_slot%/*}"/*; do
    [ -e "$w_file" ] || rmdir "${w_slot%/*}" 2>/dev/null || :
  done
}
