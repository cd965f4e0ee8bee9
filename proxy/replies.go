package proxy

import "gatepost/proxy/smtp"

// The replies that are always the same (REPLIES).
var (
	replyOK          = smtp.Reply{Code: 250, Text: "2.0.0 Ok"}
	replyMailOK      = smtp.Reply{Code: 250, Text: "2.1.0 Ok"}
	replyVrfy        = smtp.Reply{Code: 252, Text: "2.5.2 Send some mail and see"} // RFC 5321 section 3.5.3
	replyHelp        = smtp.Reply{Code: 214, Text: "2.0.0 Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT STARTTLS\n2.0.0 See RFC 5321"}
	replyBye         = smtp.Reply{Code: 221, Text: "2.0.0 Bye"}
	replyGo          = smtp.Reply{Code: 354, Text: "End data with <CR><LF>.<CR><LF>"}
	replyReadyTLS    = smtp.Reply{Code: 220, Text: "2.0.0 Ready to start TLS"}
	replyNoMail      = smtp.Reply{Code: 221, Text: "2.7.0 This is a mail server"}
	replyUnknown     = smtp.Reply{Code: 500, Text: "5.5.2 Unknown command"}
	replyBareLine    = smtp.Reply{Code: 500, Text: "5.5.2 A command line ends in CR LF and holds no other CR, LF or NUL"}
	replyLongLine    = smtp.Reply{Code: 500, Text: "5.5.2 Line too long"}
	replyNotHere     = smtp.Reply{Code: 502, Text: "5.5.1 Command not implemented"}
	replyNoArg       = smtp.Reply{Code: 501, Text: "5.5.4 This command takes no argument"}
	replyNeedArg     = smtp.Reply{Code: 501, Text: "5.5.4 This command needs an argument"}
	replyNeedBdat    = smtp.Reply{Code: 503, Text: "5.5.1 Not now: BODY=BINARYMIME wants BDAT"}
	replyTurn        = smtp.Reply{Code: 554, Text: "5.5.0 You talk out of turn: wait for the reply first"}
	replyNoRcpt      = smtp.Reply{Code: 554, Text: "5.5.1 No valid recipients"}
	replyErrors      = smtp.Reply{Code: 421, Text: "4.7.0 Too many errors"}
	replyIdleCmds    = smtp.Reply{Code: 421, Text: "4.7.0 Too many commands that bring no mail"}
	replyIdle        = smtp.Reply{Code: 421, Text: "4.4.2 Idle for too long"}
	replySlow        = smtp.Reply{Code: 421, Text: "4.4.2 Too slow, or silent in the middle of the content"}
	replyClosing     = smtp.Reply{Code: 421, Text: "4.3.2 Shutting down; please try again later"}
	replyRcptMax     = smtp.Reply{Code: 452, Text: "4.5.3 Too many recipients; send the others in another transaction"}
	replyOtherMTA    = smtp.Reply{Code: 452, Text: "4.5.3 This recipient has another server; send it in another transaction"}
	replyOtherPolicy = smtp.Reply{Code: 452, Text: "4.5.3 This recipient has another policy; send it in another transaction"}
	replyTooLarge    = smtp.Reply{Code: 552, Text: "5.3.4 The message is larger than this server takes"}
	replyHeadLarge   = smtp.Reply{Code: 552, Text: "5.3.4 The header of the message is larger than this server takes"}
	replyNoRoom      = smtp.Reply{Code: 452, Text: "4.3.1 No room for the message now; please try again later"}
	replyBareCR      = smtp.Reply{Code: 550, Text: "5.5.2 The message holds a CR without LF, or a line that some servers take for its end"}
	replyBareLF      = smtp.Reply{Code: 550, Text: "5.5.2 The message holds a line that ends in LF without CR"}
	replyNUL         = smtp.Reply{Code: 550, Text: "5.6.0 The message holds a NUL byte"}
	replyBinaryHead  = smtp.Reply{Code: 550, Text: "5.6.0 The header of the message holds a CR, LF or NUL out of place; BINARYMIME is for its body"}
	replyTopFold     = smtp.Reply{Code: 550, Text: "5.6.0 The header of the message starts with a folded line"}
	replyLoop        = smtp.Reply{Code: 554, Text: "5.4.6 Too many Received fields: the message is looping"}
	replyNoUTF8      = smtp.Reply{Code: 550, Text: "5.6.7 The server behind takes no addresses outside ASCII"}
	replyNoBinary    = smtp.Reply{Code: 554, Text: "5.6.3 The server behind takes no binary content"}
	replyXClient     = smtp.Reply{Code: 550, Text: "5.7.0 XCLIENT is not allowed from your address"}
	replyLost        = smtp.Reply{Code: 451, Text: "4.4.2 The server behind closed the connection; please try again later"}
	replyProxyFault  = smtp.Reply{Code: 451, Text: "4.3.0 A fault of this server; please try again later"}
)
