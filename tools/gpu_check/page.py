"""docs/gpu-results.md from what `gpu-check run` wrote."""

# Part of Seqmix, under the Apache License v2.0. SPDX-License-Identifier: Apache-2.0

from . import plan

_HOW = """`tools/gpu-check pack FOLDER` compiles every example that is lowered for CUDA, for its cases in their types, some of them in bf16 and f16, too, and runs the float64 interpreter on them. FOLDER goes to a machine with a GPU that has a
driver for CUDA 13, Python 3.9 or later, NumPy and PyTorch, and there `FOLDER/gpu-check run` checks and measures for at most eight minutes. `tools/gpu-check page RESULTS.json` makes this page of the results.json that it leaves in FOLDER.
Its exit status is 1 if a result is wrong. What has no time left is listed as not run, what has no kernels yet as not lowered."""

_CHECKED = """Each case runs as a whole, token by token, in two and three calls, with batch elements packed or packed sequences apart, with gaps between rows of tensors and carry, again and in a given workspace (the same bits), the last batch element
alone, and cut into three segments and parts. A result may differ from the oracle's by 2e-5 (f32 arithmetic) or 1e-12 (f64) of the array's largest magnitude and half a unit in its last place of storage; inputs are rounded to their type before the oracle sees them."""

_MEASURED = """Times are medians of replayed CUDA graphs of one call; bytes are those of inputs and outputs, once each. Published figures are those of FlashQLA for the forward
(and backward) pass of Gated DeltaNet on an H200 in bf16, by CUDA graphs, with fla 0.5.1 and FlashInfer 0.6.13; six shapes (B, T, H, D) are those of the benchmark of flash-linear-attention."""


def _table(head, rows):
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(['---'] * len(head))}|"]
    return "\n".join(lines + [f"| {' | '.join(map(str, row))} |" for row in rows]) + "\n"


def nothing_measured():
    """The page where no GPU was at hand."""
    parts = [f"# Results on GPUs\n\n**Nothing was measured yet**: no GPU was at hand. All that is known of these kernels comes from the emulator and from ptxas (`docs/architecture.md`, `docs/gpu-registers.md`, whose end says what is not lowered yet and why).\n\n{_HOW}\n",
             f"## What will be checked\n\n{_CHECKED}\nThe smallest cases also run under compute-sanitizer (memcheck and racecheck) where it is installed.\n",
             f"## What will be measured\n\n{_MEASURED} First the card's own peaks: a copy of 512 MiB and a product of 8192 x 8192 matrices in bf16.\n"]
    rows = list(plan.rows(lambda name: _Anything(name)))
    for part, title in plan.TITLES.items():
        own = [[row["id"], _published(row), _peers(row)] for row in rows if row["part"] == part]
        parts.append(f"### {title}\n\n{_table(('call', 'published on an H200, ms', 'beside it'), own)}")
    return "\n".join(parts)


class _Anything(str):
    """Stands for a source that the page does not show."""

    def count(self, *_):
        return 1

    def replace(self, *_):
        return self


def _published(row):
    return ", ".join(f"{name} {value:.3f}" for name, value in row.get("published", {}).items()) or ""


def _peers(row):
    if "source" not in row:
        return f"not lowered yet: {row['not_lowered']}"
    if "score" in row:
        return "SDPA, FlexAttention" if row["score"] == "causal" else "FlexAttention"
    return "copy bandwidth" if row["part"] == "scans" else ""


def _cell(value, form=".3f"):
    return format(value, form) if isinstance(value, (int, float)) else str(value)


def _error(results, dtypes, key):
    """The largest error in each type: "f32 3.1e-07, bf16 2.3e-03"."""
    by_dtype = {}
    for result in results:
        if key in result:
            by_dtype.setdefault(dtypes[result["id"]], []).append(result[key])
    largest = {name: "inf" if any(isinstance(value, str) for value in values) else f"{max(values):.1e}" for name, values in by_dtype.items()}
    return ", ".join(f"{name} {value}" for name, value in largest.items())


