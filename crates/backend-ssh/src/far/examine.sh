# What a machine is asked before anything is started on it. Leaves nothing.

# Whether instances could be started.
w_mode_check() {
  w_needs
  w_make_base
  w_make_in_base "$w_base/check-$$"
  rmdir "$w_base/check-$$"
  rmdir "$w_base" 2>/dev/null
  w_say "clock $(date +%s 2>/dev/null)"
  w_say "checked"
}

# Begins what is to outlive this connection, detached as a run is. $1 is a word
# by which it is found over another one.
w_mode_detach() {
  w_needs
  w_make_base
  # Of one that was ended here, and that nobody asked for.
  find "$w_base" -maxdepth 1 -name 'check-*' -mmin +1 -exec rm -rf {} + 2>/dev/null
  w_slot=$w_base/check-$1
  w_make_in_base "$w_slot"
  # The server's process for this connection, as a rule.
  w_started "$PPID" && printf '%s %s\n' "$PPID" "$w_started" 2>/dev/null >"$w_slot/session"
  printf '%s\n' "$w_p" 2>/dev/null >"$w_slot/program" || {
    rm -rf "$w_slot"
    w_fail "full $w_slot cannot be written"
  }
  w_detach endure "$w_slot" </dev/null
  w_try=0
  until w_alive "$w_slot/endures" || [ "$w_try" -ge 50 ]; do w_pause_briefly; done
  w_say "checked"
}

# Whether that is still there when its connection is not. Who ends what belongs
# to a session does it at its end, or a moment after.
w_mode_endures() {
  w_find_base
  w_slot=$w_base/check-$1
  w_try=0
  while w_alive "$w_slot/session" && [ "$w_try" -lt 50 ]; do w_pause_briefly; done
  w_try=0
  while w_alive "$w_slot/endures" && [ "$w_try" -lt 10 ]; do w_pause_briefly; done
  w_here=''
  if w_alive "$w_slot/endures"; then
    w_here=yes
    kill -9 "-$w_pid" 2>/dev/null
  fi
  rm -rf "$w_slot"
  rmdir "$w_base" 2>/dev/null
  [ -n "$w_here" ] || w_fail "logout a process that is detached is ended with its connection"
  w_say "checked"
}

# A tenth of a second, or a second where there are no parts of it.
w_pause_briefly() {
  w_try=$((w_try + 1))
  sleep 0.1 2>/dev/null || {
    sleep 1
    w_try=$((w_try + 9))
  }
}

# It goes by itself where nobody asks for it. $1 is its place.
w_endure() {
  w_sign "$1/endures" || exit 1
  sleep 30
  rm -rf "$1"
  rmdir "${1%/*}" 2>/dev/null
}

case $1 in
  endure)
    w_endure "$2"
    exit
    ;;
esac
