package mailsink

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// smuggled follows an end mark that a strict server doesn't take for one.
const smuggled = "MAIL FROM:<evil@e.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nsmuggled\r\n"

// What a strict server and a careless one make of the same content.
func TestEndOfData(t *testing.T) {
	for _, c := range []struct {
		name, content   string // an end mark is added
		strict, lenient []string
	}{
		{"plain", "a\r\n", []string{"a\r\n"}, []string{"a\r\n"}},
		{"empty", "", []string{""}, []string{""}},
		{"dots", "..\r\n...\r\n..a\r\n.b\r\na.\r\n", []string{".\r\n..\r\n.a\r\nb\r\na.\r\n"}, []string{".\r\n..\r\n.a\r\nb\r\na.\r\n"}},
		{"bare LF", "a\n..b\r\n", []string{"a\n..b\r\n"}, []string{"a\n.b\r\n"}},
		{"LF . LF", "a\n.\n" + smuggled, []string{"a\n.\n" + smuggled}, []string{"a\n", "smuggled\r\n"}},
		{"CR LF . LF", "a\r\n.\n" + smuggled, []string{"a\r\n\n" + smuggled}, []string{"a\r\n", "smuggled\r\n"}},
		{"LF . CR LF", "a\n.\r\n" + smuggled, []string{"a\n.\r\n" + smuggled}, []string{"a\n", "smuggled\r\n"}},
		{"CR . CR", "a\r.\r" + smuggled, []string{"a\r.\r" + smuggled}, []string{"a\r.\r" + smuggled}},
		{"NUL before the dot", "a\r\n\x00.\r\n", []string{"a\r\n\x00.\r\n"}, []string{"a\r\n\x00.\r\n"}},
		{"CR CR LF", "a\r\n.\r\r\nb\r\n", []string{"a\r\n\r\r\nb\r\n"}, []string{"a\r\n\r\r\nb\r\n"}},
		{"a line longer than the buffer", strings.Repeat("x", 1<<16-1) + "\r\n.\r", []string{strings.Repeat("x", 1<<16-1) + "\r\n\r\r\n"}, nil},
		{"a dot where the buffer turns", strings.Repeat("x", 1<<16) + ".\r\n", []string{strings.Repeat("x", 1<<16) + ".\r\n"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			end := ".\r\n"
			if strings.HasSuffix(c.content, "\r") {
				end = "\r\n.\r\n"
			}
			for _, s := range []*Server{{}, {Lenient: true}} {
				want := c.strict
				if s.Lenient && c.lenient != nil {
					want = c.lenient
				}
				deliver(t, s, c.content+end)
				if got := contents(s); !slices.Equal(got, want) {
					t.Errorf("lenient %v: got %.200q\nwant %.200q", s.Lenient, got, want)
				}
			}
		})
	}
}

// deliver sends raw as the content of a message in a session of its own, and ends the session.
func deliver(t testing.TB, s *Server, raw string) {
	ours, theirs := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, ours)
		_ = ours.Close()
	}()
	go func() {
		// Without an announced PIPELINING each line has to go alone.
		for _, line := range []string{"HELO a", "MAIL FROM:<>", "RCPT TO:<b@b.example>", "DATA"} {
			_, _ = io.WriteString(ours, line+"\r\n")
		}
		_, _ = io.WriteString(ours, raw)
		_, _ = io.WriteString(ours, "QUIT\r\n")
	}()
	s.ServeConn(theirs)
	<-done
}

// The end mark is found wherever the reads happen to split it.
func TestSplitContent(t *testing.T) {
	const raw, want = "a\r\n..b\r\n.\r\n", "a\r\n.b\r\n"
	for i := range len(raw) {
		s := &Server{}
		p := connect(t, s)
		p.hello()
		p.open()
		p.put(raw[:i])
		p.send(raw[i:])
		p.want("250 2.0.0 Ok: queued as 1")
		if got := contents(s); got[0] != want {
			t.Errorf("split at %d: %q", i, got)
		}
	}
}

