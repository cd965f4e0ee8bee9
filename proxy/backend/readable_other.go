//go:build !unix

package backend

import "net"

// readable can't be known here without a read.
func readable(net.Conn) bool { return false }
