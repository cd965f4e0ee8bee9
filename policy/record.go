package policy

import (
	"net/netip"
	"time"
)

// Record is what is kept of one transaction, and of a session that came to none: who, what was found, what was
// decided, what the backend said. It never holds content. All text in it is as it came from outside: clean it where it leaves.
type Record struct {
	Time       time.Time         `json:"time"` // of MAIL; of the connection where there was none
	Ref        string            `json:"ref"`
	Session    string            `json:"session"`
	Listener   string            `json:"listener"`
	Client     netip.Addr        `json:"client"`
	ClientName string            `json:"client_name,omitempty"`
	Helo       string            `json:"helo,omitempty"`
	Proto      string            `json:"proto,omitempty"`  // SMTP, ESMTP, ESMTPS, with UTF8 in front where RFC 6531 says so
	TLS        string            `json:"tls,omitempty"`    // version and cipher suite
	Sender     *string           `json:"sender,omitempty"` // nil before MAIL; "" for <>
	Size       int64             `json:"size,omitempty"`   // octets of content
	MessageID  string            `json:"message_id,omitempty"`
	FromDomain string            `json:"from_domain,omitempty"` // for finding it again; not judged by
	Author     string            `json:"author,omitempty"`      // the author's domain as the policy saw it; "" where there is not exactly one
	ListID     string            `json:"list_id,omitempty"`
	Recipients []RecipientRecord `json:"recipients"`
	Findings   []Finding         `json:"findings,omitempty"`
	By         string            `json:"by,omitempty"`         // what decided the refusal in Reply, named as in RecipientRecord.By
	Where      string            `json:"where,omitempty"`      // the place in the config that decided it
	Reply      Reply             `json:"reply,omitzero"`       // the refusal of the transaction or session as a whole, as it was sent, without the ref
	End        End               `json:"end"`                  // how the transaction ended
	Note       string            `json:"note,omitempty"`       // what else is worth knowing, such as a fault of the backend
	Faults     []string          `json:"faults,omitempty"`     // faults of form: bare-lf, bare-cr, nul, smuggling, pregreet, pipelining
	Policy     string            `json:"policy,omitempty"`     // hash of the policy
	Subject    string            `json:"subject,omitempty"`    // only where the admin asked for it
	Transcript []string          `json:"transcript,omitempty"` // the dialogue, a line each, "C: " or "S: " in front; never content; only where asked for
	Took       time.Duration     `json:"took_ns"`
}

// RecipientRecord is what became of one recipient.
type RecipientRecord struct {
	Address      string    `json:"address"`
	Verdict      Verdict   `json:"verdict"`
	By           string    `json:"by,omitempty"`       // the check that decided; "backend", "relay", "protocol" or "proxy" where none did
	Mode         Mode      `json:"mode,omitempty"`     // of the check that decided; where none did, of the one in WouldBy
	Where        string    `json:"where,omitempty"`    // the place in the config that decided
	Rule         string    `json:"rule,omitempty"`     // the rule that held, if one did
	Findings     []Finding `json:"findings,omitempty"` // those of StageRcpt, which are of this recipient alone
	Reply        Reply     `json:"reply"`              // as it was sent, without the ref
	Would        Action    `json:"would"`              // what would have been done, had every check been enforced
	WouldBy      string    `json:"would_by,omitempty"`
	Intended     Reply     `json:"intended,omitzero"`
	Backend      string    `json:"backend,omitempty"`
	BackendReply Reply     `json:"backend_reply,omitzero"` // to RCPT, or to the content
}

// End is how a transaction ended.
type End string

// The ends.
const (
	EndDelivered End = "delivered"   // the backend has it
	EndRefused   End = "refused"     // we or the backend refused all of it
	EndAborted   End = "aborted"     // the sender gave it up: RSET, a new MAIL, QUIT
	EndLost      End = "lost"        // the connection to the sender broke before the end of data
	EndUnknown   End = "unknown"     // the backend's final answer is not known (RFC 1047): it may have the message
	EndDuplicate End = "unconfirmed" // the backend has it, the sender could not be told: it may send it again
	EndNone      End = "none"        // a session without a transaction
)
