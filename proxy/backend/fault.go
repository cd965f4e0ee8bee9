package backend

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"gatepost/proxy/smtp"
)

// The stages of a Fault.
const (
	stageConnect  = "connect"
	stageBanner   = "banner"
	stageEhlo     = "ehlo"
	stageStartTLS = "starttls"
	stageXClient  = "xclient"
	stageMail     = "mail"
	stageRcpt     = "rcpt"
	stageData     = "data"
	stageBody     = "body"
	stageFinal    = "final"
	stageRset     = "rset"
	stageNoop     = "noop"
)

// What a sender hears, always with code 451: a fault of the backend never refuses mail for good.
const (
	textUnreachable = "4.4.1 The mail server behind cannot be reached; try again later"
	textLost        = "4.4.2 The connection to the mail server behind was lost; try again later"
	textNonsense    = "4.3.0 The mail server behind does not work properly; try again later"
	textNoTLS       = "4.7.5 No secure connection to the mail server behind; try again later"
)

var (
	errNoAddress  = errors.New("no address is configured")
	errOutOfTurn  = errors.New("the server spoke out of turn")
	errClosed     = errors.New("the server closed the connection")
	errEnded      = errors.New("the connection was ended here")
	errNotWaiting = errors.New("no command waits for a reply")
	errBinary     = errors.New("the content is binary, and the server has no CHUNKING")
	errInside     = errors.New("a message is under way")
	errNotRead    = errors.New("replies to earlier commands were not read")
)

// Fault is a failure of the backend or of the way to it, with the reply that the sender should hear.
type Fault struct {
	Stage   string     // "connect", "banner", "ehlo", "starttls", "xclient", "mail", "rcpt", "data", "body", "final", "rset", "noop"
	Address string     // which server; "" where none is configured
	Reply   smtp.Reply // for the sender: 451 4.4.1 unreachable, 451 4.4.2 lost or too slow, 451 4.3.0 nonsense, 451 4.7.5 no TLS; no ref yet
	Heard   smtp.Reply // what the backend said, where it said something
	Err     error      // the cause; may be nil
	Unknown bool       // the content was sent whole and no final reply was understood: the message may have been delivered (RFC 1047)

	ofClient bool // the server refused this client, which says nothing of the server's health
}

// Error names stage, address and cause.
func (f *Fault) Error() string {
	var s strings.Builder
	s.WriteString("backend")
	if f.Address != "" {
		s.WriteString(" " + f.Address)
	}
	s.WriteString(": " + f.Stage)
	if f.Err != nil {
		s.WriteString(": " + f.Err.Error())
	}
	if f.Heard.Code != 0 {
		s.WriteString(": the server said " + f.Heard.Error())
	}
	return s.String()
}

// Unwrap gives the cause.
func (f *Fault) Unwrap() error { return f.Err }

func newFault(stage, text string, heard smtp.Reply, err error) *Fault {
	return &Fault{Stage: stage, Reply: smtp.Reply{Code: 451, Text: text}, Heard: heard, Err: err}
}

func unreachable(stage string, err error) *Fault {
	return newFault(stage, textUnreachable, smtp.Reply{}, err)
}

func nonsense(stage string, heard smtp.Reply, err error) *Fault {
	return newFault(stage, textNonsense, heard, err)
}

func noTLS(heard smtp.Reply, err error) *Fault {
	return newFault(stageStartTLS, textNoTLS, heard, err)
}

// broken is the fault for an error of reading or writing.
func broken(stage string, err error) *Fault {
	switch {
	case errors.Is(err, smtp.ErrNotReply), errors.Is(err, smtp.ErrLineTooLong), errors.Is(err, smtp.ErrBareLine),
		errors.Is(err, errOutOfTurn):
		return nonsense(stage, smtp.Reply{}, err)
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("%w: %w", errClosed, err)
	}
	return newFault(stage, textLost, smtp.Reply{}, err)
}

// refused is the fault for a reply that ends the opening of a connection. A server that turns away with its banner or with
// a 421 (RFC 5321 section 3.8) is not there for us; any other refusal says that the two don't fit together.
func refused(stage string, heard smtp.Reply) *Fault {
	if heard.Code == 421 || stage == stageBanner && heard.Class() >= 4 {
		return newFault(stage, textUnreachable, heard, nil)
	}
	return nonsense(stage, heard, nil)
}
