# The keeper: one conversation from the start of an instance to its end, in
# lines. What it is told it does in order; what happens it says as it happens.

# A new lease.
w_mode_start() {
  IFS= read -r w_new
  IFS= read -r w_slots
  IFS= read -r w_limit
  IFS= read -r w_pause
  IFS= read -r w_marks
  IFS= read -r w_prepare
  IFS= read -r w_revert_command
  IFS= read -r w_machines
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
  w_start_switch
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
  IFS= read -r w_slot
  IFS= read -r w_id
  if ! w_ours || [ -e "$w_slot/removing" ]; then
    w_fail "gone $w_slot is no longer that of the instance"
  fi
  w_end_signer "$w_slot/keeper"
  w_sign "$w_slot/keeper"
  w_beat
  w_number=0
  if [ -d "$w_slot/run" ]; then
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
  IFS= read -r w_slot
  IFS= read -r w_id
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
    w_members
    w_state=stopped
    if [ -n "$w_members" ]; then w_state=running; fi
    w_say "slot $w_state $w_slot"
    w_say "marks $w_marks"
  done
  w_say "listed"
}

# Whether instances could be started. Leaves nothing.
w_mode_check() {
  w_needs
  w_make_base
  w_make_in_base "$w_base/check-$$"
  rmdir "$w_base/check-$$"
  rmdir "$w_base" 2>/dev/null
  w_say "clock $(date +%s 2>/dev/null)"
  w_say "checked"
}

w_serve() {
  w_follower='' w_watcher=''
  while read -r w_command w_argument w_rest; do
    case $w_command in
      beat) w_beat ;;
      put) w_put $w_argument $w_rest ;;
      run) w_run ;;
      follow) w_follow "$w_argument" ;;
      pause) kill -STOP "-$w_follower" 2>/dev/null ;;
      resume) kill -CONT "-$w_follower" 2>/dev/null ;;
      signal) w_signal "$w_argument" ;;
      processes) w_processes ;;
      leftovers) w_leftovers ;;
      size) w_say "size $(($(wc -c <"$w_slot/output")))" ;;
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

# $1 the file, $2 first or next, $3 last or more, $4 how many bytes follow. The
# file is there as a whole or not at all.
w_put() {
  [ "$2" = next ] || rm -f "$w_slot/$1.part"
  w_before=0
  if [ -e "$w_slot/$1.part" ]; then w_before=$(wc -c <"$w_slot/$1.part"); fi
  { [ "$4" = 0 ] || head -c "$4"; } >>"$w_slot/$1.part" && w_after=$(wc -c <"$w_slot/$1.part") &&
    [ "$((w_after - w_before))" -eq "$4" ] || {
    rm -f "$w_slot/$1.part"
    w_fail "full $w_slot/$1 cannot be written"
  }
  if [ "$3" = last ]; then mv -f "$w_slot/$1.part" "$w_slot/$1" || w_fail "full $w_slot/$1 cannot be written"; fi
  w_say "put"
}

w_run() {
  IFS= read -r w_interpreter
  IFS= read -r w_has_argument
  IFS= read -r w_only_argument
  # An environment that no process can be given is seen before the script is.
  if [ -e "$w_slot/environment" ] && [ "$(wc -c <"$w_slot/environment")" -gt 65536 ]; then
    (. "$w_slot/environment" && exec /bin/sh -c :) 2>/dev/null || {
      w_say "refused environment"
      return
    }
  fi
  if ! mkdir "$w_slot/run" 2>/dev/null; then
    w_say "refused run"
    return
  fi
  w_help
  w_detach supervise "$w_slot" "$w_interpreter" "$w_has_argument" "$w_only_argument" "$w_id"
  w_follow 0
  w_go
  w_say "began"
  w_watch
}

# Lets the script begin, unless it has; waits until it has.
w_go() {
  if [ ! -e "$w_slot/went" ]; then
    read -r w_line <"$w_slot/begun"
    : >"$w_slot/went"
  fi
}

# Says the end of the script, and then that of its output, when they come: by
# the end of pipes that the supervisor holds open.
w_watch() {
  (
    w_wait_for script-open
    w_code=''
    for w_file in "$w_slot"/status-*; do
      if [ -e "$w_file" ]; then w_code=${w_file##*/status-}; fi
    done
    w_say "exit ${w_code:-none} $(($(wc -c <"$w_slot/output")))"
    w_wait_for output-open
    w_intact=damaged
    if [ -e "$w_slot/intact" ]; then w_intact=intact; fi
    w_say "end $(($(wc -c <"$w_slot/output"))) $w_intact"
  ) </dev/null &
  w_watcher=$!
}

# Opened for both first, since opening only to read would wait for a writer.
w_wait_for() {
  exec 8<>"$w_slot/$1" 9<"$w_slot/$1" 8>&-
  read -r w_line <&9
  exec 9<&-
}

# Sends the output from byte $1 on, live. Standard input of a background
# command is empty; the group is the follower's own, so that it can be stopped.
w_follow() {
  w_unfollow
  w_help
  case $(tail --version 2>/dev/null) in
    *GNU*) setsid tail -c "+$(($1 + 1))" -s 0.05 -f "$w_slot/output" 2>/dev/null & ;;
    *)
      # Other tails look once a second. The offset is that of the shared file
      # description: each cat goes on where the last one stopped.
      setsid /bin/sh -c 'exec 5<"$2"; tail -c "+$1" <&5; while :; do cat <&5; sleep 0.05 || sleep 1; done' \
        sh "$(($1 + 1))" "$w_slot/output" 2>/dev/null &
      ;;
  esac
  w_follower=$!
}

w_unfollow() {
  if [ -n "$w_follower" ]; then kill -9 "-$w_follower" 2>/dev/null; fi
  w_follower=''
}

# Signal $1, by its number, to all of the script, unless it has ended.
w_signal() {
  for w_file in "$w_slot"/status-*; do
    if [ -e "$w_file" ]; then
      w_say "signalled"
      return
    fi
  done
  w_members
  # The group at once, so that none of it can get away between two calls.
  if kill "-$1" "-$w_session" 2>/dev/null; then
    w_others=''
    for w_pid in $w_members; do
      { IFS= read -r w_line <"/proc/$w_pid/stat"; } 2>/dev/null || continue
      set -- "$1" ${w_line##*) }
      if [ "$4" != "$w_session" ]; then w_others="$w_others $w_pid"; fi
    done
    w_members=$w_others
  fi
  if [ -n "$w_members" ]; then kill "-$1" $w_members 2>/dev/null; fi
  w_say "signalled"
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
  w_end_all 9 || w_fail "leftover $w_slot: processes that do not end:$w_members"
  w_revert || w_fail "revert $w_slot: $(tail -n 3 "$w_slot/revert-output" 2>/dev/null | tr '\n' ' ')"
  w_try=0
  until w_error=$(w_remove_files 2>&1); do
    # Someone was just about to take it up.
    w_end_signer "$w_slot/keeper"
    w_try=$((w_try + 1))
    [ "$w_try" -lt 5 ] || w_fail "leftover $w_slot: $w_error"
  done
  w_say "removed"
  exit 0
}
