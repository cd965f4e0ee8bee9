#!/usr/bin/python3
"""Makes the signed messages and keys.zone of this folder, with signers that share no code with gatepost.

dkimpy signs all but opendkim-*.eml, which OpenDKIM's library signs. Keys are made for the run and thrown away, so all files change at once:
    cd testdata/dkim && ./make.py
Needs: python3-dkim, python3-nacl, openssl, libopendkim11.
"""
import base64, ctypes, os, subprocess, tempfile
import dkim, nacl.signing

PLAIN = b"""From: Amy <amy@shop.example>\r
To: bob@example.com\r
Subject: An offer\r
Date: Fri, 20 Nov 2026 10:00:00 +0000\r
Message-ID: <1@shop.example>\r
\r
Dear  Bob,\r
\r
the price is 5 EUR.\t \r
.a line with a dot\r
"""
FOLDED = PLAIN.replace(b"Subject: An offer", b"Subject: An  offer\r\n\tthat is folded\r\n   twice ")
EIGHT = PLAIN.replace(b"Subject: An offer", "Subject: Gr\u00fc\u00dfe".encode()).replace(b"5 EUR", b"5 \x80 \xff")
BLANK = PLAIN + b"\r\n \r\n\r\n"
EMPTY = PLAIN[: PLAIN.index(b"\r\n\r\n") + 4]
zone = ["$ORIGIN shop.example.", "$TTL 300"]


def run(*args, stdin=None):
    return subprocess.run(args, input=stdin, check=True, capture_output=True).stdout


def record(selector, tags, key):
    text = f"v=DKIM1; {tags}p={base64.b64encode(key).decode()}"
    parts = " ".join(f'"{text[i:i+200]}"' for i in range(0, len(text), 200))
    zone.append(f"{selector}._domainkey IN TXT {parts}")


def rsa(folder, selector, bits, tags="k=rsa; "):
    path = os.path.join(folder, selector)
    run("openssl", "genrsa", "-traditional", "-out", path, str(bits))
    record(selector, tags, run("openssl", "rsa", "-in", path, "-pubout", "-outform", "DER"))
    return path


def ed25519(selector):
    key = nacl.signing.SigningKey.generate()
    record(selector, "k=ed25519; ", bytes(key.verify_key))
    return base64.b64encode(bytes(key))


def sign(message, selector, key, alg=b"rsa-sha256", canon=b"relaxed/relaxed", **more):
    d = dkim.DKIM(message, minkey=512)
    d.should_not_sign.discard(b"dkim-signature")
    field = d.sign(selector.encode(), b"shop.example", key, signature_algorithm=alg,
                   canonicalize=tuple(canon.split(b"/")), **more)
    return field + message


def opendkim(message, selector, key, canon):
    lib = ctypes.CDLL("libopendkim.so.11")
    lib.dkim_init.restype = lib.dkim_sign.restype = ctypes.c_void_p
    status = ctypes.c_int()
    h = ctypes.c_void_p(lib.dkim_init(None, None))
    d = ctypes.c_void_p(lib.dkim_sign(h, b"id", None, key, selector.encode(), b"shop.example", canon, canon,
                                      1, ctypes.c_long(-1), ctypes.byref(status)))  # 1: rsa-sha256
    head, body = message.split(b"\r\n\r\n", 1)
    for field in head.replace(b"\r\n ", b"\0 ").replace(b"\r\n\t", b"\0\t").split(b"\r\n"):
        field = field.replace(b"\0", b"\r\n")
        assert lib.dkim_header(d, field, ctypes.c_size_t(len(field))) == 0
    assert lib.dkim_eoh(d) == 0 and lib.dkim_body(d, body, ctypes.c_size_t(len(body))) == 0
    assert lib.dkim_eom(d, None) == 0
    out, size = ctypes.c_char_p(), ctypes.c_size_t()
    assert lib.dkim_getsighdr_d(d, ctypes.c_size_t(16), ctypes.byref(out), ctypes.byref(size)) == 0
    return b"DKIM-Signature: " + out.value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n" + message


def write(name, message):
    with open(name + ".eml", "wb") as f:
        f.write(message)


with tempfile.TemporaryDirectory() as folder:
    path = {s: rsa(folder, s, bits) for s, bits in [("r512", 512), ("r1024", 1024), ("r2048", 2048), ("r4096", 4096)]}
    path["testing"] = rsa(folder, "testing", 1024, "t=y:s; ")
    key = {s: open(p, "rb").read() for s, p in path.items()}
    ed = ed25519("ed")
    zone.append('revoked._domainkey IN TXT "v=DKIM1; p="')
    names = [b"From", b"To", b"Subject", b"Date", b"Message-ID"]
    write("rsa1024", sign(PLAIN, "r1024", key["r1024"]))
    write("rsa2048", sign(PLAIN, "r2048", key["r2048"]))
    write("rsa4096", sign(PLAIN, "r4096", key["r4096"]))
    write("ed25519", sign(PLAIN, "ed", ed, b"ed25519-sha256"))
    for c in ("simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed"):
        write("folded-" + c.replace("/", "-"), sign(FOLDED, "r2048", key["r2048"], canon=c.encode()))
        write("blank-" + c.replace("/", "-"), sign(BLANK, "r2048", key["r2048"], canon=c.encode()))
    write("eight-bit", sign(EIGHT, "r2048", key["r2048"]))
    write("empty-body", sign(EMPTY, "r2048", key["r2048"]))
    write("oversigned", sign(PLAIN, "r2048", key["r2048"], include_headers=names + [b"From", b"Subject", b"Reply-To"]))
    write("two", sign(sign(PLAIN, "r2048", key["r2048"]), "ed", ed, b"ed25519-sha256"))
    inner = sign(PLAIN, "r2048", key["r2048"])
    write("over-signature", sign(inner, "ed", ed, b"ed25519-sha256", include_headers=names + [b"DKIM-Signature"]))
    write("identity", sign(PLAIN, "r2048", key["r2048"], identity=b"amy@news.shop.example"))
    write("testing", sign(PLAIN, "testing", key["testing"]))
    write("testing-identity", sign(PLAIN, "testing", key["testing"], identity=b"amy@news.shop.example"))
    write("length", sign(PLAIN, "r2048", key["r2048"], length=True))
    write("rsa512", sign(PLAIN, "r512", key["r512"]))
    write("sha1", sign(PLAIN, "r2048", key["r2048"], b"rsa-sha1"))
    write("revoked", sign(PLAIN, "revoked", key["r2048"]))
    write("other-key", sign(PLAIN, "r1024", key["r2048"]))
    write("no-key", sign(PLAIN, "missing", key["r2048"]))
    write("unsigned", PLAIN)
    for name, message in (("plain", PLAIN), ("folded", FOLDED), ("eight-bit", EIGHT), ("blank", BLANK)):
        for canon in (0, 1):
            write(f"opendkim-{name}-{('simple', 'relaxed')[canon]}", opendkim(message, "r2048", key["r2048"], canon))

with open("keys.zone", "w") as f:
    f.write("\n".join(zone) + "\n")
