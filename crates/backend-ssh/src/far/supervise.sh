# The run, which needs nobody: the script's output goes through a pipe into a
# file, its status into the name of one. A dead connection can neither stop nor
# block it.

# Tends the slot from its lease until its removal: the switch, and beside it
# the supervisor, which is ready long before there is a script. The arguments
# are those of the switch. The end of the input says that the slot is furnished.
w_tend() {
  read -r w_line
  [ -p "$1/begun" ] && w_sign "$1/tender" || exit 1
  # In a pipeline, since `&` would leave INT and QUIT ignored for good.
  w_switch "$@" </dev/null >/dev/null | w_supervise "$1" "$2" </dev/null
}

# $1 the slot, $2 the id.
w_supervise() {
  cd "$1" || exit 1
  # Open as long as this process lives. Its end is how others learn of it.
  exec 3<>output-open
  {
    exec 4<>script-open
    # Nothing is redirected here: dash says how a command died on what was
    # its error output, and the output is the script's alone.
    setsid /bin/sh -c "$w_enter" sh "$@"
    w_code=$?
    # The output may end from here on.
    exec >/dev/null
    # Renamed and not written: that works on a full disk too.
    mv -f pending "status-$w_code"
  } | {
    # A disk that is full is told, and does not end the script.
    cat >output || {
      rm -f intact
      cat >/dev/null
    }
    wc -c <output >size
  }
}

# The last step before the script, in its own session. It waits until someone
# is there to let it go. Nothing but the arguments is used once the script's
# environment is there, which may set any variable. A text of its own, since to
# read all of the program once more would take longer than all that it does.
w_enter='
  exec 2>&1 3>&- 4>&-
  echo "$$" >session
  unset WORKER_SSH_HELPER
  # Who was there may be gone before it has heard.
  trap : PIPE
  until { echo begun >begun; } 2>/dev/null; do [ -p begun ] || exit 126; done
  trap - PIPE
  {
    IFS= read -r w_interpreter
    IFS= read -r w_has_argument
    IFS= read -r w_only_argument
  } <run
  set -- "$1" "$2" "$w_interpreter" "$w_has_argument" "$w_only_argument"
  TMPDIR=$1/job/temporary
  export TMPDIR
  if [ -e environment ]; then . ./environment; fi
  WORKER_INSTANCE_ID=$2
  export WORKER_INSTANCE_ID
  umask 022
  cd job/work || exit 126
  if [ "$4" = 1 ]; then
    exec "$3" "$5" "$1/job/script"
  else
    exec "$3" "$1/job/script"
  fi
'

case $1 in
  switch | tend)
    w_mode=$1
    shift
    "w_$w_mode" "$@"
    exit
    ;;
esac
