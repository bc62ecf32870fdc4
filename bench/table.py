"""The table of what was measured."""

import statistics

from scenarios import SCENARIOS


def middle(samples, key):
    values = [s[key] for s in samples if s.get(key) is not None]
    return statistics.median(values) if values else None


def spread(samples, key):
    values = [s[key] for s in samples]
    return f"{min(values):.1f}-{max(values):.1f}"


def paired(samples, reference):
    """Median over the rounds of (this / reference in the same round): drift cancels out."""
    ratios = [s["us"] / r["us"] for s, r in zip(samples, reference)]
    return f"{statistics.median(ratios):.2f}" if ratios else ""


def best(samples, reference):
    """The two least disturbed rounds against each other."""
    return f"{min(s['us'] for s in samples) / min(r['us'] for r in reference):.2f}" if reference else ""


def report(name, samples, reference):
    scenario = SCENARIOS[name]
    print(f"\n### {name}: {scenario.about}\n")
    if scenario.load == "idle":
        print("| proxy | connections | PSS before MiB | PSS after MiB | KiB per connection |\n|---|--:|--:|--:|--:|")
        for target, found in samples.items():
            for s in found:
                print(f"| {target} | {s['opened']} | {s['before_kib'] / 1024:.1f} | {s['after_kib'] / 1024:.1f} | {s['kib_per_connection']:.2f} |")
        return
    if scenario.load == "start":
        print("| proxy | seconds to listen | CPU seconds | PSS MiB | CPU µs/req on the last listener |\n|---|--:|--:|--:|--:|")
        for target, found in samples.items():
            for s in found:
                print(f"| {target} | {s['start_seconds']:.2f} | {s['start_cpu']:.2f} | {s['pss_kib'] / 1024:.1f} | {s['us']:.1f} |")
        return
    base = samples.get(reference, [])
    print(f"| proxy | CPU µs/req | min-max | user | system | req/s | core used | p99 µs | vs {reference} | best vs best | notes |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|")
    for target, found in samples.items():
        if not found:
            continue
        us = middle(found, "us")
        notes = []
        errors, requests = sum(s["errors"] for s in found), sum(s["requests"] for s in found)
        if errors:
            notes.append(f"{errors} errors in {requests}")
        if middle(found, "other") > 0.05 and target != "direct":
            notes.append(f"others used {middle(found, 'other'):.0%} of the core")
        if middle(found, "stolen") > 0.02:
            notes.append(f"{middle(found, 'stolen'):.0%} stolen")
        if target == "direct":
            notes.append("no proxy: CPU is the backend's, req/s is the most that this rig can drive")
        ratios = f"{paired(found, base)} | {best(found, base)}" if target != "direct" else " | "
        p99 = middle(found, "p99_us")
        print(f"| {target} | {us:.1f} | {spread(found, 'us')} | {middle(found, 'user_us'):.1f} | {middle(found, 'system_us'):.1f} "
              f"| {middle(found, 'rps'):.0f} | {middle(found, 'busy'):.0%} | {f'{p99:.0f}' if p99 else ''} | {ratios} | {'; '.join(notes)} |")
