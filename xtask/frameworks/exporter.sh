#!/usr/bin/env bash
# prometheus-redis-exporter scrapes the server: it finds it up, and reads what its dashboards draw.
set -euo pipefail

listen=127.0.0.1:$((20000 + RANDOM % 10000))
[ -z "$KVDB_PASSWORD" ] || export REDISCLI_AUTH=$KVDB_PASSWORD
for i in $(seq 100); do echo "set exported:$i $i ex 1000"; done | redis-cli -p "$KVDB_PORT" -n 12 >/dev/null
prometheus-redis-exporter -redis.addr "redis://127.0.0.1:$KVDB_PORT" -redis.password "$KVDB_PASSWORD" \
    -web.listen-address "$listen" -check-single-keys db12=exported:7 -include-system-metrics 2>exporter.log &
exporter=$!
trap 'kill $exporter; rm -f exporter.log' EXIT
until metrics=$(curl --silent --fail "http://$listen/metrics"); do
    kill -0 $exporter || { cat exporter.log; exit 1; }
    sleep 0.1
done
value() { awk -v name="$1" 'index($0, name) == 1 { print $NF; found = 1; exit } END { exit !found }' <<<"$metrics" ||
    { echo "the exporter tells no $1"; exit 1; }; }
expect() { got=$(value "$1"); [ "$got" = "$2" ] || { echo "$1 is $got instead of $2"; exit 1; }; }
expect 'redis_up ' 1
expect 'redis_exporter_last_scrape_error{err=""}' 0
expect 'redis_db_keys{db="db12"}' 100
expect 'redis_db_keys_expiring{db="db12"}' 100
expect 'redis_key_value{db="db12",key="exported:7"}' 7
for name in redis_connected_clients redis_memory_used_bytes redis_commands_processed_total redis_uptime_in_seconds \
    redis_commands_total redis_keyspace_hits_total redis_evicted_keys_total redis_expired_keys_total \
    redis_net_input_bytes_total redis_rdb_changes_since_last_save redis_cpu_sys_seconds_total redis_slowlog_length \
    redis_instance_info redis_latency_percentiles_usec redis_blocked_clients redis_memory_max_bytes; do
    value "$name" >/dev/null
done
