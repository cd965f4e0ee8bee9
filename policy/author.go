package policy

// Authors is being written.
func Authors(m *Message) ([]Mailbox, error) { return nil, nil }
