"""What does a worker do with its device? Loop, stacks, trunks, overhead, compiling, resuming.

Every comparison is timed in turns in one run and given as the median of the ratios of its rounds.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import tempfile
import time
from pathlib import Path

import common
import worker_loops
import worker_steps
import worker_sweeps
from worker_common import Context, device_name

PARTS = {  # what each answers, and its share of the time that is left when it begins
    "compile": (worker_steps.compiling, 0.25),
    "nanogpt": (worker_loops.measure, 0.55),
    "stack": (worker_steps.stacking, 0.4),
    "overhead": (worker_sweeps.overhead, 1.0),
    "trunks": (worker_sweeps.trunks, 0.6),
    "resume": (worker_sweeps.resume, 1.0),
}


def main():
    parser = common.options(__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", default="all", choices=["all", *PARTS])
    parser.add_argument("--device", type=device_name, default="cpu", help="cpu or cuda")
    parser.add_argument("--nanogpt", type=Path, help="checkout of github.com/karpathy/nanoGPT")
    parser.add_argument("--rounds", type=int, help="of each comparison")
    parser.add_argument("--minutes", type=float, help="for all; 9 on a GPU, no limit on a CPU")
    args = parser.parse_args()
    if args.part == "nanogpt" and args.nanogpt is None:
        parser.error("nanogpt needs --nanogpt DIR")
    cuda = args.device.type == "cuda"
    minutes = args.minutes or (9.0 if cuda else float("inf"))
    end = time.monotonic() + 60.0 * minutes
    with tempfile.TemporaryDirectory() as cache:
        if args.part == "all":  # what one part compiles, the next one finds
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        for name in PARTS if args.part == "all" else [args.part]:
            if name == "nanogpt" and args.nanogpt is None:
                print("nanogpt: left out, for want of --nanogpt DIR\n")
                continue
            measure, share = PARTS[name]
            now = time.monotonic()
            until = now + share * (end - now)
            title, blocks = measure(Context(args.device, args.nanogpt, args.rounds, until))
            page = f"worker_{name}" + ("_cuda" if cuda else "")
            common.publish(page, title, blocks, write=args.write, extra=("torch",))
            print(flush=True)


if __name__ == "__main__":
    main()
