grace=$1 file=$2
shift 2
# Signals of a terminal reach the whole group: the guard outlives them.
trap : HUP INT TERM
exec 3<&0
{
    # Without a word, its owner is gone, and removes no files any more.
    read -r word <&3 || : >"$file.orphan"
    pid=$(cat "$file")
    kill -CONT "$pid"
    kill -TERM "$pid"
    tenths=$((grace * 10))
    while kill -0 "$pid" && [ "$tenths" -gt 0 ]; do
        sleep 0.1
        tenths=$((tenths - 1))
    done
    kill -KILL "$pid"
} >/dev/null 2>&1 &
watcher=$!
exec 3<&-
# In the foreground: what a shell runs in the background ignores INT and QUIT
# for good, and so would all that the server starts.
/bin/sh -c 'echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@"' "$file" "$@" </dev/null
status=$?
kill -KILL "$watcher" 2>/dev/null
[ ! -e "$file.orphan" ] || rm -rf "${file%/*}"
exit "$status"
