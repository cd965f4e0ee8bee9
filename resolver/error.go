package resolver

import (
	"context"
	"errors"
	"net"
	"os"
)

// ErrBusy is what the error of a question wraps for which there was no slot, or none in time: it tells of our own load, and nothing of
// the servers or of the name.
var ErrBusy = errors.New("too many queries")

// notFound is the error of a name, or of a type of record, that is not there.
func notFound(name, text string) *net.DNSError {
	return &net.DNSError{Err: text, Name: shown(name), IsNotFound: true}
}

// IsNotFound says whether the name of a look-up, or what was asked of it, is not there. Any other error may be gone later.
func IsNotFound(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound
}

// temporary is the error of everything that may be different later.
func temporary(name, server, text string) *net.DNSError {
	return &net.DNSError{Err: text, Name: shown(name), Server: server, IsTemporary: true}
}

// ended is the error of a context that ended before the answer came; cause is what its Err says.
func ended(name string, cause error) *net.DNSError {
	e := temporary(name, "", "given up")
	e.UnwrapErr = cause
	if errors.Is(cause, context.DeadlineExceeded) {
		e.Err, e.IsTimeout = "no answer in time", true
	}
	return e
}

// busy marks an error as one of our own load.
func busy(e *net.DNSError) *net.DNSError {
	e.UnwrapErr = ErrBusy
	return e
}

// failed is the error of an exchange with a server, made from the network's or the DNS library's.
func failed(name, server string, cause error) *net.DNSError {
	e := temporary(name, server, cause.Error())
	if errors.Is(cause, os.ErrDeadlineExceeded) || errors.Is(cause, context.DeadlineExceeded) {
		e.Err, e.IsTimeout = "no answer in time", true
	}
	return e
}

// worse gives the error of a question made of two: what may be different later outweighs what isn't there.
func worse(a, b error) error {
	if isTemporary(a) || b == nil {
		return a
	}
	return b
}

func isTemporary(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.Temporary()
}
