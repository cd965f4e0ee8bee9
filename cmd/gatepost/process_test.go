package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatepost/internal/mailsink"
)

// process is the binary at work, as a process of its own, in front of a mail server.
type process struct {
	*exec.Cmd
	dir  string // its config and all that it writes
	addr string
	log  said
	sink *mailsink.Server
	end  chan error
}

// launch starts the binary by a shell command such as "ulimit -n 99", with some lines of config, and waits until it listens.
func launch(t *testing.T, before, lines string) *process {
	t.Helper()
	p := prepare(t, before, lines)
	p.Stderr = &p.log
	p.start(t)
	for until := time.Now().Add(20 * time.Second); p.addr == ""; time.Sleep(5 * time.Millisecond) {
		if at := listening.FindStringSubmatch(p.log.String()); at != nil {
			p.addr = at[1]
		} else if time.Now().After(until) {
			t.Fatalf("it does not listen: %s", p.log.String())
		}
	}
	return p
}

var listening = regexp.MustCompile(`msg=listening .* address=(\S+)`)

// prepare is launch without the start.
func prepare(t *testing.T, before, lines string) *process {
	t.Helper()
	p := &process{dir: t.TempDir(), sink: &mailsink.Server{Extensions: mailsink.DefaultExtensions()}, end: make(chan error, 1)}
	back, stop, err := mailsink.Listen(p.sink)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	file := filepath.Join(p.dir, "gatepost.toml")
	text := "hostname = \"mx.example.com\"\n[backend.main]\naddress = [\"" + back + "\"]\ndomains = [\"example.com\"]\n" + strings.ReplaceAll(lines, "$DIR", p.dir)
	if !strings.Contains(lines, "[listen.") {
		text += "[listen.smtp]\naddress = [\"127.0.0.1:0\"]\n"
	}
	if !strings.Contains(lines, "[policy]") {
		text += "[policy]\nchecks = []\n"
	}
	if !strings.Contains(lines, "[admin]") {
		text += "[admin]\naddress = \"\"\n" // the default is one port for all
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Cmd = exec.Command("sh", "-c", before+" && exec gatepost serve --config "+file)
	p.Dir = p.dir
	return p
}

// start starts it; it is killed with the test, if not stopped before.
func (p *process) start(t *testing.T) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.end <- p.Wait() }()
	t.Cleanup(func() { p.Process.Kill() })
}

// stop ends it in good order.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.end:
		if err != nil {
			t.Errorf("%v: %s", err, p.log.String())
		}
	case <-time.After(20 * time.Second):
		t.Errorf("it does not end: %s", p.log.String())
	}
}

// said is what a process has said so far.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// sender is a connection to the process.
type sender struct {
	net.Conn
	in *bufio.Reader
}

// dial connects, and gives the first reply too.
func (p *process) dial(t *testing.T) (*sender, string) {
	t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	s := &sender{conn, bufio.NewReader(conn)}
	return s, s.reply()
}

// try is a session that has its banner; nil while nobody listens.
func (p *process) try(t *testing.T) *sender {
	t.Helper()
	if conn, err := net.Dial("tcp", p.addr); err != nil {
		return nil
	} else {
		conn.Close()
	}
	s, banner := p.dial(t)
	if !strings.HasPrefix(banner, "220 ") {
		t.Fatalf("banner %q", banner)
	}
	return s
}

// freeAddress is where nobody listens yet.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// reply is the last line of the next reply; "" where the connection ends.
func (s *sender) reply() string {
	for {
		line, err := s.in.ReadString('\n')
		if err != nil || len(line) < 4 {
			return ""
		}
		if line[3] != '-' {
			return strings.TrimSpace(line)
		}
	}
}

// say sends lines one by one and wants each reply to be of a class: "EHLO x" with '2'.
func (s *sender) say(class byte, lines ...string) error {
	for _, line := range lines {
		if _, err := io.WriteString(s, line+"\r\n"); err != nil {
			return err
		}
		if got := s.reply(); got == "" || got[0] != class {
			return fmt.Errorf("%s: reply %q", line, got)
		}
	}
	return nil
}

