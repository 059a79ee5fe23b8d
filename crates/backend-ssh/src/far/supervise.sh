# The run, which needs nobody: the script's output goes through a pipe into a
# file, its status into the name of one. A dead connection can neither stop nor
# block it.

# $1 the slot; then the interpreter, 1 or 0 for whether it has an argument, and
# the argument.
w_supervise() {
  cd "$1" || exit 1
  # Open as long as this process lives. Its end is how others learn of it.
  exec 3<>output-open
  {
    exec 4<>script-open
    # Nothing is redirected here: dash says how a command died on what was
    # its error output, and the output is the script's alone.
    setsid /bin/sh ./program enter "$@"
    # Renamed and not written: that works on a full disk too.
    mv -f pending "status-$?"
  } | {
    # A disk that is full is told, and does not end the script.
    cat >output || {
      rm -f intact
      cat >/dev/null
    }
  }
}

# The last step before the script, in its own session. Nothing but the
# arguments is used once its environment is there, which may set any variable.
w_enter() {
  exec 2>&1 3>&- 4>&-
  echo "$$" >session
  unset WORKER_SSH_HELPER
  TMPDIR=$1/job/temporary
  export TMPDIR
  if [ -e environment ]; then . ./environment; fi
  WORKER_INSTANCE_ID=$5
  export WORKER_INSTANCE_ID
  # The go: it waits until someone is there to take it.
  echo begun >begun
  umask 022
  cd job/work || exit 126
  if [ "$3" = 1 ]; then
    exec "$2" "$4" "$1/job/script"
  else
    exec "$2" "$1/job/script"
  fi
}
