#!/bin/bash
# A real Ray of a head and two more nodes, n1 and n2, on this host, for tests; one CPU each.
#
#   ray_cluster.sh up DIR         starts it (OWNER: process that it may not outlive, the caller)
#   ray_cluster.sh down DIR       ends it; may be called again
#   ray_cluster.sh node DIR NAME  starts a node: one that was ended, or another: n3 and so on
#   ray_cluster.sh kill DIR NAME  ends a node with all that runs on it, as a power cut would
#
# At `up` and at `node`, FULL_SCRATCH="n2" names nodes whose DIR/scratch, where their TMPDIR lies,
# is on a disk without space. DIR/address is the address, DIR/session is where Ray writes.
set -eu
. "$(dirname "$0")/namespaces.sh"
export RAY_USAGE_STATS_ENABLED=0 RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO=0 OMP_NUM_THREADS=1
export RAY_AUTH_MODE=disabled  # whatever token the home folder may hold
# A killed node is noticed within a second or two; 13 s unless set. A slow one is not taken for dead.
export RAY_health_check_initial_delay_ms=1000 RAY_health_check_period_ms=500
export RAY_health_check_timeout_ms=2000 RAY_health_check_failure_threshold=3

# Nodes have addresses of their own, as on a real cluster. No node has that of a driver, which then
# joins the head, not one of those that tests end.
address() {
  case $1 in head) echo 127.0.0.10 ;; *) echo "127.0.0.$((10 + ${1#n}))" ;; esac
}

start() {
  local name=$1
  shift
  TMPDIR=$DIR/scratch daemon "$name" "${PYTHON:-python3}" -W ignore -m ray.scripts.scripts start \
    --node-ip-address="$(address "$name")" --temp-dir="$(readlink "$DIR/session")/$name" \
    --num-cpus=1 --num-gpus=0 --object-store-memory=80000000 \
    --min-worker-port=0 --max-worker-port=0 --dashboard-agent-listen-port=0 \
    --disable-usage-stats --block "$@"
}

node() {
  start "$1" --address="$(cat "$DIR/address")" --include-log-monitor=False
}

ready() {
  local name
  for name in "$@"; do await grep -q 'runtime started' "$DIR/$name.out"; done
}

up() {
  local port
  own
  # Names of sockets are short, and pytest's folders are not.
  ln -s "$(mktemp -d /tmp/ray-XXXXXX)" "$DIR/session"
  port=$(ports)
  echo "$(address head):$port" >"$DIR/address"
  start head --head --port="$port" --ray-client-server-port=$((port + 1)) \
    --include-dashboard=False
  node n1
  node n2
  ready head n1 n2
}

[ $# -ge 2 ] || { sed -n '2,11s/^# \?//p' "$0"; exit 2; }
DIR=$(realpath -m "$2")
case $1 in
  up) up ;;
  down)
    down
    if [ -L "$DIR/session" ]; then rm -rf "$(readlink "$DIR/session")" "$DIR/session"; fi
    ;;
  node)
    remember
    node "$3"
    ready "$3"
    ;;
  kill) unplug "$DIR/disk/$3 " ;;
  watch) watch "$3" "$4" ;;
  *) exit 2 ;;
esac