// mail sends one mail from the envelope on.
func (s *sender) mail(content string) error {
	if err := s.say('2', "EHLO client.example", "MAIL FROM:<a@client.example>", "RCPT TO:<amy@example.com>"); err != nil {
		return err
	}
	if err := s.say('3', "DATA"); err != nil {
		return err
	}
	return s.say('2', "From: a@client.example\r\n\r\n"+content+"\r\n.")
}

// TestFewDescriptors: with nine tenths of its file descriptors in use, gatepost answers new connections 421 4.3.2; who is in gets
// his mail through, and so does everybody once some have gone (hazard 76).
func TestFewDescriptors(t *testing.T) {
	p := launch(t, "ulimit -n 60", "")
	var in []*sender
	for refused := 0; refused < 5; {
		s, banner := p.dial(t)
		switch {
		case strings.HasPrefix(banner, "220 ") && len(in) < 60:
			in = append(in, s)
		case strings.HasPrefix(banner, "421 4.3.2 "):
			refused++
		default:
			t.Fatalf("behind %d sessions came %q, want 421 4.3.2", len(in), banner)
		}
	}
	if err := in[len(in)-1].mail("x"); err != nil {
		t.Errorf("a session under way: %v", err)
	}
	for _, s := range in {
		s.Close()
	}
	for until := time.Now().Add(10 * time.Second); ; {
		s, banner := p.dial(t)
		if strings.HasPrefix(banner, "220 ") {
			if err := s.mail("x"); err != nil {
				t.Error(err)
			}
			break
		}
		if time.Now().After(until) {
			t.Fatalf("all have gone, and there comes %q", banner)
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.stop(t)
	if n := p.sink.Committed(); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
	if !strings.Contains(p.log.String(), "limits.connections is more than the file descriptors serve") {
		t.Errorf("nobody was told at the start: %s", p.log.String())
	}
	if n := strings.Count(p.log.String(), "file descriptors are few"); n != 1 || strings.Contains(p.log.String(), "cannot accept") {
		t.Errorf("%d lines of the log say so: %s", n, p.log.String())
	}
}

// TestProcessFiles: what gatepost writes is in its own directories alone, and not for everybody, whatever the umask it was started with.
func TestProcessFiles(t *testing.T) {
	p := launch(t, "umask 0; mkdir home tmp work spool; cd work; export HOME=$PWD/../home TMPDIR=$PWD/../tmp",
		"[policy]\nchecks = [\"greylist\"]\n[check.greylist]\nmode = \"monitor\"\nstore = \"sqlite\"\n[journal]\ndir = \"$DIR/state\"\n[limits]\nspool_memory = \"4KiB\"\nspool_dir = \"$DIR/spool\"\n")
	s, _ := p.dial(t)
	if err := s.mail(strings.Repeat(strings.Repeat("x", 70)+"\r\n", 1000)); err != nil {
		t.Error(err)
	}
	s.Close()
	wrote := func() (files []string) {
		filepath.WalkDir(p.dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() && filepath.Base(path) != "state" {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return nil // gone by now
			}
			name, _ := filepath.Rel(p.dir, path)
			files = append(files, name)
			if mode := info.Mode().Perm(); mode&0o027 != 0 {
				t.Errorf("%s has mode %o", name, mode)
			}
			return nil
		})
		return files
	}
	for _, name := range wrote() {
		if !strings.HasPrefix(name, "state") && name != "gatepost.toml" {
			t.Errorf("%s is not in a directory of gatepost's", name)
		}
	}
	p.stop(t)
	if n := len(wrote()); n < 4 { // the config, the directory, the journal, the greylist
		t.Errorf("only %q", wrote())
	}
	if root := strings.Contains(p.log.String(), "runs as root"); root != (os.Geteuid() == 0) {
		t.Errorf("it says that it runs as root: %v", root)
	}
}
