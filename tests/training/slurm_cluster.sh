#!/bin/bash
# A real Slurm of three virtual nodes, n1 to n3, on this host, for tests.
#
#   slurm_cluster.sh up DIR         starts it (OWNER: process that it may not outlive, the caller)
#   slurm_cluster.sh down DIR       ends it; may be called again
#   slurm_cluster.sh node DIR NAME  starts a node again
#   slurm_cluster.sh kill DIR NAME  ends a node with all that runs on it, as a power cut would
#
# At `up`, FULL_SCRATCH="n3" and FULL_SPOOL="n2 n3" name nodes whose DIR/scratch, or whose slurmd's
# own folder, lies on a disk without space.
#
# Each daemon is alone in a mount namespace, in which DIR/disk/NAME is a mount point. Whatever a
# node starts is in its namespace too, and so known by that mount, whoever its parent is.
set -eu
export PATH=$PATH:/usr/sbin:/sbin

# Print the processes that see the mount points whose names start with $1, the oldest first.
seers() {
  grep -lsF " $1" /proc/[0-9]*/mountinfo | cut -d / -f 3 | sort -n || true
}

# Kill the processes of the namespace of mount point $1.
unplug() {
  local pids
  for _ in {1..50}; do
    pids=$(seers "$1")
    [ -n "$pids" ] || return 0
    # Parents go first, and so cannot tell the controller that a child ended.
    kill -KILL $pids 2>/dev/null || true
    sleep 0.05
  done
  echo "processes that cannot be killed: $pids" >&2
  return 1
}

# Run a command in a namespace of its own that daemon $1 is known by.
daemon() {
  local name=$1
  shift
  mkdir -p "$DIR/disk/$name"
  setsid unshare -m bash -euc '
    fill() { mount -t tmpfs -o size=64k tmpfs "$1"; }
    here=$1 name=$2
    shift 2
    case " $(cat "$here/full_spool") " in
      *" $name "*) fill "$here/disk/$name" ;;
      *) mount --bind "$here/disk/$name" "$here/disk/$name" ;;
    esac
    case " $(cat "$here/full_scratch") " in
      *" $name "*) fill "$here/scratch"; cat /dev/zero >"$here/scratch/full" 2>/dev/null || true ;;
    esac
    exec "$@"
  ' daemon "$DIR" "$name" "$@" </dev/null >>"$DIR/$name.out" 2>&1 &
}

# Print the first of four free ports that follow each other, below those that the system gives out.
ports() {
  python3 - <<'END'
import random, socket
while True:
    first = random.randrange(12000, 32000, 4)
    try:
        for port in range(first, first + 4):
            with socket.socket() as s:
                s.bind(("", port))
        break
    except OSError:
        pass
print(first)
END
}

configure() {
  local port
  port=$(ports)
  cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort=$port
SlurmUser=root
AuthType=auth/munge
# A requeued job waits until its credential has expired: 120 s unless set.
AuthInfo=socket=$DIR/munge/socket,cred_expire=6
StateSaveLocation=$DIR/disk/controller
SlurmdSpoolDir=$DIR/disk/%n
SlurmctldPidFile=$DIR/controller.pid
SlurmdPidFile=$DIR/%n.pid
SlurmctldLogFile=$DIR/controller.log
SlurmdLogFile=$DIR/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MailProg=/bin/true
SlurmdParameters=config_overrides
GresTypes=gpu
JobRequeue=1
ReturnToService=2
SlurmdTimeout=5
MessageTimeout=5
TCPTimeout=2
KillWait=15
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
NodeName=n[1-3] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 3))] CPUs=2 RealMemory=4000 Gres=gpu:2
PartitionName=DEFAULT Nodes=ALL State=UP
PartitionName=debug Default=YES PriorityTier=1 GraceTime=20
PartitionName=urgent PriorityTier=10 PreemptMode=OFF MaxTime=60
END
  echo 'NodeName=n[1-3] Name=gpu File=/dev/tty[0-1]' >"${SLURM_CONF%/*}/gres.conf"
}

# Wait until a command succeeds.
await() {
  for _ in {1..200}; do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  echo "timed out: $*" >&2
  tail -n 5 "$DIR"/*.out "$DIR"/*.log >&2 || true
  return 1
}

idle() {
  local name
  for name in "$@"; do
    [ "$(sinfo -h -N -n "$name" -p debug -o %T)" = idle ] || return 1
  done
}

fill_spool() {
  local pid
  for pid in $(seers "$DIR/disk/$1 "); do
    nsenter -m -t "$pid" bash -c 'cat /dev/zero >"$1/full"' fill "$DIR/disk/$1" 2>/dev/null || true
    return
  done
}

# Start a node; a full disk of its daemon is filled once that has started.
node() {
  daemon "$1" slurmd -D -N "$1"
}

began() {
  cut -d ' ' -f 22 "/proc/$1/stat" 2>/dev/null || true
}

# End the cluster when its owner is gone.
watch() {
  local since
  since=$(began "$1")
  while [ -e "$DIR/owner" ]; do
    if [ -z "$since" ] || [ "$(began "$1")" != "$since" ]; then
      exec "$0" down "$DIR"
    fi
    sleep 1
  done
}

up() {
  local name
  mkdir -p "$DIR/scratch" "$DIR/disk" "$DIR/munge"
  chmod 700 "$DIR/munge"
  echo "${OWNER:-$PPID}" >"$DIR/owner"
  setsid "$0" watch "$DIR" "${OWNER:-$PPID}" </dev/null >/dev/null 2>&1 &
  echo "${FULL_SCRATCH:-}" >"$DIR/full_scratch"
  echo "${FULL_SPOOL:-}" >"$DIR/full_spool"
  configure
  head -c 128 /dev/urandom >"$DIR/munge/key"
  chmod 600 "$DIR/munge/key"
  daemon munge munged --foreground --force --key-file="$DIR/munge/key" \
    --socket="$DIR/munge/socket" --pid-file="$DIR/munge/pid" --seed-file="$DIR/munge/seed" \
    --log-file="$DIR/munge/log"
  await munge -n -S "$DIR/munge/socket"
  daemon controller slurmctld -D -i
  for name in n1 n2 n3; do node "$name"; done
  await idle n1 n2 n3
  for name in ${FULL_SPOOL:-}; do fill_spool "$name"; done
}

down() {
  rm -f "$DIR/owner"
  unplug "$DIR/disk/"
}

[ $# -ge 2 ] || { sed -n '2,14s/^# \?//p' "$0"; exit 2; }
DIR=$(realpath -m "$2")
export SLURM_CONF=$DIR/slurm.conf
case $1 in
  up) up ;;
  down) down ;;
  node)
    node "$3"
    await idle "$3"
    case " $(cat "$DIR/full_spool") " in *" $3 "*) fill_spool "$3" ;; esac
    ;;
  kill) unplug "$DIR/disk/$3 " ;;
  watch) watch "$3" ;;
  *) exit 2 ;;
esac
