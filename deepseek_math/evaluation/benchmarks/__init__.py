"""The benchmarks that DeepSeekMath's numbers were published on: one file each, one table here."""

from deepseek_math.evaluation.benchmark import Benchmark
from deepseek_math.evaluation.benchmarks import (
    cmath,
    gaokao_mathcloze,
    gaokao_mathqa,
    gsm8k,
    math,
    mgsm_zh,
    mmlu_stem,
    ocw,
    sat,
)

BENCHMARKS: dict[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (gsm8k, math, mgsm_zh, cmath, sat, ocw, mmlu_stem, gaokao_mathcloze, gaokao_mathqa)
}
