// Package proxy is the session engine: it speaks SMTP to the sender, asks the policy, and brings what passes to a
// backend in the same session. The sender hears 2xx to its content only after the backend's 2xx.
package proxy
