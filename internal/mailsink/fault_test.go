package mailsink

import (
	"bufio"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Each case is one transaction up to the fault. The answers are those from the stage of the fault on.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		stage Stage
		do    Action
		want  []string // the rest of the answers; "": the end
		n     int
	}{
		{"no greeting", StageBanner, Action{Close: true}, []string{""}, 0},
		{"another greeting", StageBanner, Action{Reply: "554 no", CloseAfter: true}, []string{"554 no", ""}, 0},
		{"EHLO refused", StageEhlo, Action{Reply: "550 no"}, []string{"550 no", "503 5.5.1 EHLO first"}, 0},
		{"MAIL refused", StageMail, Action{Reply: "450 4.2.0 busy"}, []string{"450 4.2.0 busy", "503 5.5.1 MAIL first"}, 0},
		{"RCPT refused", StageRcpt, Action{Reply: "450 4.2.0 busy"}, []string{"450 4.2.0 busy", "554 5.5.1 No valid recipients"}, 0},
		{"RCPT reset", StageRcpt, Action{Reset: true}, []string{""}, 0},
		{"250 to DATA", StageData, Action{Reply: "250 oops"}, []string{"250 oops", "554 5.5.0 X with data behind it"}, 0},
		{"gone in the body", StageBody, Action{Close: true}, []string{"354 End data with <CR><LF>.<CR><LF>", ""}, 0},
		{"refused in the body", StageBody, Action{Reply: "452 full", CloseAfter: true},
			[]string{"354 End data with <CR><LF>.<CR><LF>", "452 full", ""}, 0},
		{"refused at the end", StageEnd, Action{Reply: "554 no"}, []string{"354 End data with <CR><LF>.<CR><LF>", "554 no"}, 0},
		{"accepted, then reset", StageEnd, Action{ResetAfter: true},
			[]string{"354 End data with <CR><LF>.<CR><LF>", "250 2.0.0 Ok: queued as 1", ""}, 1},
		{"gone at the end", StageEnd, Action{Close: true}, []string{"354 End data with <CR><LF>.<CR><LF>", ""}, 0},
		{"committed, but gone", StageEnd, Action{Close: true, Commit: true}, []string{"354 End data with <CR><LF>.<CR><LF>", ""}, 1},
		{"nonsense at the end", StageEnd, Action{Reply: "25"}, []string{"354 End data with <CR><LF>.<CR><LF>", "25"}, 0},
		{"several lines", StageEnd, Action{Reply: "250-a\r\n250 b"}, []string{"354 End data with <CR><LF>.<CR><LF>", "250-a", "250 b"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Server{Fault: func(e Event) Action {
				if e.Stage == c.stage {
					return c.do
				}
				return Action{}
			}}
			got := replies(connect(t, s), c.stage, len(c.want))
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if s.Committed() != c.n {
				t.Errorf("%d messages, want %d", s.Committed(), c.n)
			}
		})
	}
}

// replies plays a transaction and gives the first n answers from the given stage on; "" is the end of the connection.
func replies(p *peer, from Stage, n int) (all []string) {
	lines := []struct {
		stage Stage
		text  string
	}{
		{StageBanner, ""},
		{StageEhlo, "HELO a\r\n"},
		{StageMail, "MAIL FROM:<>\r\n"},
		{StageRcpt, "RCPT TO:<b@b.example>\r\n"},
		{StageData, "DATA\r\n"},
		{StageEnd, "x\r\n.\r\n"},
	}
	if from == StageBody || from == StageEnd {
		from = StageData
	}
	keep := false
	for _, l := range lines {
		// On a pipe even an empty write waits for a reader.
		if l.text != "" {
			_, _ = io.WriteString(p.conn, l.text)
		}
		keep = keep || l.stage == from
		answer, err := p.answer()
		if keep {
			all = append(all, answer...)
		}
		if err != nil || len(all) >= n {
			return all
		}
	}
	answer, _ := p.answer()
	return append(all, answer...)
}

// answer reads the lines of one answer; at the end of the connection there is an empty one.
func (p *peer) answer() (lines []string, err error) {
	for {
		line, err := p.in.ReadString('\n')
		lines = append(lines, strings.TrimSuffix(line, "\r\n"))
		if err != nil || len(line) < 4 || line[3] != '-' {
			return lines, err
		}
	}
}

func TestNext(t *testing.T) {
	s := &Server{Fault: func(e Event) Action { return Action{} }}
	s.Next(StageRcpt, Action{Reply: "450 4.2.0 one"})
	s.Next(StageRcpt, Action{Reply: "450 4.2.0 two"})
	p := connect(t, s)
	p.hello()
	p.send("MAIL FROM:<>\r\n")
	p.want("250 2.1.0 Ok")
	for _, want := range []string{"450 4.2.0 one", "450 4.2.0 two", "250 2.1.5 Ok"} {
		p.send("RCPT TO:<b@b.example>\r\n")
		p.want(want)
	}
}

