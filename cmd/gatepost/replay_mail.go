package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"gatepost/config"
	"gatepost/journal/rejudge"
	"gatepost/policy"
)

// mails judges the mails of a folder as they would be now.
func (f *replayFlags) mails(ctx context.Context, c *config.Config, t *replayTeller, total *rejudge.Summary, talk io.Writer) error {
	h, err := newRehearsal(c, false)
	if err != nil {
		return err
	}
	defer h.close()
	fmt.Fprintf(talk, "This is approximate: the DNS of today is asked, and the client is who %s says it was.\n", printable(f.receivedBy))
	unknown := 0
	judge := func(text []byte) error {
		call, ok := f.callOf(text)
		if !ok {
			unknown++
			return nil
		}
		records, err := h.play(ctx, call)
		if err != nil {
			return err
		}
		for _, r := range telling(records) {
			for i := range r.Recipients {
				o := delivered(r, &r.Recipients[i])
				total.Add(r, o)
				if err := t.change(r, &r.Recipients[i], o); err != nil {
					return err
				}
			}
		}
		return nil
	}
	most := c.Limits.MessageSize + 1
	if f.mbox != "" {
		err = eachOfMbox(f.mbox, most, judge)
	} else {
		err = eachOfMaildir(f.maildir, most, judge)
	}
	if unknown > 0 {
		fmt.Fprintf(talk, "%s left out: no Received field by %s that names a client, or no recipient.\n",
			count(unknown, false, "mail"), printable(f.receivedBy))
	}
	return err
}

// delivered is the outcome for a mail that was delivered once, since it is in the folder.
func delivered(r *policy.Record, rc *policy.RecipientRecord) rejudge.Outcome {
	o := rejudge.Outcome{Was: policy.Accepted, Is: rc.Verdict, By: rc.By, Now: policy.Decision{Reply: rc.Reply}}
	if o.Is != o.Was {
		o.Kind = rejudge.Changed
	}
	return o
}

// callOf is the session that brought a mail, as far as its header tells.
func (f *replayFlags) callOf(text []byte) (call, bool) {
	text = crlf(text)
	head, _, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	m := &policy.Message{Head: append(bytes.Clone(head), "\r\n"...)}
	c := call{message: text, from: addressIn(m, "return-path")}
	if rcpt := cmp.Or(f.rcpt, addressIn(m, "delivered-to"), addressIn(m, "x-original-to")); rcpt != "" {
		c.rcpts = []string{rcpt}
	}
	for field := range policy.Fields(m.Head) {
		if !field.Is("received") {
			continue
		}
		if helo, client, ok := parseReceived(string(field.Body()), f.receivedBy); ok {
			c.helo, c.client = helo, client
			break
		}
	}
	return c, c.client.IsValid() && len(c.rcpts) > 0 && fits(c)
}

// fits says whether nothing in the envelope would end a command line.
func fits(c call) bool {
	return !strings.ContainsFunc(c.from+c.helo+c.rcpts[0], func(r rune) bool { return r <= ' ' || r == 0x7f || r == '<' || r == '>' })
}

// addressIn is the address in a field, without brackets; "" where there is none.
func addressIn(m *policy.Message, name string) string {
	f, _ := m.Field(name)
	return strings.Trim(strings.TrimSpace(string(f.Body())), "<>")
}

// parseReceived takes the client and its greeting from a Received field (RFC 5321 section 4.4) of a named server: "from HELO (NAME [ADDRESS]) by
// SERVER", or as Exim has it "from [ADDRESS] (helo=HELO) by SERVER".
func parseReceived(body, by string) (helo string, client netip.Addr, ok bool) {
	words := strings.Fields(body)
	if len(words) < 4 || !strings.EqualFold(words[0], "from") {
		return "", client, false
	}
	end := 1
	for end < len(words) && !strings.EqualFold(words[end], "by") {
		end++
	}
	if end+1 >= len(words) || !strings.EqualFold(strings.Trim(words[end+1], ";"), by) {
		return "", client, false
	}
	helo = words[1]
	from := strings.Join(words[1:end], " ")
	if _, said, ok := strings.Cut(from, "helo="); ok {
		helo = strings.TrimRight(strings.Fields(said + " )")[0], ")")
	}
	for part := range strings.SplitSeq(from, "[") {
		inner, _, closed := strings.Cut(part, "]")
		a, err := netip.ParseAddr(strings.TrimPrefix(inner, "IPv6:"))
		if closed && err == nil && a.Zone() == "" {
			client = a.Unmap() // the last one: what the server saw, not what the client said
		}
	}
	return helo, client, client.IsValid()
}

// eachOfMbox gives the mails of an mbox file (RFC 4155), each cut to so many octets.
func eachOfMbox(file string, most int64, do func([]byte) error) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("the mails: %w", err)
	}
	defer f.Close()
	var mail []byte
	began, blank := false, true
	in := bufio.NewReader(f)
	for {
		line, err := in.ReadBytes('\n')
		if blank && bytes.HasPrefix(line, []byte("From ")) || errors.Is(err, io.EOF) && len(line) == 0 {
			if began {
				if err := do(mail); err != nil {
					return err
				}
			}
			began, mail, line = true, mail[:0], nil
		}
		blank = len(bytes.TrimRight(line, "\r\n")) == 0
		if rest := bytes.TrimLeft(line, ">"); len(rest) < len(line) && bytes.HasPrefix(rest, []byte("From ")) {
			line = line[1:]
		}
		if began && int64(len(mail)) < most {
			mail = append(mail, line...)
		}
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("the mails: %w", err)
		}
	}
}

// eachOfMaildir gives the mails of a Maildir, each cut to so many octets.
func eachOfMaildir(dir string, most int64, do func([]byte) error) error {
	n := 0
	for _, sub := range []string{"cur", "new"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			continue
		}
		n++
		for _, e := range entries {
			if !e.Type().IsRegular() {
				continue
			}
			text, err := readSome(filepath.Join(dir, sub, e.Name()), most)
			if err == nil {
				err = do(text)
			}
			if err != nil {
				return err
			}
		}
	}
	if n == 0 {
		return fmt.Errorf("the mails: %s is no Maildir: it has neither cur nor new", dir)
	}
	return nil
}

// readSome reads a file, at most so many octets.
func readSome(file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("the mails: %w", err)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}
