"""The terms of the field, in one place: for the "?" at each view, and for the page Glossary."""

from __future__ import annotations

from dataclasses import asdict, dataclass

#: The papers that terms are taken from, as they are cited.
SADAM = "Xu, She, Jin, Wang, ICML 2026, arXiv 2605.29547"
SAMPLING = "Burke, Lewis, Overton 2005, SIAM Journal on Optimization 15, gradient sampling"
OURS = "Chatterscope's own; the README says what was measured"


@dataclass(frozen=True)
class Term:
    """One entry.

    Args:
        title: as the page writes it.
        text: the definition, and what it does not say.
        formula: in plain letters, or "".
        source: the paper and its place.
    """

    title: str
    text: str
    formula: str
    source: str


TERMS: dict[str, Term] = {
    "direction": Term(
        "Direction",
        "A random vector along which the loss is probed. Each tensor's part has length 1, as in "
        "the released code, or all parameters together do, as the paper writes it.",
        "uᵢ = zᵢ / ‖zᵢ‖, zᵢ normal",
        f"{SADAM}, Algorithm 1 and released code",
    ),
    "probe": Term(
        "Probe",
        "One more forward pass, a radius σ away along a direction, on the same mini-batch. S-Adam "
        "takes k of them a step.",
        "Dᵢ = (f(θ + σuᵢ) − f(θ)) / σ, i = 1 … k",
        f"{SADAM}, Algorithm 1",
    ),
    "lgi": Term(
        "LGI, the paper's instability",
        "How much the probes scatter, as a share of their mean square. On any slope its mean is 1, "
        "for every k and every number of parameters; on a kink of all of them it falls. Bright is "
        "not rough.",
        "ρ = Var(D) / (mean(D²) + ζ); at most k / (k − 1); 0 at k 1",
        f"{SADAM}, Algorithm 1",
    ),
    "variance": Term(
        "Variance of the slopes",
        "The numerator of LGI alone, not divided by the slope.",
        "Var(D), unbiased over the k probes",
        f"{SADAM}, Algorithm 1",
    ),
    "damping": Term(
        "Damping",
        "The factor that S-Adam's step is multiplied with. On a slope of many parameters it is "
        "close to a random factor of mean 0.31 at k 2 and λ 2.",
        "a = exp(−λ min(ρ, 10))",
        f"{SADAM}, Algorithm 1",
    ),
    "lane": Term(
        "Lane, optimizer",
        "One optimizer with its settings. All lanes start from the same weights and see the same "
        "batches; S-Adam and its controls share their probes' draws.",
        "",
        OURS,
    ),
    "control": Term(
        "Control",
        "A lane that damps as S-Adam does but cannot see the geometry: a smaller step has the "
        "recent mean damping, swapped takes another seed's, random law draws it anew.",
        "smaller: a = mean of the last 32; swapped: a of seed s + 1; random law: "
        "ρ = k/(k − 1) · Beta((k − 1)/2, ½)",
        OURS,
    ),
    "seed": Term(
        "Seed",
        "What initial weights, batches and probes are drawn from. Over several seeds the table has "
        "paired differences to one lane, with a 90% t interval, from 32 seeds on a bootstrap.",
        "mean(d) ± t · sd(d) / √n, d the differences of n seeds",
        "Student 1908; Efron and Tibshirani 1993",
    ),
    "slice": Term(
        "Loss slice",
        "The real loss on a plane through the parameters, with every path projected on it. A "
        "smooth arc there is not calm: stairs show at the scale of one step.",
        "f(θ₀ + a·d₁ + b·d₂)",
        "Li, Xu, Taylor, Studer, Goldstein 2018, arXiv 1712.09913, equation 1",
    ),
    "map": Term(
        "Instability map",
        "A measure at each point of the slice's plane, with probes in all directions, not only "
        "along the plane.",
        "measure(θ₀ + a·d₁ + b·d₂; k, σ)",
        OURS,
    ),
    "interpolation": Term(
        "The line between two networks",
        "The real loss at weights mixed of both. Its barrier is how far it rises above the "
        "straight line between the losses at the ends; none does not mean that the two are alike.",
        "max over t of f((1 − t)θ₀ + tθ₁) − (1 − t)f(θ₀) − tf(θ₁)",
        "Frankle, Dziugaite, Roy, Carbin 2020, Linear Mode Connectivity and the Lottery Ticket "
        "Hypothesis, arXiv 1912.05671",
    ),
    "fidelity": Term(
        "Plane fidelity",
        "How well the plane holds the paths: the share of their variance that lies on it, and the "
        "median error of the loss where they are projected to.",
        "1 − Σ‖θ − Pθ‖² / Σ‖θ − mean‖²; median |f(Pθ) − f(θ)|",
        OURS,
    ),
    "layer": Term(
        "Layer by layer",
        "Probes along directions that are zero outside of one layer, so that an instrument sees "
        "that layer alone.",
        "uᵢ = zᵢ / ‖zᵢ‖, zᵢ normal in one layer and 0 elsewhere",
        OURS,
    ),
    "ahead": Term(
        "One step ahead",
        "The real loss along the next update, from two steps back to three ahead. Dashed is the "
        "tangent that the gradient promises.",
        "f(θ + s·Δ) − f(θ), s from −2 to 3, Δ the next update",
        OURS,
    ),
    "promise": Term(
        "Promise",
        "The change of the loss that the gradient foretells of a step. It is broken where the loss "
        "rose though a fall was promised, on the same batch.",
        "promised = ∇f · Δ; kept = Σ real change / Σ promised change",
        OURS,
    ),
    "jump": Term(
        "Loss jump per step",
        "How far the loss on fixed samples moves from one step to the next. Calm is not accuracy.",
        "mean |Lₜ₊₁ − Lₜ|",
        OURS,
    ),
    "path": Term(
        "Path length and efficiency",
        "How far an optimizer went in all, and what share of it led away from the start: 1 is a "
        "straight line. Compare runs of as many steps.",
        "length = Σ‖θₜ₊₁ − θₜ‖; efficiency = ‖θ_T − θ₀‖ / length",
        OURS,
    ),
    "straight-through": Term(
        "Straight-through estimator, surrogate",
        "Rounding has slope 0 almost everywhere, so backward passes the gradient on as if it were "
        "not there. That is not the gradient of the loss: probes see the real stairs.",
        "forward: round(w · s) / s; backward: 1 within the clamp",
        "Bengio, Léonard, Courville 2013, arXiv 1308.3432",
    ),
    "levels": Term(
        "Weights changing level",
        "Quantized weights whose integer level a step changed, and one of them at its rounding "
        "edge.",
        "level = clamp(round(w · s)); 4 bit: s = 7 / (max|w| + 10⁻⁵)",
        f"{SADAM}, experiments",
    ),
    "oscillating": Term(
        "Oscillating weights",
        "Quantized weights that go back to the level that they came from more often than once in "
        "200 steps, as a moving average with momentum 0.01.",
        "fₜ = 0.01·oₜ + 0.99·fₜ₋₁, bias-corrected; 0101… has 1, a ramp 0",
        "Nagel, Fournarakis, Bondarenko, Blankevoort 2022, arXiv 2203.11086",
    ),
    "kink": Term(
        "Kink and jump",
        "At a kink the loss is continuous and its slope is not, as of |x| at 0 or a ReLU. At a "
        "jump the loss itself is not, as of rounded weights.",
        "",
        "Clarke 1983, Optimization and Nonsmooth Analysis",
    ),
    "subdifferential": Term(
        "Subdifferential",
        "All slopes that a loss has near a point, and every mean of them. Clarke's is that of the "
        "point itself, Goldstein's that of a ball of radius δ around it.",
        "∂f(θ) = conv{lim ∇f(θᵢ) : θᵢ → θ}; ∂_δ f(θ) = conv ∪ ∂f(ball(θ, δ))",
        "Clarke 1983, chapter 2; Goldstein 1977",
    ),
    "stationarity": Term(
        "Clarke stationarity",
        "Distance from 0 to the subdifferential: 0 at a minimum, a kink's as well, where no "
        "gradient is small. From m sampled gradients it is an upper bound.",
        "min ‖g‖, g in conv{∇f(θᵢ)}",
        SAMPLING,
    ),
    "diameter": Term(
        "Clarke diameter",
        "How far the slopes near a point lie apart. From samples it is a lower bound. Of a smooth "
        "loss it shrinks with δ, of a kink it stays; it does not see jumps.",
        "max ‖∇f(θᵢ) − ∇f(θⱼ)‖ over samples within δ",
        SAMPLING,
    ),
    "asymmetry": Term(
        "Asymmetry",
        "Do forward and backward changes fail to cancel? 0 on a smooth slope, 1 at a smooth "
        "minimum too, 0.71 for unrelated increments; never read alone.",
        "mean|D⁺ + D⁻| / mean(|D⁺| + |D⁻|)",
        OURS,
    ),
    "holder": Term(
        "Hölder exponent",
        "How the second difference shrinks with the radius: 2 smooth, 1 kink, 0 jump, at the "
        "singular point itself. Near many of them it lies between, so it is shown over r.",
        "slope of log mean|f(+r) − 2f + f(−r)| against log r",
        "Jaffard 2004, wavelet techniques in multifractal analysis",
    ),
    "roughness": Term(
        "Roughness",
        "A fourth difference, which slopes and curvature leave at 0, as a share of the change "
        "across it: the best here at telling smooth from rough away from the singular point.",
        "R₄(r) = mean|Δ⁴| / mean|f(+r) − f(−r)|, Δ⁴ = (1, −4, 6, −4, 1) at spacing r/2",
        OURS,
    ),
    "floor": Term(
        "Not resolved",
        "Below the noise of the arithmetic a difference says nothing, and no number is given; "
        "float64 resolves more.",
        "mean|Δ²| > 5√6 s, mean|Δ⁴| > 5√70 s, s = max(16 ε|f|, median|Δ⁴| / (0.6745 √70))",
        OURS,
    ),
    "flips": Term(
        "Gradient flips",
        "How often a fixed projection of the gradient changes its sign from one step to the next.",
        "share of gₜ · gₜ₊₁ < 0, outside a dead zone",
        OURS,
    ),
    "spectrum": Term(
        "Spectrum",
        "The power of fixed projections of the gradient or the update at each frequency, in cycles "
        "a step: 0.5 is to and fro at every step. Damping alone adds to the update's as applied, "
        "and batch noise raises it as rounding does.",
        "mean |FFT(segment)|², each divided by its running RMS",
        "Welch 1967, IEEE Transactions on Audio and Electroacoustics 15",
    ),
    "alpha": Term(
        "Cockpit's α",
        "Where a step ends on the parabola along it: −1 stays, 0 is the minimum, 1 the same height "
        "across. Slopes and losses of both ends are of the same batch.",
        "α = lr · h − 1 for gradient descent on h x²/2",
        "Schneider, Dangel, Hennig 2021, arXiv 2102.06604",
    ),
    "sharpness": Term(
        "Sharpness and its limit",
        "The largest eigenvalue of the Hessian, preconditioned for Adam's rule, as a share of the "
        "value from which a full-batch step on a parabola swings up.",
        "(2 + 2μ) / lr for SGD; (2 + 2β₁) / ((1 − β₁) · a · lr) for Adam's rule",
        "Cohen et al. 2021, arXiv 2103.00065; Cohen et al. 2022, arXiv 2207.14484",
    ),
    "auc": Term(
        "AUC",
        "The chance that a function of the rougher class reads rougher than one of the other. A "
        "coin has 0.5.",
        "P(score(rough) > score(calm)) + ½ P(equal)",
        "Hanley and McNeil 1982, Radiology 143",
    ),
}

