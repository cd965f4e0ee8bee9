#!/usr/bin/env python3
"""Measures how the cost of gatepost grows with sessions, recipients and size, beside a plain TCP pass-through (HAProxy), and draws it.

    sudo apt-get install postfix haproxy        # smtp-source and smtp-sink come with Postfix
    sudo bench/scale.py [--rounds 3] [--gatepost ./gatepost] [--svg docs/scaling.svg]

CPU is user and system time of the target's process tree, divided by the messages; of each the median over the rounds.
"""
import argparse, math, os, pathlib, resource, shutil, statistics, subprocess, sys, tempfile, time

from compare import Target, cpu, free_port, gatepost, haproxy, spawn, wait_for

# name: (what it is, unit, its values; of each: sessions, recipients, octets, messages)
AXES = {
    'sessions': ('concurrent sessions, 4 KB each message', '', {n: (n, 1, 4096, max(3000, 2 * n)) for n in (1, 10, 100, 1000, 5000)}),
    'recipients': ('recipients of a message of 4 KB, 10 sessions', '', {n: (10, n, 4096, max(2000 // n, 100)) for n in (1, 5, 20, 50, 200)}),
    'size': ('octets of a message, 4 sessions', 'B', {n: (4, 1, n, max(min(2000, 100_000_000 // n), 8)) for n in (1 << 10, 10 << 10, 100 << 10, 1 << 20, 10 << 20, 50 << 20)}),
}
COLOURS = {'gatepost': '#0b6e4f', 'haproxy-tcp': '#888888'}


def load(port, sessions, recipients, octets, messages):
    argv = ['smtp-source', '-d', '-s', str(sessions), '-m', str(messages), '-r', str(recipients), '-l', str(octets),
            '-f', 'a@shop.example', '-t', 'user@rcpt.example', f'127.0.0.1:{port}']
    begin = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, timeout=500)
    return time.monotonic() - begin


def measure(targets, rounds):
    """(axis, value, target) -> [(messages a second, CPU microseconds a message)]"""
    rows = {}
    for r in range(rounds):
        for axis, (_, _, values) in AXES.items():
            for value, (s, rcpts, octets, n) in values.items():
                for t in targets[r % 2:] + targets[:r % 2]:
                    before = cpu(t.pid)
                    took = load(t.port, s, rcpts, octets, n)
                    rows.setdefault((axis, value, t.name), []).append((n / took, (cpu(t.pid) - before) / n * 1e6))
    return {k: (statistics.median(m for m, _ in v), statistics.median(c for _, c in v)) for k, v in rows.items()}


def short(n, unit):
    for size, letter in ((1 << 20, 'M'), (1 << 10, 'K')):
        if unit and n >= size:
            return f'{n / size:.3g} {letter}{unit}'
    return f'{n:,}'


def table(rows):
    for axis, (title, unit, values) in AXES.items():
        print(f'\n| {title} | gatepost, us | messages/s | HAProxy TCP, us | messages/s |\n| --- | --- | --- | --- | --- |')
        for v in values:
            (gm, gc), (hm, hc) = rows[axis, v, 'gatepost'], rows[axis, v, 'haproxy-tcp']
            print(f'| {short(v, unit)} | {gc:,.0f} | {gm:,.0f} | {hc:,.0f} | {hm:,.0f} |')


def svg(rows):
    """One panel an axis, both scales logarithmic: a cost that is linear in the axis rises at the angle of the dotted line."""
    out, width, height, left, top = [], 300, 220, 62, 34
    for i, (axis, (title, unit, values)) in enumerate(AXES.items()):
        cost = [rows[axis, v, t][1] for v in values for t in COLOURS]
        x0, x1 = math.log10(min(values)), math.log10(max(values))
        y0, y1 = math.floor(math.log10(max(min(cost), 1))), math.ceil(math.log10(max(cost)))
        ox = i * (width + left + 20) + left
        x = lambda v: ox + (math.log10(v) - x0) / (x1 - x0) * width
        y = lambda c: top + (y1 - math.log10(max(c, 10 ** y0))) / (y1 - y0) * height
        out.append(f'<text x="{ox}" y="18" class="t">us of CPU a message, by {axis}</text>')
        out.append(f'<rect x="{ox}" y="{top}" width="{width}" height="{height}" class="f"/>')
        for e in range(y0, y1 + 1):
            out.append(f'<line x1="{ox}" x2="{ox + width}" y1="{y(10 ** e):.1f}" y2="{y(10 ** e):.1f}" class="g"/>'
                       f'<text x="{ox - 6}" y="{y(10 ** e) + 4:.1f}" text-anchor="end">{10 ** e:,}</text>')
        for v in values:
            out.append(f'<text x="{x(v):.1f}" y="{top + height + 16}" text-anchor="middle">{short(v, unit)}</text>')
        first = rows[axis, min(values), 'gatepost'][1]
        up = min(x1 - x0, y1 - math.log10(first))
        out.append(f'<line x1="{ox}" y1="{y(first):.1f}" x2="{ox + up / (x1 - x0) * width:.1f}" y2="{y(first * 10 ** up):.1f}" class="l"/>')
        for t, colour in COLOURS.items():
            points = ' '.join(f'{x(v):.1f},{y(rows[axis, v, t][1]):.1f}' for v in values)
            out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
    legend = ''.join(f'<text x="{left + 130 * i}" y="{top + height + 40}" fill="{c}">{t}</text>' for i, (t, c) in enumerate(COLOURS.items()))
    w, h = 3 * (width + left + 20), top + height + 50
    style = ('text{font:12px sans-serif}.t{font-weight:bold}.f{fill:none;stroke:#999}.g{stroke:#ddd}.l{stroke:#bbb;stroke-dasharray:2 4}')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}"><style>{style}</style>'
            f'<rect width="{w}" height="{h}" fill="#fff"/>' + '\n'.join(out) + legend +
            f'<text x="{left + 300}" y="{top + height + 40}" fill="#777">dotted: linear growth</text></svg>\n')


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--rounds', type=int, default=3)
    ap.add_argument('--gatepost', default='./gatepost')
    ap.add_argument('--svg', help='write the plot to this file')
    o = ap.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for program in ('smtp-source', 'smtp-sink', 'haproxy', o.gatepost):
        if not shutil.which(program):
            sys.exit(f'{program} is missing; see the head of {sys.argv[0]}')
    base = pathlib.Path(tempfile.mkdtemp(prefix='gatepost-scale-'))
    base.chmod(0o755)
    log, stops = open(base / 'log', 'w'), []
    try:
        sink = free_port()
        stops.append(spawn(['smtp-sink', '-u', 'postfix', '-m', '20000', f'127.0.0.1:{sink}', '5000'], log)[1])
        wait_for(sink)
        targets = []
        for name, start in (('gatepost', gatepost(o.gatepost)), ('haproxy-tcp', haproxy)):
            port = free_port()
            (base / name).mkdir(mode=0o755)
            pid, stop = start(base / name, port, sink, log)
            stops.append(stop)
            wait_for(port)
            targets.append(Target(name, base / name, port, pid, stop))
        rows = measure(targets, o.rounds)
    finally:
        for stop in reversed(stops):
            stop()
        shutil.rmtree(base, ignore_errors=True)
    table(rows)
    if o.svg:
        pathlib.Path(o.svg).write_text(svg(rows))


if __name__ == '__main__':
    main()
