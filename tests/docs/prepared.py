"""What pages find in their folder: small files and a finished study, made once for all pages."""

import json
import shutil

import numpy as np

from tests.docs.blocks import ROOT
from tests.docs.program import scaling

QUICKSTART = ROOT / "sweeps" / "quickstart.toml"
TRUTH = {"E": 1.7, "A": 400.0, "B": 410.0, "alpha": 0.34, "beta": 0.28}


def loss(n, d, seed, compute=1.0):
    """Return losses of the law of `TRUTH` at `compute` times the FLOP, with seeded noise of 0.1%."""
    n, d = np.asarray(n) * compute**0.5, np.asarray(d) * compute**0.5
    clean = TRUTH["E"] + TRUTH["A"] / n ** TRUTH["alpha"] + TRUTH["B"] / d ** TRUTH["beta"]
    return clean * np.exp(0.001 * np.random.default_rng(seed).standard_normal(np.shape(clean)))


def grid():
    """Return N and D of six sizes by six lengths."""
    n, d = np.meshgrid(1e7 * 2.2 ** np.arange(6), 1e9 * 2.0 ** np.arange(6), indexing="ij")
    return n.ravel(), d.ravel()


def table(header, rows):
    """Return CSV."""
    lines = [",".join(x if isinstance(x, str) else f"{x:.6g}" for x in row) for row in rows]
    return "\n".join([header, *lines]) + "\n"


class Prepared:
    """Makes each thing once, and lays a copy of it into a page's folder."""

    def __init__(self, folder):
        self.folder = folder

    def lay(self, name, into):
        """Copy the thing called `name`; a folder may be asked for under another folder's name."""
        made = self.folder / name
        if not made.exists():
            made.parent.mkdir(parents=True, exist_ok=True)
            getattr(self, "make_" + name.replace(".", "_").replace("/", "_"))(made)
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if made.is_dir():
            shutil.copytree(made, target)
        else:
            shutil.copy(made, target)

    def run(self, *arguments):
        done = scaling(arguments, self.folder)
        assert done.code == 0, done.text

    def make_results_csv(self, path):
        n, d = grid()
        rows = zip(n, d, 6 * n * d, loss(n, d, 1), strict=True)
        path.write_text(table("params,tokens,flops,loss", rows))

    def make_fit_json(self, path):
        self.lay("results.csv", self.folder / "of-fit")
        self.run("fit", "of-fit/results.csv", "--bootstrap", "200", "-o", path.name)

    def make_recipes_csv(self, path):
        """Two recipes on one grid; the new one is worth 1.3 times the compute."""
        n, d = grid()
        rows = [
            (group, *row)
            for group, seed, worth in (("old", 1, 1.0), ("new", 2, 1.3))
            for row in zip(n, d, 6 * n * d, loss(n, d, seed, worth), strict=True)
        ]
        path.write_text(table("recipe,params,tokens,flops,loss", rows))

    def make_old(self, path):
        self._side(path)

    def make_new(self, path):
        self._side(path)

    def _side(self, path):
        self.lay("recipes.csv", path)
        self.run(
            "fit", f"{path.name}/recipes.csv", "--where", f'recipe == "{path.name}"',
            "--bootstrap", "200", "-o", f"{path.name}/fit.json",
        )  # fmt: skip

    def make_curves_csv(self, path):
        """Eight runs of two sizes, with a row for each of twelve points of their curves."""
        rows = []
        for i, n in enumerate((1e7, 2e7, 4e7, 8e7)):
            d = 1e8 * 2.0 ** np.arange(12)
            rows += [(f"run-{i}", n, x, y) for x, y in zip(d, loss(n, d, i), strict=True)]
        path.write_text(table("run,params,tokens,loss", rows))

    def make_study_toml(self, path):
        shutil.copy(QUICKSTART, path)

    def make_tiny_toml(self, path):
        """The quickstart with so few and so short runs that it trains in seconds."""
        text = QUICKSTART.read_text(encoding="utf-8")
        budgets = "budgets = [1e9, 2e9]\nsizes = [1.5e3, 3e3, 6e3]\n"
        design = '[design]\nkind = "isoflop"\n' + budgets
        path.write_text(text[: text.index("[design]")] + design + _after(text, "[design]"))

    def make_sweeps(self, path):
        path.mkdir()
        self.make_tiny_toml(path / "quickstart.toml")

    def make_out(self, path):
        self.make_tiny_toml(self.folder / "tiny-study.toml")
        self.run("study", "tiny-study.toml", "-o", path.name)

    def stand_ins(self):
        """Return what pages call by a name that only a run can give, and its name here."""
        plan = (self.folder / "out" / "plan.jsonl").read_text().splitlines()
        return {"3b78247": json.loads(plan[0])["id"][:7]}


def _after(text, section):
    """Return the sections of a study that follow one."""
    rest = text[text.index(section) + len(section) :]
    return "\n" + rest[rest.index("\n[") + 1 :]
