"""The short table of the README: each rule on scripted detections, from pixels and on real pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smartbox import marked

NAME = "score"
BEGIN, END = marked.begin(NAME), marked.end(NAME)


def block(out: Mapping[str, Any]) -> str:
    """What stands between the two marks, with the marks."""
    return f"{BEGIN}\n{_text(out)}\n{END}"


def put(readme: Path, out: Mapping[str, Any]) -> bool:
    """Renew it there; False: the file has no such marks."""
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    whole = marked.renewed(text, NAME, _text(out))
    if whole is not None:
        readme.write_text(whole, encoding="utf-8")
    return whole is not None


def _text(out: Mapping[str, Any]) -> str:
    return "\n".join([*_rules(out), "", *_rest(out)])


def _rules(out: Mapping[str, Any]) -> list[str]:
    scripted, pixels = out["scripted"]["rules"], out["pixels"]["rules"]
    real = out.get("real", {}).get("rules", {})
    lines = [
        "| rule | scripted: F1 (incidents / look-alikes) | from pixels: the same | real: told of due, false alarms |",
        "|---|---|---|---|",
    ]
    for rule in sorted({*scripted, *pixels, *real}):
        cells = (_f1(scripted.get(rule)), _f1(pixels.get(rule)), _real(real.get(rule), bool(real)))
        lines.append(f"| {rule} | {' | '.join(cells)} |")
    sound = out.get("sound", {})
    if site := sound.get("site"):
        lines.append(f"| sound, a simulated site | – | {_f1(site['all'])} | – |")
    for label, r in sound.get("rules", {}).items():
        lines.append(f"| sound, recordings mixed: {label} | – | {_f1(r)} | – |")
    return lines


def _f1(row: Mapping[str, Any] | None) -> str:
    return f"{row['f1']:.2f} ({row['positives']} / {row['negatives']})" if row else "–"


def _real(row: Mapping[str, int] | None, played: bool) -> str:
    if row is None:
        return "none due, 0" if played else "–"
    due = row["true"] + row["missed"]
    return f"{row['true']} of {due}, {row['false']}" if due else f"none due, {row['false']}"


def _rest(out: Mapping[str, Any]) -> list[str]:
    """What is no rule's alone."""
    lines = [f"{out['pixels']['scenarios']} of {out['scripted']['scenarios']} scenarios were played from pixels."]
    if quiet := out.get("quiet"):
        bound = quiet["upper_95_per_hour"]
        lines.append(
            f"Quiet: {len(quiet['alarms'])} alarms in {quiet['hours']:g} simulated hours at 1 fps (95 %: fewer than "
            f"{bound:.3f} an hour)."
        )
    if real := out.get("real"):
        figures = (
            f"{real['false']} false alarms in {real['hours']:.3f} camera-hours ({real['false_per_hour']:g} an hour)"
        )
        lines.append(f"Real recordings and stills: {figures}.")
    if (sound := out.get("sound")) and "rules" in sound:
        figures = f"words with `score: {sound['word_score']:g}`, {sound['false_per_hour']:g} false alarms an hour"
        lines.append(f"Sound: recordings that were held out, mixed into background; {figures}.")
    return [" ".join(lines)]
