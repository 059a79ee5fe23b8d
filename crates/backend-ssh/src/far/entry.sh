# Where a conversation begins: with its mode, a word to begin with, and the place
# of all slots.

w_mode=$1 w_nonce=$2 w_base=$3
shift 3
# What start-up files have printed before this line is not ours.
printf '\n%s\n' "$w_nonce"
printf '\n%s\n' "$w_nonce" >&2
"w_mode_$w_mode" "$@"