def _correctness(results):
    cases = {case["id"]: case for case in results["cases"]}
    by_example, dtypes = {}, {case["id"]: case["dtype"] for case in results["cases"]}
    for result in results["parts"].get("correctness", []):
        by_example.setdefault(cases[result["id"]]["example"], []).append(result)
    rows, wrong = [], []
    for example, own in sorted(by_example.items()):
        counts = {status: sum(result["status"] == status for result in own) for status in ("ok", "wrong", "failed", "not run")}
        verdict = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        ways = sorted({way for result in own for way in result.get("ways", [])})
        rows.append((example, len(own), _error(own, dtypes, "error"), _error(own, dtypes, "carry_error"), verdict, ", ".join(ways)))
        wrong += [f"- {result['id']}: {result['status']}: {result.get('detail', '')}" for result in own if result["status"] in ("wrong", "failed")]
    reasons = {}
    for case in results["cases"]:
        if "not_lowered" in case:
            reasons.setdefault(case["not_lowered"], {}).setdefault(case["example"], case)
    whole = []
    for why, examples in sorted(reasons.items()):
        names = (example if example not in by_example else f"some cases of {example}" for example in sorted(examples))
        whole.append(f"- {why}: {', '.join(names)}")
    text = f"## Correctness\n\n{_CHECKED}\n\n"
    text += _table(("example", "cases", "largest error", "of the carry", "result", "ways"), rows)
    if wrong:
        text += "\nWrong:\n\n" + "\n".join(wrong) + "\n"
    if whole:
        text += "\nNot lowered yet, and not checked:\n\n" + "\n".join(whole) + "\n"
    return text


def _measured(results, part):
    peaks = next(iter(results["parts"].get("peaks", [])), {})
    copy = peaks.get("copy_gbs")
    found = {result["id"]: result for result in results["parts"].get(part, [])}
    is_attention = part == "attention"
    rows = []
    for row in (row for row in results["rows"] if row["part"] == part):
        result = found.get(row["id"], {"status": "not lowered" if "not_lowered" in row else "not run", "detail": row.get("not_lowered", "")})
        ms = result.get("ms")
        if ms is None or result["status"] != "ok":
            first = f"{result['status']}: {result.get('detail', '')}".rstrip(": ")
        else:
            first = f"{ms:.3f}"
        if is_attention:
            speed = f"{result['flops'] / ms / 1e9:.0f}" if ms and "flops" in result else ""
            rows.append((row["id"], first, speed, *(_cell(result.get("peers", {}).get(name, "")) for name in ("SDPA", "FlexAttention"))))
        else:
            rate = result["bytes"] / ms / 1e6 if ms else None
            share = f"{100 * rate / copy:.0f}%" if rate and copy else ""
            rows.append((row["id"], first, f"{rate:.0f}" if rate else "", share, _published(row)))
    head = ("call", "ms", "TFLOP/s", "SDPA ms", "FlexAttention ms") if is_attention else ("call", "ms", "GB/s", "of copy bandwidth", "published on an H200, ms")
    return f"### {plan.TITLES[part]}\n\n{_table(head, rows)}"


def render(results):
    about = results["machine"]
    if about["device"] != "cuda":
        title = f"**No GPU was used**: a trial of the checks themselves on {about['card'] or about['device']}, {about['date']}, commit {results['commit']}."
    else:
        title = (f"Measured on {about['card']} ({about.get('processors')} multiprocessors), driver {about.get('driver') or 'unknown'}, PyTorch {about.get('torch')} for CUDA {about.get('cuda')}, "
                 f"{about['date']}, commit {results['commit']}; it took {results['seconds']} s.")
    parts = [f"# Results on GPUs\n\n{title}\n\n{_HOW}\n", _correctness(results)]
    sanitizer = [f"- {result['id']}: {result['status']}: {result.get('detail', '')}".rstrip(": ") for result in results["parts"].get("sanitizer", [])]
    parts.append("### compute-sanitizer\n\n" + ("\n".join(sanitizer) or "Not run: there are no cases.") + "\n")
    peaks = next(iter(results["parts"].get("peaks", [])), {"status": "not run"})
    if peaks["status"] == "ok":
        said = f"The card copies {peaks['copy_gbs']:.0f} GB/s (read and written) and multiplies 8192 x 8192 matrices in bf16 at {peaks['bf16_tflops']:.0f} TFLOP/s."
    else:
        said = f"The card's peaks: {peaks['status']}: {peaks.get('detail', '')}".rstrip(": ") + "."
    parts.append(f"## Speed\n\n{_MEASURED} {said}\n")
    parts += [_measured(results, part) for part in plan.TITLES]
    return "\n".join(parts)
