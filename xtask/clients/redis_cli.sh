#!/usr/bin/env bash
# redis-cli as an operator uses it: single commands, standard input, --pipe, --scan, --bigkeys, --memkeys, --stat, --latency,
# the documentation behind its hints, RESP3 and INFO.
set -euo pipefail

export REDISCLI_AUTH=${KVDB_PASSWORD:-}
[ -n "$REDISCLI_AUTH" ] || unset REDISCLI_AUTH

cli() { redis-cli -p "$KVDB_PORT" "$@"; }
is() {
    local wanted=$1 got
    shift
    got=$(cli "$@")
    [ "$got" = "$wanted" ] || { printf '%s\n' "redis-cli $*: '$got' instead of '$wanted'" >&2; exit 1; }
}
says() {
    local part=$1 got
    shift
    got=$(cli "$@" 2>&1)
    case $got in *"$part"*) ;; *) printf '%s\n' "redis-cli $*: no '$part' in '$got'" >&2; exit 1 ;; esac
}

if [ -n "${REDISCLI_AUTH:-}" ]; then
    got=$(env -u REDISCLI_AUTH redis-cli -p "$KVDB_PORT" get x 2>&1 || true)
    case $got in NOAUTH*) ;; *) printf '%s\n' "without a password: '$got'" >&2; exit 1 ;; esac
fi

is PONG ping
is OK flushall
is OK set greeting "hello world"
is "hello world" get greeting
is "" get nothing
is 3 incrby n 3
is 11 strlen greeting
is OK set mortal v ex 100
is -1 ttl greeting
is 0 setbit bits 3 1
is 1 getbit bits 3
is 1 pfadd sketch a b c
is 3 pfcount sketch
is string type greeting
says "ERR value is not an integer or out of range" incr greeting
says "wrong number of arguments" get
says "unknown command" nosuchcommand
is "hello world" -3 get greeting
says "proto" -3 hello 3

printf 'binary\x01\xffvalue' | cli -x set binary >/dev/null
[ "$(cli --raw get binary | head -c 14 | od -An -tx1 | tr -d ' \n')" = 62696e61727901ff76616c75650a ]

for i in $(seq 1 5000); do printf 'SET pipe:%d %d\r\n' "$i" "$i"; done | cli --pipe | grep -q 'errors: 0, replies: 5000'
[ "$(cli --scan --pattern 'pipe:*' | sort -u | wc -l)" = 5000 ]
[ "$(seq 1 100 | sed 's/.*/GET pipe:&/' | cli | tail -n 1)" = 100 ]

says "redis_version:" info server
says "Biggest string" --bigkeys
says "Biggest string" --memkeys
# Samples for a second, where nobody looks on; least, most and average in milliseconds, and how many.
cli --latency | grep -qE '^[0-9]+ [0-9]+ [0-9.]+ [0-9]+$'
# Goes on for ever and writes at once to a terminal alone.
{ timeout 2 script -qfc "redis-cli -p $KVDB_PORT --stat -i 0.05" /dev/null || true; } | head -n 4 | grep -qE '^[0-9]+ .*[0-9]+ \(\+'
# From this redis-cli takes its hints and its help.
says "KEEPTTL" command docs set
says "replaced_by" command docs getset
says "db0:keys=" info keyspace
cli command count | grep -qE '^[1-9][0-9]+$'
is OK flushall
is 0 dbsize
