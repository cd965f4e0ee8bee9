#!/usr/bin/env python3
"""Compares gatepost with a plain TCP pass-through (HAProxy) and with Postfix's proxy filter, side by side in one run.

    sudo apt-get install postfix haproxy        # smtp-source and smtp-sink come with Postfix
    sudo bench/compare.py [--rounds 5] [--messages 4000] [--loads L1,L2,L3] [--gatepost ./gatepost]

Each target stands between smtp-source and smtp-sink on loopback. A round runs every target once, in an order that rotates;
CPU is user and system time of the target's whole process tree, divided by the messages. What counts is the ratio within a
round: machines are shared and noisy. Root is needed to start Postfix.
"""
import argparse, os, pathlib, shutil, signal, socket, statistics, subprocess, sys, tempfile, textwrap, time

LOADS = {  # name: (arguments of smtp-source, share of --messages, what it is)
    'L1': (['-d'], 1, '4 KB, a message a session'),
    'L2': ([], 2, '4 KB, many a session'),
    'L3': ([], 0.005, '10 MB, many a session'),
}
SIZES = {'L1': 4096, 'L2': 4096, 'L3': 10 << 20}
TICK = os.sysconf('SC_CLK_TCK')


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def tree(pid):
    """All processes below pid, itself included."""
    parents = {}
    for d in os.listdir('/proc'):
        if d.isdigit():
            try:
                stat = open(f'/proc/{d}/stat').read().rsplit(')', 1)[1].split()
                parents.setdefault(int(stat[1]), []).append(int(d))
            except OSError:
                pass
    todo, found = [pid], []
    while todo:
        p = todo.pop()
        found.append(p)
        todo += parents.get(p, [])
    return found


def cpu(pid):
    """Seconds of CPU of a process tree, reaped children included."""
    total = 0
    for p in tree(pid):
        try:
            f = open(f'/proc/{p}/stat').read().rsplit(')', 1)[1].split()
            total += sum(int(x) for x in f[11:15])
        except OSError:
            pass
    return total / TICK


class Target:
    def __init__(self, name, dir, port, pid, stop):
        self.name, self.dir, self.port, self.pid, self.stop = name, dir, port, pid, stop


def spawn(argv, log):
    p = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)

    def stop():
        p.send_signal(signal.SIGTERM)
        try:
            p.wait(10)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
    return p.pid, stop


def haproxy(dir, port, sink, log):
    cfg = dir / 'haproxy.cfg'
    cfg.write_text(textwrap.dedent(f'''
        global
            maxconn 9000
        defaults
            mode tcp
            timeout connect 10s
            timeout client 300s
            timeout server 300s
        listen smtp
            bind 127.0.0.1:{port}
            server s1 127.0.0.1:{sink}
        '''))
    return spawn(['haproxy', '-db', '-f', str(cfg)], log)


def postfix(dir, port, sink, log):
    conf, queue, data = dir / 'conf', dir / 'queue', dir / 'data'
    for d in (conf, queue, data):
        d.mkdir()
    shutil.chown(data, 'postfix')
    (conf / 'main.cf').write_text(textwrap.dedent(f'''
        compatibility_level = 3.6
        queue_directory = {queue}
        data_directory = {data}
        myhostname = mx.bench.example
        mydestination =
        relay_domains = rcpt.example
        smtpd_relay_restrictions = reject_unauth_destination
        message_size_limit = 60000000
        mailbox_size_limit = 0
        default_process_limit = 100
        smtpd_client_connection_count_limit = 0
        maillog_file = /dev/null
        maillog_file_prefixes = /dev
        smtputf8_enable = no
        inet_protocols = ipv4
        '''))
    (conf / 'master.cf').write_text(textwrap.dedent(f'''\
        127.0.0.1:{port} inet n - n - 100 smtpd -o smtpd_proxy_filter=127.0.0.1:{sink}
        cleanup unix n - n - 0 cleanup
        rewrite unix - - n - - trivial-rewrite
        bounce unix - - n - 0 bounce
        anvil unix - - n - 1 anvil
        tlsmgr unix - - n 1000? 1 tlsmgr
        proxymap unix - - n - - proxymap
        postlog unix-dgram n - n - 1 postlogd
        '''))
    subprocess.run(['postfix', '-c', str(conf), 'start'], check=True, stdout=log, stderr=log)
    for _ in range(50):
        try:
            pid = int((queue / 'pid' / 'master.pid').read_text())
            break
        except (OSError, ValueError):
            time.sleep(.1)
    return pid, lambda: subprocess.run(['postfix', '-c', str(conf), 'stop'], stdout=log, stderr=log)


