"""What judges said of answers, against the labels that people gave some of them.

It reads what is stored. It asks nothing, prints nothing and writes nothing.
"""

from themis_labels.agreement import Estimate, Rate, Scale, alpha, kappa, position_bias, self_agreement
from themis_labels.calibration import corrected_mean, corrected_share
from themis_labels.figures import METHODS, figures
from themis_labels.labelled import Labels, label_values
from themis_labels.measure import Corrected, JudgeMeasurement, measure_run
from themis_labels.reliability import Band, reliability

__all__ = [
    "METHODS",
    "Band",
    "Corrected",
    "Estimate",
    "JudgeMeasurement",
    "Labels",
    "Rate",
    "Scale",
    "alpha",
    "corrected_mean",
    "corrected_share",
    "figures",
    "kappa",
    "label_values",
    "measure_run",
    "position_bias",
    "reliability",
    "self_agreement",
]
