# What the scripts that start clusters share. DIR is the folder of the cluster.
#
# Each daemon is alone in a mount namespace, in which DIR/disk/NAME is a mount point. Whatever it
# starts is in its namespace too, and so known by that mount, whoever its parent is.

# Print the processes that see the mount points whose names start with $1, the oldest first.
seers() {
  grep -lsF " $1" /proc/[0-9]*/mountinfo | cut -d / -f 3 | sort -n || true
}

# Kill them.
unplug() {
  local pids
  for _ in {1..50}; do
    pids=$(seers "$1")
    [ -n "$pids" ] || return 0
    # Parents go first, and so cannot tell anybody that a child ended.
    kill -KILL $pids 2>/dev/null || true
    sleep 0.05
  done
  echo "processes that cannot be killed: $pids" >&2
  return 1
}

# Whether file $1 names $2.
names() {
  case " $(cat "$1" 2>/dev/null) " in *" $2 "*) ;; *) return 1 ;; esac
}
export -f names

# Run a command as daemon $1.
daemon() {
  local name=$1
  shift
  mkdir -p "$DIR/disk/$name"
  setsid unshare -m bash -euc '
    dir=$1 name=$2
    shift 2
    cd "$dir"
    ulimit -c 0  # without space, slurmstepd aborts
    if names "$dir/full_spool" "$name"; then
      mount -t tmpfs -o size=64k tmpfs "$dir/disk/$name"
    else
      mount --bind "$dir/disk/$name" "$dir/disk/$name"
    fi
    if names "$dir/full_scratch" "$name"; then
      mount -t tmpfs -o size=64k tmpfs "$dir/scratch"
      cat /dev/zero >"$dir/scratch/full" 2>/dev/null || true
    fi
    exec "$@"
  ' daemon "$DIR" "$name" "$@" </dev/null >"$DIR/$name.out" 2>&1 &
}

# Fill the folder of daemon $1.
fill() {
  local pid
  pid=$(seers "$DIR/disk/$1 " | head -n 1)
  nsenter -m -t "$pid" bash -c 'cat /dev/zero >"$1/full"' fill "$DIR/disk/$1" 2>/dev/null || true
}

# Print the first of four free ports that follow each other, below those that the system gives out.
ports() {
  "${PYTHON:-python3}" - <<'END'
import random, socket

while True:
    first = random.randrange(12000, 32000, 4)
    try:
        for port in range(first, first + 4):
            with socket.socket() as s:
                s.bind(("", port))
    except OSError:
        continue
    print(first)
    break
END
}

# Wait until a command succeeds.
await() {
  local until=$((SECONDS + 60))
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $until ]; then
      echo "timed out: $*" >&2
      tail -v -n 5 "$DIR"/*.out >&2
      return 1
    fi
    sleep 0.1
  done
}

began() {
  cut -d ' ' -f 22 "/proc/$1/stat" 2>/dev/null || true
}

# Note the names of nodes with full disks, if they are given.
remember() {
  echo "${FULL_SCRATCH-$(cat "$DIR/full_scratch" 2>/dev/null)}" >"$DIR/full_scratch.new"
  echo "${FULL_SPOOL-$(cat "$DIR/full_spool" 2>/dev/null)}" >"$DIR/full_spool.new"
  mv "$DIR/full_scratch.new" "$DIR/full_scratch"
  mv "$DIR/full_spool.new" "$DIR/full_spool"
}

# Take the folder, and end the cluster when its owner is gone or the folder is given back.
own() {
  local owner=${OWNER:-$PPID}
  mkdir -p "$DIR/scratch" "$DIR/disk"
  remember
  echo "$owner" >"$DIR/owner"
  setsid "$0" watch "$DIR" "$owner" "$(began "$owner")" </dev/null >/dev/null 2>&1 &
}

watch() {
  while [ -e "$DIR/owner" ] && [ -n "$2" ] && [ "$(began "$1")" = "$2" ]; do sleep 1; done
  exec "$0" down "$DIR"
}

down() {
  rm -f "$DIR/owner"
  unplug "$DIR/disk/"
}