def gatepost(binary):
    def start(dir, port, sink, log):
        cfg = dir / 'gatepost.toml'
        cfg.write_text(textwrap.dedent(f'''
            hostname = "mx.bench.example"
            [listen.smtp]
            address = ["127.0.0.1:{port}"]
            [backend.main]
            address = ["127.0.0.1:{sink}"]
            domains = ["rcpt.example"]
            [policy]
            checks = []
            [limits]
            connections = 20000
            connections_per_client = 20000
            message_size = "60MB"
            [journal]
            file = "{dir}/journal.jsonl"
            [admin]
            address = ""
            '''))
        return spawn([binary, 'serve', '--config', str(cfg)], log)
    return start


def wait_for(port):
    for _ in range(100):
        try:
            with socket.create_connection(('127.0.0.1', port), 1) as s:
                if s.recv(3) == b'220':
                    return
        except OSError:
            pass
        time.sleep(.1)
    sys.exit(f'nothing answers on port {port}')


def load(port, name, messages):
    extra, share, _ = LOADS[name]
    n = max(int(messages * share), 8)
    # in smtp-source, -d means: do not disconnect; so L1 goes without it and the others with it
    keep = [] if extra else ['-d']
    argv = ['smtp-source', *keep, '-s', '10' if name != 'L3' else '4', '-m', str(n), '-l', str(SIZES[name]), '-f', 'a@shop.example',
            '-t', 'user@rcpt.example', f'127.0.0.1:{port}']
    begin = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return n, time.monotonic() - begin


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--rounds', type=int, default=5)
    ap.add_argument('--messages', type=int, default=4000)
    ap.add_argument('--loads', default='L1,L2,L3')
    ap.add_argument('--gatepost', default='./gatepost')
    o = ap.parse_args()
    if os.geteuid() != 0:
        sys.exit('root is needed to start Postfix')
    for program in ('smtp-source', 'smtp-sink', 'haproxy', 'postfix', o.gatepost):
        if not shutil.which(program):
            sys.exit(f'{program} is missing; see the head of {sys.argv[0]}')
    base = pathlib.Path(tempfile.mkdtemp(prefix='gatepost-bench-'))
    base.chmod(0o755)
    log = open(base / 'log', 'w')
    stops = []
    try:
        sink = free_port()
        _, stop = spawn(['smtp-sink', '-u', 'postfix', f'127.0.0.1:{sink}', '200'], log)
        stops.append(stop)
        wait_for(sink)
        targets = [Target('direct', base, sink, None, None)]
        for name, start in (('haproxy-tcp', haproxy), ('postfix-proxy-filter', postfix), ('gatepost', gatepost(o.gatepost))):
            dir, port = base / name, free_port()
            dir.mkdir(mode=0o755)
            pid, stop = start(dir, port, sink, log)
            stops.append(stop)
            wait_for(port)
            targets.append(Target(name, dir, port, pid, stop))
        report(measure(targets, o))
    finally:
        for stop in reversed(stops):
            stop()
        shutil.rmtree(base, ignore_errors=True)


def measure(targets, o):
    rows = {}
    for r in range(o.rounds):
        for name in o.loads.split(','):
            k = r % len(targets)
            for t in targets[k:] + targets[:k]:
                before = cpu(t.pid) if t.pid else 0
                n, took = load(t.port, name, o.messages)
                spent = (cpu(t.pid) - before) if t.pid else 0
                rows.setdefault((name, t.name), []).append((n / took, spent / n * 1e6))
    return rows


def report(rows):
    for name in dict.fromkeys(l for l, _ in rows):
        print(f'\n{name}: {LOADS[name][2]}\n\n| target | messages/s | CPU us/message | x haproxy-tcp |\n| --- | --- | --- | --- |')
        base = [c for _, c in rows[name, 'haproxy-tcp']]
        for (l, t), v in rows.items():
            if l == name:
                ratios = [c / b for (_, c), b in zip(v, base) if b > 0]
                print(f'| {t} | {statistics.median(x for x, _ in v):,.0f} | {statistics.median(c for _, c in v):,.0f} | '
                      f'{statistics.median(ratios):.2f} |' if t != 'direct' else f'| direct | {statistics.median(x for x, _ in v):,.0f} | | |')


if __name__ == '__main__':
    main()
