# The keeper: one conversation from the start of an instance to its end, in
# lines. What it is told it does in order; what happens it says as it happens.

# A new lease.
w_mode_start() {
  w_new=$1 w_slots=$2 w_limit=$3 w_pause=$4 w_marks=$5
  w_prepare=$6 w_revert_command=$7 w_machines=$8
  w_needs
  if [ -n "$w_machines" ]; then
    w_machine=$(uname -m)
    case " $w_machines " in
      *" $w_machine "*) ;;
      *) w_fail "architecture the machine has \`$w_machine\`, which is none of: $w_machines" ;;
    esac
  fi
  w_make_base
  w_lease
  w_id=$w_new
  w_furnish
  if [ -n "$w_prepare" ]; then
    w_error=$(cd / && /bin/sh -c "$w_prepare" </dev/null 2>&1) || {
      w_code=$?
      w_give_up
      w_fail "prepare it ended with code $w_code: $(printf %s "$w_error" | tail -n 3 | tr '\n' ' ')"
    }
  fi
  w_say "started $w_number $w_slot"
  w_serve
}

# The same instance again, over a new connection.
w_mode_attach() {
  w_slot=$1 w_id=$2
  if ! w_ours || [ -e "$w_slot/removing" ]; then
    w_fail "gone $w_slot is no longer that of the instance"
  fi
  w_end_signer "$w_slot/keeper"
  w_sign "$w_slot/keeper"
  w_beat
  if [ -s "$w_slot/run" ]; then
    w_go
    w_say "attached run"
    w_watch
  else
    w_say "attached fresh"
  fi
  w_serve
}

# Removes what was found, unless it is another instance by now.
w_mode_remove() {
  w_slot=$1 w_id=$2
  # Who was not told where its slot is knows the id all the same.
  if [ -z "$w_slot" ]; then
    w_find_base
    for w_slot in "$w_base"/slot-*; do
      if w_ours; then break; fi
    done
  fi
  w_ours || {
    # Its processes are known by its id, also where its files are gone.
    w_slot=$w_base/none
    w_end_all 9
    w_say "removed"
    exit 0
  }
  # From here on no keeper takes it up again.
  : >"$w_slot/removing"
  w_end_signer "$w_slot/keeper"
  w_remove
}

# What there is, alive or not.
w_mode_list() {
  w_find_base
  for w_slot in "$w_base"/slot-*; do
    w_marks='' w_id=''
    { IFS= read -r w_marks <"$w_slot/marks"; } 2>/dev/null
    { IFS= read -r w_id <"$w_slot/id"; } 2>/dev/null
    [ -n "$w_marks" ] && [ -n "$w_id" ] || continue
    w_members=''
    # Before its run there is nothing of a script.
    if [ -s "$w_slot/run" ]; then w_members; fi
    w_state=stopped
    if [ -n "$w_members" ]; then w_state=running; fi
    w_say "slot $w_state $w_slot"
    w_say "marks $w_marks"
  done
  w_say "listed"
}

w_serve() {
  while read -r w_command w_argument w_rest; do
    case $w_command in
      beat) w_beat ;;
      put) w_put $w_argument $w_rest ;;
      text) w_text "$w_argument" ;;
      run) w_run "$w_argument" ;;
      follow) w_follow "$w_argument" ;;
      pause) kill -STOP "-$w_follower" 2>/dev/null ;;
      resume) kill -CONT "-$w_follower" 2>/dev/null ;;
      signal) w_signal "$w_argument" ;;
      processes) w_processes ;;
      leftovers) w_leftovers ;;
      size)
        w_size
        w_say "size $w_bytes"
        ;;
      remove) w_remove ;;
      *) w_fail "protocol what is \`$w_command\`?" ;;
    esac
  done
  # The connection is gone; the run goes on.
  w_unfollow
  if [ -n "$w_watcher" ]; then kill -9 "$w_watcher" 2>/dev/null; fi
}

w_beat() {
  if [ -e "$w_slot/idle" ]; then mv -f "$w_slot/idle" "$w_slot/beat" 2>/dev/null; fi
}

# The processes of the script, one a line.
w_processes() {
  w_members
  w_print_members
  w_say "listed"
}

# The same after the script has ended. To look at the group first is cheap.
w_leftovers() {
  w_session=''
  { read -r w_session <"$w_slot/session"; } 2>/dev/null
  if [ -n "$w_session" ] && kill -0 "-$w_session" 2>/dev/null; then
    w_members
    w_print_members
  fi
  w_say "listed"
}

w_print_members() {
  w_count=0
  for w_pid in $w_members; do
    w_line=$(tr '\0\n\r\t' '    ' <"/proc/$w_pid/cmdline" 2>/dev/null)
    if [ -n "$w_line" ]; then w_say "process $w_pid $w_line"; fi
    w_count=$((w_count + 1))
    [ "$w_count" -lt 200 ] || return
  done
}

# What a start that fails leaves to do.
w_give_up() {
  w_end_all 9
  if w_revert; then w_remove_files; fi
}

# The end: all that runs, all files, and this conversation.
w_remove() {
  if [ -n "$w_watcher" ]; then kill -9 "$w_watcher" 2>/dev/null; fi
  w_unfollow
  w_close
  w_end_tender
  # What does this is no helper, and is not to be found.
  unset WORKER_SSH_HELPER
  # Both at the same time, where no script is at work that could see it.
  w_emptier=''
  if w_has_ended && [ ! -e "$w_slot/revert" ]; then
    w_empty 2>/dev/null &
    w_emptier=$!
  fi
  w_end_all 9 || w_fail "leftover $w_slot: processes that do not end:$w_members"
  # For that alone: a follower takes its time to die.
  [ -z "$w_emptier" ] || wait "$w_emptier"
  w_revert || w_fail "revert $w_slot: $(tail -n 3 "$w_slot/revert-output" 2>/dev/null | tr '\n' ' ')"
  w_try=0
  until w_error=$(w_remove_files 2>&1); do
    # It may be another instance's by now.
    w_ours
    [ -z "$w_here" ] || [ "$w_here" = "$w_id" ] || break
    # Someone was just about to take it up.
    w_end_signer "$w_slot/keeper"
    w_try=$((w_try + 1))
    [ "$w_try" -lt 5 ] || w_fail "leftover $w_slot: $w_error"
  done
  w_say "removed"
  exit 0
}