func TestEvents(t *testing.T) {
	var got []Event
	s := &Server{Fault: func(e Event) Action { got = append(got, e); return Action{} }}
	p := connect(t, s)
	p.hello()
	p.open()
	p.put("x\r\n.\r\n")
	p.want("250 2.0.0 Ok: queued as 1")
	p.send("QUIT\r\n")
	p.want("221 2.0.0 Bye")
	<-p.done
	want := []Event{
		{1, StageBanner, "", 0, 0},
		{1, StageEhlo, "HELO a.example", 0, 0},
		{1, StageMail, "MAIL FROM:<a@a.example>", 0, 0},
		{1, StageRcpt, "RCPT TO:<b@b.example>", 0, 0},
		{1, StageData, "DATA", 1, 0},
		{1, StageBody, "", 1, 3},
		{1, StageEnd, "", 1, 3},
		{1, StageQuit, "QUIT", 0, 0},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A delay and a drip take their time and nothing else; the clock of the bubble says how long.
func TestSlowAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{}
		s.Next(StageBanner, Action{Delay: time.Minute})
		s.Next(StageEhlo, Action{Reply: "250 ok", Drip: time.Second})
		ours, theirs := net.Pipe()
		go s.ServeConn(theirs)
		in, start := bufio.NewReader(ours), time.Now()
		if line, err := in.ReadString('\n'); err != nil || time.Since(start) != time.Minute {
			t.Errorf("%q, %v after %v", line, err, time.Since(start))
		}
		start = time.Now()
		_, _ = io.WriteString(ours, "HELO a\r\n")
		if line, err := in.ReadString('\n'); line != "250 ok\r\n" || time.Since(start) != 7*time.Second {
			t.Errorf("%q, %v after %v", line, err, time.Since(start))
		}
		_ = s.Close()
		_ = ours.Close()
	})
}

// What was answered before goes out before a delay, not behind it.
func TestDelayInGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Lenient: true} // takes a group without PIPELINING
		s.Next(StageRset, Action{Delay: time.Minute})
		ours, theirs := net.Pipe()
		go s.ServeConn(theirs)
		in, start := bufio.NewReader(ours), time.Now()
		_, _ = in.ReadString('\n')
		_, _ = io.WriteString(ours, "NOOP\r\nRSET\r\n")
		for _, want := range []time.Duration{0, time.Minute} {
			if line, err := in.ReadString('\n'); line != "250 2.0.0 Ok\r\n" || time.Since(start) != want {
				t.Errorf("%q, %v after %v, want %v", line, err, time.Since(start), want)
			}
		}
		_ = s.Close()
		_ = ours.Close()
	})
}

// Silent sessions stay open, and Close ends them.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name string
		do   Action
	}{
		{"hang", Action{Hang: true}},
		{"stall", Action{Stall: true}},
		{"delay", Action{Delay: time.Hour}},
		{"drip", Action{Drip: time.Hour}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Server{}
				s.Next(StageBanner, c.do)
				ours, theirs := net.Pipe()
				go s.ServeConn(theirs)
				read := make(chan error, 1)
				go func() {
					_, err := io.ReadAll(ours)
					read <- err
				}()
				synctest.Wait()
				if len(read) != 0 || s.Open() != 1 {
					t.Errorf("not silent: %q", s.Log())
				}
				_ = s.Close()
				if err := <-read; err != nil || s.Open() != 0 {
					t.Errorf("%v, %d open", err, s.Open())
				}
			})
		})
	}
}

// A hanging session reads on; a stalled one does not.
func TestHangReads(t *testing.T) {
	s := &Server{}
	s.Next(StageEhlo, Action{Hang: true})
	p := connect(t, s)
	p.want("220 sink.test ESMTP mailsink")
	p.send("HELO a\r\n")
	p.send("NOOP\r\n")
	_ = p.conn.Close()
	<-p.done
}

func TestEndless(t *testing.T) {
	s := &Server{}
	s.Next(StageEhlo, Action{Endless: true})
	p := connect(t, s)
	p.want("220 sink.test ESMTP mailsink")
	p.send("HELO a\r\n")
	for range 1000 {
		p.want("250-and so on")
	}
	_ = p.conn.Close()
	<-p.done
}

// A reset is one on the wire of TCP.
func TestReset(t *testing.T) {
	s := &Server{}
	addr, stop, err := Listen(s)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	s.Next(StageEhlo, Action{Reset: true})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HELO a\r\n")
	if all, err := io.ReadAll(conn); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("%q, %v; want a reset", all, err)
	}
}

func TestClass(t *testing.T) {
	for reply, want := range map[string]byte{
		"250 ok": '2', "250": '2', "250-a\r\n250 b": '2', "354 go": '3', "450 no": '4', "550\r\n": '5',
		"": 0, "25": 0, "2x0 a": 0, "999 x": 0, "150 x": 0, "2500": 0,
	} {
		if got := class(reply); got != want {
			t.Errorf("%q: %c, want %c", reply, got, want)
		}
	}
}
