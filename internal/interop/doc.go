// Package interop tests the whole binary among real programs: Postfix and Exim behind it, swaks, curl, smtp-source and
// Python before it, independent DKIM signers and verifiers on both sides, unbound and rbldnsd for its questions, and a
// process that is killed while mail flows. All of it stays on loopback.
//
// It holds tests only, under the build tag interop. setup.sh installs what they need on Debian; most want root, as
// Postfix does. Without the programs or without root a test is skipped, but where CI=true it fails.
package interop
