// Package socket looks at sockets. It imports the standard library alone.
package socket

// State is what a look at a connection found.
type State uint8

// The states.
const (
	Quiet State = iota // nothing has come, or that can't be known
	Input              // there is something to read
	Ended              // the other end has closed its side, or the connection is lost
)
