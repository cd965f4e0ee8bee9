// Package soak tests the whole binary under load: what a crowd of one kind does to it (build tag interop), and all kinds at
// once for as long as asked, while the mail server and the DNS behind come and go (build tag soak). It holds tests only, and
// needs no other program than Go. All of it stays on loopback.
package soak
