"""The works that laws, methods and published values cite: one entry each, by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ARXIV = "https://arxiv.org/abs/"


@dataclass(frozen=True)
class Work:
    """One cited work.

    Attributes
    ----------
    key : str
        Key in BibTeX.
    kind : str
        Type of the entry: ``article``, ``inproceedings``, ``book`` or ``misc``.
    author, title : str
        As BibTeX takes them: authors joined by ``and``, the rest of many as ``others``.
    year : int
    fields : mapping
        Venue: journal, booktitle, publisher, volume, number, pages, eprint, url.
    mark : str
        Word of the title that a citation must name beside author and year, where two works share
        them; empty otherwise.
    """

    key: str
    kind: str
    author: str
    title: str
    year: int
    fields: Mapping[str, str] = field(default_factory=dict)
    mark: str = ""

    @property
    def names(self) -> str:
        """Family names as a citation says them: one, two, or the first with "et al."."""
        people = [_family(name) for name in self.author.split(" and ")]
        if len(people) == 1:
            return people[0]
        if len(people) == 2 and people[1] != "others":
            return " and ".join(people)
        return f"{people[0]} et al."

    @property
    def short(self) -> str:
        """Citation in the text, such as ``Hoffmann et al. (2022)``."""
        return f"{self.names} ({self.year})"

    @property
    def text(self) -> str:
        """One line for a list of references."""
        venue = next((self.fields[k] for k in ("journal", "booktitle", "publisher") if k in
                      self.fields), "")  # fmt: skip
        number = f"arXiv:{self.fields['eprint']}" if "eprint" in self.fields else ""
        parts = [f"{self.short}, {_plain(self.title)}", _plain(venue), number]
        return ", ".join(part for part in parts if part) + "."

    @property
    def bibtex(self) -> str:
        """The entry."""
        told = {"author": self.author, "title": f"{{{self.title}}}", "year": str(self.year)}
        told |= self.fields
        if "eprint" in told:
            told |= {"archiveprefix": "arXiv", "url": ARXIV + told["eprint"]}
        lines = [f"  {name} = {{{value}}}," for name, value in told.items()]
        return "\n".join([f"@{self.kind}{{{self.key},", *lines, "}"])


def _family(name: str) -> str:
    name = name.strip()
    if name.startswith("{"):
        return _plain(name)
    return _plain(name.split(",")[0])


_LETTERS = {'{\\"a}': "ä", "{\\'e}": "é", "{\\'o}": "ó", "{\\l}": "ł"}


def _plain(text: str) -> str:
    for code, letter in _LETTERS.items():
        text = text.replace(code, letter)
    return text.replace("{", "").replace("}", "").replace("--", "-")


def _arxiv(
    key: str, author: str, title: str, year: int, eprint: str, venue: str = "", mark: str = ""
) -> Work:
    fields = {"booktitle": venue} if venue else {}
    kind = "inproceedings" if venue else "misc"
    return Work(key, kind, author, title, year, fields | {"eprint": eprint}, mark)


def _article(
    key: str, author: str, title: str, year: int, journal: str, volume: str, pages: str
) -> Work:
    volume, _, number = volume.partition(":")
    fields = {"journal": journal, "volume": volume, "number": number, "pages": pages}
    return Work(key, "article", author, title, year, {k: v for k, v in fields.items() if v})


def _book(key: str, author: str, title: str, year: int, publisher: str) -> Work:
    return Work(key, "book", author, title, year, {"publisher": publisher})


_NEURIPS = "Advances in Neural Information Processing Systems"
_ICLR = "International Conference on Learning Representations"
_ICML = "International Conference on Machine Learning"
_CVPR = "IEEE/CVF Conference on Computer Vision and Pattern Recognition"

_SCALING = (
    _arxiv("hestness2017", "Hestness, Joel and Narang, Sharan and Ardalani, Newsha and others",
           "Deep Learning Scaling is Predictable, Empirically", 2017, "1712.00409"),
    _arxiv("mccandlish2018", "McCandlish, Sam and Kaplan, Jared and Amodei, Dario and others",
           "An Empirical Model of Large-Batch Training", 2018, "1812.06162"),
    _arxiv("kaplan2020", "Kaplan, Jared and McCandlish, Sam and Henighan, Tom and others",
           "Scaling Laws for Neural Language Models", 2020, "2001.08361"),
    _arxiv("henighan2020", "Henighan, Tom and Kaplan, Jared and Katz, Mor and others",
           "Scaling Laws for Autoregressive Generative Modeling", 2020, "2010.14701"),
    _arxiv("hernandez2021", "Hernandez, Danny and Kaplan, Jared and Henighan, Tom and "
           "McCandlish, Sam", "Scaling Laws for Transfer", 2021, "2102.01293"),
    _arxiv("hutter2021", "Hutter, Marcus", "Learning Curve Theory", 2021, "2102.04074"),
    _arxiv("zhai2022", "Zhai, Xiaohua and Kolesnikov, Alexander and Houlsby, Neil and "
           "Beyer, Lucas", "Scaling Vision Transformers", 2022, "2106.04560", _CVPR),
    _arxiv("clark2022", "Clark, Aidan and de las Casas, Diego and Guy, Aurelia and others",
           "Unified Scaling Laws for Routed Language Models", 2022, "2202.01169", _ICML),
    _arxiv("yang2022", "Yang, Greg and Hu, Edward J. and Babuschkin, Igor and others",
           "Tensor Programs {V}: Tuning Large Neural Networks via Zero-Shot Hyperparameter "
           "Transfer", 2022, "2203.03466"),
    _arxiv("hoffmann2022", "Hoffmann, Jordan and Borgeaud, Sebastian and Mensch, Arthur and "
           "others", "Training Compute-Optimal Large Language Models", 2022, "2203.15556",
           _NEURIPS),
    _arxiv("alabdulmohsin2022", "Alabdulmohsin, Ibrahim and Neyshabur, Behnam and Zhai, Xiaohua",
           "Revisiting Neural Scaling Laws in Language and Vision", 2022, "2209.06640", _NEURIPS),
    _arxiv("caballero2023", "Caballero, Ethan and Gupta, Kshitij and Rish, Irina and "
           "Krueger, David", "Broken Neural Scaling Laws", 2023, "2210.14891", _ICLR),
    _arxiv("cherti2023", "Cherti, Mehdi and Beaumont, Romain and Wightman, Ross and others",
           "Reproducible Scaling Laws for Contrastive Language-Image Learning", 2023,
           "2212.07143", _CVPR),
    _arxiv("muennighoff2023", "Muennighoff, Niklas and Rush, Alexander M. and Barak, Boaz and "
           "others", "Scaling Data-Constrained Language Models", 2023, "2305.16264", _NEURIPS),
    _arxiv("sardana2024", "Sardana, Nikhil and Portes, Jacob and Doubov, Sasha and "
           "Frankle, Jonathan", "Beyond {Chinchilla}-Optimal: Accounting for Inference in Language "
           "Model Scaling Laws", 2024, "2401.00448", _ICML),
    _arxiv("deepseek2024", "{DeepSeek-AI}", "{DeepSeek} {LLM}: Scaling Open-Source Language "
           "Models with Longtermism", 2024, "2401.02954"),
    _arxiv("lin2024", "Lin, Haowei and Huang, Baizhou and Ye, Haotian and others",
           "Selecting Large Language Model to Fine-tune via Rectified Scaling Law", 2024,
           "2402.02314", _ICML, mark="Selecting"),
    _arxiv("krajewski2024", "Krajewski, Jakub and Ludziejewski, Jan and Adamczewski, Kamil and "
           "others", "Scaling Laws for Fine-Grained Mixture of Experts", 2024, "2402.07871",
           _ICML),
    _arxiv("gadre2024", "Gadre, Samir Yitzhak and Smyrnis, Georgios and Shankar, Vaishaal and "
           "others", "Language Models Scale Reliably with Over-Training and on Downstream Tasks",
           2024, "2403.08540"),
    _arxiv("ye2024", "Ye, Jiasheng and Liu, Peiju and Sun, Tianxiang and others",
           "Data Mixing Laws: Optimizing Data Mixtures by Predicting Language Modeling "
           "Performance", 2024, "2403.16952"),
    _arxiv("besiroglu2024", "Besiroglu, Tamay and Erdil, Ege and Barnett, Matthew and You, Josh",
           "{Chinchilla} Scaling: A Replication Attempt", 2024, "2404.10102"),
    _arxiv("hagele2024", "H{\\\"a}gele, Alexander and Bakouch, Elie and Kosson, Atli and others",
           "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", 2024,
           "2405.18392", _NEURIPS),
    _arxiv("porian2024", "Porian, Tomer and Wortsman, Mitchell and Jitsev, Jenia and others",
           "Resolving Discrepancies in Compute-Optimal Scaling of Language Models", 2024,
           "2406.19146", _NEURIPS),
    _arxiv("tao2024", "Tao, Chaofan and Liu, Qian and Dou, Longxu and others",
           "Scaling Laws with Vocabulary: Larger Models Deserve Larger Vocabularies", 2024,
           "2407.13623", _NEURIPS),
    _arxiv("dubey2024", "Dubey, Abhimanyu and others", "The {Llama} 3 Herd of Models", 2024,
           "2407.21783"),
    _arxiv("brown2024", "Brown, Bradley and Juravsky, Jordan and Ehrlich, Ryan and others",
           "Large Language Monkeys: Scaling Inference Compute with Repeated Sampling", 2024,
           "2407.21787"),
    _arxiv("tissue2024", "Tissue, Howe and Wang, Venus and Wang, Lu",
           "Scaling Law with Learning Rate Annealing", 2024, "2408.11029"),
    _arxiv("kumar2024", "Kumar, Tanishq and Ankner, Zachary and Spector, Benjamin F. and others",
           "Scaling Laws for Precision", 2024, "2411.04330"),
    _arxiv("bhagia2024", "Bhagia, Akshita and Liu, Jiacheng and Wettig, Alexander and others",
           "Establishing Task Scaling Laws via Compute-Efficient Model Ladders", 2024,
           "2412.04403"),
    _arxiv("abnar2025", "Abnar, Samira and Shah, Harshay and Busbridge, Dan and others",
           "Parameters vs {FLOPs}: Scaling Laws for Optimal Sparsity for Mixture-of-Experts "
           "Language Models", 2025, "2501.12370"),
    _arxiv("ludziejewski2025", "Ludziejewski, Jan and Pi{\\'o}ro, Maciej and Krajewski, Jakub "
           "and others", "Joint {MoE} Scaling Laws: Mixture of Experts Can Be Memory Efficient",
           2025, "2502.05172", _ICML),
    _arxiv("li2025survey", "Li, Margaret and Kudugunta, Sneha and Zettlemoyer, Luke",
           "({Mis})Fitting: A Survey of Scaling Laws", 2025, "2502.18969", _ICLR,
           mark="Fitting: A Survey"),
    _arxiv("li2025step", "Li, Houyi and Zheng, Wenzhen and Hu, Jingcheng and others",
           "Predictable Scale: Part {I} -- Optimal Hyperparameter Scaling Law in Large Language "
           "Model Pretraining", 2025, "2503.04715", mark="Part I,"),
    _arxiv("luo2025", "Luo, Kairong and Wen, Haodong and Hu, Shengding and others",
           "A Multi-Power Law for Loss Curve Prediction Across Learning Rate Schedules", 2025,
           "2503.12811", _ICLR),
    _arxiv("chen2025", "Chen, Mouxiang and Hui, Binyuan and Cui, Zeyu and others",
           "Parallel Scaling Law for Language Models", 2025, "2505.10475"),
    _arxiv("li2025farseer", "Li, Houyi and Zheng, Wenzhen and Wang, Qiufeng and others",
           "Predictable Scale: Part {II}, {Farseer}: A Refined Scaling Law in Large Language "
           "Models", 2025, "2506.10972", mark="Farseer"),
    _arxiv("khatri2025", "Khatri, Devvrit and Madaan, Lovish and Tiwari, Rishabh and others",
           "The Art of Scaling Reinforcement Learning Compute for {LLMs}", 2025, "2510.13786"),
    _arxiv("videau2026", "Videau, Mathurin and Youbi-Idrissi, Badr and Lopez-Paz, David and "
           "Ahuja, Kartik", "Skaling: {Chinchilla}'s Exponents Meet {Kaplan}'s Coupling", 2026,
           "2608.07222"),
)  # fmt: skip

_STATISTICS = (
    _article("fieller1954", "Fieller, E. C.", "Some Problems in Interval Estimation", 1954,
             "Journal of the Royal Statistical Society B", "16:2", "175--185"),
    _article("marquardt1963", "Marquardt, Donald W.", "An Algorithm for Least-Squares Estimation "
             "of Nonlinear Parameters", 1963, "Journal of the Society for Industrial and Applied "
             "Mathematics", "11:2", "431--441"),
    _article("huber1964", "Huber, Peter J.", "Robust Estimation of a Location Parameter", 1964,
             "The Annals of Mathematical Statistics", "35:1", "73--101"),
    _article("akima1970", "Akima, Hiroshi", "A New Method of Interpolation and Smooth Curve "
             "Fitting Based on Local Procedures", 1970, "Journal of the ACM", "17:4", "589--602"),
    _article("patterson1971", "Patterson, H. D. and Thompson, R.", "Recovery of Inter-Block "
             "Information when Block Sizes are Unequal", 1971, "Biometrika", "58:3", "545--554"),
    _article("golub1973", "Golub, G. H. and Pereyra, V.", "The Differentiation of Pseudo-Inverses "
             "and Nonlinear Least Squares Problems Whose Variables Separate", 1973,
             "SIAM Journal on Numerical Analysis", "10:2", "413--432"),
    _article("schwarz1978", "Schwarz, Gideon", "Estimating the Dimension of a Model", 1978,
             "The Annals of Statistics", "6:2", "461--464"),
    _article("efron1979", "Efron, B.", "Bootstrap Methods: Another Look at the Jackknife", 1979,
             "The Annals of Statistics", "7:1", "1--26"),
    _article("dennis1981", "Dennis, John E. and Gay, David M. and Welsch, Roy E.",
             "An Adaptive Nonlinear Least-Squares Algorithm", 1981,
             "ACM Transactions on Mathematical Software", "7:3", "348--368"),
    _article("white1982", "White, Halbert", "Maximum Likelihood Estimation of Misspecified Models",
             1982, "Econometrica", "50:1", "1--25"),
    _article("mackinnon1985", "MacKinnon, James G. and White, Halbert", "Some "
             "Heteroskedasticity-Consistent Covariance Matrix Estimators with Improved Finite "
             "Sample Properties", 1985, "Journal of Econometrics", "29:3", "305--325"),
    _article("self1987", "Self, Steven G. and Liang, Kung-Yee", "Asymptotic Properties of Maximum "
             "Likelihood Estimators and Likelihood Ratio Tests Under Nonstandard Conditions",
             1987, "Journal of the American Statistical Association", "82:398", "605--610"),
    _article("venzon1988", "Venzon, D. J. and Moolgavkar, S. H.", "A Method for Computing "
             "Profile-Likelihood-Based Confidence Intervals", 1988, "Applied Statistics", "37:1",
             "87--94"),
    _article("hurvich1989", "Hurvich, Clifford M. and Tsai, Chih-Ling", "Regression and Time "
             "Series Model Selection in Small Samples", 1989, "Biometrika", "76:2", "297--307"),
    _book("efron1993", "Efron, Bradley and Tibshirani, Robert J.", "An Introduction to the "
          "Bootstrap", 1993, "Chapman and Hall"),
    _book("draper1998", "Draper, Norman R. and Smith, Harry", "Applied Regression Analysis", 1998,
          "Wiley"),
    _article("tashman2000", "Tashman, Leonard J.", "Out-of-Sample Tests of Forecasting Accuracy: "
             "An Analysis and Review", 2000, "International Journal of Forecasting", "16:4",
             "437--450"),
    _book("atkinson2007", "Atkinson, Anthony C. and Donev, Alexander N. and Tobias, Randall D.",
          "Optimum Experimental Designs, with {SAS}", 2007, "Oxford University Press"),
    _article("field2007", "Field, C. A. and Welsh, A. H.", "Bootstrapping Clustered Data", 2007,
             "Journal of the Royal Statistical Society B", "69:3", "369--390"),
    _article("cameron2008", "Cameron, A. Colin and Gelbach, Jonah B. and Miller, Douglas L.",
             "Bootstrap-Based Improvements for Inference with Clustered Errors", 2008,
             "The Review of Economics and Statistics", "90:3", "414--427"),
    _book("huber2009", "Huber, Peter J. and Ronchetti, Elvezio M.", "Robust Statistics", 2009,
          "Wiley"),
    _article("yao2018", "Yao, Yuling and Vehtari, Aki and Simpson, Daniel and Gelman, Andrew",
             "Using Stacking to Average {Bayesian} Predictive Distributions", 2018,
             "Bayesian Analysis", "13:3", "917--1007"),
    _article("webb2023", "Webb, Matthew D.", "Reworking Wild Bootstrap-Based Inference for "
             "Clustered Errors", 2023, "Canadian Journal of Economics", "56:3", "839--858"),
)  # fmt: skip

_SOFTWARE = (
    Work("scalingstudy", "misc", "{The scaling-study authors}",
         "scaling-study: Plan, Train, Fit and Report Scaling-Law Studies", 2026,
         {"note": "Software, version 0.1.0"}),
)  # fmt: skip

WORKS: Mapping[str, Work] = {w.key: w for w in (*_SCALING, *_STATISTICS, *_SOFTWARE)}
