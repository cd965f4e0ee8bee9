package main

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"gatepost/config"
	"gatepost/internal/mailsink"
	"gatepost/proxy/backend"
	"gatepost/proxy/smtp"
)

// askTime bounds the opening of a connection to a backend.
const askTime = 20 * time.Second

// asker asks a real backend for each recipient that its stand-in is given. It never sends content.
type asker struct {
	backend *backend.Backend

	mu     sync.Mutex
	client backend.Client
	from   smtp.Address
	conn   *backend.Conn
	no     smtp.Reply // why there is no answer to any recipient of this transaction
}

func newAsker(c *config.Config, b config.Backend) *asker {
	s := backendSettings(c, b)
	s.Timeouts = probeTimeouts
	return &asker{backend: backend.New(s)}
}

// answer is for mailsink.Server.Fault: the real backend's reply in the place of the stand-in's.
func (a *asker) answer(e mailsink.Event) mailsink.Action {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, arg, err := smtp.ParseCommand([]byte(e.Line))
	if err != nil {
		return mailsink.Action{}
	}
	all := smtp.Offer{Size: true, EightBit: true, UTF8: true, Chunking: true, Binary: true, DSN: true, RequireTLS: true}
	switch e.Stage {
	case mailsink.StageXClient:
		if x, err := smtp.ParseXClient(arg); err == nil {
			a.client = backend.Client{Addr: netip.AddrPortFrom(x.Addr, x.Port), Name: x.Name, Helo: x.Helo, Proto: x.Proto}
		}
	case mailsink.StageMail:
		a.end()
		a.from, _, _ = smtp.ParseMail(arg, all)
	case mailsink.StageRcpt:
		to, _, err := smtp.ParseRcpt(arg, all, true)
		if err == nil {
			return mailsink.Action{Reply: string(a.ask(to).Append(nil))}
		}
	case mailsink.StageRset, mailsink.StageQuit, mailsink.StageData:
		a.end()
	}
	return mailsink.Action{}
}

// ask gives the real backend's reply to one recipient.
func (a *asker) ask(to smtp.Address) smtp.Reply {
	if a.conn == nil && a.no.Code == 0 {
		a.begin(to.NeedsUTF8())
	}
	if a.no.Code != 0 {
		return a.no
	}
	a.conn.Rcpt(to, smtp.RcptParams{})
	r, err := a.conn.Reply()
	if err != nil {
		return faultReply(err)
	}
	return r
}

// begin opens a transaction at the backend.
func (a *asker) begin(utf8 bool) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	conn, err := a.backend.Dial(ctx, a.client)
	if err != nil {
		a.no = faultReply(err)
		return
	}
	a.conn = conn
	conn.Mail(a.from, smtp.MailParams{UTF8: utf8 || a.from.NeedsUTF8()}, 0)
	r, err := conn.Reply()
	if err != nil {
		r = faultReply(err)
	}
	if r.Class() != 2 {
		a.no = r
	}
}

// end takes the transaction back with RSET, and leaves.
func (a *asker) end() {
	if a.conn != nil {
		a.conn.Reset()
		a.conn.KeepAlive() // RSET is written with the next command
		a.conn.Quit()
	}
	a.conn, a.no = nil, smtp.Reply{}
}

func (a *asker) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end()
	a.backend.Close()
}

// faultReply is what a sender hears of a backend's fault.
func faultReply(err error) smtp.Reply {
	if f, ok := err.(*backend.Fault); ok {
		return f.Reply
	}
	return smtp.Reply{Code: 451, Text: "4.3.0 " + err.Error()}
}
