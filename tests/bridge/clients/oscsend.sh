#!/usr/bin/env bash
# Stemwright from a shell, with liblo's oscsend and oscdump.
#
#   STEMWRIGHT_SONG=$PWD/song.wav bash oscsend.sh
#
# Every oscsend is a new sender that has left before its answer comes. So ask the server to tell what
# happens to all jobs on one port, where oscdump listens. (Only pong and done stay unheard this way.)
set -euo pipefail

port=${STEMWRIGHT_PORT:-7836}
reply_port=${STEMWRIGHT_REPLY_PORT:-7838}
song=${STEMWRIGHT_SONG:?the path of an audio file}

stemwright() { # stemwright REQUEST TYPES VALUE...
  oscsend 127.0.0.1 "$port" "/stemwright/$1" "${@:2}"
}

exec {heard}< <(exec oscdump -L "$reply_port")
listener=$!
# oscdump does not say when it listens, so ask again until the answer is heard.
# The lease lasts 60 seconds; a longer session asks once more in time.
(while true; do stemwright notify ii 1 "$reply_port"; sleep 0.2; done) &
asker=$!
trap 'kill "$listener" "$asker" 2>/dev/null || true' EXIT

is_known=no
is_stopping=no
while read -r -u "$heard" time address types values; do
  printf '%s %s %s\n' "$address" "$types" "$values"
  case "$address $values" in
    '/stemwright/done "/stemwright/notify"'*)
      if [ $is_known = no ]; then
        is_known=yes
        kill "$asker"
        stemwright extract sssss shell-bass prompt bass path "$song"
      fi ;;
    '/stemwright/finished "shell-bass"'*) # next a mistake: there is no option "promt"
      stemwright extract sssss shell-typo promt bass path "$song" ;;
    '/stemwright/fail '*'"shell-typo"')   # next a job that takes long enough to change one's mind
      stemwright extract ssssssisi shell-long prompt bass path "$song" steps 1000 variations 16 ;;
    '/stemwright/fail '*)
      exit 1 ;;
    '/stemwright/progress "shell-long"'*)
      if [ $is_stopping = no ]; then
        is_stopping=yes
        stemwright cancel s shell-long
      fi ;;
    '/stemwright/cancelled "shell-long"'*)
      exit 0 ;;
  esac
done
