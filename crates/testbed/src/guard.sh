grace=$1 file=$2
shift 2
# Signals of a terminal reach the whole group: the guard outlives them.
trap : HUP INT TERM
exec 3<&0
"$@" </dev/null 3<&- &
pid=$!
echo "$pid" >"$file.new" && mv "$file.new" "$file"
{
    cat <&3
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
wait "$pid"
status=$?
# A signal for the guard interrupts the wait: the server may still be there.
while kill -0 "$pid" 2>/dev/null; do
    wait "$pid"
    status=$?
done
kill -KILL "$watcher" 2>/dev/null
exit "$status"
