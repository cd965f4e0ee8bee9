//go:build interop

package interop

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"path/filepath"
	"testing"
)

// verifyScript asks the DKIM module of Python, with the key given in place of DNS.
const verifyScript = `
import dkim, sys
key = sys.argv[1].encode()
sys.exit(0 if dkim.verify(sys.stdin.buffer.read(), dnsfunc=lambda name, timeout=5: key) else 1)
`

// What one library signed before gatepost, another verifies behind it.
func TestDKIMSurvives(t *testing.T) {
	need(t, "opendkim-testmsg", python)
	keyFile, record := dkimKey(t)
	verifies := func(m []byte) bool {
		_, err := attempt(m, python, "-c", verifyScript, record)
		return err == nil
	}
	for _, behind := range []struct {
		name  string
		start func(*testing.T) *server
	}{{"Postfix", startPostfix}, {"Exim", startExim}} {
		t.Run(behind.name, func(t *testing.T) {
			s := behind.start(t)
			p := startProxy(t, settings{backend: s.addr})
			for name, body := range oddBodies() {
				t.Run(name, func(t *testing.T) {
					m := newMail("amy@" + domain).withBody(body)
					m.content = sign(t, "elsewhere.test", m.content, keyFile)
					m.params, m.chunk = " BODY=8BITMIME", 1<<20
					if !verifies(m.content) {
						t.Fatal("it does not verify even before it was sent")
					}
					sendFrom(t, p.addr, "", "EHLO client.test", m)
					s.expectMail(m)
					got := []byte(s.letterOf(t, "amy", m.id))
					if !verifies(got) {
						t.Errorf("it does not verify any more:\n%.2000q", got)
					}
					if verifies(append(bytes.TrimRight(got, "\n"), "changed\n"...)) {
						t.Error("the verifier says yes to anything")
					}
				})
			}
			s.settled(t)
		})
	}
}

// sign puts a DKIM signature of a domain on top: rsa-sha1, the one that OpenDKIM's tool for tests makes.
func sign(t *testing.T, domain string, content []byte, keyFile string) []byte {
	t.Helper()
	return run(t, content, "opendkim-testmsg", "-C", "-d", domain, "-s", "sel", "-k", keyFile)
}

// dkimKey makes a key and gives its file and what DNS would say of it.
func dkimKey(t *testing.T) (file, record string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(newDir(t, "dkim"), "key.pem")
	block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
	write(t, file, string(pem.EncodeToMemory(block)))
	return file, "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)
}