func TestBdat(t *testing.T) {
	const ok, queued = "250 2.0.0 ", "250 2.0.0 Ok: queued as 1"
	for _, c := range []struct {
		name string
		talk []string // sent as it is, and the answer
		want string   // content, "-": none
	}{
		{"one chunk", []string{"BDAT 3 LAST\r\na\r\n", queued}, "a\r\n"},
		{"a lone dot is content", []string{"BDAT 5 LAST\r\n\r\n.\r\n", queued}, "\r\n.\r\n"},
		{"three", []string{"BDAT 2\r\na\r", ok + "2 octets", "BDAT 0\r\n", ok + "0 octets", "BDAT 1 LAST\r\n\n", queued}, "a\r\n"},
		{"an empty last", []string{"BDAT 1\r\na", ok + "1 octets", "BDAT 0 last\r\n", queued}, "a"},
		{"commands inside", []string{"BDAT 6 LAST\r\nRSET\r\n", queued}, "RSET\r\n"},
		{"RSET drops it", []string{"BDAT 1\r\na", ok + "1 octets", "RSET\r\n", ok + "Ok", "BDAT 1 LAST\r\na", "503 5.5.1 Out of sequence"}, "-"},
		{"RCPT behind a chunk", []string{"BDAT 1\r\na", ok + "1 octets", "RCPT TO:<c@b.example>\r\n", "503 5.5.1 BDAT has begun"}, "-"},
		{"DATA behind a chunk", []string{"BDAT 1\r\na", ok + "1 octets", "DATA\r\n", "503 5.5.1 Out of sequence"}, "-"},
		{"no number", []string{"BDAT 1e3\r\n", "501 5.5.4 Syntax: BDAT size [LAST]"}, "-"},
		{"negative", []string{"BDAT -1 LAST\r\n", "501 5.5.4 Syntax: BDAT size [LAST]"}, "-"},
		{"too many digits", []string{"BDAT 99999999999999999999 LAST\r\n", "501 5.5.4 Syntax: BDAT size [LAST]"}, "-"},
		{"over the limit", []string{"BDAT 11\r\n01234567890", "552 5.3.4 Message too large", "BDAT 1 LAST\r\na", "503 5.5.1 Out of sequence"}, "-"},
		{"over the limit at the last", []string{"BDAT 9\r\n012345678", ok + "9 octets", "BDAT 2 LAST\r\n90", "552 5.3.4 Message too large"}, "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Server{Extensions: []string{"CHUNKING", "BINARYMIME", "8BITMIME"}, MaxSize: 10}
			p := connect(t, s)
			p.ehlo()
			p.open()
			for pair := range slices.Chunk(c.talk, 2) {
				p.send(pair[0])
				p.want(pair[1])
			}
			got := append(contents(s), "-")
			if got[0] != c.want {
				t.Errorf("got %q, want %q", got[0], c.want)
			}
		})
	}
}

func TestBdatNotAnnounced(t *testing.T) {
	p := connect(t, &Server{})
	p.ehlo()
	p.open()
	go func() { _, _ = io.WriteString(p.conn, "BDAT 6 LAST\r\nRSET\r\n") }()
	p.want("502 5.5.1 CHUNKING was not announced")
	p.wantEnd()
}

func TestBinaryMimeWantsBdat(t *testing.T) {
	p := connect(t, &Server{Extensions: []string{"CHUNKING", "BINARYMIME", "8BITMIME"}})
	p.ehlo()
	p.send("MAIL FROM:<> BODY=BINARYMIME\r\n")
	p.want("250 2.1.0 Ok")
	p.send("RCPT TO:<b@b.example>\r\n")
	p.want("250 2.1.5 Ok")
	p.send("DATA\r\n")
	p.want("503 5.5.1 BINARYMIME wants BDAT")
}

// Whatever the content, what was stuffed by the rule comes out as it was.
func FuzzContent(f *testing.F) {
	for _, seed := range []string{"", "a", ".", "..", "a\r\n.\r\nb", "a\n.\nb", "\r.\r", "\x00", strings.Repeat("x", 1<<16) + ".\r\n.."} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		content = append(content, "\r\n"...)
		raw := bytes.ReplaceAll(append([]byte("\r\n"), content...), []byte("\r\n."), []byte("\r\n.."))[2:]
		s := &Server{}
		deliver(t, s, string(raw)+".\r\n")
		if got := contents(s); len(got) != 1 || got[0] != string(content) {
			t.Errorf("got %q, want %q", got, content)
		}
	})
}

// Whatever a client sends, the sink survives it and counts what it says it took.
func FuzzSession(f *testing.F) {
	f.Add("EHLO a\r\nMAIL FROM:<>\r\nRCPT TO:<b@b.example>\r\nDATA\r\nx\r\n.\r\n", false)
	f.Add("EHLO a\r\nMAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<b>\r\nBDAT 2\r\nxxBDAT 0 LAST\r\nQUIT\r\n", true)
	f.Add("EHLO a\nXCLIENT ADDR=IPV6:::1 NAME=a+20b PORT=1\nHELO b\nSTARTTLS\nVRFY x\n", true)
	f.Fuzz(func(t *testing.T, input string, lenient bool) {
		s := &Server{Extensions: append(DefaultExtensions(), "BINARYMIME"), MaxSize: 1 << 16, Lenient: lenient}
		ours, theirs := net.Pipe()
		replies := make(chan string)
		go func() {
			all, _ := io.ReadAll(ours)
			replies <- string(all)
		}()
		go func() {
			_, _ = io.WriteString(ours, input)
			_, _ = io.WriteString(ours, strings.Repeat("\r\n.\r\nQUIT\r\n", 3))
			_ = ours.Close()
		}()
		s.ServeConn(theirs)
		// The log, since the client may be gone before it read the last answer.
		<-replies
		said := strings.Count(strings.Join(s.Log(), "\n"), "250 2.0.0 Ok: queued as ")
		echoed := strings.Count(input, "queued as")
		if said < s.Committed() || said > s.Committed()+echoed {
			t.Errorf("%d committed, %d said\n%q", s.Committed(), said, s.Log())
		}
	})
}

func BenchmarkMessage(b *testing.B) {
	s := &Server{Keep: 1}
	raw := strings.Repeat(strings.Repeat("x", 76)+"\r\n", 100) + ".\r\n"
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		deliver(b, s, raw)
	}
}
