package backend

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stageScripts bring a server to where its next reply is that of the stage.
func stageScripts() map[string]string {
	secure := greet + "S: 250-mx.test\nS: 250 STARTTLS\nC: STARTTLS\n"
	tell := secure + "S: 220 go\nTLS\nC: EHLO gate.test\nS: 250-mx.test\nS: 250 XCLIENT ADDR\nC: XCLIENT ADDR=192.0.2.7\n"
	again := tell + "S: 220 mx.test\nC: EHLO helo.shop.test\n"
	mail := again + "S: 250 mx.test\nC: MAIL FROM:<anna@shop.test>\n"
	rcpt := mail + "S: 250 ok\nC: RCPT TO:<amy@mx.test>\n"
	data := rcpt + "S: 250 ok\nC: DATA\n"
	return map[string]string{
		"banner":   "",
		"ehlo":     greet,
		"starttls": secure,
		"xclient":  tell,
		"ehlo ":    again,
		"mail":     mail,
		"rcpt":     rcpt,
		"data":     data,
		"final":    data + "S: 354 go\nC.\n",
	}
}

// TestFaultMatrix plays every fault at every stage. Most answer alike everywhere: lost, or nonsense.
func TestFaultMatrix(t *testing.T) {
	cert, pool := certificate(t)
	faults := []struct{ name, script, want string }{
		{"closes", "", "451 4.4.2"},
		{"closes in mid-reply", `S= "250-half\r\n"`, "451 4.4.2"},
		{"closes in mid-line", `S= "25"`, "451 4.4.2"},
		{"hangs", "HANG", "451 4.4.2"},
		{"drips", strings.Repeat("S= \"250-\"\nWAIT 9s\n", 100), "451 4.4.2"},
		{"two digits", "S: 25", "451 4.3.0"},
		{"code 999", "S: 999 x", "451 4.3.0"},
		{"code 100", "S: 100 x", "451 4.3.0"},
		{"mixed codes", `S= "250-a\r\n550 b\r\n"`, "451 4.3.0"},
		{"a page", "S: <html>", "451 4.3.0"},
		{"many lines", "S= " + quote(strings.Repeat("250-x\r\n", 20_000)), "451 4.3.0"},
		{"a long line", "S= " + quote("250 "+strings.Repeat("x", 1<<20)+"\r\n"), "451 4.3.0"},
		{"a 3xx that was not asked for", "S: 399 x", "451 4.3.0"},
	}
	for stage, before := range stageScripts() {
		for _, fault := range faults {
			t.Run(strings.TrimSpace(stage)+" "+fault.name, func(t *testing.T) {
				want := strings.TrimSpace(stage) + " " + fault.want
				switch {
				case stage == "final":
					want += " unknown"
				case stage == "starttls" && strings.HasPrefix(fault.name, "a 3xx"):
					want = "starttls 451 4.7.5"
				}
				if got := play(t, cert, pool, before+fault.script); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		}
	}
}

// play delivers a message to a server that demands all there is.
func play(t *testing.T, cert *tls.Certificate, pool *x509.CertPool, script string) (got string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t, script)
		f.cert = cert
		b := f.backend(Settings{TLS: TLSRequired, TLSConfig: &tls.Config{RootCAs: pool}, ClientIP: ClientIPXClient})
		start := time.Now()
		got = deliver(t, b, text("Subject: hi\r\n\r\nhi\r\n"))
		if d := time.Since(start); d > 600*time.Second {
			t.Errorf("took %v", d)
		}
	})
	return got
}

func TestRepliesMatrix(t *testing.T) {
	cert, pool := certificate(t)
	cases := []struct{ stage, say, want string }{
		{"banner", "421 busy", "banner 451 4.4.1"},
		{"banner", "554 no", "banner 451 4.4.1"},
		{"starttls", "421 busy", "starttls 451 4.4.1"},
		{"starttls", "454 no", "starttls 451 4.7.5"},
		{"xclient", "421 busy", "xclient 451 4.4.1"},
		{"xclient", "550 5.7.0 no", "xclient 451 4.3.0"},
		{"xclient", "250 ok", "xclient 451 4.3.0"},
		{"mail", "421 4.3.2 bye", "421 4.3.2 bye"},
		{"mail", "450 4.2.0 later", "450 4.2.0 later"},
		{"mail", "550 5.7.1 no", "550 5.7.1 no"},
		{"mail", "354 go", "mail 451 4.3.0"},
		{"rcpt", "421 4.3.2 bye", "421 4.3.2 bye"},
		{"rcpt", "450 4.2.0 later", "450 4.2.0 later"},
		{"rcpt", "550 5.1.1 who", "550 5.1.1 who"},
		{"data", "421 4.3.2 bye", "421 4.3.2 bye"},
		{"data", "451 4.3.0 later", "451 4.3.0 later"},
		{"data", "554 5.5.1 no", "554 5.5.1 no"},
		{"data", "250 ok", "data 451 4.3.0"},
		{"data", "399 x", "data 451 4.3.0"},
		{"final", "250 queued", "250 queued"},
		{"final", "421 4.3.2 bye", "421 4.3.2 bye"},
		{"final", "450 4.2.0 later", "450 4.2.0 later"},
		{"final", "554 5.6.0 no", "554 5.6.0 no"},
		{"final", "354 go", "final 451 4.3.0 unknown"},
	}
	for _, tc := range cases {
		t.Run(tc.stage+" "+tc.say, func(t *testing.T) {
			if got := play(t, cert, pool, stageScripts()[tc.stage]+"S: "+tc.say+"\nHANG"); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
