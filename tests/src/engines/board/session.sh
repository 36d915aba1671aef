#!/bin/busybox sh
# The session on a board's console: runs scripts that come over the serial line and answers with
# what they print. All of it is in base64, so that nothing is lost on a terminal.
#
#   @ SECONDS           @ CODE
#   SCRIPT              STDOUT
#   .                   @
#                       STDERR
#                       @ end
stty raw -echo
# The kernel's messages would be in between.
dmesg -n 1
echo "@ ready"
while read -r word limit; do
  [ "$word" = @ ] || continue
  while read -r line && [ "$line" != . ]; do echo "$line"; done | base64 -d >/tmp/script
  timeout -s KILL "$limit" sh /tmp/script </dev/null >/tmp/stdout 2>/tmp/stderr
  code=$?
  echo
  echo "@ $code"
  base64 /tmp/stdout
  echo @
  base64 /tmp/stderr
  echo "@ end"
done
