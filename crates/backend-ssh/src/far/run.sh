# What the keeper does for a run: its files, its beginning, its output, its end.

# $1 the file, $2 first or next, $3 last or more, $4 how many bytes follow. The
# file is there as a whole or not at all.
w_put() {
  if [ "$2" = first ] && [ -e "$w_slot/$1.part" ]; then rm -f "$w_slot/$1.part"; fi
  w_before=0
  if [ -e "$w_slot/$1.part" ]; then w_before=$(wc -c <"$w_slot/$1.part"); fi
  { [ "$4" = 0 ] || head -c "$4"; } >>"$w_slot/$1.part" && w_after=$(wc -c <"$w_slot/$1.part") &&
    [ "$((w_after - w_before))" -eq "$4" ] || {
    rm -f "$w_slot/$1.part"
    w_fail "full $w_slot/$1 cannot be written"
  }
  if [ "$3" = last ]; then mv -f "$w_slot/$1.part" "$w_slot/$1" || w_fail "full $w_slot/$1 cannot be written"; fi
  w_say "put"
  if [ "$3" = last ]; then w_expect_run "$1"; fi
}

# $1 the file, of which the content is the next line, as printf reads it: for
# what is short, since no other process is needed.
w_text() {
  IFS= read -r w_line && { printf "$w_line" >"$w_slot/$1"; } 2>/dev/null ||
    w_fail "full $w_slot/$1 cannot be written"
  w_say "put"
  w_expect_run "$1"
}

# Whoever puts the script is about to run it: the follower can be there by then.
w_expect_run() {
  if [ "$1" = job/script ]; then w_follow 0; fi
}

# $1 is `checked` where the environment is so large that no process may be
# given it, which has to be seen before the script is begun.
w_run() {
  IFS= read -r w_interpreter
  IFS= read -r w_has_argument
  IFS= read -r w_only_argument
  if [ "$1" = checked ]; then
    (. "$w_slot/environment" && exec /bin/sh -c :) 2>/dev/null || {
      w_say "refused environment"
      return
    }
  fi
  if [ -s "$w_slot/run" ]; then
    w_say "refused run"
    return
  fi
  { printf '%s\n' "$w_interpreter" "$w_has_argument" "$w_only_argument" >"$w_slot/run"; } 2>/dev/null || {
    : >"$w_slot/run"
    w_say "refused full"
    return
  }
  [ -n "$w_follower" ] || w_follow 0
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
    w_size
    w_say "exit ${w_code:-none} $w_bytes"
    w_wait_for output-open
    w_intact=damaged
    if [ -e "$w_slot/intact" ]; then w_intact=intact; fi
    w_size
    w_say "end $w_bytes $w_intact"
  ) </dev/null &
  w_watcher=$!
}

# Sets w_bytes to how much output there is. At its end that is on file.
w_size() {
  w_bytes=''
  { read -r w_bytes <"$w_slot/size"; } 2>/dev/null
  [ -n "$w_bytes" ] || w_bytes=$(($(wc -c <"$w_slot/output")))
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
  setsid /bin/sh -c '
    case $(tail --version 2>/dev/null) in *GNU*) exec tail -c "+$1" -s 0.05 -f "$2" ;; esac
    # Other tails look once a second. The offset is that of the shared file
    # description: each cat goes on where the last one stopped.
    exec 5<"$2"
    tail -c "+$1" <&5
    while :; do
      cat <&5
      sleep 0.05 || sleep 1
    done' sh "$(($1 + 1))" "$w_slot/output" 2>/dev/null &
  w_follower=$!
}

# Its group, or itself where it has yet to make one.
w_unfollow() {
  if [ -n "$w_follower" ]; then
    kill -9 "-$w_follower" 2>/dev/null || kill -9 "$w_follower" 2>/dev/null
  fi
  w_follower=''
}

# Whether the script was begun and has ended.
w_has_ended() {
  for w_file in "$w_slot"/status-*; do [ ! -e "$w_file" ] || return 0; done
  return 1
}

# Signal $1, by its number, to all of the script, unless it has ended.
w_signal() {
  if w_has_ended; then
    w_say "signalled"
    return
  fi
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