#: What every instrument measures, where a table has all of them.
MEASURED = ("lgi", "variance", "asymmetry", "holder", "roughness")
#: Terms of each panel by its page; a menu of the panel adds the term of what it shows.
VIEWS: dict[str, dict[str, tuple[str, ...]]] = {
    "lab": {
        "table": ("seed",),
        "ahead": ("ahead", "promise", "straight-through"),
        "strips": ("lane",),
        "edge": ("levels", "kink"),
        "slice": ("slice", "fidelity"),
        "map": ("map",),
        "damping": ("damping", "lgi"),
        "spectrum": ("spectrum", "flips"),
    },
    "instruments": {
        "table": (*MEASURED, "diameter", "stationarity"),
        "slice": ("slice", "kink"),
        "radius": ("holder", "roughness", "diameter", "stationarity", "floor"),
        "byk": ("probe", "direction"),
        "histogram": ("seed",),
        "damping": ("damping", "lgi"),
    },
    "stationarity": {
        "table": ("stationarity",),
        "constant": ("stationarity", "subdifferential"),
        "falling": ("stationarity", "subdifferential"),
    },
    "score": {
        "scores": ("auc", *MEASURED, "diameter", "floor"),
        "auc": ("auc", "kink"),
    },
    "checkpoint": {
        "figures": (*MEASURED, "diameter", "stationarity", "sharpness"),
        "layers": ("layer", *MEASURED, "floor"),
        "ahead": ("ahead", "promise", "straight-through", "damping"),
        "layer-radius": ("layer", "roughness", "holder", "floor"),
        "slice": ("slice",),
        **{f"map-{name}": ("map", name) for name in ("lgi", "asymmetry", "roughness")},
        "radius": ("holder", "roughness", "diameter", "stationarity", "floor"),
        "byk": ("probe", "direction"),
        **{f"draws-{name}": (name, "direction") for name in MEASURED},
        "damping": ("damping", "lgi"),
        "between": ("interpolation", "roughness"),
        "between-plane": ("slice", "interpolation"),
    },
    "comparison": {
        "figures": ("lane", "seed", "control", "jump"),
        "layers": ("lane", "control"),
        "differences": ("seed", "control"),
        "ends": ("seed", "lane"),
        "loss": ("lane", "seed"),
        "tuning": ("lane",),
    },
}
#: A run as a file has the lab's panels, and its table by another name.
VIEWS["run"] = VIEWS["lab"] | {"lanes": VIEWS["lab"]["table"]}
#: Terms of what a menu calls otherwise; "along-" in front changes no meaning.
ALIASES: dict[str, tuple[str, ...]] = {
    "broken": ("promise",),
    "kept": ("promise",),
    "relative": ("jump",),
    "loss": ("jump",),
    "chatter": ("jump", "promise", "levels", "flips", "damping"),
    "cost": ("path", "probe"),
    "oscillation": ("flips", "spectrum", "oscillating", "alpha", "sharpness"),
}


def as_json() -> dict[str, object]:
    """Everything, for help.js; `address` is that of the page Glossary, "" where there is none."""
    terms = {key: asdict(term) for key, term in TERMS.items()}
    return {"terms": terms, "views": VIEWS, "aliases": ALIASES, "address": "glossary"}
