#!/bin/sh
# A script to try Worker with: two streams, a moment of work, an exit code.
echo "hello from $(uname -s), in an empty directory: $(ls -A | wc -l) files"
echo "this line went to standard error" >&2
sleep 1
echo "done"
exit 3
