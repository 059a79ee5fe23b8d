# Slots: directories of which one instance has one at a time.

# The place of all slots; a relative one is meant from the home directory.
w_find_base() {
  case $w_base in
    /*) ;;
    *) w_base=${HOME:-.}/$w_base ;;
  esac
}

# Makes the place of all slots, or refuses it. The last instance may take it
# away at any moment: then it is looked at again.
w_make_base() {
  w_find_base
  if [ -d "$w_base" ]; then chmod 700 "$w_base" 2>/dev/null; fi
  w_try=0
  until [ -d "$w_base" ] && [ -O "$w_base" ] && [ ! -L "$w_base" ]; do
    w_try=$((w_try + 1)) w_error=''
    mkdir "$w_base" 2>/dev/null || [ -d "$w_base" ] || w_error=$(mkdir -p "$w_base" 2>&1)
    [ "$w_try" -lt 20 ] || w_fail "directory ${w_error:-$w_base is not a directory of this account}"
    # Where many come and go, not all at the same pace.
    if [ "$w_try" -gt 3 ]; then sleep 0.05 2>/dev/null || sleep 1; fi
  done
}

# What a machine must have.
w_needs() {
  for w_tool in setsid mkfifo mkdir mv rm cat head tail wc grep tr sleep chmod find; do
    command -v "$w_tool" >/dev/null 2>&1 || w_fail "unsuitable there is no \`$w_tool\` on the machine"
  done
  [ -r "/proc/$$/stat" ] || w_fail "unsuitable there is no /proc on the machine"
}

# Takes the first free of $w_slots slots. Says `busy` if there is none.
w_lease() {
  w_number=0 w_stale='' w_boot=''
  read -r w_boot 2>/dev/null </proc/sys/kernel/random/boot_id
  while [ "$w_number" -lt "$w_slots" ]; do
    w_number=$((w_number + 1))
    w_slot=$w_base/slot-$w_number
    if w_make_in_base "$w_slot"; then return 0; fi
    w_take_over || continue
    w_slot=$w_base/slot-$w_number
    if w_make_in_base "$w_slot"; then return 0; fi
  done
  if [ "$w_stale" = "$w_slots" ]; then
    w_fail "stale $w_base: all slots hold what an earlier job left"
  fi
  w_say "busy $w_number"
  exit 0
}

# Makes a directory in the place of all slots; fails if it is there.
w_make_in_base() {
  w_try=0
  until mkdir "$1" 2>/dev/null; do
    if [ -d "$1" ]; then return 1; fi
    if w_error=$(mkdir "$1" 2>&1); then return 0; fi
    w_try=$((w_try + 1))
    [ "$w_try" -lt 10 ] || w_fail "directory $w_error"
    w_make_base
  done
}

# Frees a slot that nobody holds any more; fails if it is not free.
w_take_over() {
  w_id='' w_then=''
  if [ -e "$w_slot/stale" ]; then
    # With a way to revert the machine it can be used again.
    if [ -n "$w_revert_command" ] && w_clear "$w_revert_command"; then return 0; fi
    w_stale=$((w_stale + 1))
    return 1
  fi
  # Marks are written last and removed first, so this comes before the rest.
  if [ -e "$w_slot/marks" ]; then
    { IFS= read -r w_id <"$w_slot/id"; } 2>/dev/null
    { IFS= read -r w_then <"$w_slot/boot"; } 2>/dev/null
  fi
  if [ -z "$w_id" ] || [ -z "$w_then" ]; then
    # Being made or removed right now, or nothing that we can read.
    if [ -n "$(find "$w_slot" -maxdepth 0 -mmin +1 2>/dev/null)" ]; then
      if rmdir "$w_slot" 2>/dev/null; then return 0; fi
      w_stale=$((w_stale + 1))
    fi
    return 1
  fi
  if [ "$w_then" != "$w_boot" ]; then
    # Nothing of an earlier boot runs.
    w_clear ''
    return
  fi
  # Whose switch was ended gets a new one, and with it a lease that ends. One
  # that has just been started has yet to sign.
  if ! w_alive "$w_slot/switch" && ! w_alive "$w_slot/keeper"; then w_start_switch; fi
  return 1
}

# Removes a slot in which nothing runs, after it was reverted: by command $1,
# or by its own. Only one of many does it.
w_clear() {
  mkdir "$w_slot/clearing" 2>/dev/null || return 1
  if [ -n "$1" ]; then printf '%s\n' "$1" >"$w_slot/revert"; fi
  if w_revert && mv "$w_slot" "$w_slot-cleared-$$" 2>/dev/null; then
    w_slot=$w_slot-cleared-$$
    w_remove_files
    return
  fi
  rmdir "$w_slot/clearing"
  return 1
}

# Fills a slot that was just leased. Whoever tends it has it from here on.
w_furnish() {
  {
    printf '%s\n' "$w_id" >"$w_slot/id" &&
      printf '%s\n' "$w_boot" >"$w_slot/boot" &&
      printf '%s %s\n' "$w_limit" "$w_pause" >"$w_slot/lease" &&
      printf '%s\n' "$w_p" >"$w_slot/program" &&
      : >"$w_slot/output" && : >"$w_slot/intact" && : >"$w_slot/pending" && : >"$w_slot/beat"
  } 2>/dev/null && {
    [ -z "$w_revert_command" ] || printf '%s\n' "$w_revert_command" >"$w_slot/revert"
  } && w_sign "$w_slot/keeper" && w_equip && printf '%s\n' "$w_marks" 2>/dev/null >"$w_slot/marks" && return 0
  w_end_all 9
  rm -rf "$w_slot"
  w_fail "full $w_slot cannot be written"
}

# All that takes a process, at the same time. The program that is to tend the
# slot begins when its input ends, which is when the pipes are there.
w_equip() {
  mkdir "$w_slot/job" "$w_slot/job/work" "$w_slot/job/temporary" 2>/dev/null |
    mkfifo "$w_slot/script-open" "$w_slot/output-open" "$w_slot/begun" 2>/dev/null |
    {
      w_help
      w_detach tend "$w_slot" "$w_id" "$w_limit" "$w_pause"
    }
  [ -d "$w_slot/job/temporary" ] && [ -p "$w_slot/begun" ]
}
