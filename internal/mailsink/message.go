package mailsink

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Message is one committed message with its envelope.
type Message struct {
	Session    int            `json:"session"`        // 1 for the first connection
	Client     netip.AddrPort `json:"client"`         // as told by XCLIENT or PROXY, else the socket's; zero where none is known
	Dest       netip.AddrPort `json:"dest"`           // where the client connected to, as told by XCLIENT or PROXY
	ClientName string         `json:"name,omitempty"` // this and the next three: as told by XCLIENT
	Login      string         `json:"login,omitempty"`
	Proto      string         `json:"proto,omitempty"` // SMTP or ESMTP
	Helo       string         `json:"helo"`            // where XCLIENT told none, that of EHLO
	TLS        bool           `json:"tls"`
	From       string         `json:"from"` // what stood between < and >
	FromParams string         `json:"params,omitempty"`
	Recipients []Recipient    `json:"recipients"`
	Content    []byte         `json:"-"`        // dots unstuffed, else octet for octet as it came
	Via        string         `json:"via"`      // DATA or BDAT
	Commands   []string       `json:"commands"` // the lines of the transaction, from MAIL on
}

// Recipient is one that was accepted.
type Recipient struct {
	Address string `json:"address"` // what stood between < and >
	Params  string `json:"params,omitempty"`
}

func (m Message) copy() Message {
	m.Recipients = slices.Clone(m.Recipients)
	m.Content = slices.Clone(m.Content)
	m.Commands = slices.Clone(m.Commands)
	return m
}

// Messages gives copies of what was committed (of what Keep left of it), in that order.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Message, len(s.messages))
	for i, m := range s.messages {
		all[i] = m.copy()
	}
	return all
}

// Committed gives the number of messages committed so far.
func (s *Server) Committed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committed
}

// commit stores m and counts it, in one step as seen from outside, and gives its number. Where it can't be written to Dir
// it does not count.
func (s *Server) commit(m Message) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Dir != "" {
		name := fmt.Sprintf("%d-%d", time.Now().UnixNano(), s.committed+1)
		if err := save(filepath.Join(s.Dir, name), m); err != nil {
			return 0, err
		}
	}
	s.committed++
	s.messages = s.kept(append(s.messages, m))
	return s.committed, nil
}

func (s *Server) kept(all []Message) []Message {
	if s.Keep > 0 && len(all) > s.Keep {
		return slices.Delete(all, 0, len(all)-s.Keep)
	}
	return all
}

// save writes the envelope, then the content: where NAME.eml is there, the message is whole.
func save(name string, m Message) error {
	envelope, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("envelope: %w", err)
	}
	if err := replace(name+".json", append(envelope, '\n')); err != nil {
		return err
	}
	return replace(name+".eml", m.Content)
}

// replace puts a whole file in place at once: a reader never meets half of it.
func replace(name string, content []byte) error {
	temp := name + ".tmp"
	if err := os.WriteFile(temp, content, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, name)
}
