package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// explainFlags say which session is played.
type explainFlags struct {
	config, ip, helo, from, message string
	rcpts                           []string
	interactive, askBackend, json   bool
}

func explainCommand() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain --ip ADDRESS --from ADDRESS --rcpt ADDRESS... [--helo NAME] [--message FILE]",
		Short: "Say what would become of a mail, and why; nothing is delivered",
		Long: "Plays a session through the policy of the config, with the same code as a live one, and tells what each check found, what was " +
			"decided by which line of the config, the reply, and the smallest changes that would have let the mail in; each of them was judged " +
			"before it is told. The DNS is asked. Nothing is delivered, and no state is touched: rate limits begin with nothing, and the " +
			"greylist is a copy. The mail server behind is not asked, and taken to accept every recipient, unless --ask-backend is given: " +
			"then it hears MAIL, RCPT and RSET. Delays are told, not waited for.",
		Example: "  gatepost explain --ip 203.0.113.9 --helo mail.shop.example --from a@shop.example --rcpt amy@example.com\n" +
			"  gatepost explain --ip 203.0.113.9 --interactive",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&f.config, "config", defaultConfig, "the config `file`")
	cmd.Flags().StringVar(&f.ip, "ip", "", "the client's `address`")
	cmd.Flags().StringVar(&f.helo, "helo", "", "the `name` that the client greets with; by default the sender's domain")
	cmd.Flags().StringVar(&f.from, "from", "", `the sender's `+"`address`"+`; "<>" for a bounce`)
	cmd.Flags().StringSliceVar(&f.rcpts, "rcpt", nil, "a recipient's `address`; may be repeated")
	cmd.Flags().StringVar(&f.message, "message", "", `a `+"`file`"+` with the message, "-" for standard input; without it the content is not judged`)
	cmd.Flags().BoolVar(&f.interactive, "interactive", false, "speak SMTP on the terminal: what is decided is told on standard error")
	cmd.Flags().BoolVar(&f.askBackend, "ask-backend", false, "ask the mail server behind for each recipient; no mail is sent")
	cmd.Flags().BoolVar(&f.json, "json", false, "JSON Lines: an object for each recipient")
	return cmd
}

func (f *explainFlags) run(ctx context.Context, in io.Reader, out, talk io.Writer) error {
	client, err := f.client()
	if err == nil && !f.interactive {
		err = f.checkSession()
	}
	if err != nil {
		return usageError{err}
	}
	c, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	h, err := newRehearsal(c, f.askBackend)
	if err != nil {
		return err
	}
	defer h.close()
	if f.interactive {
		return h.interact(ctx, client, in, out, talk)
	}
	call, err := f.call(client, in, c.Limits.MessageSize)
	if err != nil {
		return err
	}
	records, err := h.play(ctx, call)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	x := explainer{rehearsal: h, paint: newPaint(out) && paint(!f.json)}
	if f.json {
		return x.writeJSON(out, records)
	}
	return x.write(out, call, records)
}

func (f *explainFlags) client() (netip.Addr, error) {
	if f.ip == "" {
		return netip.Addr{}, errors.New("--ip is missing: the address of the client, such as --ip 203.0.113.9")
	}
	a, err := netip.ParseAddr(f.ip)
	if err != nil || a.Zone() != "" {
		return a, fmt.Errorf("--ip: %q is no address, such as 203.0.113.9 or 2001:db8::9", f.ip)
	}
	return a.Unmap(), nil
}

// checkSession wants all that a session needs, and nothing in it that would end a line.
func (f *explainFlags) checkSession() error {
	switch {
	case f.from == "":
		return errors.New(`--from is missing: the sender's address, or "<>" for a bounce`)
	case len(f.rcpts) == 0:
		return errors.New("--rcpt is missing: the recipient's address")
	}
	for _, text := range append([]string{f.helo, f.from}, f.rcpts...) {
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("%q holds a control character", text)
		}
	}
	return nil
}

// call is the session that the flags ask for.
func (f *explainFlags) call(client netip.Addr, in io.Reader, most int64) (call, error) {
	c := call{client: client, helo: f.helo, from: strings.Trim(f.from, "<>"), rcpts: f.rcpts}
	if c.helo == "" {
		c.helo = cmp.Or(c.from[strings.LastIndexByte(c.from, '@')+1:], literal(client))
	}
	if f.message == "" {
		return c, nil
	}
	if f.message != "-" {
		file, err := os.Open(f.message)
		if err != nil {
			return c, fmt.Errorf("the message: %w", err)
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, most+1)) // one octet too many is enough to be refused for it
	if err != nil {
		return c, fmt.Errorf("the message: %w", err)
	}
	c.message = crlf(text)
	return c, nil
}

// literal is an address as it stands in a greeting (RFC 5321 section 4.1.3).
func literal(a netip.Addr) string {
	if a.Is6() {
		return "[IPv6:" + a.String() + "]"
	}
	return "[" + a.String() + "]"
}

// crlf makes each line of a file end as lines of mail do. It is never nil.
func crlf(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/32)
	for line := range bytes.Lines(text) {
		body, ended := bytes.CutSuffix(line, []byte("\n"))
		out = append(out, bytes.TrimSuffix(body, []byte("\r"))...)
		if ended {
			out = append(out, "\r\n"...)
		}
	}
	return out
}
