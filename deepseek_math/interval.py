"""How far an accuracy measured on some questions may be from the one on all such questions."""

from math import sqrt

Z = 1.959963984540054  # of the normal distribution: 95 % lie within


def wilson(correct: int, questions: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of a share (Wilson 1927, JASA 22:209): honest near 0 and 1 too.

    `questions` is at least 1.
    """
    share, square = correct / questions, Z * Z
    centre = share + square / (2 * questions)
    half = Z * sqrt(share * (1 - share) / questions + square / (4 * questions**2))
    scale = 1 + square / questions
    low = 0.0 if correct == 0 else (centre - half) / scale
    high = 1.0 if correct == questions else (centre + half) / scale
    return low, high
