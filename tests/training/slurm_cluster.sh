#!/bin/bash
# A real Slurm of three virtual nodes, n1 to n3, on this host, for tests.
#
#   slurm_cluster.sh up DIR         starts it (OWNER: process that it may not outlive, the caller)
#   slurm_cluster.sh down DIR       ends it; may be called again
#   slurm_cluster.sh node DIR NAME  starts a node again, and takes it out of drain
#   slurm_cluster.sh kill DIR NAME  ends a node with all that runs on it, as a power cut would
#
# At `up` and at `node`, FULL_SCRATCH="n3" and FULL_SPOOL="n2 n3" name nodes whose DIR/scratch, or whose slurmd's
# own folder, lies on a disk without space.
set -eu
export PATH=$PATH:/usr/sbin:/sbin
. "$(dirname "$0")/namespaces.sh"

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
NodeName=n[1-3] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 3))] \
  CPUs=2 RealMemory=4000 Gres=gpu:2
PartitionName=DEFAULT Nodes=ALL State=UP
PartitionName=debug Default=YES PriorityTier=1 GraceTime=20
PartitionName=urgent PriorityTier=10 PreemptMode=OFF MaxTime=60
END
  echo 'NodeName=n[1-3] Name=gpu File=/dev/tty[0-1]' >"$DIR/gres.conf"
}

authenticate() {
  mkdir -p -m 700 "$DIR/munge"
  (umask 077 && head -c 128 /dev/urandom >"$DIR/munge/key")
  daemon munge munged --foreground --force --key-file="$DIR/munge/key" \
    --socket="$DIR/munge/socket" --pid-file="$DIR/munge/pid" --seed-file="$DIR/munge/seed" \
    --log-file="$DIR/munge/log"
  await munge -n -S "$DIR/munge/socket"
}

node() {
  daemon "$1" slurmd -D -N "$1"
}

# Print when the daemon started that the controller knows of.
since() {
  scontrol show node "$1" | grep -o 'SlurmdStartTime=.*'
}

idle() {
  [ "$(sinfo -h -N -n "$1" -p debug -o %T)" = idle ]
}

registered() {
  [ "$(since "$1")" != "$2" ]
}

# Fill the full disk of a daemon that has started.
fill_spool() {
  if names "$DIR/full_spool" "$1"; then fill "$1"; fi
}

up() {
  local name
  own
  configure
  authenticate
  daemon controller slurmctld -D -i
  for name in n1 n2 n3; do node "$name"; done
  for name in n1 n2 n3; do
    await idle "$name"
    fill_spool "$name"
  done
}

again() {
  local before
  before=$(since "$1")
  remember
  node "$1"
  await registered "$1" "$before"
  scontrol update nodename="$1" state=resume 2>/dev/null || true  # refused where it need not be
  fill_spool "$1"
}

[ $# -ge 2 ] || { sed -n '2,11s/^# \?//p' "$0"; exit 2; }
DIR=$(realpath -m "$2")
export SLURM_CONF=$DIR/slurm.conf
case $1 in
  up) up ;;
  down) down ;;
  node) again "$3" ;;
  kill) unplug "$DIR/disk/$3 " ;;
  watch) watch "$3" "$4" ;;
  *) exit 2 ;;
esac
