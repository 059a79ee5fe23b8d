# A shell in the instance, beside its script, on a channel of its own.

# Its first process, which has the mark of the instance already. $1 the slot, $2
# the id, $3 a word by which its beginning is known, $4 what it is on. Then come,
# in lines, what becomes the command, and the words of that.
w_shell() {
  w_slot=$1 w_id=$2 w_nonce=$3 w_on=$4
  IFS= read -r w_command || exit 1
  set --
  w_word=
  # A word comes in pieces, as printf reads them: a terminal would take some
  # characters for keys.
  while :; do
    IFS= read -r w_piece || exit 1
    case $w_piece in
      +*)
        w_piece=$(printf "${w_piece#+}x")
        w_word=$w_word${w_piece%x}
        ;;
      =)
        set -- "$@" "$w_word"
        w_word=
        ;;
      *) break ;;
    esac
  done
  # Looked at after it has the mark: who ends the instance now finds this too.
  w_ours && [ ! -e "$w_slot/ending" ] && [ ! -e "$w_slot/removing" ] && cd "$w_slot" || exit 1
  w_sign "$w_slot/shell-$w_nonce" 2>/dev/null
  printf '\nworker-begins-%s\n' "$w_nonce"
  if [ "$w_on" = pipes ]; then
    printf '\nworker-begins-%s\n' "$w_nonce" >&2
    # Two pipes have no order: nothing may overtake these lines.
    IFS= read -r w_piece || exit 1
  fi
  set -- "$w_id" "$w_slot" "$w_command" "$@"
  # Nothing but the arguments is used once the environment is there.
  TMPDIR=$2/job/temporary
  export TMPDIR
  if [ -e environment ]; then . ./environment; fi
  WORKER_INSTANCE_ID=$1
  export WORKER_INSTANCE_ID
  umask 022
  cd job/work || exit 126
  shift 2
  w_command=$1
  shift
  exec /bin/sh -c "$w_command" sh "$@"
}

# Whether the instance is there, and stays.
w_mode_alive() {
  w_slot=$1 w_id=$2
  w_ours && [ ! -e "$w_slot/ending" ] && [ ! -e "$w_slot/removing" ] ||
    w_fail "gone $w_slot is no longer that of the instance"
  w_say "checked"
}

# Ends a shell as the end of its terminal does: by HUP, and KILL after a grace.
w_mode_hangup() {
  w_slot=$1 w_nonce=$2
  w_signal=HUP w_try=0
  while w_alive "$w_slot/shell-$w_nonce"; do
    # Where it leads no group of its own, alone.
    kill "-$w_signal" "-$w_pid" 2>/dev/null || kill "-$w_signal" "$w_pid" 2>/dev/null
    if [ "$w_signal" = HUP ]; then kill -CONT "-$w_pid" "$w_pid" 2>/dev/null; fi
    w_signal=0 w_try=$((w_try + 1))
    if [ "$w_try" -gt 50 ]; then w_signal=KILL; fi
    [ "$w_try" -lt 60 ] || break
    sleep 0.1 2>/dev/null || sleep 1
  done
  w_say "checked"
}

case $1 in
  shell)
    shift
    w_shell "$@"
    exit
    ;;
esac
