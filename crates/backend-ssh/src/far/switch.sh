# The dead man's switch: runs beside the slot from its lease until its removal.
# It counts its own pauses since the last beat, so that no clock matters.

# $1 the slot, $2 the id, $3 how many pauses without a beat are the end, $4 the
# length of a pause in seconds.
w_switch() {
  w_slot=$1 w_id=$2 w_count=0
  w_ours && w_sign "$w_slot/switch" && w_find_zero && printf '%s\n' "$w_zero" >"$w_slot/zero"
  while [ "$w_count" -lt "$3" ]; do
    sleep "$4"
    if ! w_ours; then
      # This one was removed, or something else took the files, and processes
      # may run. What is there now may be of another instance.
      w_slot=$w_slot/none
      w_end_all 15
      exit 0
    fi
    w_count=$((w_count + 1))
    if [ -e "$w_slot/beat" ]; then
      # Renamed and not written: that works on a full disk too.
      mv -f "$w_slot/beat" "$w_slot/idle"
      w_count=0
    fi
  done
  w_end_signer "$w_slot/keeper"
  w_end_all 15
  w_revert && w_ours && w_remove_files
}

# Starts the switch of the slot, with the values that are on file.
w_start_switch() {
  w_most='' w_each=''
  { read -r w_most w_each <"$w_slot/lease"; } 2>/dev/null
  [ -n "$w_each" ] || return
  # In a shell of its own, since the slot may be another instance's.
  (
    w_help
    w_detach switch "$w_slot" "$w_id" "$w_most" "$w_each" </dev/null
  )
}

# Marks what is started from here on as a helper of the instance: by that it
# is found and ended, whatever it is waiting for.
w_help() {
  WORKER_SSH_HELPER=$w_id
  export WORKER_SSH_HELPER
}

# Starts this program with these arguments in a session of its own, detached.
# Not by `&`, which would leave INT and QUIT ignored for good: the inner setsid
# is called by the leader of a group, and so it forks.
w_detach() {
  setsid setsid /bin/sh "$w_slot/program" "$@" >/dev/null 2>&1
}
