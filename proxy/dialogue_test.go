package proxy_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gatepost/internal/dialogue"
	"gatepost/internal/mailsink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSessions plays testdata/sessions/*.txt: a sender (C:, S:), the proxy, and a mail sink behind (B:). The settings that a file
// may have are read in settings(), listener() and greet(), and by dialogue.Script.Sink.
func TestSessions(t *testing.T) {
	files, err := filepath.Glob("../testdata/sessions/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogues", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			script, err := dialogue.Parse(f)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			play(t, script)
		})
	}
}

// play runs one dialogue. Whatever it was about, the proxy is as it was before when it is over.
func play(t *testing.T, script *dialogue.Script) {
	sink, err := script.Sink()
	if err != nil {
		t.Fatal(err)
	}
	clientIP, _ := script.Setting("client-ip")
	sink.ProxyV2 = clientIP == "proxy-v2"
	back, stopSink, err := mailsink.Listen(sink)
	if err != nil {
		t.Fatal(err)
	}
	defer stopSink()
	p := start(t, settings(t, script, back), listener(script))
	defer p.atRest(t)
	defer p.stop()
	defer func() {
		if t.Failed() {
			t.Logf("record %s\nbackend\n%s", p.lastRecord(), strings.Join(sink.Log(), "\n"))
		}
	}()
	script.Run(t, func() net.Conn { return greet(t, script, p.dial(t)) }, sink, p.lastRecord)
}

// greet does what a dialogue is not about: with the setting "greeted ehlo" or "greeted helo" it starts behind the greeting.
func greet(t *testing.T, script *dialogue.Script, conn net.Conn) net.Conn {
	t.Helper()
	verb, ok := script.Setting("greeted")
	if !ok {
		return conn
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	if got := lastLine(t, conn); !strings.HasPrefix(got, "220 ") {
		t.Fatalf("banner %q", got)
	}
	conn.Write([]byte(strings.ToUpper(verb) + " client.example\r\n"))
	if got := lastLine(t, conn); !strings.HasPrefix(got, "250 ") {
		t.Fatalf("%s answered %q", verb, got)
	}
	return conn
}

// lastLine is the last line of the next reply. Nothing behind it is read.
func lastLine(t *testing.T, conn net.Conn) string {
	t.Helper()
	for {
		var line []byte
		for b := []byte{0}; len(line) == 0 || line[len(line)-1] != '\n'; line = append(line, b[0]) {
			if _, err := conn.Read(b); err != nil {
				t.Fatalf("after %q: %v", line, err)
			}
		}
		if len(line) < 5 || line[3] != '-' {
			return string(line)
		}
	}
}
