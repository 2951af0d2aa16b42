"""What each message code means and how to mend it; ``scaling explain`` and the site print this."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """What a code means, for `scaling explain`."""

    title: str
    cause: str
    mend: str


CODES: dict[str, Code] = {
    "SC001": Code(
        "missing extra",
        "The command needs an optional dependency that is not installed.",
        "Run the install line that the message prints.",
    ),
    "SC002": Code(
        "target exists",
        "The file to be written exists already and nothing is overwritten by default.",
        "Choose another name with -o, or pass --force.",
    ),
    "SC003": Code(
        "target not writable",
        "The folder is missing, read-only or full.",
        "Choose a writable target; free space; nothing was changed.",
    ),
    "SC004": Code(
        "option cannot be used",
        "An option has a value outside what it accepts, or contradicts another.",
        "See the command's --help for the accepted values.",
    ),
    "SC005": Code(
        "input not found",
        "The file or folder named on the command line does not exist or cannot be read.",
        "Check the path; `-` reads standard input.",
    ),
    "SC010": Code(
        "study file is not TOML",
        "The file cannot be parsed as TOML.",
        "Mend the line that the message names; https://toml.io describes the format.",
    ),
    "SC011": Code(
        "unknown key in a study file",
        "A section or key is not one that studies have, often a misspelling.",
        "Use the nearest name that the message suggests.",
    ),
    "SC012": Code(
        "value in a study file cannot be used",
        "A value has the wrong type or lies outside its range.",
        "Give a value of the kind that the message states.",
    ),
    "SC020": Code(
        "expression cannot be used",
        "A formula or condition uses a name, call or operator outside the whitelist.",
        "Use numbers, column or parameter names, + - * / **, comparisons, and, or, not, "
        "exp, expm1, log, log10, sqrt, abs, minimum, maximum, softplus.",
    ),
    "SC101": Code(
        "table cannot be read",
        "The file is empty, binary, not UTF-8, or its rows differ in length.",
        "Export it again as UTF-8 CSV with one header line.",
    ),
    "SC102": Code(
        "cell is not a number",
        "A numeric column holds text, often a unit, a thousands separator or a decimal comma.",
        "Write plain numbers such as 2431, 2.431 or 2.4e3.",
    ),
    "SC103": Code(
        "value out of range",
        "N, D, C and loss must be finite and positive; NaN, infinite, zero or negative are not.",
        "Correct the value, or leave the cell empty and set status to failed or diverged.",
    ),
    "SC104": Code(
        "missing loss",
        "A run counts as done but has no loss.",
        "Fill in the loss, or give the run a status other than done.",
    ),
    "SC105": Code(
        "missing column",
        "The table lacks a column that the question needs.",
        'Name it with --map, for example --map N=source["Model Size"].',
    ),
    "SC106": Code(
        "duplicate run id",
        "Two rows carry the same run id, so they cannot both be results of that run.",
        "Remove the stale row, or give each run its own id.",
    ),
    "SC107": Code(
        "duplicate rows",
        "Rows are identical in every column; copies count twice in fits.",
        "Remove them unless the runs were really repeated.",
    ),
    "SC108": Code(
        "duplicate header",
        "Two columns have the same name.",
        "Rename one of them.",
    ),
    "SC110": Code(
        "several columns could be meant",
        "More than one column could play the same role and guessing would be silent.",
        "Choose with --map ROLE=COLUMN.",
    ),
    "SC111": Code(
        "D derived from C and N",
        "The table has no D; D = C/(6N) was imputed, so errors in N enter D with opposite sign.",
        "Give D itself where it is known.",
    ),
    "SC112": Code(
        "C derived from N and D",
        "The table has no C; C = 6ND was used.",
        "Give C itself where it is known.",
    ),
    "SC113": Code(
        "C disagrees with 6ND",
        "The median of C/(N·D) is far from 6, as happens when a unit or factor is off.",
        "Check units (1e9, GFLOP, MACs, forward-only); state them with --map.",
    ),
    "SC114": Code(
        "convention not stated",
        "The table does not say which parameters N counts.",
        "State it with --convention, for example total, body+head or non-embedding.",
    ),
    "SC115": Code(
        "budgets found by clustering",
        "The table has no budget column; isoFLOP groups were found by clustering log C.",
        "Add a budget column to carry the planned budgets.",
    ),
    "SC120": Code(
        "rows left out",
        "Some rows do not enter the fit, each for a stated reason.",
        "They are listed with the fit; nothing is deleted.",
    ),
    "SC201": Code(
        "no size fits",
        "No model shape lies within tolerance of the requested size.",
        "Move the budget or widen the range of sizes.",
    ),
    "SC202": Code(
        "cell dropped from the plan",
        "A requested cell cannot be realised or repeats another one.",
        "See the reason given with the cell.",
    ),
    "SC203": Code(
        "few training steps",
        "A point trains for fewer than 200 steps, so the schedule may dominate its loss.",
        "Use a smaller batch or a larger budget.",
    ),
    "SC204": Code(
        "data repeated",
        "A point sees its data more than once.",
        "Use more data; up to about 4 epochs cost little, more cost much.",
    ),
    "SC205": Code(
        "few sizes at a budget",
        "Fewer than 5 sizes remain at a budget, too few to locate its minimum well.",
        "Ask for more sizes or a wider range.",
    ),
    "SC206": Code(
        "no calibration",
        "Seconds are unknown because this machine has not been measured.",
        "Run `scaling bench FILE.toml`.",
    ),
    "SC207": Code(
        "realised C off its budget",
        "Rounding D to whole steps moved C more than 2% away from its budget.",
        "Use a smaller batch or a larger budget.",
    ),
    "SC301": Code(
        "sweep is locked",
        "Another runner is working on this folder.",
        "Wait for it, or end it; a lock whose process is gone is cleared by itself.",
    ),
    "SC302": Code(
        "point failed",
        "A point raised an error or killed its process repeatedly.",
        "Read the error in its record; mend the cause; run again with --retry failed.",
    ),
    "SC303": Code(
        "point diverged",
        "A loss became non-finite or rose above its start.",
        "It is kept as a row and left out of fits; lower the learning rate to mend the recipe.",
    ),
    "SC304": Code(
        "folder holds another plan",
        "OUT was made by another plan; shared points are kept, others leave results.csv.",
        "Use another -o to keep the two apart.",
    ),
    "SC305": Code(
        "data changed",
        "The training data on this machine differ from those that were planned.",
        "Plan again on this machine: `scaling sweep plan`.",
    ),
    "SC306": Code(
        "device not available",
        "The requested device is not on this machine.",
        "Use --device cpu or auto.",
    ),
    "SC307": Code(
        "code changed",
        "The sweep was planned by another version of this package.",
        "Plan again, or run with the version that planned it.",
    ),
    "SC401": Code(
        "too few points",
        "There are not more points than free parameters, or hardly more.",
        "Add runs, or fit a law with fewer parameters.",
    ),
    "SC402": Code(
        "one D/N ratio",
        "All runs lie on one ray of constant D/N, where the exponents of N and D cannot be "
        "told apart.",
        "Add runs at other ratios of D to N, spanning at least a factor of 8.",
    ),
    "SC403": Code(
        "too few sizes or amounts of data",
        "Fewer than 4 distinct values of N or D.",
        "Add sizes; 5 or more spanning a factor of 10 are usual.",
    ),
    "SC404": Code(
        "parameter at its bound",
        "The best fit puts a parameter on the edge of its allowed range.",
        "Read it as a finding about that edge, widen the bound, or fix the parameter.",
    ),
    "SC405": Code(
        "not identified",
        "The data do not determine the parameters that the headline needs.",
        "Widen the ranges of N and D; see the other messages of the fit.",
    ),
    "SC406": Code(
        "minimum not bracketed",
        "The lowest loss of a budget lies at the edge of its sizes, or the curve bends downwards.",
        "Train larger or smaller models at that budget.",
    ),
    "SC407": Code(
        "starts disagree",
        "Independent starts of the optimiser did not reach the same objective.",
        "Raise the number of starts; treat the estimate with care.",
    ),
    "SC408": Code(
        "not converged",
        "The optimiser stopped before its gradient vanished.",
        "Raise the number of iterations or starts; report it if it persists.",
    ),
    "SC409": Code(
        "replicates failed",
        "More than 1% of the bootstrap replicates did not converge and were left out.",
        "Read the intervals as too narrow.",
    ),
    "SC410": Code(
        "extrapolation",
        "The question lies outside the runs: the factor says how far in compute.",
        "Trust decreases with the factor; above 100 treat as a guess.",
    ),
    "SC411": Code(
        "irreducible loss not separated",
        "The interval of E reaches 0 or the lowest loss seen.",
        "Do not quote E; predictions inside the range are less affected.",
    ),
    "SC412": Code(
        "few clusters",
        "Fewer than 12 independent clusters, where bootstrap intervals are too narrow.",
        "Add seeds or sizes; read the intervals as optimistic.",
    ),
    "SC413": Code(
        "approaches disagree",
        "Two approaches give exponents whose intervals do not overlap.",
        "Read the approaches side by side; the difference is a finding about method.",
    ),
    "SC414": Code(
        "residual trend",
        "Residuals rise or fall with N or D, so the law misses structure.",
        "Try another law; predictions at the edge are biased.",
    ),
    "SC415": Code(
        "correlated parameters",
        "A coefficient and its exponent are almost perfectly correlated.",
        "Quote predictions, not the coefficient.",
    ),
    "SC416": Code(
        "no intervals",
        "The fit was made without bootstrap replicates.",
        "Fit with --bootstrap 1000.",
    ),
    "SC417": Code(
        "too few budgets",
        "Fewer than 3 budgets have a bracketed minimum, too few for an exponent with an interval.",
        "Add budgets.",
    ),
    "SC418": Code(
        "parameter not pinned down",
        "The interval of a parameter that is not an exponent is wider than twice its estimate.",
        "Do not quote it; look at predictions, or hold it at a value from elsewhere.",
    ),
    "SC419": Code(
        "rival optimum",
        "A start ended at nearly the same objective with quite different parameters.",
        "The runs do not choose between them: quote what both agree on.",
    ),
    "SC420": Code(
        "uneven noise",
        "The size of the residuals rises or falls with a variable.",
        "Weight the rows (--weights, --noise), or compare logs instead of levels.",
    ),
    "SC421": Code(
        "clustered residuals",
        "Runs that share a value of a variable err together.",
        "Name what they share in the column trunk, so that intervals resample it whole.",
    ),
    "SC422": Code(
        "shared parameters",
        "Some parameters were fitted as the same in several groups.",
        "The objective and the intervals are those of all these groups together.",
    ),
    "SC423": Code(
        "wild intervals too narrow",
        "Residuals were flipped although the objective hardly sees their size.",
        "Use --delta auto, or --interval-method pairs.",
    ),
    "SC424": Code(
        "sizes wide or off centre",
        "The sizes of a budget reach far from its minimum, or lie mostly on one side of it, where "
        "a polynomial is biased.",
        "Use --minimum powers or spline, or train sizes about the minimum.",
    ),
    "SC425": Code(
        "expected bias of the curve",
        "The curve was fitted to noise-free losses of the fitted surface at the same sizes: it "
        "misses the surface's own minima by this much.",
        "Use --minimum powers; read the exponent of the surface beside it.",
    ),
    "SC430": Code(
        "question outside the law",
        "The law lacks a variable that the question is about, or has no optimum there.",
        "Ask the nearest question that the message names, or fit a law of N and D.",
    ),
    "SC431": Code(
        "loss out of reach",
        "The loss that was asked for lies below what the law reaches with any amount.",
        "Ask for a higher loss; an irreducible loss cannot be bought.",
    ),
    "SC432": Code(
        "data beyond the cap",
        "More data are needed than there are, and the law says nothing about repeated data.",
        "Ask at the data that are there, or fit a law of repeated data such as data-constrained.",
    ),
    "SC433": Code(
        "pairing of recipes",
        "Two groups are compared run by run where they share N and D; this says what was paired.",
        "Train both recipes on the same grid and seeds.",
    ),
    "SC434": Code(
        "winner's curse",
        "An envelope takes the lowest of noisy losses, so it lies below the mean of runs.",
        "Read its exponents beside those of the surface; add seeds.",
    ),
    "SC435": Code(
        "ranking of laws",
        "Laws are ranked by their error beyond rolling origins; a likelihood is a second opinion.",
        "Add larger runs; fit with --objective log-mse for AICc and BIC.",
    ),
    "SC436": Code(
        "curves cross",
        "One recipe is better at small compute and the other at large.",
        "Compare at the compute that you will spend (--at); a single scale would mislead.",
    ),
    "SC437": Code(
        "conclusion depends on the convention",
        "The exponents were computed under two meanings of C.",
        "Say which C an exponent is about; compare exponents of one convention only.",
    ),
    "SC438": Code(
        "sensitivity to the method",
        "The runs were fitted again with other objectives, thresholds, approaches, conventions and "
        "rows left out; this is how far the exponent goes.",
        "Where the spread exceeds the interval, quote the spread; the interval knows noise alone.",
    ),
    "SC900": Code(
        "internal error",
        "A fault of this package, not of your input.",
        "Please report it with the traceback that --verbose prints.",
    ),
}
